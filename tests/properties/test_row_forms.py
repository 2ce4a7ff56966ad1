"""Whatever rows are sent, in whatever company: a whole answer for each, or one problem; never a silent score."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.problem import Problem
from tests.service import world as worlds
from tests.service.local import Local, local

PER_ROW = ("score", "band", "percentile", "low", "high", "risks")
OPTED_OUT = {worlds.OPTED_OUT: "opted_out"}
NEVER = {"churn": {worlds.LEAVING: "already_leaving", **OPTED_OUT}, "upsell": OPTED_OUT}


@pytest.fixture(scope="module")
def door(workspace, tmp_path_factory) -> Local:
    return local(tmp_path_factory.mktemp("forms") / "forms")


ids = st.one_of(
    st.integers(0, 63).map("C-{:04d}".format),
    st.sampled_from(
        [*NEVER, worlds.SILENT, "C-00050", "c-0005", "株式会社テスト", "Ｃ－０００５", "é", "e\u0301", "\x00"]
    ),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20).filter(lambda one: one == one.strip()),
)
days = st.one_of(st.dates(worlds.date(2025, 6, 1), worlds.date(2026, 3, 1)), st.dates()).map(str)
clocks = st.sampled_from(
    ["", "", "T00:00:00", " 09:30", "T23:59:59.999999", "T14:59:59Z", "T15:00+00:00", "T10:00-0330"]
)
moments = st.builds("{}{}".format, days, clocks)
login = st.fixed_dictionaries({"at": moments, "entity": st.one_of(st.none(), st.integers(), st.text(max_size=3))})
ticket = st.fixed_dictionaries({"at": moments, "until": st.one_of(st.none(), moments)})
events = st.fixed_dictionaries(
    {}, optional={"login": st.lists(login, max_size=6), "ticket": st.lists(ticket, max_size=4)}
).filter(bool)
counts = st.one_of(st.none(), st.integers(0, 500), st.floats(0, 1e12))
changes = st.fixed_dictionaries(
    {}, optional={"tenure_days": counts, "plan": st.sampled_from(["basic", "free", "pro", None])}
)
windows = st.fixed_dictionaries({}, optional={"login_recency": counts, "login_count_28d": counts})


@st.composite
def fitting(draw) -> dict:
    """A row that fits: by id, with changes, with events, with both."""
    row = {"customer_id": draw(ids)}
    form = draw(st.sampled_from(["id", "changes", "events", "both"]))
    if form in ("changes", "both"):
        row["changes"] = draw(changes) | (draw(windows) if form == "changes" else {})
    if form in ("events", "both"):
        row["events"] = draw(events)
    return row


anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just("NaN"), moments),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)
odd = st.one_of(
    anything,
    st.fixed_dictionaries(
        {"customer_id": st.one_of(ids, anything)},
        optional={
            "changes": st.one_of(anything, st.dictionaries(st.sampled_from(["plan", "login_recency", "x"]), anything)),
            "events": st.one_of(anything, st.dictionaries(st.sampled_from(["login", "contact"]), anything)),
            "extra": anything,
        },
    ),
    st.builds(lambda row, event: {**row, "events": {"login": [event]}}, fitting(), anything),
)
asked = {"reasons": st.integers(0, 5), "lang": st.sampled_from(["en", "ja"])}
models = st.sampled_from(["churn", "upsell"])


@given(rows=st.lists(fitting(), min_size=1, max_size=6), model=models, asked=st.fixed_dictionaries(asked))
def test_every_row_is_answered_whole_and_as_it_would_be_alone(door, rows, model, asked):
    results = door(*rows, model=model, **asked)
    assert [result["customer_id"] for result in results] == [row["customer_id"] for row in rows]
    for row, result in zip(rows, results):
        _whole(row, result, model, asked["reasons"])
    place = len(rows) // 2
    assert door(rows[place], model=model, **asked) == [results[place]]


@given(rows=st.lists(st.one_of(fitting(), odd), min_size=1, max_size=4), which=st.one_of(models, anything))
def test_what_is_no_row_is_a_problem_that_names_a_place(door, rows, which):
    said = door.said({"model": which, "customers": rows})
    if isinstance(said, Problem):
        assert said.status == 422 and said.errors
        assert all(error.path.startswith(("customers[", "model")) for error in said.errors)
        return
    for row, result in zip(rows, said["results"], strict=True):
        _whole(row, result, which, 3)


@given(st.lists(fitting(), min_size=1, max_size=3), st.lists(models, min_size=1, unique=True))
@settings(max_examples=30)
def test_several_models_answer_as_each_alone(door, rows, names):
    answers = door.body({"models": names, "customers": rows})["answers"]
    assert [answer["results"] for answer in answers] == [door(*rows, model=name) for name in names]


@given(st.lists(st.integers(0, 59), min_size=1, max_size=3), models, st.data())
@settings(max_examples=30)
def test_ones_own_events_in_any_order_give_the_published_score(door, numbers, model, data):
    people = [f"C-{number:04d}" for number in numbers]
    listed = door(*({"customer_id": one} for one in people), model=model, reasons=50)
    rows = []
    for one in people:
        own = {name: data.draw(st.permutations(stream)) for name, stream in door.events(one).items()}
        rows.append({"customer_id": one, "events": own})
    for before, again in zip(listed, door(*rows, model=model, reasons=50), strict=True):
        if before["status"] == "unknown_customer":
            assert again["status"] == "not_in_population"
        else:
            assert again | {"basis": before["basis"]} == before


def _whole(row, result, model, reasons):
    """A scored row with everything that makes its number readable, or a status that says why there is none."""
    assert result["model_version"] and result["as_of"] == "2026-02-01" and result["grade"] == "B"
    assert result["horizon"] == {"start": "2026-02-08", "end": "2026-04-09"} and not result["stale"]
    expected = NEVER[model].get(row["customer_id"])
    assert expected in (None, result["status"])
    if result["status"] != "ok":
        assert [result[name] for name in PER_ROW] == [None] * len(PER_ROW) and result["reasons"] == []
        assert result["status_text"] and result["basis"] is None
        return
    assert expected is None and result["status_text"] is None
    assert all(result[name] is not None for name in PER_ROW)
    assert 0 <= result["low"] <= result["score"] <= result["high"] <= 1 and 0 <= result["percentile"] <= 100
    assert all(math.isfinite(risk) for risk in result["risks"].values())
    assert len(result["reasons"]) <= reasons and all(reason["text"] for reason in result["reasons"])
    form = "events" if "events" in row else "changes" if row.get("changes") else "list"
    assert result["basis"] == form
    listed = row["customer_id"] in {f"C-{number:04d}" for number in range(60)}
    assert listed or (form == "events" and result["missing"] is not None)
    if not listed:
        named = {*row["events"], *row.get("changes", {})}
        assert set(result["missing"]).isdisjoint(named)
        assert {"login", "tenure_days", "plan"} <= set(result["missing"]) | named
    json.dumps(result, allow_nan=False)
