"""When a protocol is told to pause writing and to go on: the marks, and what is owed beside them."""

import asyncio

import pytest

from loopkit.peers import connected, finish


def test_write_limits(run):
    async def main():
        transport, protocol, far = await connected()
        assert transport.get_write_buffer_limits() == (16384, 65536)
        assert transport.get_write_buffer_size() == 0
        transport.set_write_buffer_limits(high=100)
        assert transport.get_write_buffer_limits() == (25, 100)
        transport.set_write_buffer_limits(low=10)
        assert transport.get_write_buffer_limits() == (10, 40)
        transport.set_write_buffer_limits(high=0)
        assert transport.get_write_buffer_limits() == (0, 0)
        transport.set_write_buffer_limits()
        assert transport.get_write_buffer_limits() == (16384, 65536)
        for high, low in ((5, 6), (-1, None), (5, -1)):
            with pytest.raises(ValueError, match=r"high \(.*\) must be >= low \(.*\) must be >= 0"):
                transport.set_write_buffer_limits(high=high, low=low)
        await finish(transport, protocol, far)

    run(main())


def test_pause_and_resume_writing(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.set_write_buffer_limits(high=100_000, low=1000)
        while "pause" not in protocol.calls:
            transport.write(b"x" * 65536)
        assert transport.get_write_buffer_size() > 100_000
        total = transport.get_write_buffer_size()
        assert protocol.calls == ["made", "pause"]
        heard = 0
        while "resume" not in protocol.calls:
            heard += len(await loop.sock_recv(far, 65536))
        assert transport.get_write_buffer_size() <= 1000
        assert heard > 0
        assert total > 0
        assert protocol.calls == ["made", "pause", "resume"]
        await finish(transport, protocol, far)

    run(main())


def test_a_limit_of_nothing_pauses_as_soon_as_something_is_owed(run):
    async def main():
        transport, protocol, far = await connected()
        transport.set_write_buffer_limits(high=0)
        transport.write(b"small")
        await asyncio.sleep(0)
        small = list(protocol.calls)
        for _ in range(200):
            transport.write(b"x" * 65536)
            await asyncio.sleep(0)
        await finish(transport, protocol, far)
        return small[-1] != "pause", "pause" in protocol.calls

    assert run(main()) == (True, True)


def test_lowering_the_limit_pauses_at_the_next_write_or_at_once(run):
    """As asyncio: set_write_buffer_limits itself looks at what is owed."""

    async def main():
        transport, protocol, far = await connected()
        transport.set_write_buffer_limits(high=100_000_000)
        for _ in range(100):
            transport.write(b"x" * 65536)
        assert "pause" not in protocol.calls
        transport.set_write_buffer_limits(high=1000)
        transport.write(b"x")
        assert protocol.calls[-1] == "pause"
        await finish(transport, protocol, far)

    run(main())


ENDLESS = [
    {"high": float("inf")},
    {"high": float("nan"), "low": 0},
    {"high": float("-inf")},
    {"high": 5, "low": float("inf")},
    {"low": float("nan")},
]


@pytest.mark.parametrize("marks", ENDLESS, ids=str)
def test_marks_between_which_nothing_lies_are_refused(same, marks):
    async def scenario(loop):
        transport, protocol, far = await connected()
        with pytest.raises(ValueError, match="must be") as refused:
            transport.set_write_buffer_limits(**marks)
        assert transport.get_write_buffer_limits() == (16384, 65536)
        await finish(transport, protocol, far)
        return str(refused.value)

    same(scenario)


@pytest.mark.parametrize(
    "marks", [{"low": float("inf")}, {"high": float("inf"), "low": 0}], ids=str
)
def test_an_endless_mark_never_pauses(run, marks):
    async def main():
        transport, protocol, far = await connected()
        transport.set_write_buffer_limits(**marks)
        transport.write(bytes(10_000_000))
        assert transport.get_write_buffer_size() > 1_000_000
        await finish(transport, protocol, far)
        return "pause" in protocol.calls

    assert not run(main())
