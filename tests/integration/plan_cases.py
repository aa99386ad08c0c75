"""Random plans: what their tasks do and refer to, what people say and change, and when their process dies. All JSON."""

from __future__ import annotations

from typing import Any, Literal, TypedDict

from hypothesis import strategies as st

Tool = Literal["look", "narrow", "outside", "changing", "broken", "note", "spoil", "shaky", "buy", "erase", "react"]
"""See `plan_tools.py`."""
TOOLS: tuple[Tool, ...] = (
    *("look", "look", "look", "narrow", "outside", "changing", "broken", "note", "note", "note"),
    *("spoil", "shaky", "buy", "buy", "buy", "erase", "react"),
)  # as often as they come
WIDE: tuple[Tool, ...] = ("narrow", "look", "outside", "changing", "note", "buy")
"""Of plans whose tasks hardly need each other."""
MOST_TASKS = 25
ALL = 99

Reference = list[Any]
"""[task, field, field, ...]."""
PATHS: tuple[list[str], ...] = ([], ["label"], ["n"], ["list"], ["list", "0"], ["list", "1", "x"], ["nothing"])
"""All that a tool gives, its fields, and one that it does not give."""


class Task(TypedDict):
    """One task. `label` is its own name in the tools' log, or "same" for effects that are equal on purpose."""

    id: str
    tool: Tool
    label: str
    about: dict[str, Any]
    """{"plain": value}, {"whole": reference}, or {"text": [words and references]}."""
    pace: int
    """Turns of the event loop its call takes."""
    needs: list[str]
    answer: str
    """What a person says when asked: approve, edit, reject, respond, done, cancel; `done` or `abandon` to a doubt."""


class Kill(TypedDict):
    """Where a process dies: the `nth` time something happens in it."""

    on: Literal["write", "begin", "happened", "end", "late"]
    """`late`: the nth write of a task hangs, and the process dies with it once the next one is stored."""
    nth: int
    clean: bool
    """Not killed but stopped, as by ctrl-C: what it does while it is cancelled is stored."""


class Edit(TypedDict):
    """A change of a task's state by a person, before a process goes on: where the thread waits, or was only planned."""

    process: int
    task: int
    """Which of those that may be changed, counted round."""
    kind: Literal["about", "free", "wait"]
    """Another argument, which refers to nothing; only the needs it refers to; one need more."""


class Case(TypedDict):
    """One random run."""

    tasks: list[Task]
    order: list[int]
    """In which the planner lists them."""
    again: list[list[Task]]
    """The plans around what failed."""
    limit: int
    caps: str
    kills: list[Kill]
    """By process."""
    portions: list[int]
    """How many of those who are asked answer, by process; the last also later."""
    seen_first: bool
    """Whether the first process only plans."""
    says: list[int]
    """Processes that begin with a message of a person; each is planned for by the next of the plans `again`."""
    edits: list[Edit]


def needs_of(task: Task) -> list[str]:
    """What comes before it, references included."""
    return list(dict.fromkeys([*task["needs"], *(one[0] for one in references_of(task))]))


def references_of(task: Task) -> list[Reference]:
    """The references in its arguments."""
    about = task["about"]
    return [about["whole"]] if "whole" in about else [part for part in about.get("text", []) if isinstance(part, list)]


def written(task: Task) -> dict[str, Any]:
    """The task as a planner writes it."""
    about = task["about"]
    if "plain" in about:
        value = about["plain"]
    elif "whole" in about:
        value = "$" + ".".join(about["whole"])
    else:
        value = "".join(part if isinstance(part, str) else f"${{{'.'.join(part)}}}" for part in about["text"])
    args = {"label": task["label"], "about": value, "pace": task["pace"]}
    if task["tool"] == "react":
        args = {"task": f"Look {task['label']} up.", "max_iterations": 3, "max_tool_calls": 2}
    return {"id": task["id"], "tool": task["tool"], "args": args, "needs": task["needs"]}


@st.composite
def cases(draw: st.DrawFn, *, killed: bool = False) -> Case:
    """Any case; or any in which the first processes are killed."""
    tasks: list[Task] = []
    wide = draw(st.sampled_from(range(4))) == 0
    for position in range(draw(st.sampled_from(range(1, MOST_TASKS + 1)))):
        alone = wide and draw(st.sampled_from(range(4))) > 0
        tasks.append(draw(_tasks(f"t{position}", [] if alone else [one["id"] for one in tasks], wide=wide)))
    first = [one["id"] for one in tasks if one["tool"] in ("look", "changing") and not needs_of(one)][:3]
    return Case(
        tasks=tasks,
        order=draw(st.permutations(range(len(tasks)))),
        again=[
            [draw(_tasks(f"r{pass_}-{position}", first)) for position in range(draw(st.integers(0, 3)))]
            for pass_ in range(2)
        ],
        limit=draw(st.sampled_from([*[80] * 20, len(tasks), len(tasks) + 1, len(tasks) + 2, max(1, len(tasks) - 1)])),
        caps=draw(st.sampled_from([*[""] * 20, "note=2", "note=9,look=9", "look=6,buy=4"])),
        kills=draw(st.lists(_kills(clean=not killed), min_size=2 if killed else 0, max_size=4)),
        portions=draw(st.lists(st.sampled_from([1, 1, 2, 3, ALL]), min_size=1, max_size=4)),
        seen_first=draw(st.sampled_from(range(4))) == 0,
        says=draw(st.lists(st.sampled_from(range(1, 6)), max_size=2, unique=True)),
        edits=draw(st.lists(_edits(), max_size=3)),
    )


def _edits() -> st.SearchStrategy[Edit]:
    return st.builds(
        lambda process, task, kind: Edit(process=process, task=task, kind=kind),
        st.sampled_from([1, 1, 1, 2, 2, 3, 4, 5]),
        st.integers(0, MOST_TASKS),
        st.sampled_from(["about", "free", "wait"]),
    )


@st.composite
def _tasks(draw: st.DrawFn, name: str, earlier: list[str], *, wide: bool = False) -> Task:
    tool = draw(st.sampled_from(WIDE if wide else TOOLS))
    some = st.sampled_from(earlier) if earlier else None
    needs = draw(st.lists(some, max_size=2, unique=True)) if some is not None and draw(st.booleans()) else []
    answers = {
        "buy": ["approve", "approve", "approve", "edit", "edit", "reject", "respond"],
        "erase": ["done", "done", "reject", "respond"],
        "shaky": ["done", "done", "abandon"],
    }.get(tool, [""])
    if draw(st.sampled_from(range(100))) == 77 and tool in ("buy", "erase", "shaky"):
        answers = ["cancel"]
    task = Task(
        id=name,
        tool=tool,
        label=name,
        about={"plain": draw(st.sampled_from([None, 7, "words", "5 $ ${HOME", ["a", {"b": "$ t0"}]]))},
        pace=draw(st.integers(0, 4)),
        needs=needs,
        answer=draw(st.sampled_from(answers)),
    )
    if tool in ("note", "shaky", "buy") and draw(st.sampled_from(range(3))) == 2:
        task |= {"label": "same", "about": {"plain": "same"}, "pace": 2, "answer": task["answer"] or "done"}
        if tool == "buy" and task["answer"] == "edit":
            task["answer"] = "approve"  # an edited one would be another effect
    elif some is not None and tool != "react" and draw(st.booleans()):
        reference = st.tuples(some, st.sampled_from(PATHS)).map(lambda one: [one[0], *one[1]])
        if draw(st.booleans()):
            task["about"] = {"whole": draw(reference)}
        else:
            task["about"] = {"text": ["a ", draw(reference), " {b} $c ", draw(reference)]}
    return task


def _kills(*, clean: bool) -> st.SearchStrategy[Kill]:
    on: st.SearchStrategy[Any] = st.sampled_from(["write", "write", "begin", "happened", "end", "late"])
    stops = st.sampled_from([False, False, True]) if clean else st.just(value=False)
    return st.builds(
        lambda on, nth, stop: Kill(on=on, nth=1 + nth // 4 if on == "late" else nth, clean=stop and on != "late"),
        on,
        st.sampled_from(range(1, 21)),
        stops,
    )
