"""Traces: small scripts that note what happened in which turn, run on two loops and compared.

A script is ``async def script(loop, note)``. ``note(...)`` keeps its arguments together with the number of
the turn, counted by a callback that schedules itself again each time it runs.
"""

import asyncio
from collections.abc import Awaitable, Callable

from loopkit.plain import plain, words

Note = Callable[..., None]
Script = Callable[[asyncio.AbstractEventLoop, Note], Awaitable[object]]


class Ticker:
    """Counts the turns of a loop by being ready in each of them."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.turn = 0
        self.loop = loop
        self.handle = loop.call_soon(self.tick)

    def tick(self) -> None:
        """Count one turn and be ready in the next one."""
        self.turn += 1
        self.handle = self.loop.call_soon(self.tick)


def trace(loop: asyncio.AbstractEventLoop, script: Script, *, turns: bool = True) -> list[object]:
    """Run ``script`` on ``loop``, close the loop, and return what was noted."""
    notes: list[object] = []
    ticker: Ticker | None = None

    def note(*what: object) -> None:
        turn = ticker.turn if ticker else None
        notes.append([turn, *(plain(each) for each in what)])

    def handler(loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        note("handler", words(context))

    loop.set_exception_handler(handler)
    try:
        if turns:
            ticker = Ticker(loop)
        outcome = loop.run_until_complete(script(loop, note))
        note("outcome", outcome)
    except BaseException as error:
        note("raised", error)
    finally:
        if ticker:
            ticker.handle.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
    return notes
