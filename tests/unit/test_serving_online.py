"""The scoring door without its socket: what each row form is answered with, and what is refused."""

import asyncio
import difflib
import json
import re
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter, ValidationError

from features import columns, erased
from features.calendar import day_of, number
from features.errors import DataError
from serving.http import cards
from serving.life.live import Live
from serving.life.prepared import Prepared, prepared
from serving.lists import risk_list
from serving.problem import Refusal, read, refuse_repeats
from serving.scores import misfits, online, schema, turns
from serving.scores.schema import Customer, ScoreRequest
from serving.scores.turns import Turns
from serving.stores import store
from tests.service import world as worlds
from tests.service.local import SEEN_DAYS, Local, local
from tests.unit.bundles import rule_bundle

FIGURES = ("score", "low", "high", "risks", "band", "percentile")
ROW = {"customer_id": "C-0005"}
LOGIN = [{"at": "2026-01-30", "entity": "U1"}]


@pytest.fixture(scope="module")
def door(workspace, tmp_path_factory) -> Local:
    return local(tmp_path_factory.mktemp("door") / "door")


@pytest.fixture
def fresh(door, monkeypatch) -> Local:
    """The same lists, as after a new champion: nothing is taken from the published rows."""
    served = {model: door.live.get(model) for model in ("churn", "upsell")}
    for one in served.values():
        other = type(one.run)(**{c.name: getattr(one.run, c.name) for c in one.run.__table__.columns})
        other.bundle = "another"
        served[one.run.model] = replace(one, run=other)
    monkeypatch.setattr(door.live, "get", served.get)
    assert not served["churn"].same
    return door


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("model", ["churn", "upsell"])
def test_the_answer_is_the_published_row_field_by_field(door, model, lang):
    _equals_the_list(door, model, lang)


@pytest.mark.parametrize("model", ["churn", "upsell"])
def test_a_score_made_anew_is_the_published_row_too(fresh, model):
    _equals_the_list(fresh, model, "ja")


def test_a_score_speaks_for_the_model_that_made_it_not_for_the_one_of_the_list(door, monkeypatch):
    served, plain = door.live.get("churn"), worlds.bundle().info
    days = plain.outcome.horizon_days + 30
    same = {name: getattr(plain, name) for name in ("population", "windows", "history_days", "timezone", "data")}
    rule = rule_bundle(**same, outcome=plain.outcome.model_copy(update={"horizon_days": days}))
    monkeypatch.setattr(door.live, "get", lambda model: replace(served, bundle=rule))
    answer, listed = door.body({"model": "churn", "customers": [ROW]}), door.listed("churn")
    (result,) = answer["results"]
    assert listed["note"] is None and answer["note"].startswith("Ranked by a simple rule (login_recency)")
    begins = worlds.TODAY + timedelta(plain.outcome.gap_days)
    told = {"start": begins.isoformat(), "end": (begins + timedelta(days)).isoformat()}
    assert result["horizon"] == told != listed["horizon"]
    state = cards.state(door.live, "churn", "en")["served"]
    assert (state["rule"], state["horizon"], state["model_version"]) == ("login_recency", told, rule.version)

    by_rule = replace(served, run=risk_list.entry(rule, worlds.TODAY, worlds.NOON), bundle=served.bundle)
    by_rule.run.snapshot, by_rule.run.features = served.run.snapshot, served.run.features
    monkeypatch.setattr(door.live, "get", lambda model: by_rule)
    answer = door.body({"model": "churn", "customers": [ROW]})
    assert answer["note"] is None and answer["results"][0]["horizon"] == listed["horizon"]


def _equals_the_list(door, model, lang):
    published = door.listed(model, lang)
    answer = door.body({
        "model": model, "lang": lang, "customers": [{"customer_id": row["customer_id"]} for row in published["rows"]]
    })  # fmt: skip
    shared = set(published["rows"][0]) & set(answer["results"][0])
    assert shared == {"customer_id", "score", "low", "high", "risks", "band", "percentile", "reasons"}
    for row, result in zip(published["rows"], answer["results"], strict=True):
        assert {name: row[name] for name in shared} == {name: result[name] for name in shared}
    head = set(published) & set(answer["results"][0])
    assert head == {"as_of", "horizon", "model_version", "grade", "base_rate", "reference"}
    assert all(result[name] == published[name] for result in answer["results"] for name in head)
    assert (answer["note"], answer["interval"]) == (published["note"], published["interval"])


@pytest.mark.parametrize("model", ["churn", "upsell"])
def test_ones_own_events_give_the_published_score(door, model):
    rows = door.listed(model)["rows"][::5]
    asked = [{"customer_id": row["customer_id"], "events": door.events(row["customer_id"])} for row in rows]
    for row, result in zip(rows, door(*asked, model=model), strict=True):
        assert result["status"] == "ok" and result["basis"] == "events"
        assert (result["ignored_events"], result["missing"]) == (0, [])
        assert all(result[name] == row[name] for name in (*FIGURES, "reasons"))


def test_a_stranger_with_the_same_facts_has_the_same_score(door):
    (listed,) = door(ROW)
    served = door.live.get("churn")
    values = served.rows.values(served.rows.position("C-0005"))
    own = {"changes": {name: values[name] for name in ("plan", "tenure_days")}, "events": door.events("C-0005")}
    (stranger,) = door({"customer_id": "誰も知らない顧客", **own})
    assert [stranger[name] for name in FIGURES] == [listed[name] for name in FIGURES]
    assert stranger["basis"] == "events" and stranger["missing"] == []


def test_what_is_assumed_of_a_stranger_is_named(door):
    (result,) = door({"customer_id": "new", "events": {"ticket": [{"at": "2026-01-30", "until": None}]}})
    assert result["status"] == "ok" and result["missing"] == ["login", "tenure_days", "plan"]
    (result,) = door({"customer_id": "new", "events": {"login": LOGIN}, "changes": {"plan": None}})
    assert result["missing"] == ["tenure_days"]


def test_a_named_stream_is_replaced_and_the_others_stay(door):
    (none,) = door({**ROW, "events": {"login": []}}, lang="ja")
    (listed,) = door(ROW)
    assert none["score"] > listed["score"]
    (login,) = [reason for reason in none["reasons"] if reason["family"] == "login"]
    assert login["facts"]["recency"] is None if "recency" in login["facts"] else login["facts"]["count"] == 0
    (ticket,) = door({**ROW, "events": {"ticket": []}})
    assert [ticket[name] for name in FIGURES] == [listed[name] for name in FIGURES]


def test_events_at_or_after_the_date_are_not_seen_and_counted(door):
    later = [{"at": at, "entity": "U1"} for at in ("2026-02-01", "2026-02-01T00:00:00", "2026-01-31T15:00:00Z")]
    own = door.events("C-0005")
    (plain, with_later) = door({**ROW, "events": own}, {**ROW, "events": {**own, "login": own["login"] + later}})
    assert with_later.pop("ignored_events") == 3 and plain.pop("ignored_events") == 0
    assert with_later == plain
    just_before = [{"at": "2026-01-31T14:59:59.999999Z", "entity": "U1"}]
    (result,) = door({**ROW, "events": {"login": just_before}})
    assert result["ignored_events"] == 0


@pytest.mark.parametrize("form", [{}, {"changes": {"plan": "pro"}}, {"events": {"login": LOGIN}}])
@pytest.mark.parametrize(
    ("customer", "status"), [(worlds.LEAVING, "already_leaving"), (worlds.OPTED_OUT, "opted_out"), ("?", None)]
)
def test_who_is_not_to_be_scored_is_not_in_whatever_form(door, form, customer, status):
    (result,) = door({"customer_id": customer, **form})
    expected = status or ("ok" if "events" in form else "unknown_customer")
    assert result["status"] == expected and (result["score"] is None) == (expected != "ok")


def test_who_was_erased_is_never_scored_again(door, monkeypatch):
    home = door.world.config.home
    erased.add(home, "C-0012", worlds.TODAY)
    try:
        for form in ({}, {"changes": {"plan": "pro"}}, {"events": {"login": LOGIN}}):
            (result,) = door({"customer_id": "C-0012", **form})
            assert result["status"] == "opted_out" and result["score"] is None and result["reasons"] == []
        (home / erased.NAME).write_text("{")
        monkeypatch.setattr(door.live, "_erased", None)
        assert door.refused({"model": "churn", "customers": [ROW]}).status == 503
    finally:
        (home / erased.NAME).unlink()
        (home / erased.MADE).unlink()


@pytest.mark.parametrize("harm", ["gone", "cut"])
def test_while_nobody_can_tell_who_was_erased_nobody_is_scored_and_it_says_so(workspace, tmp_path, caplog, harm):
    own = local(tmp_path / tmp_path.name)
    home, asked = own.world.config.home, {"model": "churn", "customers": [ROW]}
    path = home / erased.NAME
    erased.add(home, "C-0012", worlds.TODAY)
    own.live.look()
    assert own.live.ready()[1]["status"] == "ready" and own.live.ready()[1]["reason"] is None
    path.unlink() if harm == "gone" else path.write_text(path.read_text()[:40])
    own.live.look()
    own.live.look()
    served, state = own.live.ready()
    assert served and state["status"] == "degraded" and "put erased.json back" in state["reason"]
    assert own({"customer_id": "C-0012"})[0]["status"] == "opted_out"
    assert [record.msg for record in caplog.records].count("erased.unreadable") == 1
    again = replace(own, live=Live(own.world.config))
    assert again.refused(asked).status == 503 and dict(again.refused(asked).headers) == {"retry-after": "5"}
    served, state = again.live.ready()
    assert not served and state["status"] == "not_ready" and "put erased.json back" in state["reason"]
    with pytest.raises(DataError, match=r"erased\.json: .*put it back"):
        own.world.publish(worlds.TODAY + timedelta(days=1))
    with pytest.raises(DataError, match=r"erased\.json: .*put it back"):
        erased.add(home, "C-0013", worlds.TODAY)


@pytest.mark.parametrize(("days", "status"), [(1, "ok"), (SEEN_DAYS, "ok"), (SEEN_DAYS + 1, "not_in_population")])
@pytest.mark.parametrize("customer", ["C-0005", "new"])
def test_events_may_say_that_a_customer_is_not_at_risk(door, customer, days, status):
    at = day_of(number(worlds.TODAY) - days).isoformat()
    events = {"login": [{"at": at, "entity": None}]}
    (upsell,) = door({"customer_id": customer, "events": events}, model="upsell")
    (churn,) = door({"customer_id": customer, "events": events}, model="churn")
    assert (upsell["status"], churn["status"]) == (status, "ok")
    assert (upsell["score"] is None) == (status != "ok") and bool(upsell["status_text"]) == (status != "ok")


def test_a_customer_of_whom_nothing_is_known_gets_no_score(door):
    for events in ({"login": []}, {"login": [{"at": "2026-03-01", "entity": None}], "ticket": []}):
        (result,) = door({"customer_id": "new", "events": events})
        assert result["status"] == "not_enough_history" and result["score"] is None
        assert result["ignored_events"] == len(events["login"])


def test_several_models_in_one_call(door):
    body = {"models": ["upsell", "churn"], "customers": [ROW, {"customer_id": worlds.SILENT}], "lang": "ja"}
    answers = door.body(body)["answers"]
    assert [one["model"] for one in answers] == body["models"]
    for one in answers:
        alone = door.body({"model": one["model"], "customers": body["customers"], "lang": "ja"})
        assert one == alone
    assert [result["status"] for result in answers[0]["results"]] == ["ok", "unknown_customer"]


MISFITS = [
    ({"customers": [ROW]}, "model"),
    ({"model": "churn", "models": ["churn"], "customers": [ROW]}, "model"),
    ({"models": ["churn", "nope"], "customers": [ROW]}, "models[1]"),
    ({"models": [], "customers": [ROW]}, "models"),
    ({"models": ["churn", "upsell", "churn"], "customers": [ROW]}, "models"),
    ({"models": ["churn", "upsell"], "customers": [ROW] * 501}, "models"),
    ({"model": "churn", "customers": [ROW, {**ROW, "events": {}}]}, "customers[1].events"),
    ({"model": "churn", "customers": [ROW, {**ROW, "events": {"logout": []}}]}, "customers[1].events"),
    ({"model": "churn", "customers": [{**ROW, "events": {"contact": []}}]}, "customers[0].events"),
    ({"model": "churn", "customers": [{**ROW, "events": {"login": [{"entity": None}]}}]}, "customers[0].events.*[0].at"),
    ({"model": "churn", "customers": [{**ROW, "events": {"login": [{"at": "2026-02-30", "entity": None}]}}]},
     "customers[0].events.login"),
    ({"model": "churn", "customers": [{**ROW, "events": {"login": [{"at": "2026-01-30"}]}}]},
     "customers[0].events.login"),
    ({"model": "churn", "customers": [{**ROW, "events": {"login": [{**LOGIN[0], "until": None}]}}]},
     "customers[0].events.login"),
    ({"model": "churn", "customers": [{**ROW, "events": {"login": LOGIN * 20_001}}]}, "customers[0].events.*"),
    ({"model": "churn", "customers": [ROW, {"customer_id": " C-0005"}]}, "customers[1].customer_id"),
    ({"model": "churn", "customers": [{"customer_id": "C-0005\v"}]}, "customers[0].customer_id"),
    ({"model": "churn", "customers": [{**ROW, "events": {"login": LOGIN * 2000}}] * 11}, "customers"),
    ({"model": "churn", "customers": [{**ROW, "changes": {"login_recency": 3}, "events": {"login": LOGIN}}]},
     "customers[0].changes"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "path"), MISFITS)
def test_what_does_not_fit_is_refused_at_its_place(door, body, path):
    problem = door.refused(body)
    assert problem.status == 422 and [error.path.removesuffix(".*") for error in problem.errors] == [
        path.removesuffix(".*")
    ]


def test_a_blank_at_the_end_of_an_id_is_what_tables_are_read_without():
    """\\s of Rust, Python and JavaScript differ: U+0085, U+001C, U+3000 and U+FEFF are blanks to some of them."""
    reader = TypeAdapter(schema.Id)

    def taken(form: str) -> bool:
        try:
            return reader.validate_python(form) == form
        except ValidationError:
            return False

    for sign in map(chr, [*range(0xD800), *range(0xE000, 0x10000)]):
        blank = sign in columns.BLANKS
        assert bool(re.search(schema.ENDS, sign)) is taken(sign) is not blank
        assert not blank or not (taken(f"{sign}C") or taken(f"C{sign}") or not taken(f"C{sign}C"))


def test_a_long_call_of_unknown_names_looks_for_the_nearest_a_few_times_only(door, monkeypatch):
    looked = []
    monkeypatch.setattr(difflib, "get_close_matches", lambda name, *_: looked.append(name) or [])
    rows = [{**ROW, "changes": {f"login_count_{place}_{name}d": 1 for name in range(300)}} for place in range(80)]
    problem = door.refused({"model": "churn", "customers": rows})
    assert problem.status == 422 and len(problem.errors) == 100 and len(looked) == online.MOST_HINTS


def test_whoever_is_erased_during_a_long_call_is_not_scored_by_what_is_left_of_it(fresh):
    request = read(ScoreRequest, json.dumps({"model": "churn", "customers": [ROW] * 80}).encode())
    work, home = online.work(fresh.live, request), fresh.world.config.home
    try:
        for _ in range(5):  # checking in four pieces, then the first piece of scores
            next(work)
        erased.add(home, ROW["customer_id"], worlds.TODAY)
        statuses = [one["status"] for one in json.loads(turns.finished(work))["results"]]
    finally:
        for name in (erased.NAME, erased.MADE):
            (home / name).unlink()
    assert statuses[0] == "ok" and statuses[-1] == "opted_out" and sorted(statuses) == statuses


def test_every_wrong_row_of_a_long_call_is_named(door):
    rows = [{**ROW, "changes": {"plan": "x"}} if place in (3, 40, 77) else ROW for place in range(80)]
    problem = door.refused({"model": "churn", "customers": rows})
    assert [error.path for error in problem.errors] == [f"customers[{place}].changes" for place in (3, 40, 77)]


def test_the_problem_names_no_more_than_a_hundred_places(door):
    rows = [{**ROW, "changes": {"nothing": place}} for place in range(300)]
    assert len(door.refused({"model": "churn", "customers": rows}).errors) == 100
    assert len(door.refused({"model": "churn", "customers": [{"customer_id": 1}] * 300}).errors) == 100


def test_a_stale_state_is_said_in_every_result(door, monkeypatch):
    served = door.live.get("churn")
    monkeypatch.setattr(door.live, "get", lambda model: replace(served, stale="store_unreachable"))
    results = door(ROW, {"customer_id": "?"}, {**ROW, "changes": {"plan": "pro"}})
    assert [result["stale"] for result in results] == [True] * 3


def test_nothing_served_is_a_503(door, monkeypatch):
    monkeypatch.setattr(door.live, "get", lambda model: None)
    problem = door.refused({"model": "churn", "customers": [ROW]})
    assert problem.status == 503 and "retry-after" in problem.headers


def test_a_model_that_the_data_no_longer_fit_is_a_503_that_says_when_to_come_back(door, monkeypatch):
    def unfit(*_):
        raise DataError("data.yaml does not fit the model any more")

    monkeypatch.setattr(online, "prepared", unfit)
    problem = door.refused({"model": "churn", "customers": [ROW]})
    assert problem.status == 503 and "retry-after" in problem.headers and "train it again" in problem.detail


def test_a_null_is_no_category_even_where_one_is_called_none(door, monkeypatch):
    served = door.live.get("churn")
    place, column = next((n, one) for n, one in enumerate(served.bundle.info.features) if one["kind"] == "category")
    monkeypatch.setitem(column, "categories", ["None", *column["categories"][1:]])
    model = Prepared(served, door.world.config.data)
    assert model.cells(dict.fromkeys(model.names))[place] is None
    assert model.cells(dict.fromkeys(model.names) | {column["name"]: "None"})[place] == 0.0


def test_a_long_answer_lets_others_in_and_is_the_same(door):
    rows = [{"customer_id": f"C-{place % 60:04d}"} for place in range(200)]
    request = ScoreRequest(model="churn", customers=rows)
    rounds = []

    async def others():
        while True:
            rounds.append(None)
            await asyncio.sleep(0)

    async def both():
        beside = asyncio.ensure_future(others())
        body = await Turns(1.0).through(online.work(door.live, request))
        beside.cancel()
        return body

    assert asyncio.run(both()) == online.answer_bytes(door.live, request)
    assert len(rounds) >= 200 / online.AT_ONCE


def test_who_asks_is_told_what_was_said(door):
    seen = []
    request = read(ScoreRequest, b'{"model": "churn", "customers": [{"customer_id": "C-0005"}, {"customer_id": "?"}]}')
    online.answer_bytes(door.live, request, lambda *told: seen.append(told))
    ((model, version, statuses, scores),) = seen
    assert (model, version) == ("churn", door.live.get("churn").bundle.version)
    assert list(statuses) == ["ok", "unknown_customer"] and len(list(scores)) == 1 and np.isfinite(list(scores)).all()


@pytest.mark.parametrize(
    ("measure", "unit", "value", "fits"),
    [("trend", "ratio", 15.0, True), ("trend", "ratio", -15.1, False), ("attribute", "flag", 0.5, False),
     ("attribute", "flag", 1.0, True), ("seats_used", "share", -0.1, False), ("attribute", "value", -3.0, True),
     ("slope", "per week", -2.0, True), ("days", "days", None, True)],
)  # fmt: skip
def test_changes_that_nobody_could_mean_are_refused(door, monkeypatch, measure, unit, value, fits):
    model = prepared(door.live.get("churn"), door.world.config.data)
    column = {**model.columns["login_recency"], "measure": measure, "unit": unit}
    monkeypatch.setitem(model.columns, "login_recency", column)
    row = Customer(customer_id="C-0005", changes={"login_recency": value})
    assert bool(list(misfits.of(model, row, "customers[0]", iter(())))) != fits


@pytest.mark.parametrize("body", ['{"model": "churn", "model": "churn"}', '{"a": {"b": 1, "b": 1}}'])
def test_a_key_that_stands_twice_is_refused(body):
    with pytest.raises(Refusal, match="a key stands twice"):
        refuse_repeats(body.encode())


def test_who_refused_since_is_not_scored_by_a_model_whose_list_is_older(workspace, tmp_path):
    own = local(tmp_path / tmp_path.name)
    ids = [row["customer_id"] for row in own.listed("upsell")["rows"][:2]]
    people = own.world.path.parent / "data" / "customers.parquet"
    table = pd.read_parquet(people)
    table["no_profiling"] |= table["account"] == ids[0]
    table.to_parquet(people)
    own.world.publish(worlds.TODAY + timedelta(days=1), "churn")
    own.live.look()
    found = own(*({"customer_id": one} for one in ids), model="upsell")
    assert [one["status"] for one in found] == ["opted_out", "ok"]
    assert found[0]["score"] is None and found[0]["reasons"] == []


def test_of_two_lists_of_one_day_the_one_made_later_knows_who_refused(workspace, tmp_path):
    own = local(tmp_path / tmp_path.name)
    first = refusing(own, own.listed("upsell")["rows"][0]["customer_id"])
    own.world.publish(worlds.TODAY, "churn")
    own.live.look()
    for asked in ({"customer_id": first}, {"customer_id": first, "changes": {"login_recency": 3}}):
        (found,) = own(asked, model="upsell")
        assert (found["status"], found["score"]) == ("opted_out", None)


def test_an_older_list_that_stands_in_for_a_damaged_one_does_not_score_who_refused_since(workspace, tmp_path):
    own = local(tmp_path / tmp_path.name)
    first = refusing(own, own.listed("churn")["rows"][0]["customer_id"])
    other = own.listed("churn")["rows"][1]["customer_id"]
    own.world.publish(worlds.TODAY + timedelta(days=1), "churn")
    with own.world.session() as session:
        path = own.world.config.home / "snapshots" / store.published(session, "churn").snapshot
    whole = path.read_bytes()
    path.unlink()
    path.write_bytes(whole[:-10])
    for live in (own.live, Live(own.world.config)):
        live.look()
        for away in (False, True):  # in the second look the store cannot be asked any more
            with broken(own.world) if away else nullcontext():
                live.look()
                found = replace(own, live=live)(*({"customer_id": one} for one in (first, other)), model="churn")
            assert [one["status"] for one in found] == ["opted_out", "ok"] and found[1]["stale"] is True


def refusing(own, customer):
    """Let a customer refuse from now on; returns the id."""
    people = own.world.path.parent / "data" / "customers.parquet"
    table = pd.read_parquet(people)
    table["no_profiling"] |= table["account"] == customer
    table.to_parquet(people)
    return customer


@contextmanager
def broken(world):
    """The file of the store is away."""
    path = world.config.home / "serving.db"
    away = path.rename(path.with_name("away.db"))
    yield
    away.rename(path)
