from __future__ import annotations

from collections.abc import AsyncGenerator

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate

from checkpoints.database import Pool
from checkpoints.saver import PostgresSaver
from checkpoints.serde import serializer


async def test_every_capability_of_the_conformance_suite_passes(pool: Pool) -> None:
    @checkpointer_test(name="PostgresSaver")
    async def saver() -> AsyncGenerator[BaseCheckpointSaver[str], None]:
        yield PostgresSaver(pool, serde=serializer(None))

    report = await validate(saver)

    assert {name: result.failures for name, result in report.results.items() if not result.passed} == {}
    assert {"copy_thread", "delete_for_runs", "prune"} <= set(report.results)
