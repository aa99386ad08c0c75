"""ChatOpenAI with bounds: imported only when a chain names an openai model, for it is slow to import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from services.streamed import marking_broken_arguments

RETRIES = 2


class BoundedChatOpenAI(ChatOpenAI):
    """Names calls whose arguments broke while streaming, instead of completing them by guesswork."""

    async def _astream(self, *args: Any, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in marking_broken_arguments(super()._astream(*args, **options)):
            yield chunk


def openai_model(name: str, *, key: SecretStr, base_url: str | None, timeout_s: float) -> ChatOpenAI:
    """A chat model of OpenAI or of any endpoint that speaks its protocol."""
    return BoundedChatOpenAI(
        model=name,
        api_key=key,
        base_url=base_url,
        timeout=timeout_s,
        stream_chunk_timeout=timeout_s,
        max_retries=RETRIES,
        stream_usage=True,
    )
