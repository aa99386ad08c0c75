"""What must hold of a random plan that has been played, whatever died and whoever decided what. Facts and a log in."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from tests.integration.plan_cases import Case, Task, needs_of, references_of
from tests.integration.plan_tools import Entry

AT_ONCE = {"": 8, "narrow": 2}
ENDED = ("completed", "tool_failed")
EFFECTS = frozenset({"note", "buy", "spoil", "shaky", "erase"})
GATED = frozenset({"buy", "erase"})
GONE = object()
"""What stands for a reference to nothing."""


class Oracle:
    """One played plan."""

    def __init__(self, case: Case, facts: Mapping[str, Any], log: list[Entry]) -> None:
        self.case, self.facts, self.log = case, facts, log
        self.written: dict[str, Task] = {one["id"]: one for plan in (case["tasks"], *case["again"]) for one in plan}
        for entry in log:
            if entry["kind"] == "edited":
                self._take_over(entry)
        self.results: dict[str, dict[str, str]] = facts["results"]
        self.call_ids = {task["id"]: task["call_id"] for task in facts["tasks"]}
        self.begun: dict[str, list[Entry]] = defaultdict(list)
        """Calls by label."""
        for entry in log:
            if entry["kind"] == "begin":
                self.begun[entry["label"]].append(entry)
        self.doubted = {entry["call"] for entry in log if entry["kind"] == "decided" and entry["key"]}
        """Calls a person was asked about as effects in doubt."""
        self.decided = {entry["call"]: entry["type"] for entry in log if entry["kind"] == "decided"}
        self.said_more = any(entry["kind"] == "said" for entry in log)
        self.admitted = {name for entry in log if entry["kind"] == "admitted" for name in entry["tasks"]}

    def _take_over(self, edit: Entry) -> None:
        """From here on the task is as a person changed it."""
        task = self.written[edit["task"]]
        about: dict[str, Any] = {"plain": edit["about"]} if edit["part"] == "about" else task["about"]
        self.written[edit["task"]] = {**task, "about": about, "needs": edit["needs"]}

    def wrong(self) -> list[str]:
        """What does not hold, a line each."""
        return [
            *self._end(),
            *self._tasks(),
            *self._order(),
            *self._at_once(),
            *self._limits(),
            *self._effects(),
            *self._reads(),
            *self._history(),
        ]

    def done(self, name: str) -> bool:
        """Whether the task gave what others may need."""
        return name in self.results and self.results[name]["stands"] == "done"

    def _end(self) -> Iterator[str]:
        outcome = self.facts["outcome"]
        cancelled = "cancel" in self.decided.values()
        failed = {name for name, one in self.results.items() if one["stands"] == "failed"}
        expected = {"completed": not cancelled, "tool_failed": not cancelled, "cancelled": cancelled}
        if not expected.get(outcome, outcome == "plan_rejected"):
            yield f"ended as {outcome}"
        if outcome in ENDED and (outcome == "tool_failed") != bool(failed - set(self.facts["replanned"])):
            yield f"ended as {outcome}, failed and not planned around are {failed - set(self.facts['replanned'])}"
        later = {task["id"] for plan in self.case["again"] for task in plan}
        if self.facts["replanned"] and not self.admitted & later:
            yield f"{self.facts['replanned']} count as planned around, and nothing was"
        if outcome == "plan_rejected" and self.begun and not self.said_more:
            yield "called something before its plan was admitted"
        if not self.facts["answer"].strip() or self.facts["waiting"] or self.facts["calls"]:
            yield "left without an answer, or with questions or calls open"

    def _tasks(self) -> Iterator[str]:
        """Each admitted task stands as what it needs, what it is and what people said make it stand."""
        there, dropped = set(self.call_ids), [task["id"] for task in self.facts["dropped"]]
        if self.admitted - there - set(dropped):
            yield f"lost without a word: {self.admitted - there - set(dropped)}"
        if (
            there.intersection(dropped)
            or len(set(dropped)) < len(dropped)
            or any(name in self.begun for name in dropped)
        ):
            yield f"dropped, and planned or run all the same, or twice: {dropped}"
        if self.facts["outcome"] not in ENDED:
            return
        for name in sorted(self.admitted | there):
            task = self.written[name]
            needs = needs_of(task)
            stands = self.results[name]["stands"] if name in self.results else "open"
            if name not in there and stands == "open" and all(map(self.done, needs)) and needs:
                yield f"{name} is lost: what it needs is done"
            if name in there and stands not in self._may_stand(task):
                yield f"{name} ({task['tool']}) stands {stands}, not {self._may_stand(task)}"

    def _may_stand(self, task: Task) -> tuple[str, ...]:
        if not all(map(self.done, needs_of(task))):
            return ("open",)
        if task["tool"] in ("broken", "spoil") or self.about(task) is GONE:
            return ("failed",)
        said = self.decided.get(self.call_ids[task["id"]], "")
        if said in ("reject", "abandon"):
            return ("refused",)
        return ("done",)

    def about(self, task: Task) -> Any:
        """What its argument comes to, worked out anew."""
        about = task["about"]
        if "plain" in about:
            return about["plain"]
        found = [self._value(reference) for reference in references_of(task)]
        if GONE in found:
            return GONE
        if "whole" in about:
            return found[0]
        return "".join(part if isinstance(part, str) else _shown(found.pop(0)) for part in about["text"])

    def _value(self, reference: list[str]) -> Any:
        value: Any = self.results[reference[0]]["text"]
        if len(reference) == 1:
            return value
        try:
            value = json.loads(value)
            for step in reference[1:]:
                value = value[int(step)] if isinstance(value, list) else value[step]
        except (ValueError, LookupError, TypeError):
            return GONE
        return value

    def _order(self) -> Iterator[str]:
        """No call before what its task needs is done, and with exactly what that gave; of an effect, stored."""
        ready: set[str] = set()
        stored: set[str] = set()
        by_label = {task["label"]: task for task in self.written.values() if task["label"] != "same"}
        settled = {self.call_ids.get(name): name for name in self.results}
        for entry in self.log:
            if entry["kind"] == "stored" or (entry["kind"] == "decided" and entry["type"] in ("respond", "done")):
                stored.add(settled.get(entry["call"], ""))
                ready |= stored
            elif entry["kind"] == "end" and entry["given"]:
                ready.add(entry["label"].removesuffix("/sub"))
            if entry["kind"] != "begin" or entry["label"] not in by_label:
                continue
            task = by_label[entry["label"]]
            if early := {need for need in needs_of(task) if not (need in ready or self._same(need))}:
                yield f"{task['id']} began before {early}"
            referred = {one[0] for one in references_of(task)} if task["tool"] in EFFECTS else set()
            if early := referred - stored:
                yield f"{task['id']} had an effect of {early} before that was stored"
            if self.facts["outcome"] in ENDED and task["id"] in self.results and not self._last_given(entry, task):
                yield f"{task['id']} was called with {entry['about']}, not {self._given(task)}"

    def _last_given(self, entry: Entry, task: Task) -> bool:
        """Whether it was called with what is stored. A read may first have been called with what was lost since."""
        changing = any(self.written[one[0]]["tool"] == "changing" for one in references_of(task))
        lost = changing and task["tool"] not in EFFECTS and entry is not self.begun[entry["label"]][-1]
        return lost or bool(entry["about"] == self._given(task))

    def _same(self, name: str) -> bool:
        """One of several equal tasks: the log can't tell which."""
        return self.written[name]["label"] == "same" and bool(self.begun["same"])

    def _given(self, task: Task) -> Any:
        about = self.about(task)
        return [about, 2.5 if task["answer"] == "edit" else 1.0] if task["tool"] == "buy" else about

    def _at_once(self) -> Iterator[str]:
        running: Counter[str] = Counter()
        for entry in self.log:
            if entry["kind"] == "session":
                running.clear()
            elif entry["kind"] in ("begin", "end"):
                by = 1 if entry["kind"] == "begin" else -1
                running[""] += by
                running[entry["tool"]] += by
                for name, most in AT_ONCE.items():
                    if running[name] > most:
                        yield f"{running[name]} calls at once of {name or 'all'}"

    def _limits(self) -> Iterator[str]:
        usage = self.facts["usage"]
        made = self._made()
        if usage["tool_calls"] > self.case["limit"]:
            yield f"{usage['tool_calls']} calls, {self.case['limit']} were allowed"
        if self.facts["outcome"] in ENDED and usage["tool_calls"] != sum(made.values()):
            yield f"{usage['tool_calls']} calls are counted, {sum(made.values())} were made: {made}"
        for cap in filter(None, self.case["caps"].split(",")):
            name, most = cap.split("=")
            if made[name] > int(most):
                yield f"{made[name]} calls of {name}, {most} were allowed"

    def _made(self) -> Counter[str]:
        """Calls by tool; one that was cut off and made again is one."""
        made: Counter[str] = Counter()
        for name, one in self.results.items():
            task, said = self.written[name], self.decided.get(self.call_ids[name], "")
            if task["tool"] == "react":
                made["look"] += f"{task['label']}/sub" in self.begun
            elif task["label"] != "same":  # one that was cut off before its code began may have happened: it counts
                made[task["tool"]] += task["label"] in self.begun or self.call_ids[name] in self.doubted
            else:  # each is counted that was tried, also one that turned out to be the question about another
                made[task["tool"]] += task["tool"] != "buy" or (one["stands"] == "done" and said != "respond")
        return made

    def _effects(self) -> Iterator[str]:
        """Each once in the world, each with a row that says so, and as many as tasks that are done."""
        happened = Counter(entry["key"] for entry in self.log if entry["kind"] == "happened")
        if twice := [key for key, times in happened.items() if times > 1]:
            yield f"{len(twice)} effects happened twice"
        if self.facts["outcome"] not in ENDED:
            return
        rows = {row["key"]: row["state"] for row in self.facts["effects"]}
        if left := [key for key, state in rows.items() if state not in ("done", "failed")]:
            yield f"{len(left)} rows of the ledger are left in doubt"
        settled = {entry["key"]: entry["type"] for entry in self.log if entry["kind"] == "decided"}
        abandoned = {key for key, said in settled.items() if said == "abandon"}  # an equal call may ask again
        if {key for key, state in rows.items() if state == "done"} != set(happened) - abandoned:
            yield "the ledger does not say what the world says"
        found = Counter(
            f"{entry['tool']} {entry['label']}"
            for entry in self.log
            if entry["kind"] == "happened" and entry["key"] not in abandoned
        )
        wanted = Counter(self._wanted())
        if found != wanted:
            yield f"effects: too many {found - wanted}, too few {wanted - found}"

    def _wanted(self) -> Iterator[str]:
        """Tool and label of each effect that a task which is done stands for."""
        for name, one in self.results.items():
            task, call = self.written[name], self.call_ids[name]
            by_person = task["tool"] in GATED and self.decided.get(call) in ("respond", "done")
            if one["stands"] == "done" and task["tool"] in EFFECTS and not (by_person and call not in self.doubted):
                yield f"{task['tool']} {task['label']}"

    def _reads(self) -> Iterator[str]:
        """What was stored does not run again."""
        stored: set[str] = set()
        labels = {self.call_ids[name]: task["label"] for name, task in self.written.items() if name in self.call_ids}
        for entry in self.log:
            if entry["kind"] == "stored":
                stored.add(labels.get(entry["call"], ""))
            if entry["kind"] == "begin" and entry["label"].removesuffix("/sub") in stored - {"same"}:
                yield f"{entry['tool']} {entry['label']} ran again after its end was stored"

    def _history(self) -> Iterator[str]:
        """Each call has one result, behind it."""
        asked: list[str] = []
        given: list[str] = []
        for message in self.facts["messages"]:
            asked += message["calls"]
            if message["type"] == "tool":
                if message["call"] not in asked:
                    yield f"a result of {message['call']} stands before its call"
                given.append(message["call"])
        if sorted(asked) != sorted(given) or len(set(asked)) != len(asked):
            yield f"calls and results of the history do not pair: {len(asked)} and {len(given)}"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
