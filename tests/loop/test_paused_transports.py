"""Who keeps a transport whose reading is paused: its user alone. The loop keeps one that reads."""

import asyncio
import gc
import warnings
import weakref

import pytest

from loopkit import peers
from loopkit.peers import Recorder, connected, finish


async def dropped(steps, *, in_a_cycle=False):
    """Connect a transport, pause and resume it as told, and drop it; return weak references and the peer."""
    transport, protocol, far = await connected(pair=peers.unix_pair)
    for step in steps:
        if step == "turn":
            await asyncio.sleep(0)
        else:
            getattr(transport, step)()
    protocol.made = None
    if not in_a_cycle:
        protocol.transport = None
    return weakref.ref(transport), weakref.ref(protocol), far


@pytest.mark.parametrize("in_a_cycle", [False, True])
@pytest.mark.parametrize(
    "steps",
    [
        ["pause_reading"],
        ["pause_reading", "turn"],
        ["pause_reading", "resume_reading", "turn", "pause_reading"],
    ],
    ids="-".join,
)
def test_a_paused_transport_that_is_dropped_is_collected(run, steps, in_a_cycle):
    async def main():
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            transport, protocol, far = await dropped(steps, in_a_cycle=in_a_cycle)
            await asyncio.sleep(0)
            gc.collect()
        text = " ".join(str(warning.message) for warning in heard)
        heard.clear()  # a warning keeps what it is about, from 3.15 on with its weak references
        gc.collect()
        assert "unclosed transport" in text
        assert transport() is protocol() is None
        assert far.recv(10) == b""
        far.close()
        # Whoever gets the descriptor's number next is heard.
        transport, protocol, far = await connected(pair=peers.unix_pair)
        far.send(b"x")
        assert await protocol.received(1) == b"x"
        await finish(transport, protocol, far)

    run(main())


@pytest.mark.parametrize("steps", [[], ["pause_reading", "resume_reading"]], ids=["", "resumed"])
def test_the_loop_keeps_a_transport_that_reads(run, steps):
    async def main():
        transport, protocol, far = await dropped(steps)
        gc.collect()
        assert transport() is not None
        protocol = protocol()
        far.send(b"x")
        assert await protocol.received(1) == b"x"
        far.close()
        await protocol.lost

    run(main())


def test_what_comes_to_a_paused_transport_is_read_when_it_goes_on(run):
    async def main():
        transport, protocol, far = await connected(Recorder)
        for turns in range(5):
            transport.pause_reading()
            far.send(b"x")
            for _ in range(turns):
                await asyncio.sleep(0)
            assert len(protocol.data) == turns
            transport.resume_reading()
            await protocol.received(turns + 1)
        transport.pause_reading()
        await finish(transport, protocol, far)

    run(main())


def test_a_closed_loop_lets_go_of_a_transport_that_is_paused_afterwards(loop):
    async def main():
        return await dropped([], in_a_cycle=True)

    transport, _, far = loop.run_until_complete(main())
    kept = transport()
    loop.close()
    kept.pause_reading()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        del kept
        gc.collect()
    assert transport() is None
    far.close()
