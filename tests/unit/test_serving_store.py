"""The store: migrations, staged and published runs, keys."""

from datetime import date, datetime, timedelta

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from features.errors import DataError
from serving import auth, records, store

NOW = datetime(2026, 1, 2, 3)


@pytest.fixture
def engine(tmp_path):
    engine = store.connect(f"sqlite:///{tmp_path}/new/serving.db")
    store.migrate(engine)
    return engine


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


def row(customer_id, rank=1, score=0.5):
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
    }


def test_the_migrations_make_exactly_the_tables_of_the_code(engine):
    config = Config()
    config.set_main_option("script_location", "serving/migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.check(config)
        command.downgrade(config, "base")
    assert set(inspect(engine).get_table_names()) == {"alembic_version"}
    store.migrate(engine)
    store.migrate(engine)
    assert {"runs", "scores", "left_out", "published", "keys"} < set(inspect(engine).get_table_names())


def test_sqlite_keeps_one_file_and_its_promises(engine):
    with engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_a_failed_migration_leaves_nothing(tmp_path, monkeypatch):
    engine = store.connect(f"sqlite:///{tmp_path}/broken.db")

    def killed(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("alembic.op.create_index", killed)
    with pytest.raises(KeyboardInterrupt):
        store.migrate(engine)
    assert inspect(engine).get_table_names() == []


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


def test_a_key_is_kept_as_a_hash_and_ends(engine):
    with Session(engine) as session:
        key = auth.create(session, "crm", NOW, NOW + timedelta(days=1))
        kept = session.scalars(select(records.Key)).one()
        assert key.startswith("tsu_") and key not in (kept.hash, kept.name) and len(key) > 40
        assert auth.owner(session, key, NOW) == "crm"
        assert auth.owner(session, key, NOW + timedelta(days=1)) is None
        assert auth.owner(session, key + "x", NOW) is None


def test_a_new_key_of_the_same_name_replaces_the_old_one(engine):
    with Session(engine) as session:
        old, new = (auth.create(session, "crm", NOW) for _ in range(2))
        assert auth.owner(session, old, NOW) is None and auth.owner(session, new, NOW) == "crm"
        assert auth.revoke(session, "crm") and not auth.revoke(session, "crm")
        assert auth.owner(session, new, NOW) is None
        with pytest.raises(DataError, match="1 to 64 characters"):
            auth.create(session, " ", NOW)
