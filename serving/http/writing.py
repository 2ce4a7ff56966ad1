"""What the team tells us: contacts, decisions about rows, whom to forget. A write sent twice is made once."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session
from starlette.responses import Response

from features.errors import InputError
from serving.http import cursor
from serving.http.reading import known_id, known_model, not_erased, told_action, told_contact, unknown
from serving.http.replies import Ask, plain
from serving.life.live import Live
from serving.problem import Detail, Refusal
from serving.stores import database, journal, store
from serving.stores.records import LeftOut, Published, Score

KEY, KEY_FORM = "idempotency-key", re.compile(r"[!-~]{1,255}")
PATIENCE = 5.0
UNFINISHED = "the erasure could not be finished; ask again and it goes on"
UNWRITTEN = "the store cannot be written now; try again soon"
FAST_CLOCK = timedelta(minutes=5)
Made = tuple[int, dict[str, Any]]


def contact(live: Live, ask: Ask, now: datetime) -> Response:
    """Keep a contact with a customer some list knows."""
    body = ask.body
    not_erased(live, body.customer_id)

    def write(session: Session) -> Made:
        if not _listed(session, live, body.customer_id):
            raise unknown()
        if body.at > now + FAST_CLOCK:
            detail = [Detail("at", "a time that is past")]
            raise Refusal(409, "a contact lies in the future; plan it with POST /v1/actions", detail)
        given = {"customer_id": body.customer_id, "channel": body.channel, "note": body.note, "at": body.at}
        made = journal.add_contact(session, now, **given, by=ask.owner)
        not_erased(live, body.customer_id)  # meanwhile; whoever erases from now on waits for this and removes it
        return 201, told_contact(made)

    return _once(live, ask, now, write)


def action(live: Live, ask: Ask, now: datetime) -> Response:
    """Keep a decision about a row of a published list."""
    body = ask.body.root
    known_model(live, body.model)
    not_erased(live, body.customer_id)

    def write(session: Session) -> Made:
        run = store.published(session, body.model, body.as_of)
        if run is None or store.row(session, run.id, body.customer_id) is None:
            raise Refusal(404, "no published list of this model and date has a row of this customer")
        if body.back is not None and body.back <= body.as_of:
            detail = [Detail("until", "a day after as_of")]
            raise Refusal(409, "a row is put aside until a day after its list", detail)
        given = {name: getattr(body, name) for name in ("model", "customer_id", "as_of", "kind", "note")}
        made = journal.add_action(session, now, **given, until=body.back, by=ask.owner)
        not_erased(live, body.customer_id)
        return 201, told_action(made)

    return _once(live, ask, now, write)


def actions(live: Live, ask: Ask) -> Response:
    """The decisions about a customer, of a model, or all; newest first."""
    asked = ask.query
    models = [known_model(live, asked.model)] if asked.model else None
    pages_of = ["actions", asked.customer_id, asked.model]
    after = cursor.place(pages_of, asked.cursor, tuple[cursor.Id])
    before = after[0] if after else None
    with Session(live.engine) as session:
        model = models[0] if models else None
        found = journal.actions(session, asked.customer_id, asked.limit + 1, before, model)
    erased, shown = live.erased(), found[: asked.limit]
    headers = ask.tag([one.id for one in found], len(erased.dates))
    following = cursor.cursor(pages_of, [shown[-1].id]) if len(found) > asked.limit else None
    told = [told_action(one) for one in shown if one.customer_id not in erased]
    return plain({"actions": told, "next": following}, headers)


def erasure(live: Live, ask: Ask, now: datetime) -> Response:
    """Forget a customer everywhere; answers with the receipt."""
    from serving.erasure import erase, receipt
    from serving.lists import daily

    try:
        told = erase.erase(live.config, known_id(ask), now)
    except daily.Busy:
        detail = "the customer is left out from now on; a daily job is running: ask again when it has ended"
        raise Refusal(409, detail, retry_after="30") from None
    except (OSError, InputError):
        raise Refusal(503, UNFINISHED, retry_after="30") from None
    if told["status"] == receipt.UNFINISHED:
        raise Refusal(503, f"{UNFINISHED}: the registry did not answer", retry_after="30")
    return plain(told)


def _once(live: Live, ask: Ask, now: datetime, write: Callable[[Session], Made]) -> Response:
    """Write; with an idempotency key only once, however often it is sent. Without one nothing is tried twice."""
    key = ask.headers.get(KEY)
    if key is not None and not KEY_FORM.fullmatch(key):
        message = "1 to 255 visible ASCII characters"
        raise Refusal(422, "the header Idempotency-Key does not fit", [Detail(KEY, message)])
    with database.patient(live.engine, PATIENCE if key else 0.0) as session:
        if key is None:
            database.writing(session)
            status, content = write(session)
            session.commit()
            return plain(content, status=status)
        digest = journal.digest(ask.operation.method, ask.path, ask.raw)
        try:
            kept = journal.once(session, now, ask.owner, key, digest, write)
        except journal.Reused:
            raise Refusal(409, "this Idempotency-Key came before with another request; take a new one") from None
        except InputError:
            raise Refusal(503, UNWRITTEN, retry_after="5") from None
    headers = {"idempotent-replay": "true"} if kept.replayed else None
    return plain(kept.answer, headers, kept.status)


def _listed(session: Session, live: Live, customer_id: str) -> bool:
    """Whether any published list of a model of the config knows the customer, with a score or without."""
    runs = select(Published.run_id).where(Published.model.in_(live.config.models))
    inside = (exists().where(table.customer_id == customer_id, table.run_id.in_(runs)) for table in (Score, LeftOut))
    return bool(session.scalar(select(or_(*inside))))
