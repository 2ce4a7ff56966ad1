"""Each wrong YAML gets one message: where, what came, what is allowed."""

import re
from datetime import date
from pathlib import Path

import pytest

from features import catalogue, config
from features.errors import ConfigError
from features.ready.config import Table
from features.snapshot_config import SnapshotConfig
from tests import company
from training.config import TrainConfig

SHIPPED = sorted(Path("configs").glob("*/[cu]*.yaml"))


def load(folder, data=None, model=None, overrides=()):
    return config.load(company.configs(folder, data, model), SnapshotConfig, overrides)


@pytest.mark.parametrize("path", SHIPPED, ids=str)
def test_every_shipped_model_is_sayable(path):
    settings = config.load(path, TrainConfig)
    assert isinstance(settings.data, Table) or catalogue.features(settings)
    assert settings.model == path.stem


def test_the_feature_door_leaves_exactly_the_training_keys_unread():
    assert set(SnapshotConfig.others) == set(TrainConfig.model_fields) - set(SnapshotConfig.model_fields)


@pytest.mark.parametrize(
    ("data", "model", "message"),
    [
        ({}, {"outcome": {"horizon_dayz": 3}}, r"churn.yaml: outcome.horizon_dayz: unknown key \(did you mean horizon_days\?\); known keys: horizon_days, gap_days"),
        ({"streams": {"login": {"att": "x"}}}, {}, r"data.yaml: streams.login.att: unknown key"),
        ({"timezone": "Asia/Tokio"}, {}, r"data.yaml: timezone: .*Asia/Tokyo.*found 'Asia/Tokio'"),
        ({"streams": {"login": {"at": None}}}, {}, r"data.yaml: streams.login.at: this key is missing; add it"),
        ({}, {"outcome": {"horizon_days": "thirty"}}, r"churn.yaml: outcome.horizon_days: should be a valid integer.*'thirty'"),
        ({}, {"outcome": {"horizon_days": "30"}}, r"outcome.horizon_days: should be a valid integer.*found '30'"),
        ({}, {"outcome": {"horizon_days": True}}, r"outcome.horizon_days: should be a valid integer.*found True"),
        ({}, {"outcome": {"horizon_days": 0}}, r"outcome.horizon_days: should be greater than or equal to 1; found 0"),
        ({}, {"outcome": {"kind": "churn"}}, r"churn.yaml: outcome: .*'churn'.*'inactivity'"),
        ({}, {"outcome": {"gap_days": 7}}, r"outcome: gap_days: silence has no gap"),
        ({}, {"outcome": {"streams": ["logins"]}}, r"outcome.streams: no stream logins; streams: login"),
        ({}, {"population": {"subscription": "active"}}, r"give either .subscription: active. or .seen"),
        ({}, {"population": {"seen": None, "subscription": "active"}}, r"name the table in data.yaml: subscriptions"),
        ({}, {"windows": {"days": [28, 7]}}, r"windows.days: .*write \[7, 28\]"),
        ({"history_days": 40}, {}, r"windows.days: 28 is over half of history_days \(40\)"),
        ({}, {"as_of": {"every": "weekly"}}, r"as_of.every: .*found 'weekly'"),
        ({"customers": {"from_stream": "login"}}, {}, r"customers: give either .table. or .from_stream"),
        ({"customers": {"attributes": {"plan": {"type": "category"}}}}, {}, r"data.yaml: customers.attributes.plan: .*needs either .changes"),
        ({"streams": {"login": {"kind": "rating"}}}, {}, r"streams.login: a rating needs a .value. column"),
        ({"customers": {"table": None, "from_stream": "login", "parent": "org"}}, {}, r"columns of .table.; give a table"),
        ({"customers": {"table": None, "from_stream": "login", "attributes": {"age": {"type": "number", "static": True}}}}, {}, r"attributes.age: without a customer table an attribute names its own"),
        ({"customers": {"table": None, "from_stream": "visit"}}, {}, r"from_stream: no stream visit; streams: login"),
        ({"streams": {"log-in": {"table": "x.parquet", "at": "at"}}}, {}, r"log-in: a stream or attribute name is made of letters"),
        ({"customers": {"attributes": {"login": {"type": "number", "static": True}}}}, {}, r"login: a stream and an attribute share this name"),
        ({}, {"outcome": {"kind": "increase", "streams": None, "stream": "login", "over_days": 900}}, r"over_days: longer than history_days"),
        ({}, {"outcome": {"kind": "increase", "streams": None, "stream": "login"}}, r"stream login has no value to sum; use count"),
        ({"root": {"env": "TSUNAGI_NO_SUCH_FOLDER"}}, {}, None),
        ({"name": "Ünfit name"}, {}, r"data.yaml: name: "),
        ({}, {"exclude": ["nothing_*"]}, None),
        ({}, {"curve": [60, 30]}, r"curve: horizons ascend and differ; write \[30, 60\]"),
    ],
)  # fmt: skip
def test_a_wrong_yaml_says_where_what_and_how(tmp_path, data, model, message):
    if message is None:
        assert load(tmp_path, data, model)
        return
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, data, model)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "Error" not in str(caught.value) and "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "the key a stands twice"),
        ("- 1\n", "holds list; a mapping"),
        ("a: [1\n", "not a valid YAML file"),
        ("a: \x00", "not a valid YAML file"),
        ("[" * 5_000, "nested too deeply"),
    ],
)
def test_a_file_that_is_no_mapping_is_refused(tmp_path, text, message):
    path = tmp_path / "churn.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=re.escape(message)):
        config.load(path, SnapshotConfig)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.yaml: cannot be read"):
        config.load(tmp_path / "nowhere.yaml", SnapshotConfig)


def test_values_are_overridden_by_path(tmp_path):
    changes = ["windows.days=[14]", "data.history_days=100", "as_of.first=2025-03-01"]
    settings = load(tmp_path, overrides=changes)
    assert settings.windows.days == (14,)
    assert settings.data.history_days == 100
    assert settings.as_of.first == date(2025, 3, 1)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("windows.days", "write path=value"),
        ("windows.dayz=[7]", "windows.dayz: unknown key"),
        ("windows.days.x=1", "holds a value, not a section"),
        ("windows.days=[7", "not valid YAML"),
    ],
)
def test_a_wrong_override_is_refused(tmp_path, override, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        load(tmp_path, overrides=[override])


def test_an_exclusion_that_matches_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="exclude: nothing_"):
        catalogue.features(load(tmp_path, model={"exclude": ["nothing_*"]}))
    with pytest.raises(ConfigError, match="no feature is left"):
        catalogue.features(load(tmp_path, model={"exclude": ["*"]}))
    kept = catalogue.features(load(tmp_path, model={"exclude": ["*_7d"]}))
    assert not [feature for feature in kept if feature.name.endswith("_7d")]


def test_a_root_names_what_is_missing(tmp_path):
    root = load(tmp_path, {"root": {"env": "TSUNAGI_NO_SUCH_FOLDER"}}).data.root
    with pytest.raises(ConfigError, match="TSUNAGI_NO_SUCH_FOLDER is not set"):
        root.folder()
    root = load(tmp_path, {"root": {"package": "no_such_package"}}).data.root
    with pytest.raises(ConfigError, match="no_such_package is not installed"):
        root.folder()


def test_on_and_no_are_words_and_only_true_and_false_are_booleans(tmp_path):
    stream = (
        "{table: l.parquet, at: at, where: {country: no, active: true}, lookup: {table: p.parquet, on: sku, take: a}}"
    )
    path = company.configs(tmp_path)
    text = f"name: tiny\nroot: .\ncustomers: {{from_stream: login}}\nstreams:\n  login: {stream}\n"
    (tmp_path / "data.yaml").write_text(text, "utf-8")
    found = config.load(path, SnapshotConfig).data.streams["login"]
    assert found.where == {"country": "no", "active": True}
    assert found.lookup is not None and found.lookup.on == "sku"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curve": [60, 90]}, r"curve: \[60, 90\] is without outcome.horizon_days \(30\), .* write \[30, 60, 90\]"),
        ({"value": {"amount": {"lifetime": "login", "days": 365}}}, r"login is no stream of purchases; streams with a value: none"),
        ({"settings": {"lightgbm": {"num_leafs": 4}}}, r"settings.lightgbm.num_leafs: unknown key \(did you mean num_leaves\?\)"),
        ({"settings": {"lightgbm": {"num_iterations": 2000, "num_leaves": 100}}}, r"settings.lightgbm: reasons would cost"),
        ({"settings": "nowhere.yaml"}, r"nowhere.yaml: cannot be read"),
    ],
)  # fmt: skip
def test_a_wrong_training_yaml_says_where_what_and_how(tmp_path, changes, message):
    path = company.configs(tmp_path, {}, {"model": "churn", **changes})
    with pytest.raises(ConfigError) as caught:
        config.load(path, TrainConfig)
    assert re.search(message, str(caught.value)), str(caught.value)


def test_settings_may_be_a_file_named_in_the_yaml_or_on_the_command_line(tmp_path):
    (tmp_path / "tuned.yaml").write_text("settings: {logistic: {C: 0.5}}\n")
    (tmp_path / "other.yaml").write_text("model: churn\n")
    path = company.configs(tmp_path, {}, {"model": "churn", "settings": "tuned.yaml"})
    assert config.load(path, TrainConfig).settings.logistic.C == 0.5
    plain = company.configs(tmp_path, {}, {"model": "churn"})
    assert config.load(plain, TrainConfig, [f"settings={tmp_path}/tuned.yaml"]).settings.logistic.C == 0.5
    with pytest.raises(ConfigError, match=r"other\.yaml: holds no `settings`; its keys are model"):
        config.load(plain, TrainConfig, [f"settings={tmp_path}/other.yaml"])


def test_a_contact_is_nothing_a_customer_buys(tmp_path):
    contact = {"table": "calls.parquet", "at": "at", "value": "minutes", "role": "contact"}
    amount = {"lifetime": "call", "days": 365}
    path = company.configs(tmp_path, {"streams": {"call": contact}}, {"model": "churn", "value": {"amount": amount}})
    with pytest.raises(ConfigError, match="call is no stream of purchases; streams with a value: none"):
        config.load(path, TrainConfig)
