"""Plans on the command line, in processes of their own."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.acceptance.conftest import Ballast, Script, Start, one_line, wait_for
from tests.acceptance.planned import task

PURCHASE = (
    "Priya asked by mail for new standing desks: find her request and the catalogue price, check the purchasing "
    "policy, order them, mail her a confirmation, and delete the old supplier records."
)


def plan(*tasks: dict[str, Any]) -> dict[str, Any]:
    return {"tool_calls": [{"name": "plan", "args": {"tasks": list(tasks)}}]}


LIST = task("files", "list_files")
ORDER = task("order", "place_order", "files", item="Desk lamp", quantity=2, unit_price=38.25)
MAIL = task("mail", "send_email", to="ann@example.com", subject="Hi", body="${order}")


def test_a_plan_is_told_as_json_with_its_drawing(ballast: Ballast, script: Script) -> None:
    model = script({"content": "Done."}, planner=[plan(LIST, ORDER, MAIL)])

    done = ballast("run", "go", "--graph", "plan", "--model", model, "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, report["outcome"]) == (3, "awaiting_approval")
    assert {one["id"]: one["stands"] for one in report["plan"]} == {"files": "done", "order": "waiting", "mail": "open"}
    assert {tuple(one) for one in report["plan"]} == {("id", "tool", "args", "needs", "stands", "estimate")}
    assert report["mermaid"].startswith('flowchart LR\n    n0["files<br/>list_files<br/>done"]:::done\n')


def test_a_plan_is_told_to_people_as_it_is_made_run_and_waits(ballast: Ballast, script: Script) -> None:
    model = script({"content": "Done."}, planner=[plan(LIST, ORDER, MAIL)])

    done = ballast("run", "go", "--graph", "plan", "--model", model)

    lines = [line.split(maxsplit=1) for line in done.stderr.splitlines()]
    assert [line[0] for line in lines] == ["plan", "plan", "plan", "task", "task", "execute", "waiting"]
    assert lines[1][1].endswith("  after files")
    assert "files: list_files(): ok, " in lines[3][1]
    assert "order: place_order(item='Desk lamp', quantity=2, unit_price=38.25): waits for a person" in lines[4][1]
    assert lines[5][1] == "1 done, 1 waiting for a person"
    told = [line.split()[:2] for line in done.stdout.splitlines()]
    assert ["done", "files"] in told
    assert ["open", "mail"] in told
    assert "  waits for a person  order  place_order(" in done.stdout


def test_what_a_replan_dropped_is_told_to_people_and_as_json(ballast: Ballast, script: Script) -> None:
    first = plan(task("lost", "read_file", path="not-there.md"), task("copy", "read_file", path="${lost}"))
    model = script({"content": "Done."}, planner=[first, plan(LIST)])

    done = ballast("run", "go", "--graph", "plan", "--thread", "t", "--model", model)

    assert done.returncode == 0
    assert "  dropped by a replan  copy   read_file(path='${lost}')  after lost\n" in done.stdout
    assert "plan  dropped: copy\n" in done.stderr
    report = json.loads(ballast("resume", "t", "--json").stdout)
    assert {one["id"]: one["stands"] for one in report["plan"]} == {
        "lost": "failed",
        "files": "done",
        "copy": "dropped",
    }


def test_a_plan_only_is_shown_exits_with_0_and_is_run_by_resume(ballast: Ballast, script: Script) -> None:
    model = script({"content": "Done."}, planner=[plan(LIST)])

    shown = ballast("run", "go", "--plan-only", "--thread", "t", "--model", model)
    assert shown.returncode == 0
    assert "  open  files  list_files()\n" in shown.stdout
    assert "\nplanned  iterations 1  tool calls 0" in shown.stdout
    assert shown.stdout.endswith("  run it: ballast resume t\n")

    done = ballast("resume", "t", "--json")
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (0, "completed")


def test_a_plan_only_as_json_has_no_outcome_yet(ballast: Ballast, script: Script) -> None:
    model = script({"content": "Done."}, planner=[plan(LIST)])

    shown = ballast("run", "go", "--plan-only", "--graph", "auto", "--model", model, "--json")

    report = json.loads(shown.stdout)
    assert (shown.returncode, report["outcome"], len(report["plan"])) == (0, None, 1)
    assert report["usage"]["tool_calls"] == 0


def test_a_plan_that_is_rejected_is_no_success(ballast: Ballast, script: Script) -> None:
    model = script(planner=[{"content": "no plan"}] * 2)

    shown = ballast("run", "go", "--plan-only", "--model", model)

    assert shown.returncode == 1
    assert "\nplan_rejected  " in shown.stdout
    assert "run it" not in shown.stdout


def test_a_plan_that_was_killed_after_it_was_made_is_run_by_resume(
    ballast: Ballast, start: Start, script: Script
) -> None:
    """The answer is slow, and what a plan's task did is stored: killed in `join`, the task is not run again."""
    model = script({"content": "Done.", "delay_s": 30}, planner=[plan(LIST)])
    ballast("run", "go", "--plan-only", "--thread", "t", "--model", model)
    running = start("resume", "t")
    wait_for(running, "execute")
    running.send_signal(signal.SIGKILL)
    running.wait()
    quick = script({"content": "Done."}, planner=[plan(LIST)])

    done = ballast("resume", "t", "--model", quick, "--json")

    report = json.loads(done.stdout)
    assert (report["outcome"], report["usage"]["tool_calls"]) == ("completed", 1)
    assert [one["stands"] for one in report["plan"]] == ["done"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--graph", "tree"), "no graph 'tree': use react, plan or auto"),
        (("--graph", "react", "--plan-only"), "--plan-only needs a plan, and the graph react makes none"),
    ],
)
def test_what_can_not_be_run_is_refused_in_one_line(ballast: Ballast, flags: tuple[str, ...], said: str) -> None:
    one_line(ballast("run", "go", *flags), 2, said)


@pytest.mark.parametrize(
    ("request_", "graph"),
    [("list files and list mail", "plan"), ("search for travel", "react")],
)
def test_auto_goes_by_its_rule_and_says_so(ballast: Ballast, request_: str, graph: str) -> None:
    done = ballast("run", request_, "--graph", "auto", "--json")

    assert done.returncode == 0
    assert f"graph {graph}: " in done.stderr.splitlines()[0]
    assert ("plan" in json.loads(done.stdout)) == (graph == "plan")


@pytest.mark.parametrize("flags", [("--graph", "auto"), ()])
def test_a_thread_keeps_its_graph(ballast: Ballast, flags: tuple[str, ...]) -> None:
    ballast("run", "list files", "--graph", "plan", "--thread", "t")

    done = ballast("run", "search for travel", "--thread", "t", "--json", *flags)

    report = json.loads(done.stdout)
    assert report["outcome"] == "completed"
    assert [one["tool"] for one in report["plan"]] == ["search_documents"]


def test_the_offline_model_plans_what_the_readme_asks_of_it(ballast: Ballast) -> None:
    done = ballast("run", "search documents for travel", "--graph", "plan")

    assert done.returncode == 0
    assert "docs/travel-policy.md: **Travel** policy" in done.stdout


def test_the_offline_model_plans_a_purchase_and_it_is_done_as_people_allow(ballast: Ballast) -> None:
    ballast("run", PURCHASE, "--graph", "plan", "--thread", "t")
    for tool, verb in (("place_order", "approve"), ("delete_records", "done"), ("send_email", "approve")):
        rows = json.loads(ballast("approvals", "list", "--pending", "--json").stdout)
        [asked] = [row["id"] for row in rows if row["tool"] == tool]
        done = ballast("approvals", verb, asked, "--resume", "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, report["outcome"]) == (0, "completed")
    assert {one["id"]: one["stands"] for one in report["plan"]} == dict.fromkeys(
        ("facts", "order", "delete", "mail"), "done"
    )
    assert "4 x Standing desk at 389.00 = 1556.00 USD" in report["answer"]
    effects = json.loads(ballast("effects", "t", "--json").stdout)
    assert [(one["tool"], one["state"]) for one in effects] == [("place_order", "done"), ("send_email", "done")]


def test_what_the_offline_model_can_not_plan_it_says(ballast: Ballast) -> None:
    done = ballast("run", "be nice", "--graph", "plan", "--json")

    report = json.loads(done.stdout)
    assert (done.returncode, report["outcome"]) == (1, "plan_rejected")
    assert "I know no plan for this request" in report["answer"]
