"""The doors of the serving room: daily | list | keys | audit | erase | follow.

What reads tables takes a second to import, so only the commands that need it do.
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from features import config as configs
from features.command import DONE, REFUSED, Door, progress, say
from features.errors import ConfigError, DataError
from serving.config import ServingConfig
from serving.guards import keys
from serving.lists import risk_list
from serving.stores import store
from serving.stores.database import PATIENCE
from serving.stores.opened import opened
from serving.stores.records import Run

Answer = tuple[int, dict[str, Any]]
YEARS = range(1900, 2200)  # with room for windows and horizons


def make(chosen: argparse.Namespace) -> Answer:
    from serving.lists import daily, today

    config, as_of = _load(chosen), _date(chosen.as_of)
    answer: dict[str, Any] = {"lists": [], "refused": {}}
    champions, missing = daily.placed(config)
    for model, why in missing.items():
        answer["refused"][model] = [why]
        say(chosen, f"{model}: not published. {why}")
    try:
        with (
            daily.alone(config.home),
            keys.operator(config.home) as enter,
            store.alone(opened(config, make=True, patience=PATIENCE)),
        ):
            progress(f"reading the tables of {config.data.name} …")
            known = today.read(config, config.data.today())
            answer["late"] = [asdict(one) for one in known.late]
            for one in known.late:
                say(chosen, f"WARNING {one}")

            def publishing(entry: Run) -> None:
                enter(_now(), "daily.publish", model=entry.model, count=entry.rows)

            for model, bundle in champions.items():
                progress(f"{model}: features, scores and ranks …")
                try:
                    made = daily.run(config, bundle, as_of, known, _now, witness=publishing)
                except (daily.Refused, DataError) as refusal:
                    if isinstance(refusal, DataError) and len(config.models) == 1:
                        raise
                    answer["refused"][model] = [str(problem) for problem in refusal.args]
                    for problem in refusal.args:
                        say(chosen, f"{model}: not published. {problem}")
                    continue
                behind = (config.data.today() - made.as_of).days
                answer["lists"].append({**vars(made), "age_days": behind})
                state = "published" if made.published else "unchanged"
                if as_of is None and behind > daily.FRESH_DAYS:
                    say(chosen, f"{model}: the newest row of the tables is {behind} days old")
                if made.as_of > made.newest:
                    beyond = (
                        f"the tables end before {made.newest}; what is missing until {made.as_of} counts as silence"
                    )
                    say(chosen, f"WARNING {model}: {beyond}")
                say(chosen, f"{model} as of {made.as_of}: {made.rows:,} customers, {state}: {made.csv}")
    except (daily.Busy, store.Busy) as busy:
        say(chosen, str(busy))
        return REFUSED, {"error": str(busy)}
    if answer["lists"]:
        say(chosen, f"Next: python -m serving list {chosen.config} {answer['lists'][0]['model']}")
    return (REFUSED if answer["refused"] else DONE), answer


def show(chosen: argparse.Namespace) -> Answer:
    config, as_of = _load(chosen), _date(chosen.as_of)
    lang = chosen.lang or config.lang
    with Session(opened(config)) as session:
        run = store.published(session, chosen.model, as_of)
        if run is None:
            if chosen.model not in config.models:
                raise DataError(f"{chosen.model}: no such model, and no list of it; models: {', '.join(config.models)}")
            day = f" --as-of {as_of}" if as_of else ""
            raise DataError(
                f"no list of {chosen.model} for {as_of or 'any date'}; "
                f"type `python -m serving daily {chosen.config}{day}` first"
            )
        rows = list(risk_list.told(run, store.listed(session, run.id, chosen.top), lang))
        about = risk_list.about(run, lang) | {"customers": run.rows}
    if not chosen.json:
        from serving.lists import table

        table.show(about, rows, lang)
        print(f"Next: TSUNAGI_CONFIG={chosen.config} bentoml serve serving.service:Tsunagi --host 127.0.0.1")
    return DONE, {**about, "rows": rows}


def follow(chosen: argparse.Namespace) -> Answer:
    from serving.life import follow

    return follow.run(_load(chosen), chosen.every, chosen.once, progress)


def erase(chosen: argparse.Namespace) -> Answer:
    from serving.erasure import erase

    return erase.command(chosen, _now())


def _load(chosen: argparse.Namespace) -> ServingConfig:
    return configs.load(chosen.config, ServingConfig, getattr(chosen, "set", ()))


def _date(text: str) -> date | None:
    if text == "latest":
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"--as-of {text}: write a date such as 2025-12-01, or latest") from None
    if found.year not in YEARS:
        raise ConfigError(f"--as-of {text}: write a date of the years {YEARS[0]} to {YEARS[-1]}, or latest")
    return found


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _whole(least: int, most: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        if not (text.isascii() and text.isdigit() and len(text) < 8 and least <= int(text) <= most):
            raise argparse.ArgumentTypeError(f"write a whole number from {least} to {most:,}")
        return int(text)

    return whole


def main() -> int:
    door = Door(
        "serving",
        "Published lists with reasons, and keys for the service.",
        also=(SQLAlchemyError,),
        todo="the store cannot be used: check its file or its database, and its address",
    )
    parser = door.add("daily", make, "make and publish today's lists", "daily configs/saas/serving.yaml")
    parser.add_argument("--as-of", default="latest", metavar="DATE", help="a date, or latest (default)")
    parser = door.add("list", show, "print the top of a list", "list configs/saas/serving.yaml churn --top 5 --lang ja")
    parser.add_argument("model", metavar="MODEL", help="churn or upsell")
    parser.add_argument("--as-of", default="latest", metavar="DATE", help="a date, or latest (default)")
    parser.add_argument("--top", type=_whole(1, 1_000_000), default=10, metavar="N", help="how many rows (10)")
    parser.add_argument("--lang", choices=("en", "ja"), help="language of the reasons (default: that of CONFIG)")
    example = "keys create configs/saas/serving.yaml --name crm --days 90"
    about = "create, list or revoke API keys"
    parser = door.add("keys", lambda chosen: keys.keys(chosen, _now()), about, example, config=False)
    parser.add_argument("action", choices=("create", "list", "revoke"))
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a serving.yaml below configs/")
    parser.add_argument("--name", help="whose key it is, for create and revoke")
    parser.add_argument("--scopes", default="score,read", help="some of score,read,write,admin (score,read)")
    parser.add_argument("--days", type=_whole(1, 3_650), help="how long it is valid (default: until revoked)")
    rate = "requests a minute that one worker takes with it (default: no limit of its own)"
    parser.add_argument("--per-minute", type=_whole(1, 1_000_000), metavar="N", help=rate)
    parser.add_argument("--replace", action="store_true", help="end the key of the same name, if there is one")
    parser.add_argument("--port", type=_whole(1, 65_535), default=3000, help="where the service listens (3000)")
    example = "audit verify configs/saas/serving.yaml"
    about = "check the audit log, or print its newest entries"
    parser = door.add("audit", keys.audit, about, example, config=False)
    parser.add_argument("action", choices=("verify", "list"))
    parser.add_argument("config", type=Path, metavar="CONFIG", help="a serving.yaml below configs/")
    parser.add_argument("--customer", metavar="ID", help="list: only what was done about this customer")
    parser.add_argument(
        "--last", type=_whole(1, 1_000_000), default=20, metavar="N", help="list: how many entries (20)"
    )
    example = "erase configs/saas/serving.yaml A-000042 --yes"
    about = "remove one customer from everything kept here"
    parser = door.add("erase", erase, about, example)
    parser.add_argument("customer", metavar="CUSTOMER", help="an id, or - to read it from standard input")
    parser.add_argument("--yes", action="store_true", help="needed, for it cannot be undone")
    example = "follow configs/saas/serving.yaml"
    parser = door.add("follow", follow, "take over the registry's champion, verified, again and again", example)
    parser.add_argument("--every", type=_whole(1, 86_400), default=30, metavar="SECONDS", help="how often to look (30)")
    parser.add_argument("--once", action="store_true", help="look once and end")
    return door.open()


if __name__ == "__main__":
    sys.exit(main())
