"""Margins and contributions of trees: LightGBM's own, to the bit and to 1e-9, or LightGBM itself."""

import itertools
import json
import math
import subprocess
import sys

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lightgbm.basic import LightGBMError

from training import attribution, kernel, tables
from training.forest import Forest, Unknown
from training.models import Trees
from training.spread import Spread

QUIET = {"objective": "binary", "verbose": -1, "num_threads": 1, "deterministic": True, "seed": 0, "min_data_in_leaf": 5,
         "min_data_per_group": 2, "cat_smooth": 1.0, "max_bin": 63}  # fmt: skip


def drawn(rows: int = 400, columns: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Numbers with ties, zeros and nulls; column 3 holds 5 codes and column 4 holds 90."""
    random = np.random.default_rng(seed)
    matrix = random.normal(size=(rows, columns))
    matrix[:, 1] = np.round(2 * matrix[:, 1])
    matrix[:, 3:] = random.integers(0, [5, 90], (rows, 2))
    margin = matrix[:, 0] - np.abs(matrix[:, 1]) + np.isin(matrix[:, 3], [1, 4]) + (matrix[:, 4] % 3 == 0)
    matrix[random.random(matrix.shape) < 0.1] = np.nan
    return matrix, (random.random(rows) < 1 / (1 + np.exp(1 - margin))).astype(float)


def text(
    rounds: int = 8, data: tuple[np.ndarray, np.ndarray] | None = None, categories: tuple[int, ...] = (), **more: object
) -> str:
    matrix, outcome = data or drawn()
    rows = lightgbm.Dataset(matrix, outcome, categorical_feature=list(categories), params=QUIET | more)
    return lightgbm.train(QUIET | more, rows, rounds).model_to_string()


def trees(rounds: int = 8, **more: object) -> Trees:
    return Trees(text(rounds, **more))


KNOWN = {
    "as a rule": {"num_leaves": 15, "max_depth": 5, "feature_fraction": 0.6, "bagging_fraction": 0.7, "bagging_freq": 1},
    "zero is missing": {"zero_as_missing": True},
    "missing is zero": {"use_missing": False},
    "categories": {"categories": (3, 4), "max_cat_threshold": 64},
    "one category at a time": {"categories": (3, 4), "max_cat_to_onehot": 100},
    "categories and missing zeros": {"categories": (3, 4), "zero_as_missing": True},
    "a feature again and again": {"num_leaves": 40, "min_data_in_leaf": 2, "interaction_constraints": [[0, 1], [2]]},
    "stumps": {"num_leaves": 2},
    "nothing to split": {"min_data_in_leaf": 10_000},
    "monotone": {"monotone_constraints": [1, -1, 0, 0, 0]},
    "dart": {"boosting": "dart", "drop_rate": 0.5},
    "weights of classes": {"scale_pos_weight": 7.0},
}  # fmt: skip


def hard(model: Trees, matrix: np.ndarray) -> np.ndarray:
    """Rows of the kind it learnt from, and what is at, or beyond, every edge."""
    edges = [
        np.nan,
        np.inf,
        -np.inf,
        0.0,
        -0.0,
        1e-35,
        -1e-35,
        1.1e-35,
        5e-324,
        -0.5,
        -1.0,
        31.0,
        32.0,
        3.7,
        89.0,
        1e10,
    ]
    thresholds = Forest.parse(model.model).nodes.threshold[:12]
    near = [edge for at in thresholds for edge in (np.nextafter(at, -np.inf), at, np.nextafter(at, np.inf))]
    both = np.array([*edges, *near])
    own = np.random.default_rng(1).choice(both, (60, matrix.shape[1]))
    return np.vstack([matrix[:60], own, np.repeat(both[:, None], matrix.shape[1], axis=1)])


def theirs(model: Trees, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Margins, and contributions with the base last, by LightGBM."""
    booster = lightgbm.Booster(model_str=model.model)
    return booster.predict(matrix, raw_score=True), booster.predict(matrix, pred_contrib=True)


def same(model: Trees, matrix: np.ndarray) -> None:
    """What LightGBM gives: margins and base to the bit, contributions to 1e-9; and they add up."""
    margin, parts = theirs(model, matrix)
    assert (model.margin(matrix) == margin).all() and model.base_margin == parts[0, -1]
    ours = model.contributions(matrix)
    assert np.abs(ours - parts[:, :-1]).max() < 1e-9
    assert np.abs(ours.sum(axis=1) + model.base_margin - margin).max() < 1e-9


@pytest.mark.parametrize("kind", KNOWN)
def test_it_is_lightgbm_to_the_bit(kind):
    model = trees(**KNOWN[kind])
    assert model.forest and model.tables
    same(model, hard(model, drawn(seed=2)[0]))


@pytest.mark.parametrize("kind", ["as a rule", "a feature again and again", "stumps", "monotone"])
@pytest.mark.filterwarnings("ignore")
def test_it_is_shap(kind):
    import shap

    model, matrix = trees(**KNOWN[kind]), drawn(60, seed=3)[0]
    explainer = shap.TreeExplainer(lightgbm.Booster(model_str=model.model))
    explainer.model.model_type = "internal"  # else it would ask LightGBM
    assert np.abs(model.contributions(matrix) - explainer.shap_values(matrix)).max() < 1e-9


def value(node: dict, row: np.ndarray, known: frozenset[int]) -> float:
    """The mean of a tree where only the features of ``known`` are known."""
    if "leaf_value" in node:
        return node["leaf_value"]
    sides = [node["left_child"], node["right_child"]]
    if node["split_feature"] in known:
        at = row[node["split_feature"]]
        left = node["default_left"] if np.isnan(at) else at <= node["threshold"]
        return value(sides[not left], row, known)
    counts = [side.get("internal_count", side.get("leaf_count")) for side in sides]
    return sum(count * value(side, row, known) for count, side in zip(counts, sides)) / sum(counts)


def test_it_is_the_shapley_value_by_its_definition():
    model, matrix = trees(3, num_leaves=12), drawn(12, seed=4)[0]
    dumped = lightgbm.Booster(model_str=model.model).dump_model()["tree_info"]
    every = range(matrix.shape[1])
    for row, ours in zip(matrix, model.contributions(matrix)):
        worth = {
            known: sum(value(tree["tree_structure"], row, known) for tree in dumped)
            for size in range(len(every) + 1)
            for known in map(frozenset, itertools.combinations(every, size))
        }
        for one in every:
            found = sum(
                (worth[known | {one}] - worth[known]) / (len(every) * math.comb(len(every) - 1, len(known)))
                for known in worth
                if one not in known
            )
            assert ours[one] == pytest.approx(found, abs=1e-9)


cells = st.one_of(
    st.sampled_from([np.nan, 0.0, -0.0, 1e-36, np.inf, -np.inf, 1.0, 2.0]), st.floats(-5, 5), st.floats(allow_nan=True)
)


@settings(max_examples=60)
@given(
    arrays(np.float64, st.tuples(st.integers(8, 40), st.just(3)), elements=cells),
    st.integers(0, 2**32 - 1),
    st.booleans(),
    st.booleans(),
    st.sampled_from([2, 4, 16]),
)
def test_it_is_lightgbm_whatever_it_learnt_from(matrix, seed, zero, category, leaves):
    matrix[:, 2] = np.abs(np.nan_to_num(matrix[:, 2], posinf=70, neginf=3)) % 80 // 1
    outcome = np.random.default_rng(seed).integers(0, 2, len(matrix)).astype(float)
    outcome[:2] = 0, 1
    own = {"num_leaves": leaves, "zero_as_missing": zero, "min_data_in_leaf": 1, "min_data_in_bin": 1}
    model = trees(4, data=(matrix, outcome), categories=(2,) if category else (), **own)
    assert model.tables
    with np.errstate(over="ignore"):  # the largest number is followed by infinity
        after = np.nextafter(matrix, np.inf)
    same(model, np.vstack([matrix, after, -matrix]))


def test_a_tree_that_never_splits_among_others():
    alone = "Tree=1\nnum_leaves=1\nnum_cat=0\nsplit_feature=\nsplit_gain=\nthreshold=\ndecision_type=\nleft_child=\n"
    alone += "right_child=\nleaf_value=0.375\nleaf_weight=\nleaf_count=0\ninternal_value=\ninternal_weight=\n"
    alone += "internal_count=\nis_linear=0\nshrinkage=1\n\n\n"
    two = _plain(text(2)).replace("Tree=1\n", alone + "Tree=2\n")
    model = Trees(two)
    assert model.tables and len(model.forest.roots) == 3
    same(model, drawn(50, seed=5)[0])


def test_a_row_has_the_same_bits_wherever_it_stands(monkeypatch):
    model, matrix = trees(num_leaves=15), drawn(700, seed=6)[0]
    margin, parts = model.margin(matrix), model.contributions(matrix)
    for row in (0, 1, 255, 256, 257, 699):
        alone = matrix[[row]]
        assert (model.margin(alone) == margin[row]).all() and (model.contributions(alone) == parts[row]).all()
    assert (model.contributions(matrix[::-1]) == parts[::-1]).all()
    assert (model.contributions(matrix[3:9]) == parts[3:9]).all()
    monkeypatch.setattr(attribution, "FEW", 100)
    for threads in (1, 2, 5):
        monkeypatch.setattr(kernel, "THREADS", threads)
        assert (model.margin(matrix) == margin).all() and (model.contributions(matrix) == parts).all()


def test_any_layout_of_a_matrix_is_taken():
    model, matrix = trees(), drawn(40, seed=7)[0]
    locked = matrix.copy()
    locked.flags.writeable = False
    wide = np.repeat(matrix, 2, axis=1)
    for same_numbers in (locked, np.asfortranarray(matrix), wide[:, ::2]):
        assert (model.contributions(same_numbers) == model.contributions(matrix)).all()
        assert (model.margin(same_numbers) == model.margin(matrix)).all()
    single = matrix.astype(np.float32)
    assert (model.margin(single) == theirs(model, single)[0]).all()


def test_no_rows_and_the_wrong_columns():
    model = trees()
    nothing = np.zeros((0, 5))
    assert model.margin(nothing).shape == (0,) and model.contributions(nothing).shape == (0, 5)
    for wrong in (np.zeros((3, 4)), np.zeros((3, 6)), np.zeros(5)):
        with pytest.raises(ValueError, match="a matrix of 5 columns is needed"):
            model.margin(wrong)
        with pytest.raises(ValueError, match="a matrix of 5 columns is needed"):
            model.contributions(wrong)


def test_several_models_at_once():
    texts = [text(rounds, num_leaves=leaves) for rounds, leaves in ((3, 7), (1, 2), (6, 20))]
    matrix = drawn(30, seed=8)[0]
    found = attribution.margins(Forest.parse(*texts), matrix)
    assert (found == [theirs(Trees(one), matrix)[0] for one in texts]).all()
    assert Forest.known(text(data=(np.zeros((50, 2)), np.arange(50) % 2.0)), texts[0]) is None


def test_a_spread_is_one_call_or_ten():
    pairs = tuple(
        (trees(3, seed=one), trees(3, seed=one + 9, bagging_fraction=0.5, bagging_freq=1)) for one in range(5)
    )
    spread, matrix = Spread(0.4, pairs), drawn(300, seed=9)[0]
    apart = np.array([one.margin(matrix) - other.margin(matrix) for one, other in pairs])
    assert spread._forest
    assert (spread.deviation(matrix) == np.sqrt(0.4 * np.mean(np.square(apart), axis=0) / 2)).all()
    mixed = Spread(0.4, ((pairs[0][0], trees(3, linear_tree=True)), pairs[1]))
    assert mixed._forest is None and mixed.deviation(matrix).shape == (300,)


def deep() -> Trees:
    """A tree so deep, over so many features, that its tables would not fit."""
    random = np.random.default_rng(0)
    matrix = np.tril(np.ones((40, 40)))[random.integers(0, 40, 2_000)] + random.normal(size=(2_000, 40)) * 1e-3
    outcome = (matrix.sum(axis=1).round() % 2).astype(float)
    return trees(20, data=(matrix, outcome), num_leaves=200, min_data_in_leaf=1, learning_rate=0.5)


def test_trees_too_deep_for_tables_are_explained_by_lightgbm():
    model, matrix = deep(), np.random.default_rng(1).normal(size=(30, 40))
    with pytest.raises(tables.TooLarge, match="bytes"):
        attribution.Tables.of(model.forest)
    assert model.forest and model.tables is None
    margin, parts = theirs(model, matrix)
    assert (model.margin(matrix) == margin).all() and model.base_margin == parts[0, -1]
    assert (model.contributions(matrix) == parts[:, :-1]).all()


def test_tables_stay_within_their_limit(monkeypatch):
    model = trees(num_leaves=15)
    size = model.tables.cells.nbytes
    monkeypatch.setattr(tables, "BYTES", size)
    assert attribution.Tables.of(model.forest).cells.nbytes == size
    monkeypatch.setattr(tables, "BYTES", size - 1)
    with pytest.raises(tables.TooLarge, match="bytes"):
        attribution.Tables.of(model.forest)
    assert Trees(model.model).tables is None


TWINS = np.arange(400.0)[:, None] * np.ones((1, 2))
EVERY = {"num_leaves": 390, "min_data_in_leaf": 1, "min_sum_hessian_in_leaf": 0.0, "max_bin": 400, "min_data_in_bin": 1}


def test_a_long_path_over_few_features_has_tables():
    model = trees(2, data=(TWINS[:300], np.exp(np.arange(-299, 1) / 6)), objective="regression", **EVERY)
    assert model.tables and max(len(steps) for steps in paths(model.forest)) > 12
    same(model, TWINS - 0.5)


def test_a_path_of_very_many_nodes_is_explained_by_lightgbm():
    model = trees(2, data=(TWINS, np.arange(400) % 2.0), learning_rate=0.9, **EVERY)
    with pytest.raises(tables.TooLarge, match="a path of more than 64 nodes"):
        attribution.Tables.of(model.forest)
    assert max(len(steps) for steps in paths(model.forest)) > 64
    assert (model.contributions(TWINS) == theirs(model, TWINS)[1][:, :-1]).all()


def paths(forest: Forest) -> list[list[int]]:
    """The nodes above each node."""
    above: list[list[int]] = [[] for _ in forest.nodes.left]
    for node, (left, right) in enumerate(zip(forest.nodes.left, forest.nodes.right)):
        for child in (left, right):
            if child >= 0:
                above[child] = [*above[node], node]
    return above


def test_what_is_not_known_is_left_to_lightgbm():
    matrix, _ = drawn(seed=10)
    forest = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5, "feature_fraction": 0.5}
    for kind in (forest, {"linear_tree": True}):
        model = trees(**kind)
        assert model.forest is None and model.tables is None
        assert (model.margin(matrix) == model.booster.predict(matrix, raw_score=True)).all()
    assert trees(**forest).base_margin == theirs(trees(**forest), matrix)[1][0, -1]
    several = {"objective": "multiclass", "num_class": 3}
    assert trees(data=(matrix, np.arange(400) % 3.0), **several).forest is None


def _plain(model: str) -> str:
    """Without what repeats the lengths of the trees."""
    return "\n".join(line for line in model.split("\n") if not line.startswith("tree_sizes"))


PLAIN = _plain(text(2, num_leaves=5, categories=(3, 4)))
START, END = PLAIN.index("Tree=0"), PLAIN.index("\nend of trees\n")
TREE = PLAIN[START:].partition("\n")[2].partition("\n\n")[0].split("\n")


def test_the_plain_text_is_known():
    assert Forest.parse(PLAIN).features == 5 and "num_cat=0" not in TREE[1]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("tree\n", "forest\n"),
        ("version=v4", "version=v5"),
        ("version=v4\n", ""),
        ("num_class=1", "num_class=2"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=2"),
        ("max_feature_idx=4", "max_feature_idx=3"),
        ("max_feature_idx=4", "max_feature_idx=four"),
        ("label_index=0", "label_index=0\naverage_output"),
        ("label_index=0", "label_index=0\nboosting_type=new"),
        ("label_index=0", "label_index=0\nlabel_index=0"),
        ("Tree=1", "Tree=2"),
        ("is_linear=0", "is_linear=1"),
        ("is_linear=0", "is_linear=0\nleaf_const=1"),
        ("num_leaves=5", "num_leaves=6"),
        ("num_leaves=5", "num_leaves=0"),
        ("num_cat=", "num_cat=1"),
        ("\nend of trees\n", "\n"),
        ("shrinkage=", "split_feature="),
        ("\nthreshold=", "\n\nthreshold="),
        ("left_child=", "left_child= "),
        ("left_child=", "left_child=x"),
        ("leaf_value=", "leaf_value=nan "),
        ("leaf_value=-", "leaf_value=1_0"),
        ("leaf_count=", "leaf_counts="),
        ("internal_count=", "internal_counts="),
    ],
)
def test_a_changed_text_is_not_known(old, new):
    assert old in PLAIN
    with pytest.raises(Unknown, match="a LightGBM text not known here"):
        Forest.parse(PLAIN.replace(old, new, 1))


FIELDS = {
    "split_feature": ("0", "5", "-1", "1e0", "0.0"),
    "threshold": ("0", "nan", "0x1", "99"),
    "decision_type": ("9", "12", "16", "-1"),
    "left_child": ("1", "0", "7", "-9", "-1"),
    "leaf_value": ("0.1", "inf", "1,5"),
    "leaf_count": ("7", "1.5", "99999999999"),
    "cat_boundaries": ("0", "1", "9"),
    "cat_threshold": ("5", "-1", "4294967296"),
}


@pytest.mark.parametrize(("field", "given"), [(field, given) for field in FIELDS for given in FIELDS[field][1:]])
def test_a_field_that_makes_no_tree_is_not_known(field, given):
    line = next(line for line in TREE if line.startswith(f"{field}="))
    first, *rest = line.partition("=")[2].split(" ")
    changed = f"{field}={' '.join([given, *rest])}"
    assert first != given and Forest.known(PLAIN.replace(line, changed, 1)) is None


def test_nodes_in_a_ring_are_not_known():
    ring = {"left_child": "-1 2 3 1", "right_child": "-2 -3 -4 -5"}
    lines = [f"{name}={ring[name]}" if (name := line.partition("=")[0]) in ring else line for line in PLAIN.split("\n")]
    with pytest.raises(Unknown, match="the shape of a tree"):
        Forest.parse("\n".join(lines))


@pytest.mark.parametrize("line", TREE)
def test_a_line_that_is_missing_or_said_twice(line):
    twice = PLAIN.replace(line, f"{line}\n{line}", 1)
    without = PLAIN.replace(f"{line}\n", "", 1) if f"{line}\n" in PLAIN else PLAIN
    assert Forest.known(twice) is None
    unread = line.startswith(
        ("split_gain", "leaf_weight", "internal_value", "internal_weight", "shrinkage", "is_linear")
    )
    assert (Forest.known(without) is not None) == unread


@settings(max_examples=150)
@given(st.integers(START, END), st.integers(0, 3), st.text("0123456789-+. e\nif=_xTre", max_size=3))
def test_a_text_that_is_known_means_the_same_to_lightgbm(at, gone, put):
    changed = PLAIN[:at] + put + PLAIN[at + gone :]
    if Forest.known(changed) is None:
        return
    matrix = drawn(40, seed=11)[0]
    try:
        margin = lightgbm.Booster(model_str=changed).predict(matrix, raw_score=True)
    except LightGBMError:
        return
    assert (Trees(changed).margin(matrix) == margin).all()


def test_without_counts_margins_are_compiled_and_contributions_are_not():
    lean = "\n".join(line for line in PLAIN.split("\n") if not line.startswith(("leaf_count", "internal_count")))
    model, matrix = Trees(lean), drawn(20, seed=12)[0]
    assert model.forest and model.tables is None
    assert (model.margin(matrix) == Trees(PLAIN).margin(matrix)).all()
    nobody = "\n".join("leaf_count=0 0 0 0 0" if line.startswith("leaf_count") else line for line in PLAIN.split("\n"))
    assert Trees(nobody).tables is None


def test_lightgbm_is_not_imported_to_score_and_explain():
    code = (
        "import sys, json, numpy as np; from training.models import Trees; given = json.load(sys.stdin);"
        "model = Trees(given['text']); matrix = np.array(given['matrix'], float);"
        "parts = model.contributions(matrix).sum(axis=1) + model.base_margin;"
        "assert np.abs(parts - model.margin(matrix)).max() < 1e-9; print('lightgbm' in sys.modules)"
    )
    given = json.dumps({"text": PLAIN, "matrix": np.nan_to_num(drawn(5)[0]).tolist()})
    done = subprocess.run([sys.executable, "-c", code], input=given, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
