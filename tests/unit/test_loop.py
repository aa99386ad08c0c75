from __future__ import annotations

import asyncio
import os
import signal

import pytest

from app import loop


def test_what_is_being_stopped_comes_to_its_end_whatever_is_pressed_meanwhile() -> None:
    ended = []

    async def main() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(100):
                await asyncio.sleep(0)
            ended.append("stored")

    with pytest.raises(KeyboardInterrupt):
        loop.run(main())

    assert ended == ["stored"]


def test_what_cancels_itself_was_not_interrupted() -> None:
    async def main() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        loop.run(main())
