"""What is known about one customer: the latest word of every model, and all that was published."""

import re
from datetime import date
from typing import Any

from sqlalchemy.orm import Session
from starlette.responses import Response

from features.columns import BLANKS
from serving.http import cursor
from serving.http.replies import Ask, plain
from serving.http.scalars import Day, Model
from serving.life.live import Live
from serving.lists import risk_list
from serving.problem import Detail, Refusal
from serving.stores import journal, store
from serving.stores.records import Action, Contact, Run, Score
from serving.words import sentences

LATELY, CONTACTS = 30, 10
CONTROL = re.compile(r"[\x00-\x1f\x7f]")
SHORT = ("score", "low", "high", "band", "rank")
PAST = ("score", "low", "high", "band", "percentile", "rank", "change", "action")


def customer(live: Live, ask: Ask) -> Response:
    """The latest word of every model with reasons, the open action, the last contacts, the scores before."""
    customer_id, asked = remembered(live, ask), ask.query
    with Session(live.engine) as session:
        latest = [run for model in live.config.models if (run := store.published(session, model))]
        past = store.history(session, customer_id, LATELY, models=live.config.models)
        contacts = journal.contacts(session, customer_id, CONTACTS)
        actions = {run.model: journal.latest_actions(session, run.model, [customer_id]) for run in latest}
        decided = {model: found.get(customer_id) for model, found in actions.items()}
        seen = [run_tag(run) for run in latest], [run_tag(run) for run, _ in past]
        now = {run.model: _now(session, run, customer_id, asked.lang, asked.reasons) for run in latest}
    if not past and all(state["status"] == "unknown_customer" for state in now.values()):
        raise unknown()
    headers = ask.tag(*seen, [one.id for one in contacts], [one.id if one else None for one in decided.values()])
    for run in latest:
        now[run.model]["open_action"] = _open(decided[run.model], run.as_of)
    history = [{**_head(run), **{name: getattr(row, name) for name in SHORT}} for run, row in past]
    told = [told_contact(one) for one in contacts]
    return plain({"customer_id": customer_id, "models": now, "contacts": told, "history": history}, headers)


def _now(session: Session, run: Run, customer_id: str, lang: Any, limit: int) -> dict[str, Any]:
    """One model's latest word on a customer."""
    about, row = risk_list.about(run, lang), store.row(session, run.id, customer_id)
    if row is not None:
        (told,) = risk_list.told(run, [row], lang, limit)
        return {"status": "ok", "status_text": None, **told, **about}
    status = store.left_out(session, run.id, [customer_id]).get(customer_id, "unknown_customer")
    return {"status": status, "status_text": sentences.words(lang)["statuses"][status], **about}


def history(live: Live, ask: Ask) -> Response:
    """Everything published about a customer, newest first, with reasons, page by page."""
    customer_id, asked = remembered(live, ask), ask.query
    pages_of = ["history", customer_id, asked.model]
    after = cursor.place(pages_of, asked.cursor, tuple[Day, Model])
    models = [known_model(live, asked.model)] if asked.model else list(live.config.models)
    with Session(live.engine) as session:
        past = store.history(session, customer_id, asked.limit + 1, after, models)
        if not past and not after and not _left_out_anywhere(session, live, customer_id):
            raise unknown()
    headers = ask.tag([run_tag(run) for run, _ in past])
    shown, more = past[: asked.limit], len(past) > asked.limit
    last = shown[-1][0] if shown else None
    following = cursor.cursor(pages_of, [last.as_of.isoformat(), last.model]) if last and more else None
    entries = [_entry(run, row, asked.lang, asked.reasons) for run, row in shown]
    return plain({"customer_id": customer_id, "history": entries, "next": following}, headers)


def _entry(run: Run, row: Score, lang: Any, limit: int) -> dict[str, Any]:
    """One published score. Its reasons are null where they were removed to save room."""
    (told,) = risk_list.told(run, [row], lang, limit)
    kept = {"reasons": told["reasons"] if row.families and risk_list.reasons_kept(run) else None}
    return {**_head(run), **{name: told[name] for name in PAST}, "reference": run.reference, **kept}


def _head(run: Run) -> dict[str, Any]:
    head = {"model": run.model, "as_of": run.as_of.isoformat()}
    return {**head, "model_version": run.version, "grade": run.grade}


def _left_out_anywhere(session: Session, live: Live, customer_id: str) -> bool:
    runs = [run for model in live.config.models if (run := store.published(session, model))]
    return any(store.left_out(session, run.id, [customer_id]) for run in runs)


def _open(action: Action | None, as_of: date) -> dict[str, Any] | None:
    """The newest action while there is something left to do, as of the list: planned, or put aside for longer."""
    if action is None or action.kind in ("done", "dismissed"):
        return None
    return told_action(action) if action.until is None or action.until > as_of else None


def told_action(action: Action) -> dict[str, Any]:
    """An action as it is answered."""
    days = {name: day.isoformat() if (day := getattr(action, name)) else None for name in ("as_of", "until")}
    same = {name: getattr(action, name) for name in ("id", "model", "customer_id", "kind", "note", "by")}
    return {**same, **days, "created_at": f"{action.created_at.isoformat()}Z"}


def told_contact(contact: Contact) -> dict[str, Any]:
    """A contact as it is answered; times in UTC."""
    times = {name: f"{getattr(contact, name).isoformat()}Z" for name in ("at", "created_at")}
    return {**{name: getattr(contact, name) for name in ("id", "customer_id", "channel", "note", "by")}, **times}


def run_tag(run: Run) -> list[Any]:
    """What changes when anything does that a list says: an erasure changes its snapshot, age its state."""
    return [run.id, run.content, run.snapshot, run.state]


def known_id(ask: Ask) -> str:
    """The customer of the path. Raises Refusal for what can be nobody's id: with a blank at an end it is another's."""
    customer_id = ask.parameters["customer_id"]
    if len(customer_id) > 255 or CONTROL.search(customer_id) or customer_id != customer_id.strip(BLANKS):
        raise unknown()
    return customer_id


def remembered(live: Live, ask: Ask) -> str:
    """The customer of the path. Raises Refusal for whoever was erased, even where the erasure is not finished."""
    return not_erased(live, known_id(ask))


def not_erased(live: Live, customer_id: str) -> str:
    """A customer. Raises Refusal for whoever was erased, as for one that nobody knows."""
    if customer_id in live.erased():
        raise unknown()
    return customer_id


def known_model(live: Live, model: str) -> str:
    """A model named in a query or body. Raises Refusal: 422 naming those there are."""
    if model not in live.config.models:
        known = ", ".join(live.config.models)
        raise Refusal(422, "no such model", [Detail("model", f"no such model; models: {known}")])
    return model


def unknown() -> Refusal:
    """404: nobody of this id."""
    return Refusal(404, "no list knows this customer")
