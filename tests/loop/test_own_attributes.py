"""A loop keeps no dictionary of its own, so that the interpreter finds its methods fast; what is set on it is honoured."""

import asyncio
import contextlib
import gc
import signal
import socket
import sys
import weakref

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


def test_what_the_loop_has_beyond_asyncios_nobody_takes_for_a_name_of_theirs(conbrio):
    """Programs keep things on loops, and derive from them; no name of ours may be one that they choose."""
    usual = asyncio.SelectorEventLoop()
    of_other_versions = {"_watcher", "_old_agen_hooks", "_unix_server_sockets"}
    theirs = {*dir(usual), "__slots__", "__annotations__", *of_other_versions}
    usual.close()
    ours = {name for name in dir(conbrio.Loop) if name not in theirs}
    assert ours
    assert [name for name in ours if not name.startswith("_native_")] == []


def test_a_loop_whose_close_was_put_aside(loop_factory, no_leaks):
    """As the fixture of a session does it: the loop is closed by the name that its method was kept under."""
    loop = loop_factory()
    loop._close = loop.close
    loop.close = lambda: None
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    assert not loop.is_closed()
    loop._close()
    assert loop.is_closed()


@pytest.mark.parametrize("name", ["_dial", "_try_recv", "_forget_signals", "_send", "_watch"])
def test_a_derived_loop_may_use_any_name(conbrio, run_on, name):
    def mine(self, *args):
        raise AssertionError(name)

    async def main():
        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
        async with server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()
        near, far = socket.socketpair()
        with near, far:
            near.setblocking(False)
            far.setblocking(False)
            waiting = asyncio.ensure_future(loop.sock_recv(near, 10))
            await asyncio.sleep(0)
            await loop.sock_sendall(far, b"x")
            return await waiting

    assert run_on(type("Derived", (conbrio.Loop,), {name: mine}), main()) == b"x"


@pytest.fixture
def run_on(no_leaks):
    """Run a coroutine on a loop of a class."""

    def run(kind, main):
        with asyncio.Runner(loop_factory=kind) as runner:
            return runner.run(main)

    return run


class Kept:
    """Something that can be held weakly."""


@pytest.mark.parametrize("kind", ["task", "future", "timer", "handle", "reader", "lock", "queue"])
def test_attributes_die_with_their_object(loop, kind):
    """Dead objects are used again: what somebody has set on one is not found on the next."""

    async def nothing():
        pass

    async def make():
        if kind == "task":
            task = asyncio.ensure_future(nothing())
            await task
            return task
        return {
            "future": loop.create_future,
            "timer": lambda: loop.call_later(60, print),
            "handle": lambda: loop.call_soon(int),
            "reader": asyncio.StreamReader,
            "lock": asyncio.Lock,
            "queue": asyncio.Queue,
        }[kind]()

    async def main():
        kept, found = weakref.WeakSet(), []
        for _ in range(40):
            made = await make()
            found.append(hasattr(made, "own"))
            value = Kept()
            kept.add(value)
            with contextlib.suppress(AttributeError):
                made.own = value
            if kind in {"timer", "handle"}:
                made.cancel()
            del made, value
            await asyncio.sleep(0)
        gc.collect()
        return any(found), len(kept)

    assert loop.run_until_complete(main()) == (False, 0)
