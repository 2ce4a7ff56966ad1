"""The doors of the training room: train | backtest | compare | promote | rollback."""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from features import facts
from features.checks import quality
from features.command import DONE, REFUSED, Door, appearing, progress, say
from features.config import load
from features.data_config import workspace
from features.snapshot import build, latest
from training import champions, versus
from training.bundle import Bundle, give_back, place, save
from training.bundle import load as load_bundle
from training.config import TrainConfig

if TYPE_CHECKING:
    from training.job import Evaluation

Answer = tuple[int, dict]


def train(chosen: argparse.Namespace) -> Answer:
    """Choose, grade, refit, record and, where the gate agrees, place the bundle."""
    from training import job, report
    from training.refit import refit

    config = load(chosen.config, TrainConfig, chosen.set)
    made = job.snapshot(config, progress, config.data.today())
    if leaking := quality.leaking(made):
        return _refuse(chosen, config, leaking)
    evaluation = job.evaluate(config, made, progress)
    bundle = refit(evaluation, progress)
    with tempfile.TemporaryDirectory() as folder:
        answer = report.summary(evaluation) | _keep(evaluation, bundle, Path(folder))
    _tell(chosen, answer)
    graded = answer["grade"] != "C" and (answer["promoted"] or config.gate.promote == "never")
    return DONE if graded else REFUSED, answer


def backtest(chosen: argparse.Namespace) -> Answer:
    """Every candidate and the best rule on every fold; nothing is kept or placed."""
    from training import job, report

    config = load(chosen.config, TrainConfig, chosen.set)
    made = job.snapshot(config, progress, config.data.today())
    if leaking := quality.leaking(made):
        return _refuse(chosen, config, leaking)
    evaluation = job.evaluate(config, made, progress, compare=True)
    folds = report.records(evaluation.selection) + report.records(evaluation.tests)
    answer = report.summary(evaluation) | {"folds": folds}
    say(chosen, report.table(evaluation.selection, evaluation.tests, evaluation.rule))
    _say_grade(chosen, answer)
    say(chosen, f"Next: python -m training train {chosen.config}")
    return REFUSED if answer["grade"] == "C" else DONE, answer


def _refuse(chosen: argparse.Namespace, config: TrainConfig, leaking: list[str]) -> Answer:
    """Nothing is trained on features that know the future."""
    for text in leaking:
        say(chosen, f"not trained: {text}")
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
            place(path, home, config.model)
            tracking.crown(home, name, chosen.version)
    say(chosen, f"{name} {chosen.version}: {why}")
    say(chosen, f"Next: python -m serving daily {chosen.config.with_name('serving.yaml')}")
    card = {"model": config.model, "version": bundle.version, "grade": bundle.info.grade}
    return DONE if promoted else REFUSED, card | {"promoted": promoted, "promotion": why}


def rollback(chosen: argparse.Namespace) -> Answer:
    """Make the champion before the present one the champion again."""
    from training import tracking

    config = load(chosen.config, TrainConfig, chosen.set)
    home, name = workspace(config.data), champions.name(config)
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
    known = facts.read(config.data, today=config.data.today())
    newest = build(config, [latest(config, known)], labels=False, known=known).frame
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


def _keep(evaluation: "Evaluation", bundle: Bundle | None, folder: Path) -> dict:
    """Record the run and place the bundle; what ``train --json`` says beyond the evaluation."""
    from training import report, tracking

    config, facts = evaluation.config, report.summary(evaluation)
    progress("recording the run")
    _write(evaluation, bundle, facts, folder)
    kept = tracking.record(
        home=workspace(config.data),
        name=champions.name(config),
        params=config.model_dump(mode="json"),
        tags=report.tags(facts, bundle),
        figures=report.figures(facts),
        folds=report.series(evaluation.tests),
        folder=folder,
        columns=bundle.info.features if bundle else [],
    )
    shown = _show(config, folder)
    promoted, why = _promote(config, bundle, folder, kept.registered)
    served = {"version": bundle.version, "kind": bundle.info.kind} if bundle else {"version": None, "kind": None}
    run = {"run_id": kept.run_id, "registered": kept.registered, "report": str(shown)}
    return {**served, "promoted": promoted, "promotion": why, **run}


def _write(evaluation: "Evaluation", bundle: Bundle | None, facts: dict, folder: Path) -> None:
    """The files of the run: the bundle, the facts, the folds, the pictures, the pages."""
    from training import evaluate, page, plots, tracking

    (folder / "summary.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False))
    (folder / "config.json").write_text(evaluation.config.model_dump_json(indent=1))
    pd.concat([evaluation.selection, evaluation.tests]).to_csv(folder / "folds.csv", index=False)
    page.write(evaluation, bundle, folder)
    if bundle:
        save(bundle, folder / "bundle")
    if bundle and len(evaluation.scored):
        scored = evaluation.scored[["fold", "customer_id", "unit", "outcome"]]
        scored.assign(score=evaluation.served_scores).to_parquet(folder / tracking.SCORES, index=False)
    if bundle and evaluation.served and len(evaluation.scored):
        own = evaluate.inputs(evaluation.served, evaluation.rows)
        plots.pictures(evaluation.scored, bundle, evaluation.rows.matrix[:, own], evaluation.contacts, folder)


def _show(config: TrainConfig, folder: Path) -> Path:
    """Put the pages into the workspace; returns the English one. A dot, as a model may be called churn-ja."""
    from training import page

    home = workspace(config.data)
    places = {"en": home / f"report-{config.model}.html", "ja": home / f"report-{config.model}.ja.html"}
    for lang, name in page.FILES.items():
        with appearing(places[lang], "TSUNAGI_WORKSPACE") as half:
            half.write_bytes((folder / name).read_bytes())
    return places["en"]


def _promote(config: TrainConfig, bundle: Bundle | None, folder: Path, registered: str | None) -> tuple[bool, str]:
    from training import tracking

    home = workspace(config.data)
    if bundle is None or registered is None:
        return False, "there is nothing to place"
    if config.gate.promote == "never":
        return False, f"gate.promote is never; place it by hand: promote CONFIG --version {registered}"
    promoted, why = champions.decided(config, bundle, registered, folder)
    if promoted:
        place(folder / "bundle", home, config.model)
        tracking.crown(home, champions.name(config), registered)
    return promoted, why


def _tell(chosen: argparse.Namespace, answer: dict) -> None:
    if answer["metrics"]:
        served = answer["rule"] if answer["kind"] == "rule" else answer["candidate"]
        say(chosen, f"{served} on the test dates, all rows together (95% interval):")
    for name, metric in answer["metrics"].items():
        say(chosen, f"{name:<18} {metric['value']:.4f}  ({metric['low']:.4f} to {metric['high']:.4f})")
    _say_grade(chosen, answer)
    say(chosen, f"promoted: {'yes' if answer['promoted'] else 'no'} ({answer['promotion']})")
    say(chosen, f"report: {answer['report']}")
    if answer["promoted"]:
        say(chosen, f"Next: python -m serving daily {chosen.config.with_name('serving.yaml')}")
    else:
        say(chosen, f"Next: python -m training backtest {chosen.config}")


def _say_grade(chosen: argparse.Namespace, answer: dict) -> None:
    say(chosen, f"grade {answer['grade']}: {'; '.join(answer['reasons'])}")
    say(chosen, f"candidate {answer['candidate'] or 'none'}, best rule {answer['rule'] or 'none'}")


def main(arguments: Sequence[str] | None = None) -> int:
    door = Door("training", "From labelled snapshots to a graded bundle.")
    example = "configs/saas/churn.yaml"
    door.add("train", train, "choose, grade, refit, record, place", f"train {example} --set holdout=0.2")
    door.add("backtest", backtest, "every candidate on every fold, nothing placed", f"backtest {example}")
    both = door.add("compare", compare, "two registered versions beside each other", f"compare {example} 3 4")
    both.add_argument("first", metavar="A", help="a version number of the registry")
    both.add_argument("second", metavar="B", help="another one")
    door.add("rollback", rollback, "the champion before this one again", f"rollback {example}")
    by_hand = door.add("promote", promote, "place a registered version", f"promote {example} --version 3")
    by_hand.add_argument("--version", required=True, metavar="N", help="the registry's version number")
    return door.open(arguments)


if __name__ == "__main__":
    sys.exit(main())
