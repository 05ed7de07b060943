"""A loop keeps no dictionary of its own, so that the interpreter finds its methods fast; what is set on it is honoured."""

import asyncio
import gc
import signal
import socket
import sys

import pytest


def dictionaries(loop):
    return [thing for thing in gc.get_referents(loop) if type(thing) is dict]


def has_dictionary(loop):
    """Tell whether the loop has a dictionary; makes it have one."""
    before = len(dictionaries(loop))
    vars(loop)["asked"] = True
    return len(dictionaries(loop)) == before


@pytest.mark.skipif(sys.version_info < (3, 12), reason="a dictionary costs nothing there")
def test_a_loop_that_has_done_a_bit_of_everything_has_none(conbrio):
    async def numbers():
        yield 1
        yield 2

    async def main():
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        loop.call_exception_handler({"message": "heard"})
        loop.set_task_factory(None)
        loop.add_signal_handler(signal.SIGUSR1, print)
        loop.remove_signal_handler(signal.SIGUSR1)
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(3)))
        assert [number async for number in numbers()] == [1, 2]
        await loop.run_in_executor(None, print)
        await loop.getaddrinfo("localhost", 80)
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.close()
        server.close()
        near, far = socket.socketpair(type=socket.SOCK_DGRAM)
        transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=near)
        transport.close()
        far.close()
        child = await asyncio.create_subprocess_exec("true")
        assert await child.wait() == 0

    with asyncio.Runner(loop_factory=conbrio.new_event_loop) as runner:
        runner.run(main())
        runner.run(main())
        assert not has_dictionary(runner.get_loop())
        assert has_dictionary(runner.get_loop())


@pytest.mark.parametrize("way", ["setattr", "vars", "vars and setattr"])
def test_a_clock_set_on_the_loop_is_read(loop, way):
    own = loop.time
    if way != "setattr":
        vars(loop)["other"] = None
    if way == "vars":
        vars(loop)["time"] = lambda: own() + 1000
    else:
        loop.time = lambda: own() + 1000
    fired = []
    loop.call_at(own() + 1000.01, fired.append, 1)
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
    assert fired == [1]
    del loop.time
    loop.call_at(own() + 0.01, fired.append, 2)
    loop.call_later(0.05, loop.stop)
    loop.run_forever()
    assert fired == [1, 2]
