"""Which graph a request on the command line is run by."""

from __future__ import annotations

from app.lifespan import Opened
from graph.errors import BadSetting, NotFound
from services.graph_choice import Choice, choice

AUTO = "auto"
GRAPHS = ("react", "plan", AUTO)


def checked(graph: str | None, *, plan_only: bool) -> None:
    """Refuse what can't be run, before anything is opened.

    Raises:
        NotFound: there is no such graph.
        BadSetting: a plan is wanted of the graph that makes none.
    """
    if graph is not None and graph not in GRAPHS:
        raise NotFound("graph", graph, f"use {', '.join(GRAPHS[:-1])} or {GRAPHS[-1]}")
    if plan_only and graph == "react":
        raise BadSetting("--plan-only needs a plan, and the graph react makes none: leave out --graph react")


async def chosen(opened: Opened, graph: str | None, task: str, *, thread: str | None, plan_only: bool) -> Choice:
    """The graph named; else the one that makes a plan where one is wanted, the thread's own, or what the rule says."""
    if plan_only or graph == "plan":
        return Choice(graph="plan", why="a plan is wanted")
    if graph == "react":
        return Choice(graph="react", why="it is named")
    row = await opened.runs.get(thread) if thread and thread.isprintable() else None
    if row:
        return Choice(graph="plan" if row.graph == "plan" else "react", why="the thread is run by it")
    return choice(task) if graph == AUTO else Choice(graph="react", why="none is named")
