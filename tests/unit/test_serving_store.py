"""The store, on both databases: staged and published runs, what a column keeps, pages, history, retention."""

import json
from datetime import date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from features.errors import DataError
from serving.lists import retention
from serving.stores import journal, records, store
from serving.stores.store import Filters
from tests.service import databases

engine, url = databases.engine, databases.url

NOW = datetime(2026, 1, 2, 3)


def run(as_of=date(2026, 1, 1), model="churn", **changes):
    plain = {
        "state": "staging",
        "bundle": "b" * 64,
        "version": "b" * 12,
        "grade": "B",
        "rule": None,
        "base_rate": 0.2,
        "reference": 0.1,
        "horizon_start": as_of,
        "horizon_end": as_of,
        "features": [],
        "snapshot": "",
        "content": "",
        "rows": 0,
        "message": "",
        "started_at": NOW,
    }
    return records.Run(model=model, as_of=as_of, **{**plain, **changes})


def row(customer_id, rank=1, score=0.5, **changes):
    return {
        "customer_id": customer_id,
        "rank": rank,
        "name": None,
        "owner": None,
        "renewal": None,
        "score": score,
        "margin": 0.0,
        "percentile": 50.0,
        "band": "low",
        "change": None,
        "value_at_risk": 1.0,
        "gain": 1.0,
        "held_out": False,
        "action": "contact",
        "families": {"login": {"log_odds": 0.25}},
    } | changes


def a_list(session, rows, left_out=(), now=NOW, **changes):
    """A published list of these rows."""
    entry = run(rows=len(rows), **changes)
    store.begin(session, entry)
    store.stage(session, entry.id, records.Score, rows)
    store.stage(session, entry.id, records.LeftOut, left_out)
    store.publish(session, entry, now)
    return entry


def test_staged_rows_are_not_seen_until_published(engine):
    with Session(engine, expire_on_commit=False) as session:
        entry = run(rows=3)
        store.begin(session, entry)
        store.stage(session, entry.id, records.Score, (row(f"c{i}", 3 - i) for i in range(3)), batch=2)
        assert store.published(session, "churn") is None
        store.publish(session, entry, NOW)
        found = store.published(session, "churn")
        assert found.id == entry.id and found.state == "published"
        assert [one.customer_id for one in store.listed(session, entry.id)] == ["c2", "c1", "c0"]
        assert [one.rank for one in store.listed(session, entry.id, 2)] == [1, 2]
        assert [one.rank for one in store.listed(session, entry.id, 1, after=1)] == [2]


def test_what_a_killed_run_staged_is_removed_and_the_ledger_remembers(engine):
    with Session(engine, expire_on_commit=False) as session:
        good, dead = run(), run(as_of=date(2026, 2, 1))
        for entry in (good, dead):
            store.begin(session, entry)
            store.stage(session, entry.id, records.Score, [row("c1")])
            store.stage(session, entry.id, records.LeftOut, [{"customer_id": "c9", "status": "opted_out"}])
        store.publish(session, good, NOW)
        assert store.clean(session, NOW) == 1 and store.clean(session, NOW) == 0
        assert session.scalars(select(records.Score.run_id)).all() == [good.id]
        assert session.scalar(select(func.count()).select_from(records.LeftOut)) == 1
        assert session.get(records.Run, dead.id, populate_existing=True).state == "abandoned"


def test_publishing_again_moves_the_pointer_and_keeps_the_old_run(engine):
    with Session(engine, expire_on_commit=False) as session:
        first, second = run(), run()
        for entry in (first, second):
            store.begin(session, entry)
            store.publish(session, entry, NOW)
        assert store.published(session, "churn").id == second.id
        assert session.get(records.Run, first.id, populate_existing=True).state == "replaced"


def test_the_list_before_and_the_latest_are_found_by_date(engine):
    with Session(engine, expire_on_commit=False) as session:
        for month, score in ((1, 0.1), (3, 0.3), (2, 0.2)):
            entry = run(as_of=date(2026, month, 1))
            store.begin(session, entry)
            store.stage(session, entry.id, records.Score, [row("c1", score=score)])
            store.publish(session, entry, NOW)
        assert store.before(session, "churn", date(2026, 3, 1)) == {"c1": 0.2}
        assert store.before(session, "churn", date(2026, 1, 1)) == {}
        assert store.before(session, "upsell", date(2026, 3, 1)) == {}
        assert store.published(session, "churn").as_of == date(2026, 3, 1)
        assert store.published(session, "churn", date(2026, 2, 1)).as_of == date(2026, 2, 1)
        assert store.published(session, "churn", date(2025, 2, 1)) is None
        assert [past.as_of.month for past, _ in store.history(session, "c1")] == [3, 2, 1]


ODD = row(
    "顧客\u3000🏢 " + "長" * 240,
    name="名" * 255,
    owner="o'brien\\;--",
    renewal=date(2028, 2, 29),
    held_out=True,
    change=-1e-308,
    score=0.1 + 0.2,
    low=None,
    risks={"30": 0.1, "60": 1 / 3},
    families={"ログイン": {"log_odds": 5e-324, "facts": {"値": None, "text": 'a\tb\\n"c"'}}},
)


def test_every_value_comes_back_as_it_was(engine):
    assert len(ODD["customer_id"]) == 245
    with Session(engine) as session:
        entry = a_list(session, [ODD, row("y" * 255, 2)])
        found = store.row(session, entry.id, ODD["customer_id"])
        assert {name: getattr(found, name) for name in ODD} == ODD
        assert found.held_out is True and found.risks["60"] == 1 / 3 and found.segment is None
        assert store.row(session, entry.id, "y" * 255).risks is None
        assert store.row(session, entry.id, "y" * 254) is None


def test_json_that_is_text_already_is_kept_as_it_is(engine):
    with Session(engine) as session:
        entry = a_list(
            session,
            [row("c1", families=records.Raw('{"a": [1.50, "\\u3042\\u0000"]}'), risks=records.Raw('{"7":1e-3}'))],
        )
        found = store.row(session, entry.id, "c1")
        assert found.families == {"a": [1.5, "あ\0"]} and found.risks == {"7": 0.001}
        session.add(records.Score(run_id=entry.id, **row("c2", 2, families=records.Raw('{"b": 1}'))))
        session.commit()
        session.expire_all()
        assert store.row(session, entry.id, "c2").families == {"b": 1}


@pytest.mark.parametrize("changes", [{"customer_id": "a\0b"}, {"name": "x" * 256}, {"owner": "\0"}], ids=str)
def test_a_text_that_one_database_cannot_keep_is_refused_on_both(engine, changes):
    with Session(engine) as session:
        entry = run()
        store.begin(session, entry)
        (name,) = changes
        with pytest.raises(
            DataError, match=f"scores: {name}: 1 texts hold a NUL character or more than 255"
        ) as refused:
            store.stage(session, entry.id, records.Score, [row("c1"), {**row("c2", 2), **changes}])
        assert "c2" not in str(refused.value) and "xxx" not in str(refused.value)
        assert session.scalar(select(func.count()).select_from(records.Score)) == 0


def test_a_customer_twice_is_an_error_and_the_earlier_batches_stay(engine):
    with Session(engine) as session:
        entry = run()
        store.begin(session, entry)
        with pytest.raises(IntegrityError) as failed:
            store.stage(session, entry.id, records.Score, [row("secret-1", 1), row("secret-1", 2)], batch=1)
        assert "INSERT" not in str(failed.value)
        assert session.scalars(select(records.Score.rank)).all() == [1]


def test_a_run_that_another_job_removed_takes_no_rows_and_is_not_published(engine):
    with Session(engine) as session:
        entry = run()
        store.begin(session, entry)
        store.stage(session, entry.id, records.Score, [row("c1")])
        with Session(engine) as other:
            assert store.clean(other, NOW) == 1
        with pytest.raises(store.Busy, match="another daily job"):
            store.stage(session, entry.id, records.Score, [row("c2", 2)])
        with pytest.raises(store.Busy, match="another daily job"):
            store.publish(session, entry, NOW)
        assert session.scalar(select(func.count()).select_from(records.Score)) == 0
        assert store.published(session, "churn") is None


def test_publishing_twice_is_publishing_once(engine):
    with Session(engine) as session:
        entry = a_list(session, [row("c1")])
        store.publish(session, entry, NOW + timedelta(days=1))
        assert session.get(records.Run, entry.id, populate_existing=True).ended_at == NOW


def test_one_daily_job_at_a_time_on_postgres(engine):
    if engine.dialect.name == "sqlite":
        with store.alone(engine), store.alone(engine):  # the file lock of its workspace is what counts
            return
    with store.alone(engine), pytest.raises(store.Busy, match="on another machine"), store.alone(engine):
        pass
    with store.alone(engine):
        pass


SMALL = st.sampled_from([0.0, 0.5, 1 / 3])
DAYS = st.none() | st.sampled_from([date(2026, 3, 1), date(2026, 3, 2)])
CELLS = st.fixed_dictionaries(
    {
        "score": SMALL,
        "value_at_risk": SMALL,
        "gain": SMALL,
        "change": st.none() | SMALL,
        "renewal": DAYS,
        "owner": st.sampled_from(["ann", "陽子", None]),
    }
)
WAYS = st.tuples(st.sampled_from(sorted(store.SORTS)), st.booleans() | st.none())


def ordered(rows, sort, descending):
    """The order of the rows, the plain way."""
    largest = store.SORTS[sort] if descending is None else descending
    by_id = sorted(rows, key=lambda one: one["customer_id"])
    there = sorted((one for one in by_id if one[sort] is not None), key=lambda one: one[sort])
    if largest:
        there = sorted(there, key=lambda one: one[sort], reverse=True)
    return [one["customer_id"] for one in (*there, *(one for one in by_id if one[sort] is None))]


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None, max_examples=40
)
@given(
    cells=st.lists(CELLS, max_size=12), way=WAYS, size=st.integers(1, 5), owner=st.sampled_from([None, "ann", "陽子"])
)
def test_pages_neither_skip_nor_repeat_a_row(engine, cells, way, size, owner):
    sort, descending = way
    rows = [row(f"c{number:02}", len(cells) - number, **cell) for number, cell in enumerate(cells)]
    with Session(engine) as session:
        entry = a_list(session, rows)
        seen, after = [], None
        while some := store.page(session, entry.id, Filters(owner), sort, size, after, descending):
            assert len(some) <= size
            seen += [one.customer_id for one in some]
            after = json.loads(json.dumps(store.place(some[-1], sort)))
    assert seen == ordered([one for one in rows if owner in (None, one["owner"])], sort, descending)


def test_a_list_is_filtered_by_every_column_that_people_filter_by(engine):
    kinds = {"owner": "ann", "band": "high", "segment": "big", "stage": "new", "action": "rest"}
    with Session(engine) as session:
        entry = a_list(session, [row("plain"), row("special", 2, value_at_risk=5.0, **kinds)])
        for name, value in kinds.items():
            assert [one.customer_id for one in store.page(session, entry.id, Filters(**{name: value}))] == ["special"]
        assert len(store.page(session, entry.id, Filters(least_value_at_risk=1.0))) == 2
        assert len(store.page(session, entry.id, Filters(least_value_at_risk=5.0, **kinds))) == 1
        assert store.page(session, entry.id, Filters(least_value_at_risk=5.1)) == []
        assert store.page(session, entry.id, Filters(owner="ann' OR 1=1 --")) == []
        with pytest.raises(KeyError):
            store.page(session, entry.id, sort="name")


def test_history_is_paged_newest_first_over_models_and_dates(engine):
    with Session(engine) as session:
        for month in (1, 3, 2):
            for model in ("upsell", "churn"):
                a_list(session, [row("c1"), row("c2", 2)], as_of=date(2026, month, 1), model=model)
        a_list(session, [row("c1", score=0.9)], as_of=date(2026, 3, 1))  # in the place of March's churn list
        told = [(3, "churn"), (3, "upsell"), (2, "churn"), (2, "upsell"), (1, "churn"), (1, "upsell")]
        seen, before = [], None
        while some := store.history(session, "c1", 4, before):
            seen += [(past.as_of.month, past.model) for past, _ in some]
            before = (some[-1][0].as_of, some[-1][0].model)
        assert seen == told and store.history(session, "c1")[0][1].score == 0.9
        assert [past.model for past, _ in store.history(session, "c1", models=["upsell"])] == ["upsell"] * 3
        assert store.history(session, "nobody") == [] and store.history(session, "c1", models=[]) == []
        newest = store.published(session, "churn")
        assert store.previous(session, newest).as_of == date(2026, 2, 1)
        assert store.previous(session, store.published(session, "churn", date(2026, 1, 1))) is None


def test_old_lists_first_lose_their_reasons_then_their_rows_and_say_so(engine, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 2)
    ages, end = (500, 401, 399, 31, 29, 500), datetime(2026, 6, 1)
    with Session(engine) as session:
        entries = [
            a_list(
                session,
                [row(f"c{i}", 3 - i) for i in range(3)],
                [{"customer_id": "c9", "status": "gone"}],
                end - timedelta(age),
                as_of=date(2025, month, 1),
            )
            for month, age in enumerate(ages, 1)
        ]
        late = a_list(session, [row("c1")], as_of=date(2025, 5, 1), now=end)  # replaces the list of 29 days ago
        a_list(session, [row("c1")], now=end - timedelta(500), model="upsell")
        assert retention.prune(session, end) == {"thinned": 2, "pruned": 2, "replaced": 0}
        assert retention.prune(session, end) == {"thinned": 0, "pruned": 0, "replaced": 0}
        session.expire_all()
        assert [entry.state for entry in entries] == ["pruned", "pruned", "thinned", "thinned", "replaced", "published"]
        counts = dict(session.execute(select(records.Score.run_id, func.count()).group_by(records.Score.run_id)).all())
        assert [counts.get(entry.id, 0) for entry in entries] == [0, 0, 3, 3, 3, 3]
        families = [{str(one.families) for one in store.listed(session, entry.id)} for entry in entries[2:]]
        assert families[:2] == [{"{}"}, {"{}"}] and "{}" not in families[2] | families[3]
        assert session.scalar(select(func.count()).select_from(records.LeftOut)) == 4
        assert store.published(session, "churn", date(2025, 1, 1)).state == "pruned"
        assert store.snapshots(session, "churn") == {late.snapshot, entries[-1].snapshot}
        assert retention.prune(session, end + timedelta(2)) == {"thinned": 0, "pruned": 1, "replaced": 0}
        assert retention.prune(session, end + timedelta(31)) == {"thinned": 0, "pruned": 0, "replaced": 1}
        assert not list(store.listed(session, entries[4].id)) and list(store.listed(session, late.id))


def test_a_kill_while_rows_or_reasons_go_leaves_no_list_that_looks_whole(engine, monkeypatch):
    monkeypatch.setattr(retention, "BATCH", 1)
    end, killed = datetime(2026, 6, 1), RuntimeError("killed")
    with Session(engine, expire_on_commit=False) as session:
        pruned, thinned, replaced, _, _, _ = [
            a_list(
                session, [row(f"c{i}", i + 1) for i in range(3)], [], end - timedelta(age), as_of=date(2025, month, 1)
            )
            for month, age in ((1, 500), (2, 31), (3, 40), (3, 35), (4, 2), (5, 1))
        ]
        session.execute(delete(records.Score).where(records.Score.run_id == thinned.id, records.Score.rank == 2))
        session.execute(update(records.Run).where(records.Run.id == thinned.id).values(rows=2))  # as an erasure does
        session.commit()

    def states(session):
        return [session.get(records.Run, one.id).state for one in (pruned, thinned, replaced)]

    for name in ("remove", "_thin"):
        with Session(engine) as session, monkeypatch.context() as patch:
            patch.setattr(retention, name, lambda *_: (_ for _ in ()).throw(killed))
            with pytest.raises(RuntimeError):
                retention.prune(session, end)
        with Session(engine) as session:
            assert states(session) == ["pruned", "thinned", "removed"], "said before it is done"
    with Session(engine) as session:
        assert retention.prune(session, end) == {"thinned": 0, "pruned": 0, "replaced": 0}
        assert list(store.listed(session, pruned.id)) == list(store.listed(session, replaced.id)) == []
        assert [one.families for one in store.listed(session, thinned.id)] == [{}, {}]


def test_answers_kept_for_idempotency_keys_go_with_age(engine):
    now = datetime(2026, 6, 1)
    with Session(engine) as session:
        for name, age in (("old", 31), ("new", 29)):
            journal.remember(session, now - timedelta(age), "crm", name, "d", 201, {})
        retention.prune(session, now)
        assert journal.replayed(session, "crm", "old") is None and journal.replayed(session, "crm", "new")


def test_a_list_that_readers_have_open_is_read_to_its_end(engine, monkeypatch):
    monkeypatch.setattr(store, "AT_ONCE", 2)
    with Session(engine) as session:
        entry = a_list(session, [row(f"c{i}", i + 1) for i in range(5)])
        session.execute(
            update(records.Score).where(records.Score.customer_id == "c4").values(rank=9)
        )  # as after an erasure
        session.commit()
        assert [one.rank for one in store.whole(session, entry.id)] == [1, 2, 3, 4, 9]
        assert not session.in_transaction()
        assert list(store.whole(session, entry.id + 1)) == []
