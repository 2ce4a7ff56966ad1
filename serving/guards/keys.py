"""The commands about who may come in and who did: keys create | list | revoke, audit verify | list."""

import argparse
import contextlib
import os
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from features import config as configs
from features.command import DONE, REFUSED, Answer, say
from features.errors import ConfigError, DataError
from serving.config import ServingConfig
from serving.guards import auth, trail
from serving.guards.audit import Audit, Unaudited
from serving.stores.opened import opened

OPERATOR = "command line"


def keys(chosen: argparse.Namespace, now: datetime) -> Answer:
    """Create, list or revoke API keys. now: UTC without zone."""
    config = configs.load(chosen.config, ServingConfig)
    if chosen.action != "list" and not chosen.name:
        raise ConfigError(f"keys {chosen.action}: --name is missing; say whose key it is, such as --name crm")
    with Session(opened(config, make=chosen.action == "create")) as session:
        return {"create": _create, "list": _list, "revoke": _revoke}[chosen.action](chosen, config, session, now)


def audit(chosen: argparse.Namespace) -> Answer:
    """Check the audit log, or print its newest entries."""
    home = configs.load(chosen.config, ServingConfig).home
    return {"verify": _verify, "list": _entries}[chosen.action](chosen, home)


def _create(chosen: argparse.Namespace, config: ServingConfig, session: Session, now: datetime) -> Answer:
    until = now + timedelta(days=chosen.days) if chosen.days else None
    scopes = auth.scopes(chosen.scopes)
    with operator(config.home) as enter:
        key = auth.create(
            session,
            chosen.name,
            now,
            until,
            scopes=scopes,
            per_minute=chosen.per_minute,
            replace=chosen.replace,
            witness=lambda: enter(now, "keys.create", key=chosen.name),
        )
    say(chosen, f"API key {chosen.name} (shown this once), for {', '.join(scopes)}: {key}")
    if "read" in scopes:
        address = f"http://127.0.0.1:{chosen.port}/v1/risk-lists/{config.models[0]}/latest"
        say(chosen, f'Next: curl -H "X-API-Key: {key}" {address}')
    return DONE, {"name": chosen.name, "key": key, "scopes": list(scopes), "expires_at": _stamp(until)}


def _revoke(chosen: argparse.Namespace, config: ServingConfig, session: Session, now: datetime) -> Answer:
    with operator(config.home) as enter:
        if not auth.revoke(session, chosen.name, lambda: enter(now, "keys.revoke", key=chosen.name)):
            raise DataError(f"--name: there is no key {chosen.name}; `keys list` names those there are")
    say(chosen, f"The key {chosen.name} is revoked; a running service refuses it within two seconds.")
    return DONE, {"revoked": chosen.name}


def _list(chosen: argparse.Namespace, config: ServingConfig, session: Session, now: datetime) -> Answer:
    rows = [_shown(key, now) for key in auth.listed(session)]
    if not rows:
        say(chosen, f"No key yet. Next: python -m serving keys create {chosen.config} --name crm")
    elif not chosen.json:
        flat = [list((row | {"scopes": ", ".join(row["scopes"])}).values()) for row in rows]
        _table(["name", "scopes", "per minute", "created", "expires", "state"], flat)
    return DONE, {"keys": rows}


def _shown(key: auth.Known, now: datetime) -> dict[str, Any]:
    return {
        "name": key.name,
        "scopes": list(key.scopes),
        "per_minute": key.per_minute,
        "created_at": _stamp(key.created_at),
        "expires_at": _stamp(key.expires_at),
        "state": "expired" if key.ended(now) else "valid",
    }


def _verify(chosen: argparse.Namespace, home: Path) -> Answer:
    report = trail.verify(home)
    for note in report.notes:
        say(chosen, f"note: {note}")
    for problem in report.problems:
        say(chosen, f"PROBLEM {problem}")
    state = f"{len(report.problems)} problems" if report.problems else "whole"
    say(chosen, f"{report.files} files, {report.entries:,} entries: {state}.")
    if report.ends:
        say(
            chosen, f"The newest file ends with {list(report.ends.values())[-1]}; kept elsewhere, it proves this state."
        )
    answer = {"files": report.files, "entries": report.entries, "ends": report.ends}
    found = {"problems": [vars(one) for one in report.problems], "notes": [vars(one) for one in report.notes]}
    return (REFUSED if report.problems else DONE), answer | found


def _entries(chosen: argparse.Namespace, home: Path) -> Answer:
    found = trail.entries(home, chosen.customer, chosen.last)
    if not found:
        say(chosen, "Nothing is entered" + (" about this customer." if chosen.customer else " yet."))
    elif not chosen.json:
        columns = ("at", "owner", "action", "model", "key", "count", "refused")
        _table(list(columns), [[_short(entry, column) for column in columns] for entry in found])
    return DONE, {"entries": found}


@contextlib.contextmanager
def operator(home: Path) -> Iterator[Callable[..., None]]:
    """Gives what enters in the audit log what the command line does: ``Audit.write`` but for the owner.

    Raises DataError when that cannot be written, or would be a file that the service cannot read.
    """
    owner = (home / "audit").stat().st_uid if (home / "audit").is_dir() else os.geteuid()
    if owner != os.geteuid():
        raise DataError(
            f"{home / 'audit'} belongs to the user with the number {owner}, who could not write there any more; type "
            f"the command as that user: sudo -u '#{owner}' "
            "--preserve-env=TSUNAGI_WORKSPACE,TSUNAGI_STORE,MLFLOW_TRACKING_URI"
        )
    log = Audit(home)

    def enter(now: datetime, action: str, **more: Any) -> None:
        log.write(now, OPERATOR, action, **more)

    try:
        yield enter
    except Unaudited:
        raise DataError(
            f"{home / 'audit'}: the audit log cannot be written; check its permissions and the free space, then type "
            "the command again"
        ) from None
    finally:
        log.close()


def _table(columns: list[str], rows: list[list[Any]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Column, Table
    from rich.text import Text

    table = Table(*(Column(name, overflow="fold") for name in columns), box=box.SIMPLE)
    for row in rows:
        table.add_row(*(Text(_told(cell)) for cell in row))
    Console().print(table)


def _short(entry: dict[str, Any], column: str) -> Any:
    return f"{entry['at'][:19]}Z".replace("T", " ") if column == "at" else entry.get(column)


def _told(cell: Any) -> str:
    return "" if cell is None else f"{cell:%Y-%m-%d %H:%M}" if isinstance(cell, datetime) else str(cell)


def _stamp(at: datetime | None) -> str | None:
    """A moment as the service writes it."""
    return f"{at.isoformat(timespec='seconds')}Z" if at else None
