import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from features.errors import DataError
from tests.unit.bundles import frame, lightgbm_bundle, logistic_bundle, rule_bundle, with_parts
from training.bundle import Bundle, champion, load, place, save

MAKERS = [lightgbm_bundle, logistic_bundle, rule_bundle]


def whole() -> Bundle:
    """A bundle with a curve and a spread."""
    return with_parts(lightgbm_bundle())


@pytest.mark.parametrize("make", MAKERS)
def test_a_loaded_bundle_scores_as_the_saved_one(make, tmp_path):
    made, rows = make(), frame(50, seed=1)
    save(made, tmp_path / "b")
    loaded = load(tmp_path / "b")
    assert loaded.sha256 == made.sha256 and len(loaded.version) == 12
    matrix = loaded.matrix(rows)
    assert (loaded.margin(matrix) == made.margin(made.matrix(rows))).all()


@pytest.mark.parametrize("make", MAKERS)
def test_a_curve_and_a_spread_travel_with_the_bundle(make, tmp_path):
    made = with_parts(make())
    save(made, tmp_path / "b")
    loaded, names = load(tmp_path / "b"), {path.name for path in (tmp_path / "b").iterdir()}
    assert loaded.sha256 == made.sha256 != make().sha256 and {"curve.json", "spread.json"} < names
    matrix = loaded.matrix(frame(50, seed=1))
    margin = loaded.margin(matrix)
    score = loaded.probability(margin)
    low, high = loaded.interval(matrix, margin)
    assert ((low < score) & (score < high)).all()
    assert np.array_equal(made.interval(matrix, margin), (low, high))
    risks = loaded.risks(matrix, score)
    assert list(risks) == ["30", "60"] and (risks["30"] == score).all() and (risks["60"] < score).all()


@pytest.mark.parametrize("make", MAKERS)
def test_a_bundle_without_them_loads_as_before_and_says_so(make, tmp_path):
    save(make(), tmp_path / "b")
    loaded = load(tmp_path / "b")
    assert not {"curve.json", "spread.json"} & {path.name for path in (tmp_path / "b").iterdir()}
    matrix = loaded.matrix(frame(5))
    assert loaded.interval(matrix, loaded.margin(matrix)) is None
    assert loaded.risks(matrix, np.full(5, 0.1)) == {}


@pytest.mark.parametrize("make", MAKERS)
def test_contributions_and_base_sum_to_the_margin(make):
    bundle, rows = make(), frame(300, seed=2)
    matrix = bundle.matrix(rows)
    total = bundle.contributions(matrix).sum(axis=1) + bundle.base_margin
    assert np.abs(total - bundle.margin(matrix)).max() < 1e-9
    alone = bundle.contributions(matrix[:1])
    assert (alone == bundle.contributions(matrix)[:1]).all()
    assert bundle.margin(matrix[:0]).shape == (0,) and bundle.contributions(matrix[:0]).shape == (
        0,
        matrix.shape[1],
    )


@pytest.mark.parametrize("make", [lightgbm_bundle, whole])
def test_equal_bundles_have_equal_bytes_and_other_settings_other_versions(make, tmp_path):
    for name in ("one", "two"):
        save(make(), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()
    assert lightgbm_bundle(holdout=0.2).version != lightgbm_bundle().version


def test_a_rule_ranks_like_its_number_beyond_its_knots_too():
    bundle = rule_bundle()
    rows = frame(5).assign(login_recency=[0.0, 1.0, 60.0, 61.0, 400.0])
    assert (np.diff(bundle.margin(bundle.matrix(rows))) > 0).all()


def test_bands_and_percentiles_follow_the_reference_scores():
    bundle = lightgbm_bundle()
    scores = bundle.probability(bundle.margin(bundle.matrix(frame())))
    shares = dict(zip(*np.unique(bundle.band(scores), return_counts=True), strict=True))
    assert shares["high"] == pytest.approx(40, abs=6) and shares["medium"] == pytest.approx(80, abs=8)
    assert bundle.percentile(np.array([0.0, 1.0])).tolist() == [0.0, 100.0]


def test_unknown_categories_and_nulls_are_null():
    bundle = lightgbm_bundle()
    rows = frame(3).assign(plan=["pro", "platinum", None])
    assert np.array_equal(bundle.matrix(rows)[:, 3], [2.0, np.nan, np.nan], equal_nan=True)
    nothing = rows.assign(plan=[None] * 3, tenure_days=[None] * 3)
    assert np.isnan(bundle.matrix(nothing)[:, 2:]).all()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (frame(3).drop(columns="plan"), "plan: this column is missing"),
        (frame(3).assign(tenure_days=["a", "b", "c"]), "tenure_days: holds .* a number is needed"),
        (frame(3).assign(tenure_days=np.inf), "tenure_days: holds an infinity"),
        (frame(3).assign(plan=1.0), "plan: holds float64; text is needed"),
    ],
)
def test_a_frame_of_another_shape_is_refused(rows, words):
    with pytest.raises(DataError, match=words):
        lightgbm_bundle().matrix(rows)


def _damage(folder, how):
    if how == "extra":
        (folder / "notes.txt").write_text("x")
    elif how == "missing":
        (folder / "calibrator.json").unlink()
    elif how == "changed":
        (folder / "model.txt").write_text((folder / "model.txt").read_text().replace("0", "1", 1))
    elif how == "changed spread":
        (folder / "spread.json").write_text((folder / "spread.json").read_text().replace("0.5", "0.4", 1))
    elif how == "no manifest":
        (folder / "manifest.json").unlink()
    else:
        (folder / "manifest.json").write_text("{")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("extra", "notes.txt is not in the manifest"),
        ("missing", "calibrator.json is missing"),
        ("changed", "model.txt was changed"),
        ("changed spread", "spread.json was changed"),
        ("no manifest", "manifest.json is missing"),
        ("broken manifest", "manifest.json is not JSON"),
    ],
)
def test_a_damaged_bundle_is_refused_by_name(how, words, tmp_path):
    save(whole(), tmp_path / "b")
    _damage(tmp_path / "b", how)
    with pytest.raises(DataError, match=words):
        load(tmp_path / "b")


def _rewrite(folder, name, content):
    import hashlib

    (folder / name).write_text(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest[name] = hashlib.sha256(content.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bundle.json", {"schema_version": 2}),
        ("bundle.json", {"surprise": 1}),
        ("bundle.json", {"kind": "forest"}),
        ("bundle.json", {"kind": "lightgbm"}),
        ("calibrator.json", {"c": 1.0}),
        ("rule.json", {"base": 1.0}),
        ("spread.json", {"pairs": []}),
        ("spread.json", {"kind": "forest"}),
        ("curve.json", {"own": 31}),
    ],
)
def test_an_unknown_schema_is_refused(name, change, tmp_path):
    save(with_parts(rule_bundle()), tmp_path / "b")
    content = json.loads((tmp_path / "b" / name).read_text())
    _rewrite(tmp_path / "b", name, json.dumps({**content, **change}))
    with pytest.raises(DataError, match="b: "):
        load(tmp_path / "b")


def test_not_finite_is_not_written():
    with pytest.raises(ValueError, match="JSON compliant"):
        rule_bundle(base_rate=0.2).model.__class__((1.0,), (float("nan"),), 0.0, 0.0).text()


def test_placing_makes_a_champion_and_counts_up(tmp_path):
    home = tmp_path / "home"
    assert champion(home, "churn") is None
    save(lightgbm_bundle(), tmp_path / "one")
    save(rule_bundle(), tmp_path / "two")
    first = place(tmp_path / "one", home, "churn")
    begun = json.loads((home / "champion-churn.json").read_text())["sequence"]
    assert load(champion(home, "churn")).sha256 == first
    second = place(tmp_path / "two", home, "churn")
    pointer = json.loads((home / "champion-churn.json").read_text())
    assert pointer == {"sha256": second, "model": "churn", "sequence": begun + 1, "before": [first]}
    assert load(home / "bundles" / first).sha256 == first


def test_many_that_place_at_once_share_no_number(tmp_path):
    home, made = tmp_path / "home", {"one": lightgbm_bundle(), "two": rule_bundle()}
    for name, bundle in made.items():
        save(bundle, tmp_path / name)
    place(tmp_path / "one", home, "churn")
    begun = json.loads((home / "champion-churn.json").read_text())["sequence"]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: place(tmp_path / ("one", "two")[number % 2], home, "churn"), range(24)))
    assert json.loads((home / "champion-churn.json").read_text())["sequence"] == begun + 24
    assert {load(path).sha256 for path in (home / "bundles").iterdir()} == {one.sha256 for one in made.values()}


def test_only_a_sound_bundle_of_that_model_is_placed(tmp_path):
    save(lightgbm_bundle(), tmp_path / "b")
    with pytest.raises(DataError, match="holds the model churn, not upsell"):
        place(tmp_path / "b", tmp_path / "home", "upsell")
    _damage(tmp_path / "b", "changed")
    with pytest.raises(DataError, match="was changed"):
        place(tmp_path / "b", tmp_path / "home", "churn")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    ("trained", "served", "allowed"),
    [("saas", "saas", True), ("", "saas", True), ("saas", "", True), ("grocery", "saas", False)],
)
def test_a_bundle_of_another_data_set_is_not_placed(trained, served, allowed, tmp_path):
    save(lightgbm_bundle(data=trained), tmp_path / "b")
    if not allowed:
        with pytest.raises(DataError, match="trained on the data set grocery, not saas; give a bundle trained on saas"):
            place(tmp_path / "b", tmp_path / "home", "churn", served)
        assert not (tmp_path / "home").exists()
        return
    place(tmp_path / "b", tmp_path / "home", "churn", served)
    assert champion(tmp_path / "home", "churn")
