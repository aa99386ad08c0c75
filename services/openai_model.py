"""ChatOpenAI with bounds: imported only when a chain names an openai model, for it is slow to import."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from langchain_core.outputs import ChatGenerationChunk
from langchain_openai import ChatOpenAI
from openai import DefaultAsyncHttpxClient
from pydantic import SecretStr

from services.streamed import marking_broken_arguments


class BoundedChatOpenAI(ChatOpenAI):
    """Names calls whose arguments broke while streaming, instead of completing them by guesswork."""

    async def _astream(self, *args: Any, **options: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in marking_broken_arguments(super()._astream(*args, **options)):
            yield chunk


class OpenAIModels:
    """Makes models that share one pool of connections: `aclose` it on the event loop that used it.

    LangChain's own pool is shared by the whole process and outlives the loop its connections belong to.
    """

    def __init__(self, *, key: SecretStr, base_url: str | None, timeout_s: float) -> None:
        self._key, self._base_url, self._timeout_s = key, base_url, timeout_s
        self._http = DefaultAsyncHttpxClient(timeout=timeout_s)

    def model(self, name: str) -> ChatOpenAI:
        """A chat model of OpenAI, or of any endpoint that speaks its protocol."""
        return BoundedChatOpenAI(
            model=name,
            api_key=self._key,
            base_url=self._base_url,
            timeout=self._timeout_s,
            stream_chunk_timeout=self._timeout_s,
            max_retries=0,  # retries are ours: each is counted and charged
            stream_usage=True,
            http_async_client=self._http,
        )

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()
