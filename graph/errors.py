"""Every error Ballast raises, in one tree.

    BallastError                      exit 1
    |- UsageError                     exit 2: the caller can mend it
    |  |- BadSetting                  a setting, limit, model chain or script file that does not hold
    |  |- NotFound                    a thread, node, checkpoint, approval or tool that is not there
    |  |- AlreadyDecided              a decision that came too late
    |  |- Unanswerable                an answer that could mean another question than the open one
    |  |- InvalidDecision             a decision this approval does not allow, or an edit that does not fit
    |  |- Forbidden                   a person whose role does not reach so far
    |  |- ThreadBusy                  another process runs this thread now
    |  |- ThreadTaken                 another process has taken over the thread this one was running
    |  |- ThreadWaiting               a new request on a thread that waits for a person
    |  |- CheckpointUnreadable        a thread encrypted with another key
    |  |- StateVersionUnsupported     a thread whose state this version of the code can't read
    |  `- DatabaseUnavailable         no connection, no permission, or a schema this code can't use
    |- Unauthorized                   nobody is known by what the request shows
    |  `- SignInUnavailable            it can't be checked now: the issuer of its token does not answer
    |- LimitReached                   a limit leaves no room for what is wanted; a run ends in its outcome
    |- ModelFailed                    every model of the chain failed
    |- NeverStarted                   an endpoint was not asked at all: `services/refusals.py`
    `- ToolFailed                     a tool could not do what was asked; the model is told why
       |- Unreadable                  a source that can't be read safely
       |- NotSent                     a mail did not go out: `tools/delivery.py`
       |- CutOff                      an MCP server that lists other tools than were approved: `tools/mcp.py`
       `- ToolUnavailable             nothing was begun: the same call may be made again
          |- ServerDown               an MCP server that can't be asked: `tools/mcp_link.py`
          `- BadListing               one whose listing is not taken at all: `tools/mcp_listing.py`

Each message is one line that names what to do next; `app/cli.py` prints it and exits with `exit_code`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from graph.approvals import Approval
    from graph.budget import Spent
    from graph.state import Outcome


class BallastError(Exception):
    """Root of the tree. `exit_code` is what the command line exits with."""

    exit_code: ClassVar[int] = 1


class UsageError(BallastError, ValueError):
    """The caller can mend it: a wrong argument, setting, or state of the world.

    A ValueError too: of those the LangGraph server passes the message on to its client.
    """

    exit_code: ClassVar[int] = 2


class BadSetting(UsageError):
    """A setting, limit, model chain or script file that does not hold."""


class NotFound(UsageError):
    """`what` (thread, node, checkpoint, approval) has no member called `name`."""

    def __init__(self, what: str, name: str, hint: str = "") -> None:
        self.what, self.name = what, name
        super().__init__(f"no {what} {name!r}" + (f": {hint}" if hint else ""))


class AlreadyDecided(UsageError):
    """The approval was decided before: its row says how, by whom and when."""

    def __init__(self, row: Approval) -> None:
        self.row = row
        when = row.decided_at.isoformat(timespec="seconds") if row.decided_at else None
        super().__init__(f"approval {row.id} was already decided: {row.status} by {row.decided_by} at {when}")


class Unanswerable(UsageError):
    """An answer that could mean another question than the open one, or none: it decides nothing."""


class InvalidDecision(UsageError):
    """This approval does not allow that decision, or the edited arguments do not fit the tool.

    `faults` says what is wrong with single arguments, by their names.
    """

    def __init__(self, why: str, *, faults: Mapping[str, str] | None = None) -> None:
        self.faults = dict(faults or {})
        super().__init__(why)


class Forbidden(UsageError):
    """A person whose role, or whose part in the run, does not reach so far."""


class Unauthorized(BallastError):
    """Nobody is known by what the request shows: no token, a wrong, an expired or a revoked one."""


class SignInUnavailable(Unauthorized):
    """What the request shows can't be checked now. Nobody is let in; the same may be shown again later."""


class ThreadBusy(UsageError):
    """Another process is running `thread_id` now."""

    def __init__(self, thread_id: str) -> None:
        self.thread_id = thread_id
        super().__init__(f"thread {thread_id} is being run by another process: wait for it, then try again")


class ThreadTaken(UsageError):
    """This process ran `thread_id`; another has taken it over, and nothing more of this run is stored."""

    def __init__(self, thread_id: str) -> None:
        self.thread_id = thread_id
        super().__init__(
            f"another process has taken over thread {thread_id}: it goes on there; see 'ballast history {thread_id}'"
        )


class ThreadWaiting(UsageError):
    """A new request on a thread that still waits for a person."""

    def __init__(self, thread_id: str) -> None:
        self.thread_id = thread_id
        super().__init__(
            f"thread {thread_id} waits for a decision: see 'ballast approvals list --thread {thread_id}', "
            "decide, then resume it"
        )


class DatabaseUnavailable(UsageError):
    """No connection, no permission, or a schema this code can't use."""


class CheckpointUnreadable(UsageError):
    """A stored value this process can't read: it was encrypted with another key."""


class LimitReached(BallastError):
    """A limit leaves no room for what is wanted: it was not started, and is not charged.

    `lost` is what the same place had spent before it was cut off, when that was found on the way; `failures` has
    a line for each model that was asked before.
    """

    def __init__(self, outcome: Outcome, why: str, *, lost: Spent | None = None) -> None:
        self.outcome, self.why, self.lost = outcome, why, lost
        self.failures: tuple[str, ...] = ()
        super().__init__(why)


class StateVersionUnsupported(UsageError):
    """The thread's state has version `version`; this code reads `oldest` to `newest`."""

    def __init__(self, thread_id: str, version: object, *, oldest: int, newest: int) -> None:
        self.thread_id, self.version, self.oldest, self.newest = thread_id, version, oldest, newest
        older = isinstance(version, int) and version < oldest
        todo = (
            "go on with it in an older Ballast that reads both"
            if older
            else "update Ballast, or go on with it where it was written"
        )
        super().__init__(
            f"thread {thread_id} has state version {version!r}, this Ballast reads {oldest} to {newest}: {todo}"
        )


class ModelFailed(BallastError):
    """Every model of the chain failed; `reasons` has one line a model, in the order tried."""

    def __init__(self, reasons: list[str]) -> None:
        self.reasons = reasons
        super().__init__("no model of the chain answered: " + "; ".join(reasons))


class ToolFailed(BallastError):
    """A tool could not do what was asked. The message goes to the model as the call's result."""


UNREAD = "This source could not be read safely: {why}"
"""What the model is told instead of a text from outside."""


class Unreadable(ToolFailed):
    """A source that can't be read safely: it is broken, too large, of another kind than text, or endless."""

    def __init__(self, why: str) -> None:
        super().__init__(UNREAD.format(why=why))


class ToolUnavailable(ToolFailed):
    """Nothing was begun, so even an effect may be tried again; `retry_after_s` says when, None for soon."""

    def __init__(self, why: str, *, retry_after_s: float | None = None) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(why)
