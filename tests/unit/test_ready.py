"""A ready-made feature table: what its columns become, what its label says, what is refused and how it is served."""

import json
import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.checks import quality
from features.config import load
from features.errors import ConfigError, DataError
from features.ready import rows as ready_rows
from features.ready import table as ready
from features.ready.config import Table
from serving.config import ServingConfig
from serving.life import live
from serving.lists import daily, today
from serving.scores import online
from serving.scores.schema import ScoreRequest
from serving.stores import store
from training import bundle, cross, job
from training.config import TrainConfig
from training.folds import folds
from training.refit import refit
from training.rows import Rows

DAY = date(2026, 6, 30)
TABLE = {"name": "shop", "table": "rows.parquet", "id": "id", "as_of": DAY, "label": "left"}


def made(folder: Path, frame: pd.DataFrame, **more) -> ready.Made:
    return ready.make(raw(folder, frame, **more))


def raw(folder: Path, frame: pd.DataFrame, **more) -> ready_rows.Raw:
    frame.to_parquet(folder / "rows.parquet", index=False)
    return ready_rows.read(Table.model_validate({**TABLE, "root": str(folder), **more}))


def plain(**columns) -> pd.DataFrame:
    size = len(next(iter(columns.values()))) if columns else 3
    return pd.DataFrame({"id": [f"c{i:04d}" for i in range(size)], "left": [i % 2 for i in range(size)], **columns})


def kinds(found: ready.Made) -> dict[str, str]:
    return {feature.name: feature.unit for feature in found.snapshot.features}


# What a column becomes.
KINDS = {
    "whole": ([1, 2, 2], "value"),
    "real": ([1.5, None, 2.5], "value"),
    "true": ([True, False, True], "flag"),
    "yes": (["Yes", "no", None], "flag"),
    "blanks": (["29.85", " ", "1e3"], "value"),
    "codes": (["010", "020", "020"], "category"),
    "words": (["月額", "年額", "月額"], "category"),
    "mixed": (["12", "n/a", "12"], "category"),
    "once or null": (["gold", None, None], "category"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_column_is_recognised_by_its_values(tmp_path, name):
    values, unit = KINDS[name]
    assert kinds(made(tmp_path, plain(**{name: values}))) == {name: unit}


def test_values_are_read_as_what_they_are(tmp_path):
    frame = made(
        tmp_path, plain(a=["29.85", " ", "1e3"], b=["Yes", "no", None], c=[" 月額 ", "", "年額"])
    ).snapshot.frame
    np.testing.assert_array_equal(frame["a"], [29.85, np.nan, 1000])
    np.testing.assert_array_equal(frame["b"], [1, 0, np.nan])
    assert frame["c"].astype(object).where(frame["c"].notna(), None).tolist() == ["月額", None, "年額"]


def test_the_yaml_has_the_last_word_on_a_type(tmp_path):
    found = made(tmp_path, plain(zone=[1, 2, 12], paid=["1", "0", "1"]), types={"zone": "category", "paid": "flag"})
    assert kinds(found) == {"zone": "category", "paid": "flag"}
    assert found.snapshot.frame["zone"].tolist() == ["1", "2", "12"]


def test_what_was_decided_is_said(tmp_path):
    size = 200
    found = made(
        tmp_path,
        plain(
            land=["JP"] * size,
            number=np.arange(size) * 7,
            charges=["1.5", " "] * 100,
            city=[f"{i % 60}町" for i in range(size)],
        ),
    )
    assert found.notes == (
        "rows.parquet: land: is the same in every row, and so left out",
        "rows.parquet: number: another whole number in every row; where it is an id, exclude it",
        "rows.parquet: charges: numbers and 100 blanks, which are read as null",
        "rows.parquet: city: 60 categories; the 50 most frequent are told apart, the others count as unknown",
    )
    assert set(kinds(found)) == {"number", "charges", "city"} and not found.problems


PROBLEMS = {
    "dates": ([datetime(2026, 1, day % 28 + 1) for day in range(120)], "holds dates or times; give the days"),
    "lists": ([[1]] * 120, "numbers, text and true/false can be features"),
    "free": ([f"note {i}" for i in range(120)], "120 different texts in 120 rows are no category"),
    "dirty": ([str(i) if i > 2 else f"n/a {i}" for i in range(120)], "3 values are text among numbers"),
    "mixed": ([str(i % 40) if i % 2 else "abc" for i in range(120)], "60 values are text among numbers"),
    "ISO dates": ([f"2020-03-{i % 28 + 1:02d}" for i in range(120)], "holds dates or times; give the days"),
    "two dates": (["2020-03-04", " ", "2020-3-5"] * 40, "holds dates or times; give the days"),
    "slash dates": ([f"2020/{i % 12 + 1}/1" if i else "n/a" for i in range(120)], "holds dates or times"),
    "times": (["2020-03-04 10:00", "2020-03-05T11:00:00Z"] * 60, "holds dates or times; give the days"),
    "endless": ([np.inf, *range(119)], "1 values are infinite"),
    "a:b": ([*range(119), 1], "a name cannot hold"),
    "outcome": ([0, 1] * 60, "another column of the snapshot has this name"),
}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_column_that_cannot_be_read_is_named_with_what_to_do(tmp_path, name):
    values, text = PROBLEMS[name]
    found = made(tmp_path, plain(**{name: values}))
    assert len(found.problems) == 1 and name in found.problems[0] and text in found.problems[0]
    assert not made(tmp_path, plain(**{name: values, "fine": [1, 2] * 60}), exclude=[name]).problems


@pytest.mark.parametrize("name", ["ISO dates", "slash dates", "mixed"])
def test_texts_that_look_like_more_are_a_category_where_the_yaml_says_so(tmp_path, name):
    found = made(tmp_path, plain(**{name: PROBLEMS[name][0]}), types={name: "category"})
    assert kinds(found) == {name: "category"} and not found.problems


CATEGORIES = {
    "codes": [f"{i % 300:04d}" for i in range(600)],
    "codes and a word": ["海外", *(f"{i % 280:04d}" for i in range(599))],
    "steps": ["No", "1", "2", "3", "4+"] * 120,
    "one number": ["1", "abc"] * 300,
    "few numbers": [str(i) if i < 29 else "abc" for i in range(600)],
    "half dates": ["2020-03-04", "未定"] * 300,
    "ranges": ["2020-2021", "10/12/2020", "2020-13-01"] * 200,
}


@pytest.mark.parametrize("name", CATEGORIES)
def test_codes_steps_and_words_stay_categories(tmp_path, name):
    found = made(tmp_path, plain(**{name: CATEGORIES[name]}))
    assert kinds(found) == {name: "category"} and not found.problems
    assert found.snapshot.frame[name].tolist() == CATEGORIES[name]


def csv_of(folder: Path, content: bytes) -> ready_rows.Raw:
    (folder / "rows.csv").write_bytes(content)
    return ready_rows.read(Table.model_validate({**TABLE, "root": str(folder), "table": "rows.csv"}))


FEW_ROWS, MANY_ROWS = "id,left,契約\na,1,月額\n", "id,left,plan\n" + "a,1,monthly\n" * 100_000 + "b,0,月額\n"


@pytest.mark.parametrize("text", [FEW_ROWS, MANY_ROWS], ids=["first line", "last line"])
def test_a_csv_of_another_encoding_is_named_with_what_to_do(tmp_path, text):
    said = r"^rows\.csv.* is not UTF-8; save it as UTF-8 \(Excel: CSV UTF-8\)$"
    with pytest.raises(DataError, match=said):
        csv_of(tmp_path, text.encode("cp932"))
    assert csv_of(tmp_path, FEW_ROWS.encode("utf-8-sig")).columns.column_names == ["契約"]


@pytest.mark.parametrize("content", [b"", b"\r\n\n", b"\xef\xbb\xbf"], ids=["no byte", "no text", "mark alone"])
def test_an_empty_csv_is_called_empty(tmp_path, content):
    with pytest.raises(DataError, match=r"rows\.csv is empty; write it again"):
        csv_of(tmp_path, content)


def test_two_names_that_lightgbm_cannot_tell_apart_are_refused(tmp_path):
    assert "a_b" in made(tmp_path, plain(**{"a b": [1, 2, 3], "a_b": [1, 2, 3]})).problems[0]


LABELS = [
    ([True, False, None], None, [1, 0, np.nan]),
    ([1, 0, None], None, [1, 0, np.nan]),
    (["yes", "no", " "], None, [1, 0, np.nan]),
    (["Yes", "No", None], "Yes", [1, 0, np.nan]),
    (["解約", "継続", ""], "解約", [1, 0, np.nan]),
    ([2, 1, None], 2, [1, 0, np.nan]),
]


@pytest.mark.parametrize(("values", "positive", "expected"), LABELS)
def test_a_label_says_whether_it_happened_or_is_not_known(tmp_path, values, positive, expected):
    own = raw(tmp_path, plain(x=[1, 2, 3]).assign(left=pd.Series(values)), positive=positive)
    np.testing.assert_array_equal(ready.outcome(own.label, own.data), expected)


@pytest.mark.parametrize(
    ("values", "positive", "text"),
    [
        (["left", "stayed", "left"], None, "data.yaml: positive"),
        ([1, 2, 3], None, "data.yaml: positive"),
        (["解約", "継続", "継続"], "離反", "it says 継続, 解約"),
        ([None, None, None], None, "no row has a value"),
    ],
)
def test_a_label_that_says_neither_is_refused(tmp_path, values, positive, text):
    own = raw(tmp_path, plain(x=[1, 2, 3]).assign(left=pd.Series(values)), positive=positive)
    with pytest.raises(DataError, match=text):
        ready.outcome(own.label, own.data)


def test_rows_are_ordered_and_their_keys_are_text(tmp_path):
    frame = pd.DataFrame(
        {"id": [12.0, 3.0, 12.0], "day": ["2026-02-01", "2026-02-01", "2026-01-01"], "left": 0, "x": [1, 2, 3]}
    )
    own = raw(tmp_path, frame, as_of="day")
    assert own.keys["customer_id"].tolist() == ["12", "12", "3"] and own.dates == [date(2026, 1, 1), date(2026, 2, 1)]
    assert ready.make(own).snapshot.frame["x"].tolist() == [3, 1, 2]


@pytest.mark.parametrize("kind", ["datetime64[s]", "text", "zoned"])
def test_a_date_is_the_day_it_names(tmp_path, kind):
    moments = {
        "datetime64[s]": pd.to_datetime(["2026-01-01", "2026-02-01"]),
        "text": ["2026-01-01", "2026-02-01"],
        "zoned": pd.to_datetime(["2025-12-31T15:00Z", "2026-01-31T15:00Z"]),
    }
    frame = pd.DataFrame({"id": ["a", "a"], "left": [0, 1], "x": [1, 2], "day": moments[kind]})
    assert raw(tmp_path, frame, as_of="day", timezone="Asia/Tokyo").dates == [date(2026, 1, 1), date(2026, 2, 1)]


BAD_ROWS = {
    "no row": (lambda frame: frame.head(0), {}, "no row in it"),
    "no id": (lambda frame: frame.assign(id=["a", None, "c"]), {}, "1 rows have no customer id"),
    "repeated": (lambda frame: frame.assign(id=["a", "a", "c"]), {}, "1 rows repeat a key .first: a."),
    "no date": (lambda frame: frame.assign(day=pd.to_datetime(["2026-01-01", None, "2026-01-01"])), {"as_of": "day"}, "1 rows have no date"),
    "no column": (lambda frame: frame, {"owner": "担当"}, "data.yaml: owner: rows.parquet has no column 担当"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_ROWS)
def test_bad_rows_are_refused(tmp_path, name):
    change, more, text = BAD_ROWS[name]
    with pytest.raises(DataError, match=text):
        raw(tmp_path, change(plain(x=[1, 2, 3])), **more)


@pytest.mark.parametrize("path", ["exclude", "types", "labels", "families"])
def test_a_column_that_is_not_there_is_refused(tmp_path, path):
    given = {"exclude": ["tenur"], "types": {"tenur": "flag"}, "labels": {"tenur": {}}, "families": {"a": ["tenur"]}}
    with pytest.raises(DataError, match=rf"data.yaml: {path}.*no column tenur"):
        made(tmp_path, plain(tenure=[1, 2, 3]), **{path: given[path]})


@settings(max_examples=12)
@given(st.permutations(range(6)))
def test_the_order_of_the_rows_does_not_matter(tmp_path_factory, order):
    folder = tmp_path_factory.mktemp("order")
    frame = plain(x=[1, 2, 3, 4, 5, 5], word=["a", "b", None, "a", "b", "c"])
    first, second = (made(folder, own).snapshot.fingerprint for own in (frame, frame.iloc[list(order)]))
    assert first == second


def test_families_and_labels_are_those_of_the_yaml(tmp_path):
    found = made(
        tmp_path,
        plain(plan_type=["a", "b", "b"], paid_by=["x", "x", "y"]),
        families={"contract": ["plan_type"]},
        labels={"plan_type": {"en": "Plan", "ja": "契約形態"}},
    )
    assert [(own.family, own.label) for own in found.snapshot.features] == [
        ("contract", {"en": "Plan", "ja": "契約形態"}),
        ("paid_by", {"en": "Paid by", "ja": "paid_by"}),
    ]


# Trained, graded and served through the same doors.
MODEL = """
data:
  name: shop
  root: {root}
  table: rows.parquet
  id: id
  as_of: {as_of}
  label: left
  positive: 解約
  owner: 担当
  labels: {{料金: {{en: Charge, ja: 料金}}}}
model: churn
population: {{table: all}}
outcome: {{kind: label, horizon_days: 30}}
value: {{amount: 料金}}
gate: {{promote: never}}
"""


def rows(seed: int, days: list[str], size: int = 200) -> pd.DataFrame:
    random, tables = np.random.default_rng(seed), []
    for day in days:
        quiet, plan = random.integers(0, 60, size), random.choice(["月額", "年額"], size)
        chance = 1 / (1 + np.exp(3 - quiet / 12 + 2 * (plan == "年額")))
        tables.append(
            pd.DataFrame({
                "id": [f"c{i:04d}" for i in range(size)],
                "day": day,
                "quiet": quiet,
                "plan": plan,
                "料金": random.integers(10, 90, size) + 0.5,
                "担当": random.choice(["佐藤", "鈴木"], size),
                "left": np.where(random.random(size) < chance, "解約", "継続"),
            })
        )  # fmt: skip
    return pd.concat(tables, ignore_index=True)


def configured(folder: Path, frame: pd.DataFrame, as_of: str, **changes: str) -> TrainConfig:
    frame.to_parquet(folder / "rows.parquet", index=False)
    (folder / "churn.yaml").write_text(MODEL.format(root=folder, as_of=as_of), encoding="utf-8")
    text = yaml_part((folder / "churn.yaml").read_text(encoding="utf-8"), "data:", "model:")
    (folder / "serving.yaml").write_text(text + "models: [churn]\n", encoding="utf-8")
    return load(folder / "churn.yaml", TrainConfig, [f"{path}={value}" for path, value in changes.items()])


def yaml_part(text: str, begin: str, end: str) -> str:
    return text[text.index(begin) : text.index(end)]


def trained(config: TrainConfig) -> job.Evaluation:
    return job.evaluate(config, job.snapshot(config, lambda text: None), lambda text: None)


MONTHS = [f"2025-{month:02d}-01" for month in range(1, 13)]
MATURE = [date(2025, month, 1) for month in range(1, 12)]


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> tuple[Path, job.Evaluation]:
    """A table of twelve dates, the newest without labels, with its champion placed; and how it was graded."""
    folder = tmp_path_factory.mktemp("dated")
    frame = rows(1, MONTHS)
    config = configured(folder, frame.assign(left=frame["left"].where(frame["day"] < "2025-12-01")), "day")
    evaluation = trained(config)
    own = refit(evaluation, lambda text: None)
    assert own is not None and evaluation.grade.letter in "AB"
    bundle.save(own, folder / "bundle")
    bundle.place(folder / "bundle", served(folder).home, "churn")
    return folder, evaluation


@pytest.fixture(scope="module")
def dated(judged) -> Path:
    return judged[0]


def served(folder: Path) -> ServingConfig:
    return load(folder / "serving.yaml", ServingConfig)


def listed(folder: Path, as_of: date | None = None) -> daily.Outcome:
    config = served(folder)
    store.migrate(store.connect(config.store_url))
    known = today.read(config, DAY)
    return daily.run(config, daily.champions(config)["churn"], as_of, known, lambda: datetime(2026, 1, 1))


def test_a_table_with_dates_is_graded_on_later_ones(judged):
    _, evaluation = judged
    assert [fold.test for fold in evaluation.folds.test] == [date(2025, month, 1) for month in (8, 9, 10, 11)]
    last = evaluation.folds.test[-1]
    assert max(last.train) == date(2025, 10, 1), "a train date's horizon ends before the test date"
    assert evaluation.rule == "quiet" and set(evaluation.scored["fold"]) == {
        f.test.isoformat() for f in evaluation.folds.test
    }


def test_the_embargo_is_as_long_as_the_outcome_takes(dated):
    longer = load(dated / "churn.yaml", TrainConfig, ["outcome.horizon_days=60", "outcome.settle_days=3"])
    assert longer.span_days == 63
    assert max(folds(MATURE, longer.span_days, 4).test[-1].train) == date(2025, 8, 1)


def test_the_newest_date_is_listed_and_the_second_run_changes_nothing(dated):
    first, second = listed(dated), listed(dated)
    assert (first.as_of, first.rows) == (date(2025, 12, 1), 200) and not second.published
    assert first.content == second.content
    with pytest.raises(DataError, match="no row of 2025-12-02; the newest are of 2025-12-01"):
        listed(dated, date(2025, 12, 2))


def test_the_door_scores_a_known_customer_by_id_in_both_languages(dated):
    listed(dated)
    asked = [{"customer_id": "c0007"}, {"customer_id": "nobody"}, {"customer_id": "c0007", "changes": {"plan": "年額"}}]
    own = live.Live(served(dated))
    texts = {}
    for lang in ("en", "ja"):
        request = ScoreRequest.model_validate({"model": "churn", "customers": asked, "reasons": 3, "lang": lang})
        found = online.answer(own, request).results
        assert [one.status for one in found] == ["ok", "unknown_customer", "ok"]
        assert abs(found[0].reference + sum(r.points for r in found[0].reasons) - found[0].score) < 1e-9
        texts[lang] = {reason.family: reason.text for reason in found[0].reasons}
    assert texts["en"]["料金"].startswith("Charge: ") and texts["ja"]["料金"].startswith("料金は")
    assert "plan" in texts["ja"] and "です" in texts["ja"]["plan"]


def test_the_list_tells_owners(dated):
    assert {"佐藤", "鈴木"} <= set(pd.read_csv(listed(dated).csv)["owner"])


DRIFTS = {
    "a column gone": (lambda frame: frame.drop(columns="quiet"), "quiet was a number and is missing"),
    "words for numbers": (lambda frame: frame.assign(quiet="many"), "schema: rows.parquet: quiet: 200 values are text where numbers"),
    "other words": (lambda frame: frame.assign(plan="monthly"), "plan: 100% of the rows are empty or of no known"),
    "emptied": (lambda frame: frame.assign(quiet=frame["quiet"].where(frame["quiet"] > 30)), "drift: quiet: "),
}  # fmt: skip


@pytest.mark.parametrize("name", DRIFTS)
def test_a_list_is_refused_where_the_table_is_another(dated, name):
    change, text = DRIFTS[name]
    known = pd.read_parquet(dated / "rows.parquet")
    try:
        change(known).to_parquet(dated / "rows.parquet", index=False)
        with pytest.raises(daily.Refused) as refusal:
            listed(dated)
        assert any(text in problem for problem in refusal.value.args)
    finally:
        known.to_parquet(dated / "rows.parquet", index=False)


def test_today_s_table_needs_no_label_and_may_have_further_columns(dated):
    known = pd.read_parquet(dated / "rows.parquet")
    before = listed(dated)
    try:
        known.drop(columns="left").assign(new="x").to_parquet(dated / "rows.parquet", index=False)
        assert listed(dated).content == before.content
    finally:
        known.to_parquet(dated / "rows.parquet", index=False)


def test_a_table_of_one_day_earns_a_b_at_most(tmp_path):
    frame = rows(2, ["2025-01-01"], 900).drop(columns="day")
    evaluation = trained(configured(tmp_path, frame, "2025-01-01"))
    assert evaluation.grade.letter == "B" and evaluation.grade.reasons == (cross.UNSEEN,)
    assert evaluation.grade.figures["surplus_low"] >= 0.1, "on later dates these figures would be an A"
    assert evaluation.scored["customer_id"].is_unique and len(evaluation.scored) == 900


def test_a_table_of_one_day_is_not_asked_about_dates(tmp_path):
    config = configured(tmp_path, rows(2, ["2025-01-01"], 300).drop(columns="day"), "2025-01-01")
    found = quality.enough(config, job.snapshot(config, lambda text: None))
    assert [(one.check, one.level) for one in found] == [("customers", "ok"), ("outcomes", "ok")]


def test_a_table_of_few_dates_hears_nothing_of_windows(tmp_path):
    config = configured(tmp_path, rows(2, MONTHS[:3]), "day")
    history = quality.enough(config, job.snapshot(config, lambda text: None))[0]
    assert (history.check, history.level) == ("history", "error") and history.text.startswith("3 mature as-of dates")
    for lang in ("en", "ja"):
        assert "as_of.test_dates" in history.told(lang)[2] and "windows" not in " ".join(history.told(lang))


def test_a_parent_is_held_out_as_a_whole():
    unit = np.repeat(np.arange(40), 5)
    outcome = np.tile([1.0, 0, 0, 1, 0], 40)
    table = Rows([], np.zeros((200, 0)), outcome, unit, unit.astype(object), np.full(200, np.datetime64("2025-01-01")))
    splits = cross.splits(table)
    assert len(splits) == 5 and sorted(np.concatenate([split.test for split in splits])) == list(range(200))
    for split in splits:
        assert not set(unit[split.train]) & set(unit[split.test])


def test_shuffled_outcomes_are_no_model(tmp_path):
    frame = rows(3, ["2025-01-01"], 700).drop(columns="day")
    frame["left"] = np.random.default_rng(5).permutation(frame["left"].to_numpy())
    assert trained(configured(tmp_path, frame, "2025-01-01")).grade.letter == "C"


def test_one_class_is_not_graded(tmp_path):
    frame = rows(4, ["2025-01-01"], 200).drop(columns="day").assign(left="解約")
    evaluation = trained(configured(tmp_path, frame, "2025-01-01"))
    assert evaluation.grade.letter == "C" and evaluation.served is None


def test_of_one_day_those_without_a_label_are_listed_else_all(tmp_path):
    frame = rows(6, ["2025-01-01"], 40).drop(columns="day")
    some = raw(tmp_path, frame.assign(left=frame["left"].where(frame.index < 30)), positive="解約")
    assert len(ready.today(some, DAY).keys) == 10
    assert len(ready.today(raw(tmp_path, frame, positive="解約"), DAY).keys) == 40
    assert ready.today(some, date(2026, 7, 1)).dates == [date(2026, 7, 1)]


@pytest.mark.parametrize("leak", ["copy", "text", "nearly"])
def test_a_column_that_is_the_label_is_named_before_training(tmp_path, leak):
    frame = rows(7, ["2025-01-01"], 400).drop(columns="day")
    told = {
        "copy": (frame["left"] == "解約") * 3.5,
        "text": frame["left"] + "済",
        "nearly": (frame["left"] == "解約") + frame["quiet"] / 1000,
    }
    config = configured(tmp_path, frame.assign(reason=told[leak]), "2025-01-01")
    found = quality.leaking(job.snapshot(config, lambda text: None))
    assert len(found) == 1 and found[0].startswith("reason: ")


YAMLS = [
    ("data.streams={}", "churn.yaml: data.streams: unknown key"),
    (
        "data.tabel=x",
        "churn.yaml: data.tabel: unknown key .did you mean table..; known keys: name, root, engine, timezone, table, id, as_of",
    ),
    ("data.types={a: colour}", "churn.yaml: data.types.a: should be 'number', 'category' or 'flag'"),
    ("data.label=id", "churn.yaml: data: id: this column is named for two things"),
    ("data.families={a: [x], b: [x]}", "families: x is in two families"),
    ("data.as_of=null", "churn.yaml: data.as_of"),
    ("outcome={kind: event, streams: [x], horizon_days: 30}", "outcome.kind: a ready-made table has its outcome"),
    ("outcome={kind: label}", "churn.yaml: outcome.horizon_days: this key is missing"),
    ("population={seen: {streams: [x], days: 3}}", "population: `table: all`"),
    ("windows.days=[7]", "windows: a ready-made table has its own columns and dates"),
    ("as_of.every=28d", "as_of.every: a ready-made table has its own"),
]


@pytest.mark.parametrize(("override", "text"), YAMLS)
def test_a_yaml_that_does_not_fit_is_refused_with_its_path(tmp_path, override, text):
    configured(tmp_path, rows(8, ["2025-01-01"], 10), "day")
    with pytest.raises(ConfigError, match=text):
        load(tmp_path / "churn.yaml", TrainConfig, [override])


def test_a_label_needs_a_table():
    with pytest.raises(ConfigError, match=r"outcome\.kind"):
        load(Path("configs/saas/churn.yaml"), TrainConfig, ["outcome={kind: label, horizon_days: 30}"])


@pytest.mark.parametrize("as_of", ["day", "2025-01-01"])
def test_a_recorded_config_is_read_again_as_it_was(tmp_path, as_of):
    config = configured(tmp_path, rows(9, ["2025-01-01"], 10), as_of)
    kept = json.loads(config.model_dump_json())
    assert kept["data"]["positive"] == "解約" and "streams" not in kept["data"]
    assert TrainConfig.model_validate(kept) == config


def test_the_same_rows_give_the_same_bundle_on_one_thread(dated):
    script = (
        "import sys; from pathlib import Path; from features.config import load; from training import job;"
        "from training.config import TrainConfig; from training.refit import refit; say = lambda text: None;"
        "config = load(Path(sys.argv[1]), TrainConfig); made = job.snapshot(config, say);"
        "print(refit(job.evaluate(config, made, say), say).sha256)"
    )
    command = [sys.executable, "-c", script, str(dated / "churn.yaml")]
    one = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=one, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == bundle.load(dated / "bundle").sha256
