"""What people write, each write once, and the erasure of one customer, on both databases."""

import sqlite3
import threading
from contextlib import closing
from datetime import date, datetime, timedelta

import pytest
from sqlalchemy import event, func, select
from sqlalchemy.orm import Session

from features.errors import DataError
from serving.stores import database, journal, records, store
from tests.service import databases
from tests.unit.test_serving_store import row, run

engine, url = databases.engine, databases.url
NOW = datetime(2026, 1, 2, 3)
DIGEST = journal.digest("POST", "/v1/customers/A-1/contacts", b"{}")


def contact(session, customer_id="A-1", days=0, **changes):
    return journal.add_contact(
        session,
        NOW,
        **{"customer_id": customer_id, "at": NOW + timedelta(days), "channel": "call", "by": "crm"} | changes,
    )


def action(session, customer_id="A-1", model="churn", **changes):
    plain = {"model": model, "customer_id": customer_id, "as_of": date(2026, 1, 1), "kind": "planned", "by": "crm"}
    return journal.add_action(session, NOW, **plain | changes)


def counted(engine, table=records.Contact):
    with Session(engine) as session:
        return session.scalar(select(func.count()).select_from(table))


def written(session):
    made = contact(session)
    return 201, {"id": made.id, "customer_id": made.customer_id, "note": "電話"}


def test_contacts_are_found_since_a_moment_for_some_or_for_all(engine, monkeypatch):
    monkeypatch.setattr(journal, "AT_ONCE", 2)
    with Session(engine) as session:
        for days, customer_id in enumerate(("A-1", "B-2", "A-1", "C-3", "顧客")):
            contact(session, customer_id, -days)
        session.commit()
        since = NOW - timedelta(2)
        assert [one.customer_id for one in journal.contacts_since(session, None, since)] == ["A-1", "B-2", "A-1"]
        asked = ["顧客", "B-2", "A-1", "A-1", "nobody"]
        assert [one.customer_id for one in journal.contacts_since(session, asked, since)] == ["A-1", "B-2", "A-1"]
        assert [one.at for one in journal.contacts_since(session, ["顧客"], NOW - timedelta(4))] == [NOW - timedelta(4)]
        assert journal.contacts_since(session, [], since) == []


def test_the_newest_action_of_each_customer_and_model_holds(engine, monkeypatch):
    monkeypatch.setattr(journal, "AT_ONCE", 1)
    with Session(engine) as session:
        action(session, kind="planned")
        action(session, model="upsell", kind="dismissed")
        action(session, "B-2", kind="done")
        action(session, kind="snoozed", until=date(2026, 2, 1), note="来週また")
        session.commit()
        found = journal.latest_actions(session, "churn", ["A-1", "B-2", "nobody"])
        assert {name: (one.kind, one.until) for name, one in found.items()} == {
            "A-1": ("snoozed", date(2026, 2, 1)),
            "B-2": ("done", None),
        }
        assert journal.latest_actions(session, "upsell", ["B-2"]) == {}


def test_what_was_written_is_paged_newest_first(engine):
    with Session(engine) as session:
        first, second, other, third = (contact(session, name).id for name in ("A-1", "A-1", "B-2", "A-1"))
        upsell, churn = action(session, model="upsell").id, action(session).id
        assert [one.id for one in journal.contacts(session, "A-1", 2)] == [third, second]
        assert [one.id for one in journal.contacts(session, "A-1", 2, before=second)] == [first]
        assert [one.id for one in journal.contacts(session)] == [third, other, second, first]
        assert [one.id for one in journal.actions(session)] == [churn, upsell]
        assert [one.id for one in journal.actions(session, "A-1", model="upsell")] == [upsell]
        assert [one.id for one in journal.actions(session, "A-1", before=churn)] == [upsell]


def test_a_write_sent_twice_is_made_once_and_answered_alike(engine):
    with Session(engine) as session:
        first = journal.once(session, NOW, "crm", "key-1", DIGEST, written)
        again = journal.once(session, NOW + timedelta(1), "crm", "key-1", DIGEST, written)
    assert (first.replayed, again.replayed) == (False, True)
    assert (
        (first.status, first.answer)
        == (again.status, again.answer)
        == (201, {"id": 1, "customer_id": "A-1", "note": "電話"})
    )
    assert counted(engine) == 1


def test_keys_are_their_owners_and_a_key_belongs_to_one_request(engine):
    with Session(engine) as session:
        journal.once(session, NOW, "crm", "key-1", DIGEST, written)
        assert not journal.once(session, NOW, "other", "key-1", DIGEST, written).replayed
        with pytest.raises(journal.Reused):
            journal.once(session, NOW, "crm", "key-1", journal.digest("POST", "/v1/x", b"{}"), written)
        assert not session.in_transaction()
    assert counted(engine) == 2


def test_digests_do_not_run_together():
    assert journal.digest("POST", "/a", b"b") != journal.digest("POST", "/ab", b"")


def test_a_refused_write_keeps_neither_row_nor_key(engine):
    def refused(session):
        written(session)
        raise ValueError

    with Session(engine) as session:
        with pytest.raises(ValueError):
            journal.once(session, NOW, "crm", "key-1", DIGEST, refused)
        assert counted(engine) == counted(engine, records.Replay) == 0
        assert not journal.once(session, NOW, "crm", "key-1", DIGEST, written).replayed


def test_the_same_key_at_the_same_time_makes_one_write_and_both_get_its_answer(engine):
    together, found = threading.Barrier(6), []

    def send():
        together.wait()
        with Session(engine) as session:
            found.append(journal.once(session, NOW, "crm", "key-1", DIGEST, written))

    threads = [threading.Thread(target=send) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one.replayed for one in found) == [False] + [True] * 5
    assert len({str(one.answer) for one in found}) == 1 and counted(engine) == counted(engine, records.Replay) == 1


def test_old_keys_are_forgotten(engine):
    with Session(engine) as session:
        journal.once(session, NOW, "crm", "old", DIGEST, written)
        journal.once(session, NOW + timedelta(2), "crm", "new", DIGEST, written)
        assert journal.forget_replays(session, NOW + timedelta(1)) == 1
        session.commit()
        assert journal.replayed(session, "crm", "old") is None and journal.replayed(session, "crm", "new")


SECRET = "取消-4711.x"


def filled(engine):
    """A list, contacts, actions and answers, some of them about one customer."""
    with Session(engine) as session:
        entry = run()
        store.begin(session, entry)
        store.stage(session, entry.id, records.Score, [row(SECRET), row(f"{SECRET}y", 2), row("A-1", 3)])
        store.stage(
            session, entry.id, records.LeftOut, [{"customer_id": f"{n}{SECRET}", "status": "gone"} for n in ("", 0)]
        )
        store.publish(session, entry, NOW)
        for customer_id in (SECRET, SECRET, "A-1"):
            contact(session, customer_id, note=f"about {customer_id}")
            action(session, customer_id)
        answers = {
            "exact": {"id": 1, "customer_id": SECRET},
            "longer": {"id": 2, "customer_id": f"{SECRET}-2"},
            "noted": {"id": 3, "customer_id": "A-1", "note": f"as {SECRET} said"},
        }
        for key, answer in answers.items():
            journal.remember(session, NOW, "crm", key, DIGEST, 201, answer)
        session.commit()


def test_erasing_a_customer_removes_every_row_and_nobody_elses(engine):
    filled(engine)
    with Session(engine) as session:
        removed = {"scores": 1, "left_out": 1, "contacts": 2, "actions": 2, "replays": 1}
        assert journal.erase(session, SECRET) == removed
        session.rollback()
        assert journal.erase(session, SECRET) == removed
        session.commit()
        assert journal.erase(session, SECRET) == dict.fromkeys(removed, 0)
        assert set(session.scalars(select(records.Score.customer_id))) == {f"{SECRET}y", "A-1"}
        assert set(session.scalars(select(records.LeftOut.customer_id))) == {f"0{SECRET}"}
        assert set(session.scalars(select(records.Replay.key))) == {"longer", "noted"}
        assert {one.customer_id for one in journal.contacts(session)} == {"A-1"}
    journal.scrub(engine)
    assert counted(engine) == 1


@pytest.mark.parametrize("customer_id", ["17", "2026", "A", "顧客", 'a"b\\c', "null", "%", "_"])
def test_an_answer_goes_only_with_the_customer_it_is_about(engine, customer_id):
    other = {"id": 17, "customer_id": "A-2026", "at": "2026-01-30", "note": None}
    others = [other, {"customer_id": f"{customer_id}-1"}]
    with Session(engine) as session:
        for number, answer in enumerate([{"customer_id": customer_id}, *others]):
            journal.remember(session, NOW, "crm", f"k{number}", DIGEST, 201, answer)
        assert journal.erase(session, customer_id)["replays"] == 1
        assert set(session.scalars(select(records.Replay.key))) == {"k1", "k2"}
        session.rollback()


def test_a_scrub_that_cannot_be_made_is_one_sentence_and_one_that_can_leaves_the_limits(engine):
    with Session(engine) as session:
        if not database.is_sqlite(engine):
            journal.scrub(engine)
            assert session.connection().exec_driver_sql("SHOW statement_timeout").scalar() == "1min"
            return
    event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=0"))
    engine.dispose()
    with closing(sqlite3.connect(engine.url.database)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DataError, match=r"could not be overwritten .*type the same command again"):
            journal.scrub(engine)
    journal.scrub(engine)


def test_after_the_scrub_sqlite_holds_no_byte_of_the_erased(tmp_path):
    made = store.connect(f"sqlite:///{tmp_path}/canary.db")
    store.migrate(made)
    with Session(made) as session:
        entry = run()
        store.begin(session, entry)
        store.stage(
            session, entry.id, records.Score, [row(f"c{n}", n, name="canary" if n == 7 else None) for n in range(3_000)]
        )
        contact(session, "c7", note="canary")
        session.commit()
        assert b"canary" in (tmp_path / "canary.db").read_bytes()
        journal.erase(session, "c7")
        session.commit()
    journal.scrub(made)
    assert {path.name for path in tmp_path.iterdir()} == {"canary.db", "canary.db.made"}
    assert b"canary" not in (tmp_path / "canary.db").read_bytes() and database.is_sqlite(made)
    made.dispose()
