"""What is tabulated of a model: small enough subtrees, and which answers of its nodes lead to which row of a table."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from training.forest import Forest, Unknown

BITS, DEEPEST, BYTES = 7, 64, 64 * 2**20
WORD = 32

Step = tuple[int, int]  # a node, and 1 where the path goes left


class TooLarge(ValueError):
    """Tables of this model would take more than ``BYTES``."""


class Groups(NamedTuple):
    """Subtrees, end to end over all trees; each array of starts ends with the end.

    The answers of a tree's nodes, 1 for left, are packed ``WORD`` to a word. A group's bit is 1 when the answers under
    its mask in its word are as wanted. Its table has one row per combination of bits, from ``tables`` on, and a column
    for each feature of ``columns``.
    """

    trees: np.ndarray
    bits: np.ndarray
    word: np.ndarray
    mask: np.ndarray
    wanted: np.ndarray
    columns: np.ndarray
    feature: np.ndarray
    tables: np.ndarray


class Games(NamedTuple):
    """What the table of a group is the sum of: its leaves from ``leaves`` on, each with players from ``players`` on.

    A player is a feature on the leaf's path: its column in the table, its share of the training rows, and the bits
    (mask) that must be as wanted for the row to meet its conditions.
    """

    leaves: np.ndarray
    leaf: np.ndarray
    players: np.ndarray
    column: np.ndarray
    share: np.ndarray
    mask: np.ndarray
    wanted: np.ndarray


@dataclass
class _Made:
    """Groups and games in the making."""

    groups: dict[str, list] = field(default_factory=lambda: {name: [] for name in Groups._fields})
    games: dict[str, list] = field(default_factory=lambda: {name: [] for name in Games._fields})
    cells: int = 0

    def mark(self) -> None:
        """A group begins."""
        self.groups["bits"].append(len(self.groups["word"]))
        self.groups["columns"].append(len(self.groups["feature"]))
        self.groups["tables"].append(self.cells)
        self.games["leaves"].append(len(self.games["leaf"]))


class _Tree:
    """One tree of a forest, its nodes as plain numbers."""

    def __init__(self, first: int, last: int, feature: list[int], left: list[int], right: list[int]):
        self.first, self.feature = first, feature
        self.children = {node: (left[node], right[node]) for node in range(first, last)}
        self.path: dict[int, tuple[Step, ...]] = {first: ()}
        for node, (yes, no) in self.children.items():
            self.path[yes], self.path[no] = (*self.path[node], (node, 1)), (*self.path[node], (node, 0))
            if len(self.path[node]) >= DEEPEST:
                raise TooLarge(f"a path of more than {DEEPEST} nodes")
        self.under = dict.fromkeys(self.path, 0)
        for node in range(last - 1, first - 1, -1):
            self.under[node] = 1 + sum(self.under[child] for child in self.children[node])

    def heads(self) -> Iterator[int]:
        """The highest nodes and leaves whose answers, and those that lead to them, fit into ``BITS`` bits."""
        waiting = [self.first]
        while waiting:
            head = waiting.pop()
            if head < 0 or len(self.merged(head)) + self.under[head] <= BITS:
                yield head
            else:
                waiting += self.children[head][::-1]

    def merged(self, head: int) -> dict[tuple[int, int], list[Step]]:
        """The steps that lead to a subtree, those about one feature together, as far as they are of one word."""
        found: dict[tuple[int, int], list[Step]] = {}
        for node, way in self.path[head]:
            found.setdefault((self.feature[node], (node - self.first) // WORD), []).append((node, way))
        return found

    def below(self, head: int) -> tuple[list[int], list[int]]:
        """The nodes and the leaves of a subtree."""
        waiting = [head]
        found: tuple[list[int], list[int]] = ([], [])
        while waiting:
            place = waiting.pop()
            found[place < 0].append(place)
            waiting += self.children.get(place, ())[::-1]
        return found


def plan(forest: Forest) -> tuple[Groups, Games]:
    """The tables of the one model of a forest that says how many rows came by. Raises TooLarge, or Unknown."""
    made, nodes = _Made(), forest.nodes
    feature, left, right = (part.tolist() for part in (nodes.feature, nodes.left, nodes.right))
    assert forest.node_rows is not None and forest.leaf_rows is not None
    rows = np.concatenate([forest.node_rows, forest.leaf_rows[::-1]]).tolist()  # ~leaf counts from the end
    for first, last in zip(forest.first[:-1].tolist(), forest.first[1:].tolist()):
        made.groups["trees"].append(len(made.groups["bits"]))
        if first == last:
            continue
        tree = _Tree(first, last, feature, left, right)
        for head in tree.heads():
            _group(made, tree, head, rows)
    made.groups["trees"].append(len(made.groups["bits"]))
    made.mark()
    made.games["players"].append(len(made.games["column"]))
    groups = {
        key: np.array(part, np.uint32 if key in ("mask", "wanted") else np.int32) for key, part in made.groups.items()
    }
    games = {key: np.array(part, np.float64 if key == "share" else np.int32) for key, part in made.games.items()}
    return Groups(**groups), Games(**games)


def _group(made: _Made, tree: _Tree, head: int, rows: list[int]) -> None:
    inner, leaves = tree.below(head)
    bits = [*tree.merged(head).values(), *([(node, 1)] for node in inner)]
    names = dict.fromkeys(tree.feature[node] for steps in bits for node, _ in steps)
    columns = {name: place for place, name in enumerate(names)}
    made.mark()
    made.cells += len(columns) << len(bits)
    if made.cells * 8 > BYTES:
        raise TooLarge(f"tables of more than {BYTES:,} bytes")
    for steps in bits:
        places = [(divmod(node - tree.first, WORD), way) for node, way in steps]
        made.groups["word"].append(places[0][0][0])
        made.groups["mask"].append(sum(1 << place for (_, place), _ in places))
        made.groups["wanted"].append(sum(way << place for (_, place), way in places))
    made.groups["feature"] += columns
    bit = {node: 1 << place for place, steps in enumerate(bits) for node, _ in steps}
    for leaf in leaves:
        _game(made, tree, leaf, rows, columns, bit, set(inner))


def _game(
    made: _Made, tree: _Tree, leaf: int, rows: list[int], columns: dict[int, int], bit: dict[int, int], inner: set[int]
) -> None:
    made.games["leaf"].append(~leaf)
    made.games["players"].append(len(made.games["column"]))
    path = tree.path[leaf]
    players: dict[int, tuple[float, int, int]] = {}
    if min(rows[place] for place in (leaf, *dict(path))) < 1:
        raise Unknown("a node that no training row reached")
    for (node, way), (child, _) in zip(path, (*path[1:], (leaf, 0))):
        share, mask, wanted = players.get(tree.feature[node], (1.0, 0, 0))
        met = way or node not in inner  # a bit of the path to the subtree says whether its steps are taken
        players[tree.feature[node]] = share * rows[child] / rows[node], mask | bit[node], wanted | bit[node] * met
    for name, (share, mask, wanted) in players.items():
        made.games["column"].append(columns[name])
        made.games["share"].append(share)
        made.games["mask"].append(mask)
        made.games["wanted"].append(wanted)
