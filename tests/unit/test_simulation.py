"""The simulated company: believable, consistent, repeatable, and refused when it is not."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

from simulation.__main__ import main
from simulation.causes import CHURN, NAMES
from simulation.chain import Chain
from simulation.company import BLOCK, build
from simulation.settings import Settings, SimulationError
from simulation.tables import SCHEMAS
from simulation.verdict import Tally

DATA = Path(__file__).parents[2] / "configs/saas/data.yaml"
END = date(2026, 1, 1)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    out = tmp_path_factory.mktemp("company") / "data"
    build(Settings(out, customers=500, months=14))
    return {path.stem: pd.read_parquet(path) for path in out.iterdir()}


def terms(company: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return company["subscriptions"].sort_values(["account_id", "start_date"])


def last_terms(company: dict[str, pd.DataFrame]) -> pd.DataFrame:
    return terms(company).drop_duplicates("account_id", keep="last").set_index("account_id")


def hashes(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        build(Settings(tmp_path / name, customers=500, months=14, seed=seed))
    assert hashes(tmp_path / "one") == hashes(tmp_path / "two") != hashes(tmp_path / "three")


def test_a_full_block_does_not_depend_on_the_number_of_customers(tmp_path: Path) -> None:
    build(Settings(tmp_path / "small", customers=BLOCK, months=12))
    build(Settings(tmp_path / "large", customers=BLOCK + 200, months=12))
    for name in SCHEMAS:
        small, large = (pd.read_parquet(tmp_path / size / f"{name}.parquet") for size in ("small", "large"))
        same = large[large.account_id <= f"A-{BLOCK:06d}"]
        pd.testing.assert_frame_equal(small, same.reset_index(drop=True))


def test_every_block_is_one_row_group(tmp_path: Path) -> None:
    build(Settings(tmp_path / "data", customers=BLOCK + 200, months=12))
    assert pq.ParquetFile(tmp_path / "data/events.parquet").num_row_groups == 2


def test_nothing_is_known_before_it_happens_or_after_the_data_end(company: dict[str, pd.DataFrame]) -> None:
    until = pd.Timestamp(END) - pd.Timedelta(hours=9)
    known = {"events": ("occurred_at", "loaded_at"), "tickets": ("opened_at", "recorded_at")}
    for name, (occurred, recorded) in known.items():
        assert (company[name][recorded] >= company[name][occurred]).all()
    for name, table in company.items():
        times = [column for column in table if column.endswith("_at") and name != "truth"]
        assert all((table[column].dropna() < until).all() for column in times), name
    for name in ("seat_history", "plan_history"):
        local = company[name].known_at + pd.Timedelta(hours=9)
        assert (local.dt.date == company[name].valid_from).all()


def test_a_few_events_come_days_late(company: dict[str, pd.DataFrame]) -> None:
    delay = company["events"].loaded_at - company["events"].occurred_at
    assert 0.02 < (delay >= pd.Timedelta(days=1)).mean() < 0.04
    assert delay.max() < pd.Timedelta(days=3, hours=1)


def test_tickets_close_after_they_open(company: dict[str, pd.DataFrame]) -> None:
    tickets = company["tickets"]
    assert (tickets.closed_at.dropna() > tickets.opened_at[tickets.closed_at.notna()]).all()
    assert set(tickets.severity) == {1, 2, 3, 4}
    assert 0 < tickets.closed_at.isna().mean() < 0.4


def test_subscriptions_of_an_account_follow_each_other(company: dict[str, pd.DataFrame]) -> None:
    rows = terms(company)
    assert (rows.end_date.dropna() > rows.start_date[rows.end_date.notna()]).all()
    assert rows.subscription_id.is_unique
    later = rows.groupby("account_id").start_date.shift(-1)
    assert (rows.end_date[later.notna()] == later.dropna()).all()
    assert rows.notice_at[later.notna()].isna().all()
    assert (rows.recorded_at + pd.Timedelta(hours=9) < pd.to_datetime(rows.start_date)).all()
    assert (rows.renewal_date > rows.start_date).all() and (rows.arr > 0).all()


def test_most_leave_with_notice_and_those_who_did_not_pay_without(company: dict[str, pd.DataFrame]) -> None:
    rows = last_terms(company)
    ended = rows[rows.end_date.notna()]
    lead = pd.to_datetime(ended.end_date) - (ended.notice_at + pd.Timedelta(hours=9)).dt.normalize()
    assert lead.dropna().dt.days.between(1, 45).all()
    assert 0.6 < ended.notice_at.notna().mean() < 0.95
    truth = company["truth"]
    given = (ended.notice_at + pd.Timedelta(hours=9)).dt.normalize()
    assert (given.dropna() >= pd.to_datetime(ended.start_date[given.notna()])).all()
    unpaid = truth[truth.decision_cause == "failed_payments"].account_id.unique()
    assert len(unpaid) and ended.notice_at.reindex(unpaid).isna().all()


def test_no_event_comes_before_signup_or_after_the_end(company: dict[str, pd.DataFrame]) -> None:
    day = (company["events"].occurred_at + pd.Timedelta(hours=9)).dt.normalize()
    events = company["events"][["account_id"]].assign(day=day)
    first = events.account_id.map(pd.to_datetime(company["accounts"].set_index("account_id").signup_date))
    last = last_terms(company).end_date
    ended = events.account_id.map(pd.to_datetime(last))
    assert (events.day >= first).all() and not (events.day >= ended).any()


def test_the_hold_out_is_never_contacted(company: dict[str, pd.DataFrame]) -> None:
    held = company["truth"].groupby("account_id").held_out.agg(["min", "max"])
    assert (held["min"] == held["max"]).all()
    assert 0.05 < held["min"].mean() < 0.15
    contacted = set(company["contacts"].account_id)
    assert contacted and not contacted & set(held.index[held["min"]])


def test_base_rates_are_those_of_life_and_the_truth_is_calibrated(company: dict[str, pd.DataFrame]) -> None:
    truth = company["truth"].dropna(subset="happened")
    for outcome, low, high in (("churn", 0.045, 0.085), ("upsell", 0.05, 0.105)):
        rows = truth[truth.outcome == outcome]
        assert low < rows.happened.mean() < high
        assert rows.probability.mean() == pytest.approx(rows.happened.mean(), abs=0.015)


def test_what_happened_is_what_the_tables_say(company: dict[str, pd.DataFrame]) -> None:
    truth = company["truth"].dropna(subset="happened")
    as_of = pd.to_datetime(truth.as_of)
    last = last_terms(company).end_date
    days = (truth.account_id.map(pd.to_datetime(last)) - as_of).dt.days
    churn = truth.outcome == "churn"
    assert (days[churn].between(7, 96) == truth.happened[churn]).all()
    upgrades = company["seat_history"].query("reason == 'expansion'")
    pairs = truth[~churn].reset_index().merge(upgrades[["account_id", "valid_from"]], on="account_id")
    inside = (pd.to_datetime(pairs.valid_from) - pd.to_datetime(pairs.as_of)).dt.days.between(0, 89)
    assert set(pairs["index"][inside]) == set(truth.index[~churn & truth.happened.astype(bool)])


def test_a_contact_never_makes_churn_likelier_and_helps_only_where_there_is_a_cause(
    company: dict[str, pd.DataFrame],
) -> None:
    churn = company["truth"].query("outcome == 'churn'")
    helped = churn.contact_effect < 1
    assert churn.contact_effect.between(0.3, 1).all()
    assert (helped == churn.main_cause.notna()).all()


def test_each_cause_leaves_its_mark(company: dict[str, pd.DataFrame]) -> None:
    def share_with(events: pd.DataFrame, at: str, cause: str, days: int = 28) -> tuple[float, float]:
        rows = company["truth"].query("outcome == 'churn'").reset_index()
        pairs = rows.merge(events[["account_id", at]], on="account_id")
        age = (pd.to_datetime(pairs.as_of) - pairs[at]).dt.total_seconds() / 86400
        seen = rows["index"].isin(pairs["index"][age.between(0, days)])
        with_cause = rows.main_cause == cause
        return seen[with_cause].mean(), seen[rows.main_cause.isna()].mean()

    failed = company["payments"].query("status == 'failed'")
    with_cause, without = share_with(failed, "attempted_at", "failed_payments")
    assert with_cause > 0.9 > 0.1 > without
    admin = company["events"].query("event == 'admin_action'")
    with_cause, without = share_with(admin, "occurred_at", "key_user_gone", days=14)
    assert with_cause < 0.5 and without > 0.95
    urgent = company["tickets"].query("severity == 4")
    with_cause, without = share_with(urgent, "opened_at", "unresolved_tickets", days=90)
    assert with_cause > 3 * without


def test_main_causes_are_balanced(company: dict[str, pd.DataFrame]) -> None:
    churners = company["truth"].query("outcome == 'churn' and happened == True")
    shares = churners.main_cause.value_counts(normalize=True)
    assert set(shares.index) == {cause.name for cause in CHURN}
    assert shares.max() < 0.35


def test_truth_agrees_with_drawing_many_futures() -> None:
    """One account in an episode, without anything else: the forward pass against 200,000 drawn paths."""
    cause, rng, weeks, paths = CHURN[0], np.random.default_rng(0), 12, 200_000
    hazard = np.full((1, weeks), 0.001)
    walk = Chain(cause, 1.0).walk(np.array([3]), np.array([1]), hazard, np.array([0.05]))
    weights, age, alive = Chain(cause, 1.0).weights, np.full(paths, 3), np.ones(paths)
    strength = np.ones(paths, dtype=int)
    for week in range(weeks):
        if week:
            idle = age < 0
            older = np.minimum(age + 1, len(cause.ramp) - 1)
            age = np.where(idle | (rng.random(paths) < 0.05), -1, older)
            begins = idle & (rng.random(paths) < cause.onset)
            strength = np.where(begins, rng.integers(0, 3, paths), strength)
            age = np.where(begins, 0, age)
        alive *= np.exp(-0.001 * np.where(age < 0, 0.0, weights[strength, age]))
    assert walk.left[0, -1] == pytest.approx(alive.mean(), abs=0.002)


def test_auc_of_the_tally_counts_ties_half() -> None:
    tally = Tally("churn")
    tally.add(np.array([0.1, 0.2, 0.2, 0.9]), np.array([0.0, 0.0, 1.0, 1.0]))
    assert tally.auc == pytest.approx(3.5 / 4)
    assert tally.base_rate == 0.5
    with pytest.raises(SimulationError, match=r"AUC of churn is 0\.5"):
        Tally("churn").check()


def test_a_company_whose_churn_cannot_be_foreseen_is_refused_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["--customers", "500", "--months", "12", "--signal", "0", "--out", str(tmp_path / "data")])
    assert code == 2
    assert "allowed is 0.75 to 0.90" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--customers", "0"], "--customers 0: allowed is 500 to 1000000"),
        (["--months", "11"], "--months 11: allowed is 12 to 60"),
        (["--seed", "-1"], "--seed -1: allowed is 0 to"),
        (["--signal", "nan"], "--signal nan: allowed is 0 to 10"),
        (["--end", "1999-12-31"], "--end 1999: allowed is 2000 to 2200"),
    ],
)
def test_settings_outside_their_limits_are_refused(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, "--out", str(tmp_path / "data")]) == 2
    shown = capsys.readouterr().err
    assert message in shown and len(shown.splitlines()) == 1
    assert not (tmp_path / "data").exists()


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    assert main(["--customers", "500", "--out", str(tmp_path)]) == 2
    assert "holds notes.txt" in capsys.readouterr().err
    assert main(["--customers", "500", "--out", str(tmp_path / "notes.txt")]) == 2
    assert "is a file" in capsys.readouterr().err
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_second_run_replaces_the_first(tmp_path: Path) -> None:
    for months in (13, 12):
        build(Settings(tmp_path / "data", customers=500, months=months))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_the_door_says_what_comes_next(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--customers", "500", "--months", "12", "--out", str(tmp_path / "data")]
    assert main(arguments) == 0
    assert capsys.readouterr().out.endswith("next: python -m training train configs/saas/churn.yaml\n")
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert set(said["oracle_auc"]) == {"churn", "upsell"} and said["rows"]["accounts"] == 500


def test_help_and_a_bad_date(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, code in ((["--help"], 0), (["--out", "x", "--end", "soon"], 2)):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == code
    shown = capsys.readouterr()
    assert "example:" in shown.out and "'soon' is not a date" in shown.err


def test_data_yaml_names_only_columns_that_are_written() -> None:
    data = yaml.safe_load(DATA.read_text())
    columns = {f"{name}.parquet": set(schema.names) for name, schema in SCHEMAS.items()}
    for stream in data["streams"].values():
        named = {stream[key] for key in ("at", "known", "until", "value", "entity") if key in stream}
        assert named | set(stream.get("where", {})) <= columns[stream["table"]]
        assert set(stream["label"]) == {"en", "ja"}
    terms = {value for key, value in data["subscriptions"].items() if key not in ("table", "grace_days")}
    assert terms <= columns["subscriptions.parquet"]
    customers = {data["customers"][key] for key in ("id", "known_from", "name", "owner", "opted_out")}
    assert customers | {"region", "industry"} <= columns["accounts.parquet"]
    assert not set(NAMES) & set(data["streams"])
