"""What a type checker must make of the front door; read by mypy, never run."""

import asyncio
from typing import assert_type

import conbrio


async def number() -> int:
    """Stands for a program's main."""
    return 1


assert_type(conbrio.run(number()), int)
assert_type(conbrio.run(number(), debug=True), int)
assert_type(conbrio.new_event_loop(), conbrio.Loop)

with conbrio.Runner() as runner:
    assert_type(runner.run(number()), int)

loop: asyncio.AbstractEventLoop = conbrio.Loop()
future: asyncio.Future[int] = conbrio.Future(loop=loop)
task: asyncio.Task[int] = conbrio.Task(number(), loop=loop)
factory = asyncio.Runner(loop_factory=conbrio.new_event_loop)
