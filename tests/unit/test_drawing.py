from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.pages.drawing import ACROSS, BETWEEN, EDGE, HEIGHT, WIDTH, Drawing, drawn

Needs = list[list[int]]


@st.composite
def plans(draw: st.DrawFn) -> Needs:
    """Up to 25 tasks, each needing some before it."""
    many = draw(st.integers(0, 25))
    return [draw(st.lists(st.integers(0, at - 1), max_size=4)) if at else [] for at in range(many)]


def ends(drawing: Drawing) -> list[tuple[int, int]]:
    """Which boxes each line joins."""
    out = {(x + WIDTH, y + HEIGHT // 2): at for at, (x, y) in enumerate(drawing.boxes)}
    into = {(x, y + HEIGHT // 2): at for at, (x, y) in enumerate(drawing.boxes)}
    numbers = [[int(one) for one in re.findall(r"-?\d+", line)] for line in drawing.lines]
    return [(out[one[0], one[1]], into[one[-2], one[-1]]) for one in numbers]


def before(needs: Needs) -> list[set[int]]:
    """All that each task needs, directly or not."""
    every: list[set[int]] = []
    for some in needs:
        every.append(set(some).union(*(every[one] for one in some)))
    return every


@settings(deadline=None)  # a busy machine is no fault
@given(plans())
def test_boxes_never_touch_and_all_is_within_the_drawing(needs: Needs) -> None:
    drawing = drawn(needs)

    assert len(drawing.boxes) == len(needs)
    for (x, y), (other_x, other_y) in combinations(drawing.boxes, 2):
        assert abs(x - other_x) >= WIDTH + ACROSS or abs(y - other_y) >= HEIGHT + BETWEEN - 1  # places are whole px
    for x, y in drawing.boxes:
        assert EDGE <= x <= drawing.width - WIDTH - EDGE
        assert 0 <= y <= drawing.height - HEIGHT


@settings(deadline=None)  # a busy machine is no fault
@given(plans())
def test_lines_say_what_is_needed_no_more_and_no_less(needs: Needs) -> None:
    lines = ends(drawn(needs))
    told: Needs = [[one for one, other in lines if other == at] for at in range(len(needs))]

    assert before(told) == before(needs)
    assert all(set(some) <= set(wanted) for some, wanted in zip(told, needs, strict=True))


@settings(deadline=None)  # a busy machine is no fault
@given(plans())
def test_what_a_task_needs_is_left_of_it(needs: Needs) -> None:
    boxes = drawn(needs).boxes

    assert all(boxes[one][0] < boxes[at][0] for at, some in enumerate(needs) for one in some)


@settings(deadline=None)  # a busy machine is no fault
@given(plans())
def test_a_line_passes_no_box(needs: Needs) -> None:
    """Where it runs straight through a layer, it is at least a gap away from each box there."""
    drawing = drawn(needs)

    for line in drawing.lines:
        for x, y in re.findall(r" (\d+) (\d+)H", line):
            near = [top for left, top in drawing.boxes if left == int(x)]
            assert all(int(y) <= top - BETWEEN or int(y) >= top + HEIGHT + BETWEEN for top in near)


def test_a_chain_is_one_straight_line_and_what_is_implied_is_not_drawn() -> None:
    drawing = drawn([[], [0], [0, 1], [0, 1, 2]])

    assert len({y for _, y in drawing.boxes}) == 1
    assert ends(drawing) == [(0, 1), (1, 2), (2, 3)]
    assert drawing.height == HEIGHT + 2 * EDGE


def test_tasks_side_by_side_stand_below_each_other_and_what_joins_them_in_their_middle() -> None:
    drawing = drawn([[], [], [], [0, 1, 2]])

    assert len({x for x, _ in drawing.boxes[:3]}) == 1
    assert drawing.boxes[3][1] == sorted(y for _, y in drawing.boxes[:3])[1]


def test_lines_that_would_cross_are_uncrossed() -> None:
    drawing = drawn([[], [], [1], [0]])

    assert (drawing.boxes[0][1] < drawing.boxes[1][1]) == (drawing.boxes[3][1] < drawing.boxes[2][1])


@pytest.mark.parametrize("needs", [[[0]], [[5], [-1, 1]], [[1], [0]]])
def test_what_is_no_task_before_it_is_not_drawn(needs: Needs) -> None:
    drawing = drawn(needs)

    assert len(drawing.boxes) == len(needs)
    assert len(drawing.lines) == sum(other < at for at, some in enumerate(needs) for other in some if other >= 0)


def test_nothing_is_an_empty_drawing() -> None:
    assert drawn([]) == Drawing(width=0, height=0, boxes=(), lines=())
