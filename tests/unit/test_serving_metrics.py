"""What Prometheus reads: right sums over workers that come and go, and a page that nobody can make grow."""

import os
import signal
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.guards import metrics
from serving.guards.metrics import Metrics, Shown

OPERATIONS = ("score", "customer")


@pytest.fixture
def made(tmp_path):
    return Metrics(tmp_path, OPERATIONS, ("churn",))


def read(page):
    """(name, labels) -> value, as Prometheus would read it."""
    families = text_string_to_metric_families(page.decode())
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(page, name, **labels):
    return read(page).get((name, frozenset(labels.items())))


def test_requests_are_counted_by_operation_method_and_status(made):
    for status, seconds in [(200, 0.0008), (200, 0.02), (422, 0.3), (503, 7.0)]:
        made.observe("score", "POST", status, seconds)
    page = made.render([])
    assert value(page, "tsunagi_requests_total", operation="score", method="POST", status="200") == 2
    assert value(page, "tsunagi_requests_total", operation="score", method="POST", status="422") == 1
    assert value(page, "tsunagi_request_seconds_sum", operation="score") == pytest.approx(7.3208)
    within = {"0.001": 1, "0.01": 1, "0.025": 2, "0.25": 2, "0.5": 3, "5.0": 3, "+Inf": 4}
    assert {le: value(page, "tsunagi_request_seconds_bucket", operation="score", le=le) for le in within} == within


def test_rows_and_scores_are_counted_by_model(made):
    made.scored("churn", ["ok", "opted_out", "ok"], [0.05, 0.95])
    made.scored("churn", ["ok"], [0.1])
    page = made.render([])
    assert value(page, "tsunagi_rows_total", model="churn", status="ok") == 3
    assert value(page, "tsunagi_rows_total", model="churn", status="opted_out") == 1
    within = {"0.1": 2, "0.2": 2, "0.9": 2, "1.0": 3, "+Inf": 3}
    assert {le: value(page, "tsunagi_score_bucket", model="churn", le=le) for le in within} == within


def test_what_is_served_is_told_as_it_is_now(made):
    page = made.render([Shown("churn", "abc", 2), Shown("upsell", "def", None, True)], stale=True)
    assert value(page, "tsunagi_model_info", model="churn", version="abc") == 1
    assert value(page, "tsunagi_data_age_days", model="churn") == 2
    assert value(page, "tsunagi_data_age_days", model="upsell") is None
    stale = {part: value(page, "tsunagi_stale", part=part) for part in ("keys", "churn", "upsell")}
    assert stale == {"keys": 1, "churn": 0, "upsell": 1}
    later = made.render([Shown("churn", "new", 0)])
    assert value(later, "tsunagi_model_info", model="churn", version="abc") is None
    assert value(later, "tsunagi_data_age_days", model="churn") == 0
    assert [name for name, _ in read(later) if name == "tsunagi_build_info"]


def test_ten_thousand_unknown_paths_leave_the_page_as_long_as_it_was(made):
    made.observe("score", "POST", 200, 0.01)
    made.observe("/no/such/path", "BREW", 404, 0.01)
    made.scored("nobody's", ["ok"], [0.5])
    before = made.render([])
    for number in range(10_000):
        made.observe(f"/no/such/path/{number}", f"M{number}", 404, 0.01)
        made.scored(f"model{number}", ["ok"], [])
    page = made.render([])
    assert read(page).keys() == read(before).keys() and len(page) < len(before) + 100
    assert value(page, "tsunagi_requests_total", operation="unknown", method="unknown", status="404") == 10_001
    assert b"/no/such" not in page and b"nobody" not in page


WORKER = """
import sys

from pathlib import Path
from serving.guards.metrics import Metrics
made = Metrics(Path(sys.argv[1]), ("score",), ("churn",))
for _ in range(int(sys.argv[2])):
    made.observe("score", "POST", 200, 0.01)
    made.scored("churn", ["ok"], [0.5])
print("counted", flush=True)
for line in sys.stdin:
    page = made.render([])
    print(len(page), flush=True)
    print(page.decode(), end="", flush=True)
"""


class Worker:
    """A process of one supervisor (this one) that has counted something."""

    def __init__(self, home, count):
        command = [sys.executable, "-c", WORKER, str(home), str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout.readline() == "counted\n"

    def counted(self):
        """What its page says of all: requests, seconds, rows, scores."""
        self._process.stdin.write("page\n")
        self._process.stdin.flush()
        page = self._process.stdout.read(int(self._process.stdout.readline())).encode()
        return (
            value(page, "tsunagi_requests_total", operation="score", method="POST", status="200"),
            value(page, "tsunagi_request_seconds_count", operation="score"),
            value(page, "tsunagi_rows_total", model="churn", status="ok"),
            value(page, "tsunagi_score_bucket", model="churn", le="0.5"),
        )

    def killed(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.communicate()


def test_workers_that_were_killed_and_started_again_are_counted_once_and_their_files_go(tmp_path):
    first, second = Worker(tmp_path, 3), Worker(tmp_path, 4)
    try:
        assert first.counted() == second.counted() == (7,) * 4
        for number in range(3):  # killed, and started again by the supervisor
            first.killed()
            assert second.counted() == (7 + number,) * 4
            first = Worker(tmp_path, 1)
            assert second.counted() == first.counted() == (8 + number,) * 4
        (folder,) = (tmp_path / "metrics").iterdir()
        assert len(list(folder.glob("counter_*.db"))) == 3, "two workers and all the dead"
    finally:
        first.killed()
        second.killed()


def test_the_counts_of_a_service_that_has_ended_are_not_those_of_the_next(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    old = tmp_path / "metrics" / f"{ended.pid}-0.1.0"
    old.mkdir(parents=True)
    (old / f"counter_{ended.pid}.db").write_bytes(b"")
    foreign = tmp_path / "metrics" / "not ours"
    foreign.mkdir()
    Metrics(tmp_path, ("score",), ("churn",))
    assert [path.name.split("-")[0] for path in (tmp_path / "metrics").iterdir()] == [str(os.getppid())]


def test_a_process_that_is_not_ours_to_signal_is_alive():
    assert metrics._alive(str(os.getpid())) and metrics._alive("1")
    assert not metrics._alive("words") and not metrics._alive("9" * 30)
