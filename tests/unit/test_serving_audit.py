"""The audit log: what is entered, what a look at it finds, and what a killed process or a full disk leaves."""

import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
import threading
from datetime import datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.errors import DataError
from serving.guards import audit, trail
from serving.guards.audit import Audit, Unaudited

NOW = datetime(2026, 2, 1, 12)
DAY = timedelta(days=1)


def filled(home, entries=5, now=NOW):
    log = Audit(home)
    for number in range(entries):
        log.write(now + timedelta(seconds=number), "crm", "score", "churn", [f"C-{number}"])
    log.close()
    return audit.files(home / "audit")[-1]


def lines(path):
    return path.read_bytes().splitlines(keepends=True)


def found(home):
    report = trail.verify(home)
    return [str(one) for one in report.problems], [str(one) for one in report.notes]


def resealed(line):
    """What somebody who knows how hashes are made puts in the place of a line."""
    body = audit.unsealed(line.rstrip(b"\n"))[0]
    return body[:-1] + audit.SEAL + hashlib.sha256(body).hexdigest().encode() + b'"}\n'


def test_an_entry_says_who_did_what_to_whom_without_naming_a_customer(tmp_path):
    log = Audit(tmp_path)
    log.write(NOW, "crm", "score", "churn", ["C-1", "顧客2"])
    log.write(NOW, "crm", "list", "churn", count=500)
    log.write(NOW, "command line", "keys.revoke", key="old")
    log.close()
    (path,) = audit.files(tmp_path / "audit")
    assert "C-1" not in path.read_text() and "顧客" not in path.read_text()
    first, second, third = trail.entries(tmp_path)
    at = {"at": "2026-02-01T12:00:00.000Z"}
    assert second == {**at, "owner": "crm", "action": "list", "model": "churn", "count": 500, "customers": []}
    assert third == {**at, "owner": "command line", "action": "keys.revoke", "key": "old", "count": 0, "customers": []}
    assert first["count"] == 2 and [len(bytes.fromhex(one)) for one in first["customers"]] == [8, 8]
    assert trail.entries(tmp_path, "顧客2") == [first] and trail.entries(tmp_path, "C-2") == []
    assert [one["action"] for one in trail.entries(tmp_path, last=2)] == ["list", "keys.revoke"]


def test_a_customer_has_one_hash_in_one_workspace_and_another_in_the_next(tmp_path):
    for home in (tmp_path / "a", tmp_path / "a", tmp_path / "b"):
        Audit(home).write(NOW, "crm", "score", "churn", ["C-1"])
    a, again, b = (one["customers"] for home in "ab" for one in trail.entries(tmp_path / home))
    assert a == again != b


def test_the_folder_is_for_our_eyes(tmp_path):
    filled(tmp_path)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "audit").iterdir()}
    assert set(modes.values()) == {0o600} and len(modes) == 3
    assert stat.S_IMODE((tmp_path / "audit").stat().st_mode) == 0o700


def test_an_untouched_log_is_whole(tmp_path):
    for _ in range(3):
        filled(tmp_path)
    report = trail.verify(tmp_path)
    assert (report.problems, report.notes, report.files, report.entries) == ([], [], 3, 18)
    assert list(report.ends.values()) == [audit.last_hash(path) for path in audit.files(tmp_path / "audit")]


def test_nothing_at_all_is_whole(tmp_path):
    assert trail.verify(tmp_path) == trail.Report() and trail.entries(tmp_path, "C-1") == []


@given(st.integers(0), st.integers(1, 255))
def test_any_changed_byte_is_found(tmp_path_factory, place, flip):
    home = tmp_path_factory.mktemp("changed")
    path = filled(home, 3)
    content = bytearray(path.read_bytes())
    place %= len(content)
    line = 1 + bytes(content[:place]).count(b"\n")
    content[place] ^= flip
    path.write_bytes(content)
    problems, _ = found(home)
    assert problems and problems[0].startswith(f"{path.name}, line ")
    assert int(problems[0].split("line ")[1].split(":")[0]) in (line, line + 1)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda rows: rows[:2] + rows[3:], 3),
        (lambda rows: [rows[1], rows[0], *rows[2:]], 1),
        (lambda rows: rows[:3] + rows[2:], 4),
        (lambda rows: [*rows[:2], rows[2].replace(b"crm", b"eve"), *rows[3:]], 3),
        (lambda rows: [*rows[:2], b"\n", *rows[2:]], 3),
        (lambda rows: rows[1:], 1),
        (lambda rows: [*rows[:2], b"[]\n", *rows[3:]], 3),
    ],
    ids=["removed", "reordered", "doubled", "changed", "blank", "beheaded", "other"],
)
def test_what_was_done_to_a_file_is_found_where_it_was_done(tmp_path, change, line, sealed):
    path = filled(tmp_path)
    changed = change(lines(path))
    path.write_bytes(b"".join(map(resealed, changed) if sealed else changed))
    problems, _ = found(tmp_path)
    assert len(problems) == 1
    assert problems[0].startswith(f"{path.name}, line {line + 1 if sealed and b'eve' in changed[2] else line}: ")


@pytest.mark.parametrize("left", [0, 1, 3, 5])
def test_a_file_cut_off_at_its_end_is_found(tmp_path, left):
    path = filled(tmp_path)
    path.write_bytes(b"".join(lines(path)[:left]))
    assert found(tmp_path)[0] == [f"{path.name}, line {left + 1}: cut off: {6 - left} entries are missing"]


def test_a_cut_inside_a_line_is_no_accident_when_more_was_written(tmp_path):
    path = filled(tmp_path)
    os.truncate(path, path.stat().st_size - 10)
    assert found(tmp_path)[0] == [f"{path.name}, line 6: cut off: 1 entries are missing"]


def test_a_file_made_anew_from_beginning_to_end_is_found(tmp_path):
    path = filled(tmp_path)
    last, rows = audit.START, []
    for line in lines(path):
        entry = orjson.loads(line) | {"owner": "eve", "prev": last}
        del entry["hash"]
        body = orjson.dumps(entry)
        last = hashlib.sha256(body).hexdigest()
        rows.append(body[:-1] + audit.SEAL + last.encode() + b'"}\n')
    path.write_bytes(b"".join(rows))
    assert found(tmp_path)[0] == [f"{path.name}, line 6: written anew: an entry known from elsewhere is not in it"]
    head = path.with_suffix(".head")
    head.write_text(f"{5:010d} {last}\n")
    assert found(tmp_path)[0] == [], "the newest file and its head together: only a hash kept elsewhere shows it"
    head.unlink()
    assert found(tmp_path)[0] == [f"{path.name}: its .head is gone or damaged; entries may be cut off"]


def test_a_later_file_vouches_for_the_end_of_an_earlier_one(tmp_path):
    old = filled(tmp_path)
    filled(tmp_path, now=NOW + DAY)
    kept = lines(old)[:-1]
    old.write_bytes(b"".join(kept))
    old.with_suffix(".head").write_text(f"{4:010d} {audit.last_hash(old)}\n")
    assert found(tmp_path)[0] == [f"{old.name}, line 5: written anew: an entry known from elsewhere is not in it"]


@pytest.mark.parametrize("head", [True, False], ids=["alone", "with its head"])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_removed_file_is_missed(tmp_path, which, head):
    paths = [filled(tmp_path, now=NOW + day * DAY) for day in range(3)]
    paths[which].unlink()
    if not head:
        paths[which].with_suffix(".head").unlink()
    problems, notes = found(tmp_path)
    if which == 0:
        assert notes == [f"{paths[0].name}: older than the oldest file here; removed when its time was over?"]
    if which == 1:
        assert f"{paths[1].name}: removed; {paths[2].name} names it" in problems
    if head:
        assert f"{paths[which].name}: removed; its .head is still there" in problems
    assert bool(problems) == (head or which == 1)


def test_each_day_has_its_file_and_a_clock_set_back_does_not_begin_another(tmp_path):
    log = Audit(tmp_path)
    for now in (NOW, NOW + DAY, NOW, NOW + DAY - timedelta(hours=1)):
        log.write(now, "crm", "score", "churn", ["C-1"])
    assert [path.name[:8] for path in audit.files(tmp_path / "audit")] == ["20260201", "20260202"]
    assert found(tmp_path) == ([], []) and len(trail.entries(tmp_path)) == 4


def begun(home, now):
    """The file of a process that begins, writes and ends."""
    before = set(audit.files(home / "audit"))
    filled(home, 1, now)
    (path,) = set(audit.files(home / "audit")) - before
    return path


def test_files_begun_after_the_clock_was_ahead_are_missed_as_others_are(tmp_path):
    """However many there are of the time ahead, and when that time has come as well."""
    ahead = [begun(tmp_path, NOW + 30 * DAY + timedelta(seconds=number)) for number in range(audit.NAMED + 1)]
    back = [begun(tmp_path, NOW + timedelta(seconds=number)) for number in range(3)]
    later = begun(tmp_path, NOW + 31 * DAY)
    assert audit.files(tmp_path / "audit") == [*ahead, *back, later] and found(tmp_path) == ([], [])
    for path in back:
        path.unlink()
        path.with_suffix(".head").unlink()
    assert [one.partition(":")[0] for one in found(tmp_path)[0]] == [path.name for path in back]


@pytest.mark.parametrize("name", ["99991231T235959-x.jsonl", "notes.jsonl"])
def test_a_name_that_is_none_of_ours_keeps_nobody_from_writing(tmp_path, name):
    filled(tmp_path)
    (tmp_path / "audit" / name).touch()
    assert begun(tmp_path, NOW).name.startswith(f"{NOW:{audit.STAMP}}-")


def test_threads_write_side_by_side(tmp_path):
    log = Audit(tmp_path)
    threads = [
        threading.Thread(target=lambda: [log.write(NOW, "crm", "score", "churn", ["C-1"]) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found(tmp_path) == ([], []) and len(trail.entries(tmp_path, "C-1")) == 200


def test_a_child_does_not_go_on_with_the_file_of_its_parent(tmp_path):
    code = """
import os, sys
from datetime import datetime
from pathlib import Path
from serving.guards.audit import Audit
log, now = Audit(Path(sys.argv[1])), datetime(2026, 2, 1)
log.write(now, "parent", "score")
if os.fork() == 0:
    log.write(now, "child", "score")
    os._exit(0)
os.wait()
log.write(now, "parent", "score")
"""
    subprocess.run([sys.executable, "-c", code, tmp_path], check=True)
    assert found(tmp_path) == ([], []) and len(audit.files(tmp_path / "audit")) == 2
    assert sorted(one["owner"] for one in trail.entries(tmp_path)) == ["child", "parent", "parent"]


WRITER = """
import sys
from datetime import datetime
from pathlib import Path
from serving.guards.audit import Audit
log, number = Audit(Path(sys.argv[1])), 0
while True:
    log.write(datetime(2026, 2, 1), "crm", "score", "churn", [f"C-{number}"])
    number += 1
    print(number, flush=True)
"""


def test_a_killed_process_leaves_all_it_was_told_it_wrote(tmp_path):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
    for line in writer.stdout:
        if int(line) == 200:
            break
    writer.send_signal(signal.SIGKILL)
    said = [200, *map(int, writer.stdout.read().split())][-1]
    writer.stdout.close()
    writer.wait()
    problems, notes = found(tmp_path)
    assert problems == [] and all(trail.TORN in note for note in notes)
    assert said <= len(trail.entries(tmp_path)) <= said + 1
    filled(tmp_path)
    assert found(tmp_path)[0] == []


def test_a_torn_last_line_is_named_as_such(tmp_path):
    path = filled(tmp_path)
    with path.open("ab") as file:
        file.write(b'{"seq":6,"at":"2026-0')
    assert found(tmp_path) == ([], [f"{path.name}, line 7: {trail.TORN}"])
    filled(tmp_path, now=NOW + DAY)
    assert found(tmp_path) == ([], [f"{path.name}, line 7: {trail.TORN}"])
    assert len(trail.entries(tmp_path)) == 10


@pytest.mark.parametrize("killed_after", ["lines", "head"])
def test_a_process_killed_as_it_began_is_named_as_such(tmp_path, killed_after):
    path = filled(tmp_path)
    path.write_bytes(b"")
    path.with_suffix(".head").unlink()
    if killed_after == "head":
        path.with_suffix(".head").touch()
    assert found(tmp_path) == ([], [f"{path.name}: empty: the process was killed as it began"])
    filled(tmp_path)
    assert found(tmp_path)[0] == []


def test_a_full_disk_refuses_and_leaves_the_chain_whole(tmp_path, monkeypatch):
    log, write = Audit(tmp_path), os.write
    log.write(NOW, "crm", "score", "churn", ["C-1"])
    monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:20]))
    with pytest.raises(Unaudited) as refusal:
        log.write(NOW, "crm", "score", "churn", ["C-2"])
    assert refusal.value.problem.status == 503 and refusal.value.problem.headers["retry-after"] == "30"
    with pytest.raises(Unaudited):  # a new day, and no space for its first line
        log.write(NOW + DAY, "crm", "score", "churn", ["C-2"])
    assert len(audit.files(tmp_path / "audit")) == 1
    monkeypatch.undo()
    log.write(NOW, "crm", "score", "churn", ["C-3"])
    assert found(tmp_path) == ([], []) and len(trail.entries(tmp_path)) == 2


def test_a_real_full_disk_refuses_too(tmp_path):
    code = """
import resource, signal, sys
from datetime import datetime
from pathlib import Path
from serving.guards import trail
from serving.guards.audit import Audit, Unaudited
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, 2_000))
log, written = Audit(Path(sys.argv[1])), 0
for _ in range(30):
    try:
        log.write(datetime(2026, 2, 1), "crm", "score", "churn", ["C-1"])
        written += 1
    except Unaudited:
        pass
print(written, len(trail.entries(Path(sys.argv[1]))), trail.verify(Path(sys.argv[1])).problems)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    written, kept, problems = done.stdout.split(maxsplit=2)
    assert 0 < int(written) == int(kept) < 30 and problems.strip() == "[]"


def test_a_folder_that_cannot_be_made_refuses(tmp_path):
    (tmp_path / "audit").write_text("a file")
    with pytest.raises(Unaudited):
        Audit(tmp_path).write(NOW, "crm", "score")


def test_a_damaged_secret_refuses_rather_than_begin_another(tmp_path):
    filled(tmp_path)
    (tmp_path / "audit" / "secret").write_text("短い", encoding="utf-8")
    with pytest.raises(DataError, match="must hold 64 hex digits"):
        trail.entries(tmp_path, "C-1")
    with pytest.raises(Unaudited):
        Audit(tmp_path).write(NOW, "crm", "score")
    assert len(audit.files(tmp_path / "audit")) == 1


def test_a_file_removed_under_its_writer_is_named_by_the_next(tmp_path):
    filled(tmp_path)
    log = Audit(tmp_path)
    log.write(NOW + DAY, "crm", "score", "churn", ["C-1"])
    lost = audit.files(tmp_path / "audit")[-1]
    lost.unlink()
    lost.with_suffix(".head").unlink()
    log.write(NOW + DAY, "crm", "score", "churn", ["C-2"])
    (problem,) = found(tmp_path)[0]
    assert problem.startswith(f"{lost.name}: removed; ")


def test_entries_of_a_thousand_customers_are_read_back_by_the_next_process(tmp_path):
    ids = [f"C-{number}" for number in range(1_000)]
    Audit(tmp_path).write(NOW, "crm", "score", "churn", ids)
    first = audit.files(tmp_path / "audit")[0]
    second = filled(tmp_path, now=NOW + DAY)
    named = json.loads(lines(second)[0])["after"]
    assert named == {first.name: audit.last_hash(first)} and found(tmp_path) == ([], [])
    assert json.loads(lines(first)[1])["hash"] == audit.last_hash(first)
