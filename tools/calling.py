"""One call of a tool's function, whatever that does: blocks, never returns, or tries to end the process."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_type_hints

from langchain_core.messages import ToolCall
from langchain_core.tools import BaseTool, StructuredTool, Tool

LEAVE_S = 1.0
"""How long a call may take to end once it is told to, in seconds. Then it is left behind."""


class NoAnswer(Exception):
    """The call took too long."""


class Crashed(Exception):
    """What the tool raised is no error but an attempt to end the process, or the task it runs in."""


def watched(tool: BaseTool) -> BaseTool:
    """A copy whose code is run by the `Calling` that calls it. Made once: LangChain keeps on it what it inspects."""
    copy, own = tool.model_copy(), tool._arun  # noqa: SLF001 - where LangChain, all prepared, calls the tool's own code

    @functools.wraps(own)
    async def run(*args: Any, **kwargs: Any) -> Any:
        return await _CURRENT.get().run(tool, *args, **kwargs)

    # LangChain reads both at each call, and would work them out anew.
    run.__signature__ = inspect.signature(own)  # type: ignore[attr-defined]
    with suppress(Exception):  # some hold only for type checkers: LangChain then goes without, too
        run.__annotations__ = get_type_hints(own, include_extras=True)
    object.__setattr__(copy, "_arun", run)
    return copy


class Calling:
    """One call of a `watched` tool."""

    def __init__(self, tool: BaseTool) -> None:
        self._tool = tool
        self._thread: threading.Thread | None = None
        self._task: asyncio.Task[Any] | None = None

    @property
    def going_on(self) -> bool:
        """Whether the tool's code still runs, though it was left."""
        running = self._task is not None and not self._task.done()
        return running or (self._thread is not None and self._thread.is_alive())

    async def within(self, given: dict[str, Any], seconds: float, *, patient: bool) -> Any:
        """What the tool returns.

        `patient`: told to end it is waited for, since it holds something that is not to be shared.

        Raises:
            NoAnswer: it took longer than `seconds`.
            Crashed: see there.
            Exception: whatever the tool raises.
        """
        self._task = task = asyncio.create_task(self._begun(given))
        task.add_done_callback(_noticed)
        try:
            await asyncio.wait({task}, timeout=seconds)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task}, timeout=None if patient else LEAVE_S)
        if not task.done():
            raise NoAnswer
        if task.cancelled():
            raise NoAnswer if task.cancelling() else Crashed("it cancelled itself")
        return task.result()

    async def _begun(self, given: dict[str, Any]) -> Any:
        _CURRENT.set(self)
        # The other classes' own `ainvoke` would hand a blocking tool to the loop's executor.
        ainvoke = BaseTool.ainvoke if _blocks(self._tool) else type(self._tool).ainvoke
        # Bare arguments, one of them called `type`, can be taken for a whole call. Without an id, no message is made.
        return await ainvoke(self._tool, ToolCall(type="tool_call", id=None, name=self._tool.name, args=given))

    async def run(self, original: BaseTool, /, *args: Any, **kwargs: Any) -> Any:
        """In the place of the tool's own `_arun`, whose arguments may have any name.

        Raises:
            Crashed: see there.
            Exception: whatever the tool raises.
        """
        try:
            if not _blocks(original):
                return await original._arun(*args, **kwargs)  # noqa: SLF001 - see `watched`
            if manager := kwargs.get("run_manager"):
                kwargs["run_manager"] = manager.get_sync()
            return await self._in_a_thread(functools.partial(original._run, *args, **kwargs))  # noqa: SLF001
        except (Exception, asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:  # SystemExit, KeyboardInterrupt: they would end the event loop
            raise Crashed(f"{type(error).__name__}: {error}") from error

    async def _in_a_thread(self, call: Callable[[], Any]) -> Any:
        """Not in the loop's executor: the interpreter waits for its threads, also for one that never returns."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Callable[[], Any]] = loop.create_future()
        context = contextvars.copy_context()

        def tell(outcome: Callable[[], Any]) -> None:
            if not ended.done():
                ended.set_result(outcome)

        def work() -> None:
            outcome = _outcome(functools.partial(context.run, call))
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(tell, outcome)

        self._thread = threading.Thread(target=work, name=f"tool {self._tool.name}", daemon=True)
        self._thread.start()
        return (await ended)()


_CURRENT: contextvars.ContextVar[Calling] = contextvars.ContextVar("calling")


def _outcome(call: Callable[[], Any]) -> Callable[[], Any]:
    """Returns what the call returned, or raises what it raised; a future can't hold every exception."""
    try:
        value = call()
    except BaseException as error:  # noqa: BLE001 - told to whoever waits
        return functools.partial(_raise, error)
    return lambda: value


def _raise(error: BaseException) -> None:
    if isinstance(error, StopIteration):  # out of a coroutine it would be read as its result
        raise Crashed(f"{type(error).__name__}: {error}") from error
    raise error


def _blocks(registered: BaseTool) -> bool:
    """Whether the tool has no async code of its own."""
    if isinstance(registered, (StructuredTool, Tool)) and type(registered)._arun in (StructuredTool._arun, Tool._arun):  # noqa: SLF001
        return registered.coroutine is None
    return type(registered)._arun is BaseTool._arun  # noqa: SLF001


def _noticed(task: asyncio.Task[Any]) -> None:
    """An error of a call that was left behind is nobody's."""
    if not task.cancelled():
        task.exception()
