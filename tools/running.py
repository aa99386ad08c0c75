"""One call on its way: what the ledger runs, how it is verified, and its tries in transactions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from checkpoints.ledger import Database, Ending, Intent, Ledger, Recorded
from graph.errors import ToolFailed
from graph.state import Call
from graph.tools import ToolResult
from services.refusals import NeverStarted
from tools.attempt import Attempts, Unsuccessful, misfit, plain, whole_of
from tools.base import CONTEXT, Marks, ToolContext, marks_of
from tools.calling import Calling


@dataclass(frozen=True, kw_only=True)
class Running:
    """A call that is allowed to run."""

    call: Call
    attempts: Attempts
    ledger: Ledger
    wants_context: bool
    smtp_url: str | None
    left: dict[str, Calling]
    """Attempts of this process, by key, whose code still ran when they were given up."""

    @property
    def marks(self) -> Marks:
        """The tool's."""
        return marks_of(self.attempts.tool)

    async def attempt(self, key: str, database: Database) -> tuple[Ending, str]:
        """How the call ended, and its result or its fault as text. Raises only when cancelled."""
        try:
            return "done", await self.attempts.through(lambda: self._once(key, database))
        except Exception as error:  # noqa: BLE001 - a tool may raise anything; the model is told
            return self.attempts.told(error)

    async def verify(self, key: str) -> bool | str | None:
        """See `checkpoints.ledger.Verify`."""
        left, idempotent = self.left.get(key), self.marks.idempotent
        going_on = left is not None and left.going_on  # as the check begins: what ends during it may be missed by it
        answer = await _verified(self.marks, {**self.call["args"], CONTEXT: self._context(key, self.ledger.connection)})
        if answer is None and idempotent:
            return False
        # What has not happened yet may still, while the attempt goes on.
        if answer is False and going_on and not idempotent:
            return None
        return plain(answer) if isinstance(answer, str) else answer

    async def in_transactions(self, wanted: Intent, asked: str | None) -> ToolResult:
        """Each try in a transaction of its own: none is open while a rate limit or a backoff is waited for."""
        untrusted = self.marks.untrusted_output

        async def recorded() -> Recorded:
            causes: list[Exception] = []

            async def effect(key: str, database: Database) -> tuple[Ending, str]:
                try:
                    return "done", await self._once(key, database)
                except Exception as error:  # noqa: BLE001 - as in `attempt`
                    causes.append(error)
                    return self.attempts.told(error)

            row = await self.ledger.run_once(effect, wanted, transactional=True, key=asked)
            if causes and not row.reused:
                raise Unsuccessful(row, causes[-1])
            return row

        try:
            return result_of(await self.attempts.through(recorded), untrusted=untrusted)
        except Unsuccessful as failed:
            return result_of(failed.recorded, untrusted=untrusted)
        except NeverStarted as refused:
            return ToolResult(text=str(refused), untrusted=False, ok=False)

    async def _once(self, key: str, database: Database) -> str:
        hidden = {CONTEXT: self._context(key, database)} if self.wants_context else {}
        given = {**self.call["args"], **hidden}
        if fault := misfit(self.attempts.tool, given):
            raise ToolFailed(fault)
        calling = Calling(self.attempts.tool)
        try:
            return await self.attempts.once(calling, given)
        finally:
            for ended in [one for one, left in self.left.items() if not left.going_on]:
                del self.left[ended]
            if key and calling.going_on:
                self.left[key] = calling

    def _context(self, key: str, database: Database) -> ToolContext:
        step = self.attempts.step
        return ToolContext(
            workspace=step.workspace,
            thread_id=step.thread_id,
            idempotency_key=key,
            database=database,
            smtp_url=self.smtp_url,
            results=self.attempts.results,
            opens=step.opens,
        )


def result_of(recorded: Recorded, *, untrusted: bool) -> ToolResult:
    """What `act` is told of an effect."""
    doubt = recorded.key if recorded.state in {"unknown", "reserved"} else None
    return ToolResult(
        text=recorded.result,
        untrusted=untrusted,
        ok=recorded.state == "done",
        reused=recorded.reused,
        doubt=doubt,
        holder=recorded.holder,
        whole=whole_of(recorded.result) if recorded.state == "done" else None,
    )


async def _verified(marks: Marks, given: dict[str, Any]) -> bool | str | None:
    """The tool's own word on an attempt that was cut off. None, too, when it breaks, hangs or says anything else."""
    if marks.verify is None:
        return None
    try:
        async with asyncio.timeout(marks.timeout_s):
            answer: Any = await marks.verify(**given)
    except (asyncio.CancelledError, GeneratorExit):
        raise
    except BaseException:  # noqa: BLE001 - whatever it is, the doubt stays
        return None
    return answer if isinstance(answer, (bool, str)) else None
