"""LightGBM's text as flat arrays, of one model or of several side by side.

Format and meaning of every field: LightGBM 4, ``Tree::ToString``, ``Tree::NumericalDecision``,
``Tree::CategoricalDecision``. What is not known here is refused, never guessed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

HEAD = {
    "version", "num_class", "num_tree_per_iteration", "label_index", "max_feature_idx", "objective", "feature_names",
    "monotone_constraints", "feature_infos", "tree_sizes",
}  # fmt: skip
FIXED = {"version": "v4", "num_class": "1", "num_tree_per_iteration": "1"}
NODES = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
COUNTS = {"leaf_count": 0, "internal_count": -1}
SIZES = dict.fromkeys(NODES, -1) | {"leaf_value": 0} | COUNTS
UNREAD = {"split_gain", "leaf_weight", "internal_value", "internal_weight", "shrinkage"}
TREE = {"num_leaves", "num_cat", "is_linear", "cat_boundaries", "cat_threshold", *SIZES, *UNREAD}
WHOLE = set("0123456789-")
FLOAT = WHOLE | set("+.e")
ZERO = 1  # the missing type of a split that takes zero for missing


class Unknown(ValueError):
    """A text whose meaning is not known here."""


class Nodes(NamedTuple):
    """What a node asks of its feature. A child below 0 is the leaf ~child.

    absent, zero: whether a missing value and a zero go left; begin, end: the words of a category split, begin -1 where
    the split is numeric.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    absent: np.ndarray
    zero: np.ndarray
    begin: np.ndarray
    end: np.ndarray


@dataclass(frozen=True)
class Forest:
    """``features``: columns of a matrix. ``starts``: the first tree of each model, and the end.

    ``first`` (trees + 1,): the first node of each tree, and the end; children stand after their parents. ``roots``
    (trees,): a node, or ~leaf of a tree that never splits. ``words``: bit sets of categories that go left.
    ``node_rows``, ``leaf_rows``: training rows that came by; None where the text does not say.
    """

    features: int
    starts: np.ndarray
    first: np.ndarray
    roots: np.ndarray
    nodes: Nodes
    words: np.ndarray
    values: np.ndarray
    node_rows: np.ndarray | None
    leaf_rows: np.ndarray | None

    @classmethod
    def parse(cls, *texts: str) -> "Forest":
        """The models of these texts, which take the same columns. Raises Unknown."""
        heads, models = zip(*(_split(text) for text in texts))
        trees = [tree for model in models for tree in model]
        counted = all(COUNTS.keys() <= tree.keys() for tree in trees)
        _expect(counted or not any(COUNTS.keys() & tree.keys() for tree in trees), "counts of some trees")
        leaves = np.array([_whole(tree["num_leaves"]) for tree in trees])
        _expect(leaves.min() >= 1, "num_leaves")
        columns = {key: _column(trees, leaves, key) for key in SIZES if counted or key not in COUNTS}
        width = {_whole(head["max_feature_idx"]) + 1 for head in heads}
        _expect(len(width) == 1, "models of different columns")
        words = list(_words(trees))
        nodes, roots = _nodes(columns, leaves, words, max(width))
        rows = [columns[key].astype(np.int64) for key in COUNTS] if counted else [None, None]
        starts = np.cumsum([0, *(len(model) for model in models)])
        bits = np.array([word for _, own in words for word in own] or [0], np.uint32)
        return cls(
            max(width), starts, np.cumsum([0, *leaves - 1]), roots, nodes, bits, columns["leaf_value"], rows[1], rows[0]
        )

    @classmethod
    def known(cls, *texts: str) -> "Forest | None":
        """The models of these texts; None where one of them is not known here."""
        try:
            return cls.parse(*texts)
        except Unknown:
            return None


def _expect(known: bool | np.bool_, what: str) -> None:
    if not known:
        raise Unknown(f"a LightGBM text not known here: {what}")


def _whole(text: str, below: int = 2**31) -> int:
    _expect(text.isascii() and text.isdigit() and int(text[:12]) < below, "a whole number")
    return int(text)


def _fields(block: str, known: set[str]) -> dict[str, str]:
    """key=value lines, each key once, with no blank line between them: there LightGBM would stop reading."""
    lines = [line.partition("=") for line in block.rstrip("\n").split("\n")]
    fields = {key: value for key, sign, value in lines if sign}
    _expect(len(fields) == len(lines) and fields.keys() <= known, "a line")
    return fields


def _split(text: str) -> tuple[dict[str, str], list[dict[str, str]]]:
    """The fields of the head and of each tree."""
    body, end, _ = text.partition("\nend of trees\n")
    first, *blocks = body.split("\nTree=")
    kind, _, rest = first.partition("\n")
    _expect(bool(end and blocks) and kind == "tree", "its frame")
    head = _fields(rest, HEAD)
    _expect(all(head.get(key) == value for key, value in FIXED.items()) and "max_feature_idx" in head, "its head")
    _expect("tree_sizes" not in head or len(head["tree_sizes"].split()) == len(blocks), "tree_sizes")
    trees = []
    for number, block in enumerate(blocks):
        name, _, content = block.partition("\n")
        tree = _fields(content, TREE)
        _expect(name == str(number) and tree.get("is_linear", "0") == "0", "a tree that is linear or out of order")
        _expect({"num_leaves", "num_cat", "leaf_value"} <= tree.keys(), "a tree without its leaves")
        trees.append(tree)
    return head, trees


def _numbers(tokens: list[str], allowed: set[str]) -> np.ndarray:
    try:
        _expect(set("".join(tokens)) <= allowed, "a number")
        return np.array([float(token) for token in tokens])
    except ValueError:
        raise Unknown("a LightGBM text not known here: a number") from None


def _column(trees: list[dict[str, str]], leaves: np.ndarray, key: str) -> np.ndarray:
    """One field of all trees, end to end; integers unless values or thresholds."""
    tokens: list[str] = []
    for tree, size in zip(trees, leaves):
        own = tree[key].split(" ") if tree.get(key) else []
        _expect(len(own) == size + SIZES[key], key)
        tokens += own
    if key == "threshold":
        return _numbers(tokens, FLOAT | set("inf"))
    numbers = _numbers(tokens, FLOAT if key == "leaf_value" else WHOLE)
    _expect((np.abs(numbers) < (np.inf if key == "leaf_value" else 2**31)).all(), key)
    return numbers if key == "leaf_value" else numbers.astype(np.int32)


def _words(trees: list[dict[str, str]]) -> Iterator[tuple[list[int], list[int]]]:
    """Per tree: where the bit set of each category split ends, a 0 first, and the words of all of them."""
    for tree in trees:
        keys = ("cat_boundaries", "cat_threshold")
        ends, words = ([_whole(token, 2**32) for token in tree.get(key, "").split(" ") if token] for key in keys)
        ends = ends or [0]
        _expect(len(ends) == _whole(tree["num_cat"]) + 1 and ends[0] == 0 and ends[-1] == len(words), "cat_boundaries")
        _expect(ends == sorted(ends), "cat_boundaries")
        yield ends, words


def _nodes(
    columns: dict[str, np.ndarray], leaves: np.ndarray, words: list[tuple[list[int], list[int]]], width: int
) -> tuple[Nodes, np.ndarray]:
    """The nodes with positions counted over all trees, and the root of each tree."""
    feature, threshold, decision, left, right = (columns[key] for key in NODES)
    _expect(((feature >= 0) & (feature < width)).all(), "split_feature")
    missing, default, category = decision >> 2, (decision & 2) > 0, (decision & 1) > 0
    _expect(((decision >= 0) & (missing <= 2)).all(), "decision_type")
    tree = np.repeat(np.arange(len(leaves)), leaves - 1)
    node, leaf = (np.cumsum([0, *sizes]).astype(np.int32) for sizes in (leaves - 1, leaves))
    left, right = (np.where(child >= 0, child + node[tree], child - leaf[tree]) for child in (left, right))
    roots = np.where(leaves > 1, node[:-1], ~leaf[:-1]).astype(np.int32)
    _tree_shaped(left, right, roots, leaf[-1])
    begin, end = _sets(threshold, category, tree, words)
    absent = np.where(missing > 0, default, threshold >= 0)
    zero = np.where(missing == ZERO, default, threshold >= 0)
    return Nodes(feature, threshold, left, right, absent, zero, begin, end), roots


def _tree_shaped(left: np.ndarray, right: np.ndarray, roots: np.ndarray, leaves: int) -> None:
    """Every node and leaf is a root or the child of one node that stands before it.

    It is one of its own tree, for a text can point within its tree or to later ones only.
    """
    children, parents = np.concatenate([left, right]), np.tile(np.arange(len(left)), 2)
    every = np.concatenate([np.arange(len(left)), ~np.arange(leaves)])
    _expect(np.array_equal(np.sort(np.concatenate([children, roots])), np.sort(every)), "the shape of a tree")
    _expect((children > parents)[children >= 0].all(), "the shape of a tree")


def _sets(
    threshold: np.ndarray, category: np.ndarray, tree: np.ndarray, words: list[tuple[list[int], list[int]]]
) -> tuple[np.ndarray, np.ndarray]:
    """Where the words of each category split begin and end; -1 for a numeric one."""
    begin, end = np.full((2, len(threshold)), -1, np.int32)
    offset = np.cumsum([0, *(len(own) for _, own in words)])
    for place in np.flatnonzero(category):
        ends, number = words[tree[place]][0], threshold[place]
        _expect(number in range(len(ends) - 1), "the number of a category split")
        begin[place], end[place] = offset[tree[place]] + np.array(ends)[[int(number), int(number) + 1]]
    return begin, end
