"""How long what was published is kept: reasons for a month, rows for a year and a bit, the ledger always."""

from datetime import datetime, timedelta

from sqlalchemy import exists, select, update
from sqlalchemy.orm import Session

from serving.stores import journal
from serving.stores.database import retried
from serving.stores.records import LeftOut, Published, Run, Score
from serving.stores.store import BATCH, remove

FULL = 2  # of each model: the latest list, and the one that it is compared with


@retried
def prune(session: Session, now: datetime, days: int = 30, list_days: int = 400) -> dict[str, int]:
    """Make old lists smaller; what was done -> how many. Call it only while being the only daily job.

    ``days`` after it was published a list is thinned: its rows stay, their reasons go. After ``list_days`` it is
    pruned: its rows go too, and whoever asks for it must be told so, as the ledger and the pointer stay. The newest two
    of each model are kept whole. The rows of lists that were replaced go ``days`` after that, and the answers kept for
    idempotency keys. What is to go is said first, so that no reader takes a part for the whole; what a kill left
    is finished by the next call.
    """
    whole = {run for model in session.scalars(select(Published.model).distinct()) for run in _newest(session, model)}
    done = {"thinned": 0, "pruned": 0, "replaced": 0}
    journal.forget_replays(session, now - timedelta(days))
    old = select(Run.id, Run.state, Run.ended_at < now - timedelta(list_days))
    old = old.where(Run.ended_at < now - timedelta(days), Run.id.not_in(whole)).order_by(Run.id)
    for run_id, state, very_old in session.execute(old).all():
        session.commit()
        if state == "replaced":
            done["replaced"] += _now(session, run_id, "removed")
        elif state in ("published", "thinned") and very_old:
            done["pruned"] += _now(session, run_id, "pruned")
        elif state == "published":
            done["thinned"] += _now(session, run_id, "thinned")
    rows = exists().where(Score.run_id == Run.id) | exists().where(LeftOut.run_id == Run.id)
    for run_id in session.scalars(select(Run.id).where(Run.state.in_(("pruned", "removed")), rows)).all():
        remove(session, run_id)
    for run_id in session.scalars(select(Run.id).where(Run.state == "thinned")).all():
        _thin(session, run_id)
    session.commit()
    return done


def _newest(session: Session, model: str) -> list[int]:
    rows = select(Published.run_id).where(Published.model == model).order_by(Published.as_of.desc())
    return list(session.scalars(rows.limit(FULL)))


def _thin(session: Session, run_id: int) -> None:
    """Remove the reasons from the first row to the last, which therefore says whether all are gone."""
    last = select(Score.rank, Score.families).where(Score.run_id == run_id).order_by(Score.rank.desc()).limit(1)
    rank, families = session.execute(last).first() or (0, {})
    for after in range(0, rank if families else 0, BATCH):
        some = update(Score).where(Score.run_id == run_id, Score.rank > after, Score.rank <= after + BATCH)
        session.connection().execute(some.values(families={}))
        session.commit()


def _now(session: Session, run_id: int, state: str) -> int:
    session.execute(update(Run).where(Run.id == run_id).values(state=state))
    session.commit()
    return 1
