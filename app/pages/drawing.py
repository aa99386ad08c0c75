"""Where the boxes and lines of a plan's drawing go: what a task needs is left of it, lines cross as little as may be.

Layers by longest path; long lines bend around the boxes between; within a layer boxes are ordered by the middle of what
they are joined to (Sugiyama's method), and moved as near to it as their neighbours allow (isotonic regression).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

WIDTH, HEIGHT = 198, 52
"""Of a box, in px."""
ACROSS, BETWEEN = 36, 14
"""From layer to layer, and between boxes of one."""
BEND = 8
"""Height of the place that a passing line takes."""
EDGE = 2
SWEEPS = 4


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """In px. `boxes` are the upper left corners, in the order of the tasks; `lines` are SVG paths."""

    width: int
    height: int
    boxes: Sequence[tuple[int, int]]
    lines: Sequence[str]


def drawn(needs: Sequence[Sequence[int]]) -> Drawing:
    """Draw tasks by what each needs: numbers of tasks before it. A line that others imply is left out."""
    before = {number: sorted({one for one in some if 0 <= one < number}) for number, some in enumerate(needs)}
    grid = _Grid(before=_implied_left_out(before))
    if not needs:
        return Drawing(width=0, height=0, boxes=(), lines=())
    grid.order()
    middles = grid.middles()
    top = min(middles[node] - grid.height_of(node) / 2 for node in middles)
    bottom = max(middles[node] + grid.height_of(node) / 2 for node in middles)
    at = {node: round(middle - top) + EDGE for node, middle in middles.items()}
    left = {node: EDGE + layer * (WIDTH + ACROSS) for layer, nodes in enumerate(grid.layers) for node in nodes}
    return Drawing(
        width=len(grid.layers) * (WIDTH + ACROSS) - ACROSS + 2 * EDGE,
        height=round(bottom - top) + 2 * EDGE,
        boxes=[(left[number], at[number] - HEIGHT // 2) for number in range(len(needs))],
        lines=[_line([(left[node], at[node]) for node in route]) for route in grid.routes],
    )


def _implied_left_out(before: Mapping[int, Sequence[int]]) -> dict[int, list[int]]:
    """Without what a task needs anyhow because something else it needs does."""
    all_before: dict[int, set[int]] = {}
    kept: dict[int, list[int]] = {}
    for number, some in before.items():
        implied = set().union(*(all_before[one] for one in some))
        all_before[number] = implied.union(some)
        kept[number] = [one for one in some if one not in implied]
    return kept


@dataclass(kw_only=True)
class _Grid:
    """Boxes, and the bends of lines that pass a layer, in layers. Numbers from `len(before)` on are bends."""

    before: Mapping[int, Sequence[int]]
    layers: list[list[int]] = field(default_factory=list)
    routes: list[list[int]] = field(default_factory=list)
    """Of each line: from box to box through its bends."""
    left: dict[int, list[int]] = field(default_factory=dict)
    right: dict[int, list[int]] = field(default_factory=dict)
    """What each is joined to in the layer before it, and behind it."""

    def __post_init__(self) -> None:
        depth: dict[int, int] = {}
        for number, some in self.before.items():
            depth[number] = max((depth[one] + 1 for one in some), default=0)
        self.layers = [[n for n in depth if depth[n] == layer] for layer in range(max(depth.values(), default=-1) + 1)]
        node = len(self.before)
        for number, some in self.before.items():
            for one in some:
                bends = range(node, node + depth[number] - depth[one] - 1)
                node += len(bends)
                for layer, bend in enumerate(bends, start=depth[one] + 1):
                    self.layers[layer].append(bend)
                self.routes.append([one, *bends, number])
        for route in self.routes:
            for one, other in pairwise(route):
                self.right.setdefault(one, []).append(other)
                self.left.setdefault(other, []).append(one)

    def height_of(self, node: int) -> int:
        return HEIGHT if node < len(self.before) else BEND

    def order(self) -> None:
        """Sort each layer by the middle of what it is joined to, there and back."""
        for _ in range(SWEEPS):
            for layers, joined in ((self.layers, self.left), (self.layers[::-1], self.right)):
                for fixed, layer in pairwise(layers):
                    place = {node: at for at, node in enumerate(fixed)}
                    own = {node: float(at) for at, node in enumerate(layer)}
                    layer.sort(key=lambda node: _mean(place, joined.get(node, ()), own[node]))

    def middles(self) -> dict[int, float]:
        """How far down the middle of each is."""
        at: dict[int, float] = {}
        for layer in self.layers:
            offsets = self._offsets(layer)
            at |= {node: offset - offsets[-1] / 2 for node, offset in zip(layer, offsets, strict=True)}
        for _ in range(SWEEPS):
            for layers, joined in ((self.layers, self.left), (self.layers[::-1], self.right)):
                for layer in layers:
                    wanted = [_mean(at, joined.get(node, ()), at[node]) for node in layer]
                    at |= zip(layer, _apart(wanted, self._offsets(layer)), strict=True)
        return at

    def _offsets(self, layer: Sequence[int]) -> list[float]:
        """How far each is at least below the first."""
        offsets = [0.0]
        for one, other in pairwise(layer):
            offsets.append(offsets[-1] + (self.height_of(one) + self.height_of(other)) / 2 + BETWEEN)
        return offsets


def _mean(place: Mapping[int, float], joined: Sequence[int], own: float) -> float:
    return sum(place[one] for one in joined) / len(joined) if joined else own


def _apart(wanted: Sequence[float], offsets: Sequence[float]) -> list[float]:
    """The places nearest to those wanted (least squares) that are no nearer to each other than the offsets are.

    Pool adjacent violators: neighbours that would come too near move together.
    """
    blocks: list[tuple[float, int]] = []
    for want, offset in zip(wanted, offsets, strict=True):
        mean, count = want - offset, 1
        while blocks and blocks[-1][0] > mean:
            earlier, many = blocks.pop()
            mean, count = (earlier * many + mean * count) / (many + count), many + count
        blocks.append((mean, count))
    means = [mean for mean, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]


def _line(points: Sequence[tuple[int, int]]) -> str:
    """From the right side of the first to the left side of the last; straight on at each bend."""
    (x, y), *others = points
    path = [f"M{x + WIDTH} {y}"]
    for at, (x, y) in enumerate(others, start=1):
        start, above = points[at - 1][0] + WIDTH, points[at - 1][1]
        middle = (start + x) // 2
        path.append(f"C{middle} {above} {middle} {y} {x} {y}")
        if at < len(others):
            path.append(f"H{x + WIDTH}")
    return "".join(path)
