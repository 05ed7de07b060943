"""How stream transports end: by the peer's end of file, by one of their own, closed or aborted."""

import asyncio
import contextlib
import os
import socket
import sys

import pytest

from loopkit import peers
from loopkit.peers import Recorder, connected, finish


def test_eof_closes_by_default(run):
    async def main():
        transport, protocol, far = await connected()
        far.shutdown(socket.SHUT_WR)
        await protocol.lost
        far.close()
        return protocol.calls, transport.is_closing()

    assert run(main()) == (["made", "eof", ("lost", None)], True)


def test_eof_may_leave_the_transport_open(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected(lambda: Recorder(keep_open=True))
        far.send(b"last")
        far.shutdown(socket.SHUT_WR)
        await protocol.ended
        assert not transport.is_closing()
        transport.write(b"answer")
        assert await loop.sock_recv(far, 10) == b"answer"
        transport.close()
        await protocol.lost
        far.close()
        return protocol.calls

    assert run(main()) == ["made", "data", "eof", ("lost", None)]


def test_eof_is_told_once_and_costs_nothing_afterwards(run):
    import time

    async def main():
        transport, protocol, far = await connected(lambda: Recorder(keep_open=True))
        far.shutdown(socket.SHUT_WR)
        await protocol.ended
        began = time.process_time()
        await asyncio.sleep(0.2)
        spent = time.process_time() - began
        await finish(transport, protocol, far)
        return protocol.calls, spent < 0.1

    assert run(main()) == (["made", "eof", ("lost", None)], True)


def test_write_eof(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.write(b"x" * 3_000_000)
        transport.write_eof()
        transport.write_eof()
        with pytest.raises(RuntimeError, match=r"Cannot call write\(\) after write_eof\(\)"):
            transport.write(b"more")
        if sys.version_info >= (3, 12):
            with pytest.raises(RuntimeError, match="after write_eof"):
                transport.writelines([b"more"])
        heard = await peers.read_all(loop, far)
        far.send(b"still heard")
        assert await protocol.received(11) == b"still heard"
        await finish(transport, protocol, far)
        return len(heard)

    assert run(main()) == 3_000_000


def test_close_sends_what_is_owed(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        data = os.urandom(4_000_000)
        transport.write(data)
        transport.close()
        transport.close()
        assert transport.is_closing()
        assert not protocol.lost.done()
        heard = await peers.read_all(loop, far)
        await protocol.lost
        far.close()
        return heard == data, protocol.calls.count(("lost", None))

    assert run(main()) == (True, 1)


def test_close_hears_nothing_more(run):
    async def main():
        transport, protocol, far = await connected()
        far.send(b"too late")
        transport.close()
        await protocol.lost
        far.close()
        return protocol.calls

    assert run(main()) == ["made", ("lost", None)]


def test_close_sends_fin_while_the_protocol_keeps_its_transport(run):
    """The peer sees the end at once, whoever still holds the transport."""

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.close()
        assert await asyncio.wait_for(loop.sock_recv(far, 1), 10) == b""
        far.close()
        return protocol.transport is transport

    assert run(main())


def test_abort_drops_what_is_owed(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.write(b"x" * 20_000_000)
        transport.abort()
        transport.abort()
        assert await protocol.lost is None
        heard = 0
        with contextlib.suppress(ConnectionResetError):
            heard = len(await peers.read_all(loop, far))
        far.close()
        return heard < 20_000_000, protocol.calls

    whole, calls = run(main())
    assert whole
    assert calls[-1] == ("lost", None)


def test_connection_lost_comes_later_never_inside(run):
    async def main():
        transport, protocol, far = await connected()
        transport.close()
        assert protocol.calls == ["made"]
        transport.abort()
        assert protocol.calls == ["made"]
        await protocol.lost
        far.close()

    run(main())


def test_write_after_close(run, caplog):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await connected()
        transport.close()
        await protocol.lost
        for _ in range(10):
            transport.write(b"x")
        far.close()
        return loop

    run(main())
    texts = [record.getMessage() for record in caplog.records]
    assert set(texts) <= {"socket.send() raised exception."}
    assert len(texts) >= 1
