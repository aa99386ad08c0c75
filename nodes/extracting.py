"""Extracts of untrusted texts: all of them that the deciding model sees. The texts stay where only people look."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from langchain_core.messages import HumanMessage, SystemMessage
from langgraph.runtime import Runtime

from graph.context import LocalContext, Run
from graph.errors import UNREAD, BadSetting, LimitReached, ModelFailed
from graph.extracts import Extract
from graph.models import Question
from graph.results import Whole
from graph.state import RawResult, State
from nodes import faults, prompts
from nodes.folding import OPENS
from nodes.guarding import Guarding
from services.aside import aside
from services.cleaning import defused, wrapped
from services.extraction import extract_in, form_of
from services.invisible import without_invisible
from services.relevance import cut
from services.unstreamed import unstreamed

READ_CHARS = 20_000
"""Most of a text that an extractor is shown; of a longer one what has to do with the request."""

REPLY_TOKENS = 4_000
"""Longest reply asked of an extractor."""

SECONDS = 60.0
"""Longest wait for an extract. What takes longer does not reach the model."""

NO_FORM = "what the extractor said does not fit the form"
NO_ANSWER = "no extractor answered"
LATE = "the extractor did not answer in time"


@dataclass(kw_only=True)
class Extractor:
    """Asks for the extracts of one execution of a node."""

    guarding: Guarding
    context: LocalContext
    thread_id: str
    """Where the texts are kept; empty in a run without a thread."""
    _places: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.run.at_once)

    @property
    def run(self) -> Run:
        """The run it works for."""
        return self.guarding.run

    def number(self) -> int:
        """Which extract of the run the next one is, from 0: a script has one entry for each."""
        usage = self.guarding.budget.usage
        usage["extracts"] = usage.get("extracts", 0) + 1
        return usage["extracts"] - 1

    async def kept(self, raw: RawResult) -> str | None:
        """The handle of the text in quarantine; None when nothing is kept, or it is a part of what is.

        Raises:
            ThreadTaken: see `graph.results.Results.keep`.
        """
        if "whole" in raw:
            return raw["whole"]
        if not self.thread_id or raw["tool"] == OPENS:
            return None
        whole = Whole(tool=raw["tool"], text=raw["text"])
        held = await self.run.services.results.keep(self.thread_id, [whole], claim=self.run.claim)
        return whole.handle if held else None

    async def extracted(self, raw: RawResult, text: str, number: int) -> str:
        """What the model is shown instead of the cleaned text."""
        schema = self.run.services.tools.trust(raw["tool"]).extract
        if not text:
            return text
        made = await aside(schema.read, text) or await self._asked(raw, text, schema, number)
        return made if isinstance(made, str) else defused(without_invisible(made.shown()))

    async def _asked(self, raw: RawResult, text: str, schema: type[Extract], number: int) -> Extract | str:
        """The extract, or one line why there is none."""
        budget, services = self.guarding.budget, self.run.services
        request = self.guarding.request_text
        if len(text) > READ_CHARS:
            text = await asyncio.to_thread(cut, text, f"{request} {raw.get('about', '')}", READ_CHARS)
        question = Question(
            messages=[
                SystemMessage(prompts.EXTRACTOR),
                HumanMessage(prompts.EXTRACT_FOR.format(request=request, tool=raw["tool"], args=raw.get("about", ""))),
                HumanMessage(wrapped(text, source=raw["tool"], warnings=[])),
            ],
            tools=[form_of(schema)],
            role="extractor",
            turn=number,
            max_reply_tokens=min(self.context.max_reply_tokens, REPLY_TOKENS),
        )
        before = budget.usage["model_calls"]
        chain = services.extractor or self.context.model
        try:
            with unstreamed():  # it is nobody's answer
                async with self._places, asyncio.timeout(min(SECONDS, max(budget.left().seconds, 0))):
                    reply = await services.models.complete(chain, question, budget=budget)
        except LimitReached as reached:
            return UNREAD.format(why=reached.why)
        except TimeoutError:
            self.guarding.asked = True  # it may have cost something
            faults.count(budget.usage, "model_error")
            return UNREAD.format(why=LATE)
        except (ModelFailed, BadSetting) as gone:
            self.guarding.asked = True
            faults.count(budget.usage, "model_error", len(gone.reasons) if isinstance(gone, ModelFailed) else 1)
            return UNREAD.format(why=NO_ANSWER)
        if budget.usage["model_calls"] != before or reply.failures:
            self.guarding.asked = True
            faults.count(budget.usage, "model_error", len(reply.failures))
        return extract_in(reply.message, schema) or UNREAD.format(why=NO_FORM)


def extractor_at(runtime: Runtime[Run], state: State, guarding: Guarding) -> Extractor:
    """For a node that opens no budget of its own."""
    info, run = runtime.execution_info, runtime.context
    thread_id = (info.thread_id if info else None) or ""
    return Extractor(guarding=guarding, context=run.context(state), thread_id=thread_id if run.durable else "")
