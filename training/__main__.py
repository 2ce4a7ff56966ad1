"""The doors of the training room: train | backtest | tune | compare | promote | rollback | register."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from features.checks import quality
from features.command import DONE, REFUSED, Answer, Door, progress, say
from features.config import load
from features.data_config import workspace
from features.errors import ConfigError
from training import champions, versus
from training.bundle import give_back, place
from training.bundle import load as load_bundle
from training.config import TrainConfig


def train(chosen: argparse.Namespace) -> Answer:
    """Choose, grade, refit, record and, where the gate agrees, place the bundle."""
    from training import extras, job, keep, report
    from training.refit import refit
    from training.stages import Stages

    config, then = _asked(chosen)
    stages = Stages()
    with stages("snapshot"):
        made = job.snapshot(config, progress, config.data.today())
    with stages("checks"):
        leaking = quality.leaking(made)
    if leaking:
        return _refuse(chosen, config, leaking)
    with stages("rows"):
        own = job.prepare(config, made)
        kept = extras.around(config, made, own)
    del made
    evaluation = job.evaluate(config, own, progress, stages=stages)
    with stages("refit"):
        bundle = refit(evaluation, progress)
    told = extras.judged(kept, evaluation, bundle, progress, stages)
    answer = report.summary(evaluation) | keep.keep(evaluation, bundle, told, stages, chosen.config)
    answer |= {"seconds": stages.seconds}
    _tell(chosen, answer)
    if then is not None:
        answer["again"] = keep.again(bundle, evaluation.fingerprint, then)
        say(chosen, f"run {chosen.from_run}: {answer['again']}")
    graded = answer["grade"] != "C" and (answer["promoted"] or config.gate.promote == "never")
    return DONE if graded else REFUSED, answer


def _asked(chosen: argparse.Namespace) -> tuple[TrainConfig, dict[str, str] | None]:
    """The config of the YAML, or that of an earlier run and what the run is tagged with."""
    from training import keep

    if not chosen.from_run:
        if chosen.config is None:
            raise ConfigError("train: give CONFIG, a YAML file below configs/, or --from-run ID")
        return load(chosen.config, TrainConfig, chosen.set), None
    if chosen.set:
        raise ConfigError("--from-run: takes the run's config as it was; leave --set out, or give the YAML instead")
    home = workspace(load(chosen.config, TrainConfig).data) if chosen.config else None
    return keep.restored(chosen.from_run, home)


def register(chosen: argparse.Namespace) -> Answer:
    """Register what a training kept while the registry was down."""
    from training import keep

    config = load(chosen.config, TrainConfig, chosen.set)
    kept = keep.registered(config, chosen.folder)
    say(chosen, f"run {kept.run_id}, version {kept.registered}")
    say(chosen, f"promoted: {'yes' if kept.promoted else 'no'} ({kept.promotion})")
    say(chosen, f"Next: python -m serving daily {chosen.config.with_name('serving.yaml')}")
    return DONE if kept.promoted else REFUSED, asdict(kept)


def backtest(chosen: argparse.Namespace) -> Answer:
    """Every candidate and the best rule on every fold; nothing is kept or placed."""
    from training import job, keep, report

    config = load(chosen.config, TrainConfig, chosen.set)
    made = job.snapshot(config, progress, config.data.today())
    if leaking := quality.leaking(made):
        return _refuse(chosen, config, leaking)
    evaluation = job.evaluate(config, made, progress, compare=True)
    shown = keep.backtest(evaluation)
    folds = report.records(evaluation.selection) + report.records(evaluation.tests)
    answer = report.summary(evaluation) | {"folds": folds, "report": str(shown)}
    say(chosen, report.table(evaluation.selection, evaluation.tests, evaluation.rule))
    _say_grade(chosen, answer)
    say(chosen, f"report: {shown}")
    say(chosen, f"Next: python -m training train {chosen.config}")
    return REFUSED if answer["grade"] == "C" else DONE, answer


def tune(chosen: argparse.Namespace) -> Answer:
    """Search settings on the dates before the tests; keep what is surely better."""
    from training import job, tracking
    from training.tuning import search as tuning
    from training.tuning import tuned
    from training.tuning.study import Budget

    config = load(chosen.config, TrainConfig, chosen.set)
    minutes = 20.0 if chosen.trials is None and chosen.minutes is None else chosen.minutes
    budget, home = Budget(chosen.trials, minutes), workspace(config.data)
    made = job.snapshot(config, progress, config.data.today())
    if leaking := quality.leaking(made):
        return _refuse(chosen, config, leaking)
    found = tuning.run(config, made, home, budget, progress)
    path = tuned.write(found, home)
    for own in found.found:
        tracking.record_study(home, champions.name(config), own.study, own.figures, tuned.trials(own))
    for line in tuned.told(found):
        say(chosen, line)
    use = f" --set settings={path}" if found.changed else ""
    say(chosen, f"Next: python -m training train {chosen.config}{use}")
    return DONE, tuned.record(found) | {"file": str(path)}


def _refuse(chosen: argparse.Namespace, config: TrainConfig, leaking: list[str]) -> Answer:
    """Nothing is trained on features that know the future."""
    for text in leaking:
        say(chosen, f"refused: {text}")
    say(chosen, f"Next: python -m features check {chosen.config}")
    nothing: dict = {"version": None, "grade": None, "promoted": False, "metrics": {}}
    return REFUSED, {"model": config.model, **nothing, "reasons": leaking}


def promote(chosen: argparse.Namespace) -> Answer:
    """Place a registered version by hand; the gate's least grade holds here too."""
    from training import tracking

    config = load(chosen.config, TrainConfig, chosen.set)
    home, name = workspace(config.data), champions.name(config)
    with tempfile.TemporaryDirectory() as folder:
        path = tracking.download(home, name, chosen.version, Path(folder))
        bundle = load_bundle(path)
        promoted, why = champions.decided(config, bundle, chosen.version, Path(folder))
        if promoted:
            place(path, home, config.model, config.data.name)
            tracking.crown(home, name, chosen.version)
    say(chosen, f"{name} {chosen.version}: {why}")
    if promoted:
        say(chosen, f"Next: python -m serving daily {chosen.config.with_name('serving.yaml')}")
    else:
        say(chosen, f"Next: python -m training compare {chosen.config} OLD NEW shows two versions beside each other")
    card = {"model": config.model, "version": bundle.version, "grade": bundle.info.grade}
    return DONE if promoted else REFUSED, card | {"promoted": promoted, "promotion": why}


def rollback(chosen: argparse.Namespace) -> Answer:
    """Make the champion before the present one the champion again."""
    from training import tracking

    config = load(chosen.config, TrainConfig, chosen.set)
    home, name = workspace(config.data), champions.name(config)
    tracking.versions(home, name)  # first, so that nothing changes where the registry does not answer
    bundle = give_back(home, config.model)
    registered = champions.registered(home, name, bundle)
    if registered:
        tracking.crown(home, name, registered)
    card = {"model": config.model, "version": bundle.version, "registered": registered, "grade": bundle.info.grade}
    say(chosen, f"{name}: {bundle.version} is champion again (grade {bundle.info.grade}, registered as {registered})")
    say(chosen, f"Next: python -m serving daily {chosen.config.with_name('serving.yaml')}")
    return DONE, card


def compare(chosen: argparse.Namespace) -> Answer:
    """Two registered versions beside each other: figures, later dates both had not seen, the newest list."""
    from training import job, tracking

    config = load(chosen.config, TrainConfig, chosen.set)
    home, name = workspace(config.data), champions.name(config)
    with tempfile.TemporaryDirectory() as folder:
        names = (chosen.first, chosen.second)
        bundles = [load_bundle(tracking.download(home, name, own, Path(folder))) for own in names]
        found = champions.compared(home, name, *names, Path(folder))
    reason = versus.comparable(*bundles)
    newest = job.newest(config, config.data.today())
    contacts = job.contacts(config, newest)
    become = versus.lists(bundles[0], bundles[1], newest, contacts)
    for line in versus.told(names, bundles, None if reason else found, become, reason):
        say(chosen, line)
    say(chosen, f"Next: python -m training promote {chosen.config} --version {chosen.second}")
    cards = {
        own: bundle.info.model_dump(mode="json", include={"grade", "kind", "metrics"})
        for own, bundle in zip(names, bundles)
    }
    both = {"not_comparable": reason, "versus": versus.record(None if reason else found)}
    return DONE, {"model": config.model, "versions": cards, **both, "lists": versus.record(become)}


def _tell(chosen: argparse.Namespace, answer: dict) -> None:
    if answer["metrics"]:
        served = answer["rule"] if answer["kind"] == "rule" else answer["candidate"]
        say(chosen, f"{served} on the test dates, all rows together (95% interval):")
    for name, metric in answer["metrics"].items():
        say(chosen, f"{name:<18} {metric['value']:.4f}  ({metric['low']:.4f} to {metric['high']:.4f})")
    _say_grade(chosen, answer)
    say(chosen, f"promoted: {'yes' if answer['promoted'] else 'no'} ({answer['promotion']})")
    say(chosen, f"report: {answer['report']}")
    config = chosen.config or Path("CONFIG")
    if answer["promoted"]:
        say(chosen, f"Next: python -m serving daily {config.with_name('serving.yaml')}")
    else:
        say(chosen, f"Next: python -m training backtest {config}")


def _say_grade(chosen: argparse.Namespace, answer: dict) -> None:
    say(chosen, f"grade {answer['grade']}: {'; '.join(answer['reasons'])}")
    say(chosen, f"candidate {answer['candidate'] or 'none'}, best rule {answer['rule'] or 'none'}")


def main(arguments: Sequence[str] | None = None) -> int:
    door = Door("training", "From labelled snapshots to a graded bundle.")
    example = "configs/saas/churn.yaml"
    anew = door.add(
        "train", train, "choose, grade, refit, record, place", f"train {example} --set holdout=0.2", needed=False
    )
    anew.add_argument("--from-run", metavar="ID", help="train as this recorded run did")
    door.add("backtest", backtest, "every candidate on every fold, nothing placed", f"backtest {example}")
    search = door.add("tune", tune, "better settings, found on dates before the tests", f"tune {example} --minutes 20")
    limit = search.add_mutually_exclusive_group()
    limit.add_argument("--trials", type=int, metavar="N", help="of each candidate, earlier runs included")
    limit.add_argument("--minutes", type=float, metavar="M", help="of this run, in all (default 20)")
    both = door.add("compare", compare, "two registered versions beside each other", f"compare {example} 3 4")
    both.add_argument("first", metavar="A", help="a version number of the registry")
    both.add_argument("second", metavar="B", help="another one")
    door.add("rollback", rollback, "the champion before this one again", f"rollback {example}")
    later = door.add(
        "register", register, "register what was kept while the registry was down", f"register {example} DIR"
    )
    later.add_argument("folder", metavar="FOLDER", type=Path, help="workspace/…/unregistered/…")
    by_hand = door.add("promote", promote, "place a registered version", f"promote {example} --version 3")
    by_hand.add_argument("--version", required=True, metavar="N", help="the registry's version number")
    return door.open(arguments)


if __name__ == "__main__":
    sys.exit(main())
