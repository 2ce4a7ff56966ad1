"""The commands about keys and the audit log, as a person or a script types them."""

import json
import os
import sys

import pytest
from sqlalchemy.orm import Session

from serving import __main__ as doors
from serving.guards import audit, auth
from serving.stores import store
from tests.service import world as worlds


@pytest.fixture
def world(workspace, tmp_path):
    return worlds.make(tmp_path / tmp_path.name, customers=5)


@pytest.fixture
def run(world, monkeypatch, capsys):
    """Types a command; gives its exit code, what it printed and what it complained of."""

    def typed(what, action, *words):
        monkeypatch.setattr(sys, "argv", ["serving", what, action, str(world.path), *words])
        code = doors.main()
        return code, *capsys.readouterr()

    return typed


def answered(run, *words):
    code, out, _ = run(*words, "--json")
    return code, json.loads(out.splitlines()[-1])


def test_a_key_is_made_listed_replaced_and_revoked(run):
    code, made = answered(run, "keys", "create", "--name", "CRM連携", "--days", "90", "--per-minute", "600")
    assert code == 0 and made["scopes"] == ["score", "read"] and made["key"].startswith("tsu_")
    code, out, _ = run("keys", "list")
    assert code == 0 and "CRM連携" in out and "600" in out and "valid" in out and made["key"] not in out
    code, out, error = run("keys", "create", "--name", "CRM連携")
    assert code == 2 and "add --replace" in error and "tsu_" not in out
    code, again = answered(run, "keys", "create", "--name", "CRM連携", "--replace", "--scopes", "write")
    assert code == 0 and again["key"] != made["key"]
    _, listed = answered(run, "keys", "list")
    assert [(one["name"], one["scopes"], one["per_minute"], one["expires_at"]) for one in listed["keys"]] == [
        ("CRM連携", ["write"], None, None)
    ]
    assert run("keys", "revoke", "--name", "CRM連携")[0] == 0
    code, _, error = run("keys", "revoke", "--name", "CRM連携")
    assert code == 2 and "there is no key" in error
    assert answered(run, "keys", "list")[1] == {"keys": []}
    assert "No key yet" in run("keys", "list")[1]


def test_a_key_past_its_end_is_listed_as_expired(run, world):
    engine = store.connect(world.config.store_url)
    store.migrate(engine)
    with Session(engine) as session:
        auth.create(session, "old", worlds.NOON, worlds.NOON)
    assert [one["state"] for one in answered(run, "keys", "list")[1]["keys"]] == ["expired"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("create",), "--name is missing"),
        (("revoke",), "--name is missing"),
        (("create", "--name", "a", "--scopes", "reed"), "reed is no scope"),
        (("create", "--name", "a", "--per-minute", "0"), "a whole number from 1"),
        (("create", "--name", "a", "--days", "-1"), "a whole number from 1"),
        (("create", "--name", "a\nb"), "printable"),
        (("make", "--name", "a"), "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, words, complaint):
    code, out, error = run("keys", *words)
    assert code == 2 and complaint in error and "tsu_" not in out
    assert answered(run, "keys", "list")[1].get("keys", []) == []


def test_a_list_of_keys_makes_no_store(run, world):
    code, answer = answered(run, "keys", "list")
    assert code == 2 and "there is no store" in answer["error"]
    assert not (world.config.home / "serving.db").exists()


def test_keys_are_made_and_revoked_in_the_open(run):
    run("keys", "create", "--name", "crm")
    run("keys", "create", "--name", "crm")
    run("keys", "revoke", "--name", "crm")
    run("keys", "revoke", "--name", "crm")
    code, log = answered(run, "audit", "list")
    assert code == 0
    told = [(one["owner"], one["action"], one["key"]) for one in log["entries"]]
    assert told == [("command line", "keys.create", "crm"), ("command line", "keys.revoke", "crm")]
    code, out, _ = run("audit", "list", "--last", "1")
    assert code == 0 and "keys.revoke" in out and "keys.create" not in out


def test_a_key_that_cannot_be_written_down_is_not_made(run, world):
    world.config.home.mkdir(parents=True, exist_ok=True)
    (world.config.home / "audit").write_text("in the way")
    code, out, error = run("keys", "create", "--name", "crm")
    assert code == 2 and "the audit log cannot be written" in error and "tsu_" not in out
    assert answered(run, "keys", "list")[1] == {"keys": []}


def test_whoever_would_lock_the_service_out_of_its_audit_log_is_stopped(run, world, monkeypatch):
    assert run("keys", "create", "--name", "crm")[0] == 0
    before = {path.name: path.read_bytes() for path in (world.config.home / "audit").iterdir()}
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    code, out, error = run("keys", "create", "--name", "other")
    assert code == 2 and "belongs to" in error and "sudo -u" in error and "tsu_" not in out
    assert {path.name: path.read_bytes() for path in (world.config.home / "audit").iterdir()} == before


def test_a_customer_s_entries_are_found_by_id(run, world):
    assert run("audit", "list")[1].startswith("Nothing is entered yet")
    log = audit.Audit(world.config.home)
    log.write(worlds.NOON, "crm", "score", "churn", ["C-1", "顧客2"])
    log.write(worlds.NOON, "crm", "score", "churn", ["C-3"])
    code, found = answered(run, "audit", "list", "--customer", "顧客2")
    assert code == 0 and [one["count"] for one in found["entries"]] == [2]
    assert "about this customer" in run("audit", "list", "--customer", "C-9")[1]


def test_a_log_that_was_touched_fails_the_check(run, world):
    assert run("audit", "verify")[:2] == (0, "0 files, 0 entries: whole.\n")
    run("keys", "create", "--name", "crm")
    code, out, _ = run("audit", "verify")
    assert code == 0 and "1 files, 2 entries: whole." in out
    (path,) = audit.files(world.config.home / "audit")
    assert audit.last_hash(path) in out
    path.write_bytes(path.read_bytes().replace(b"crm", b"erp"))
    code, out, _ = run("audit", "verify")
    assert code == 1 and f"PROBLEM {path.name}, line 2: changed" in out
    code, report = answered(run, "audit", "verify")
    assert code == 1 and report["problems"][0]["line"] == 2
    with path.open("ab") as file:
        file.write(b"{")
    path.write_bytes(path.read_bytes().replace(b"erp", b"crm"))
    code, out, _ = run("audit", "verify")
    assert code == 0 and "note: " in out and "torn last line" in out
