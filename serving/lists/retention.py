"""How long what was published is kept: reasons for a month, rows for a year and a bit, the ledger always."""

from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from serving.stores.database import retried
from serving.stores.records import Published, Run, Score
from serving.stores.store import BATCH, remove

FULL = 2  # of each model: the latest list, and the one that it is compared with


@retried
def prune(session: Session, now: datetime, days: int = 30, list_days: int = 400) -> dict[str, int]:
    """Make old lists smaller; what was done -> how many. Call it only while being the only daily job.

    ``days`` after it was published a list is thinned: its rows stay, their reasons go. After ``list_days`` it is
    pruned: its rows go too, and whoever asks for it must be told so, as the ledger and the pointer stay. The newest two
    of each model are kept whole. The rows of lists that were replaced go after ``days``.
    """
    whole = {run for model in session.scalars(select(Published.model).distinct()) for run in _newest(session, model)}
    done = {"thinned": 0, "pruned": 0, "replaced": 0}
    old = select(Run.id, Run.state, Run.rows, Run.ended_at < now - timedelta(list_days))
    old = old.where(Run.ended_at < now - timedelta(days)).order_by(Run.id)
    for run_id, state, rows, very_old in session.execute(old).all():
        session.commit()
        if run_id in whole:
            continue
        if state == "replaced":
            remove(session, run_id)
            done["replaced"] += _now(session, run_id, "removed")
        elif state in ("published", "thinned") and very_old:
            remove(session, run_id)
            done["pruned"] += _now(session, run_id, "pruned")
        elif state == "published":
            _thin(session, run_id, rows)
            done["thinned"] += _now(session, run_id, "thinned")
    session.commit()
    return done


def _newest(session: Session, model: str) -> list[int]:
    rows = select(Published.run_id).where(Published.model == model).order_by(Published.as_of.desc())
    return list(session.scalars(rows.limit(FULL)))


def _thin(session: Session, run_id: int, rows: int) -> None:
    for after in range(0, rows, BATCH):
        some = update(Score).where(Score.run_id == run_id, Score.rank > after, Score.rank <= after + BATCH)
        session.connection().execute(some.values(families={}))
        session.commit()


def _now(session: Session, run_id: int, state: str) -> int:
    session.execute(update(Run).where(Run.id == run_id).values(state=state))
    session.commit()
    return 1
