"""An answer counts only when the server has looked at who gives it: no request slips one past that."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml

from tests.acceptance.conftest import Server, SignIn, client_of, running
from tests.acceptance.test_answers import APPROVE, GO, PAY
from tests.forks import Forks

ANSWER = {"decisions": [APPROVE]}
REACT = {"assistant_id": "react"}


@pytest.fixture(scope="module")
def server(closed_server: Server) -> Server:
    return closed_server


@pytest.fixture
def model(tmp_path: Path) -> str:
    """Wants to pay, which a `user` may not approve."""
    script = tmp_path / "pay.yaml"
    script.write_text(yaml.safe_dump({"turns": [{"tool_calls": [PAY]}, {"content": "done"}]}))
    return f"scripted:{script}"


def _asked(state: dict[str, Any]) -> list[str]:
    return [one["id"] for task in state["tasks"] for one in task["interrupts"]]


@pytest.mark.parametrize("key", ["__pregel_resume_map", "__pregel_scratchpad"])
@pytest.mark.parametrize("sent_as", ["configurable", "checkpoint"])
def test_what_langgraph_hands_to_subgraphs_is_no_answer_when_a_client_sends_it(
    server: Server, sign_in: SignIn, model: str, key: str, sent_as: str
) -> None:
    with client_of(server, sign_in.token(f"ann-{uuid4().hex}")) as ann:
        thread = ann.post("/threads", json={}).json()["thread_id"]
        ann.post(f"/threads/{thread}/runs/wait", json={**REACT, "input": GO, "context": {"model": model}})
        state = ann.get(f"/threads/{thread}/state").json()
        [interrupt] = _asked(state)
        smuggled = {key: {interrupt: ANSWER}}
        if sent_as == "checkpoint":
            more: dict[str, Any] = {"checkpoint": {**state["checkpoint"], **smuggled}}
        else:
            more = {"config": {"configurable": smuggled}}

        ann.post(f"/threads/{thread}/runs/wait", json={**REACT, "input": None, **more})

        assert len(_asked(ann.get(f"/threads/{thread}/state").json())) == 1
    shown = sign_in.ballast("approvals", "list", "--thread", thread, "--pending", "--json").stdout
    assert '"pay_invoice"' in shown


def test_a_question_that_is_not_asked_yet_can_not_be_answered_ahead(
    server: Server, sign_in: SignIn, model: str
) -> None:
    """The answer would wait behind the run that asks, and be taken without a look at its sender."""
    with client_of(server, sign_in.token(f"ann-{uuid4().hex}")) as ann:
        thread = ann.post("/threads", json={}).json()["thread_id"]
        run = ann.post(f"/threads/{thread}/runs", json={**REACT, "input": GO, "context": {"model": model}}).json()

        ahead = ann.post(
            f"/threads/{thread}/runs",
            json={**REACT, "command": {"resume": ANSWER}, "multitask_strategy": "enqueue"},
        )

        ann.get(f"/threads/{thread}/runs/{run['run_id']}/join")
        assert ahead.status_code in {403, 404}  # 403 when the run has begun before
        assert len(_asked(ann.get(f"/threads/{thread}/state").json())) == 1


def test_whoever_edits_a_thread_to_ask_for_a_payment_is_no_second_pair_of_eyes(
    server_url: str, tmp_path: Path, forks: Forks
) -> None:
    policy, idle = tmp_path / "policy.yaml", tmp_path / "idle.yaml"
    policy.write_text("tools: {pay_invoice: {four_eyes: true}}")
    idle.write_text(yaml.safe_dump({"turns": [{"content": "done"}, {"content": "done"}]}))
    call = {"id": "c1", "name": PAY["name"], "args": PAY["args"]}
    asks = {**call, "risk": "high", "reason": "r", "status": "ask"}
    said = [{"role": "user", "content": "pay"}, {"role": "ai", "content": "", "tool_calls": [call]}]
    values = {"messages": said, "outcome": None, "calls": [asks]}
    with running(server_url, tmp_path, BALLAST_POLICY=str(policy)) as server:
        sign_in = SignIn(forks=forks, database_url=server.database_url)
        names = ("ann", "user"), ("root", "admin"), ("eve", "admin")
        with ExitStack() as stack:
            ann, root, eve = (stack.enter_context(client_of(server, sign_in.token(*name))) for name in names)
            thread = ann.post("/threads", json={}).json()["thread_id"]
            context = {"model": f"scripted:{idle}"}
            ann.post(f"/threads/{thread}/runs/wait", json={**REACT, "input": GO, "context": context})
            root.post(f"/threads/{thread}/state", json={"values": values, "as_node": "reason"}).raise_for_status()
            root.post(f"/threads/{thread}/runs/wait", json={**REACT, "input": None})
            [interrupt] = _asked(root.get(f"/threads/{thread}/state").json())
            answer = {**REACT, "command": {"resume": {interrupt: ANSWER}}}

            alone = root.post(f"/threads/{thread}/runs/wait", json=answer)
            together = eve.post(f"/threads/{thread}/runs/wait", json=answer)

    assert (alone.status_code, together.status_code) == (403, 200)
    assert "needs four eyes: root had a hand in it" in alone.json()["detail"]
