"""A subclass that overrides a method hears every use that asyncio makes of it by way of its own loop.

Each public method of a loop is overridden alone, and a number of small programs are run: who is
asked on the standard loop is asked on ours as well.
"""

import asyncio
import inspect
import os
import signal
import socket
import threading

import pytest

from loopkit import subject

PROGRAMS = {}

# What is asked less often, each with its reason.
LESS = {
    "time": "asked when a time is needed, not in each turn",
    "get_debug": "a state that native code sees by itself",
    "is_closed": "likewise; asyncio asks when a loop dies",
    "set_debug": "asyncio's loop turns debug mode off when it is made",
}
LESS_IN = {
    ("remove_reader", "sock_recv"): "a socket operation that ends stops watching by itself",
    ("remove_reader", "sock_sendall"): "likewise",
    ("remove_reader", "sock_accept"): "likewise",
    ("remove_reader", "stream_much"): "likewise",
    ("remove_writer", "sock_sendall"): "likewise",
}


def program(function):
    """Make a coroutine function a program."""
    PROGRAMS[function.__name__] = function
    return function


class Echo(asyncio.Protocol):
    """Sends back what it receives."""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


def pair():
    """Two connected sockets that do not block."""
    near, far = socket.socketpair()
    near.setblocking(False)
    far.setblocking(False)
    return near, far


@program
async def call_later(loop):
    ended = loop.create_future()
    loop.call_later(0.001, ended.set_result, 1)
    loop.call_later(60, print).cancel()
    await ended


@program
async def sleep(loop):
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)


@program
async def tasks(loop):
    async def nap():
        await asyncio.sleep(0)

    await asyncio.gather(nap(), nap())
    async with asyncio.TaskGroup() as group:
        group.create_task(nap())
    await asyncio.shield(nap())
    await asyncio.wait([asyncio.ensure_future(nap())], timeout=1)
    for each in asyncio.as_completed([nap(), nap()], timeout=1):
        await each


@program
async def timeout(loop):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.sleep(60)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.sleep(60), 0.001)


@program
async def callbacks(loop):
    future = loop.create_future()
    future.add_done_callback(lambda _: None)
    future.set_result(1)
    await asyncio.sleep(0)


@program
async def primitives(loop):
    lock, event, queue = asyncio.Lock(), asyncio.Event(), asyncio.Queue()

    async def hold():
        async with lock:
            await asyncio.sleep(0)

    await asyncio.gather(hold(), hold())
    loop.call_soon(event.set)
    await event.wait()
    loop.call_soon(queue.put_nowait, 1)
    await queue.get()


@program
async def threads(loop):
    ended = loop.create_future()
    thread = threading.Thread(target=lambda: loop.call_soon_threadsafe(ended.set_result, 1))
    thread.start()
    await ended
    thread.join()


@program
async def executor(loop):
    await loop.run_in_executor(None, int)
    await asyncio.to_thread(int)


@program
async def addresses(loop):
    await loop.getaddrinfo("127.0.0.1", 80)
    await loop.getnameinfo(("127.0.0.1", 80), socket.NI_NUMERICHOST)


@program
async def sock_recv(loop):
    near, far = pair()
    loop.call_soon(far.send, b"x")
    await loop.sock_recv(near, 10)
    near.close()
    far.close()


@program
async def sock_sendall(loop):
    near, far = pair()

    async def receive():
        left = 1_000_000
        while left:
            left -= len(await loop.sock_recv(far, 100_000))

    task = asyncio.create_task(receive())
    await loop.sock_sendall(near, bytes(1_000_000))
    await task
    near.close()
    far.close()


@program
async def sock_accept(loop):
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as near:
        listener.setblocking(False)
        near.setblocking(False)
        task = asyncio.create_task(loop.sock_accept(listener))
        await asyncio.sleep(0)
        await loop.sock_connect(near, listener.getsockname())
        (await task)[0].close()


@program
async def add_reader(loop):
    near, far = pair()
    ended = loop.create_future()
    loop.add_reader(near, ended.set_result, 1)
    far.send(b"x")
    await ended
    loop.remove_reader(near)
    near.close()
    far.close()


@program
async def transport_alone(loop):
    """Nobody schedules anything here but the transport."""
    near, far = pair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    transport.pause_reading()
    transport.resume_reading()
    transport.abort()
    await asyncio.sleep(0)
    far.close()


@program
async def streams(loop):
    server = await loop.create_server(Echo, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    writer.write(b"x")
    await reader.read(1)
    writer.close()
    await writer.wait_closed()
    server.close()
    await server.wait_closed()


@program
async def stream_much(loop):
    near, far = pair()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near)
    transport.write(bytes(1_000_000))
    left = 1_000_000
    while left:
        left -= len(await loop.sock_recv(far, 100_000))
    transport.write_eof()
    transport.abort()
    await asyncio.sleep(0)
    far.close()


@program
async def datagrams(loop):
    transport, _ = await loop.create_datagram_endpoint(
        asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
    )
    transport.close()
    await asyncio.sleep(0)


@program
async def child(loop):
    process = await asyncio.create_subprocess_exec("/bin/cat", stdin=-1, stdout=-1)
    await process.communicate(b"x")


@program
async def signals(loop):
    ended = loop.create_future()
    loop.add_signal_handler(signal.SIGUSR1, ended.set_result, 1)
    os.kill(os.getpid(), signal.SIGUSR1)
    await ended
    loop.remove_signal_handler(signal.SIGUSR1)


@program
async def failure(loop):
    loop.set_exception_handler(lambda *_: None)
    loop.call_soon(lambda: 1 / 0)
    await asyncio.sleep(0)


def public_methods():
    """The names that a program may override."""
    names = [name for name in dir(asyncio.AbstractEventLoop) if not name.startswith("_")]
    return [
        name
        for name in names
        if callable(getattr(asyncio.SelectorEventLoop, name, None)) and name not in LESS
    ]


def is_asked(base, name, function):
    """Whether `function` makes a loop of class `base` ask its method `name`."""
    asked = []
    own = getattr(base, name)
    if inspect.iscoroutinefunction(own):

        async def override(self, *args, **options):
            asked.append(args)
            return await own(self, *args, **options)

    else:

        def override(self, *args, **options):
            asked.append(args)
            return own(self, *args, **options)

    async def alone(loop):
        # What runs it and ends it asks for methods too, on every loop.
        asked.clear()
        await function(loop)
        return bool(asked)

    loop = type("Overriding", (base,), {name: override})()
    try:
        answer = loop.run_until_complete(asyncio.wait_for(alone(loop), 30))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        loop.close()
    return answer


@pytest.mark.parametrize("name", public_methods())
@pytest.mark.skipif(
    not subject.is_conbrio(), reason="compares conbrio's loop with the standard one"
)
def test_who_overrides_a_method_is_asked(conbrio, name):
    for function in PROGRAMS.values():
        if (name, function.__name__) in LESS_IN:
            continue
        if is_asked(asyncio.SelectorEventLoop, name, function):
            # A job that has ended already is nothing to hand over, from 3.15 on.
            asked = any(is_asked(conbrio.Loop, name, function) for _ in range(20))
            assert asked, function.__name__


@pytest.mark.parametrize("program", ["transport_alone", "datagrams"])
def test_an_overriding_call_soon_hears_what_transports_schedule(loop_factory, no_leaks, program):
    """`connection_made`, the beginning of reading, the waiter, and `connection_lost`."""
    heard = []

    def call_soon(self, callback, *args, **options):
        heard.append(getattr(callback, "__name__", None))
        return kind.call_soon(self, callback, *args, **options)

    probe = loop_factory()
    kind = type(probe)
    probe.close()
    loop = type("Overriding", (kind,), {"call_soon": call_soon})()
    try:
        loop.run_until_complete(PROGRAMS[program](loop))
    finally:
        loop.close()
    wanted = [
        "connection_made",
        "_add_reader",
        "_set_result_unless_cancelled",
        "_call_connection_lost",
    ]
    assert [name for name in heard if name in wanted] == wanted


def test_a_call_at_that_was_set_on_the_loop_is_asked_by_call_later(loop):
    asked = []

    def call_at(when, callback, *args, context=None):
        asked.append((when > loop.time(), args, context))
        return type(loop).call_at(loop, when, callback, *args, context=context)

    loop.call_at = call_at
    loop.call_later(0.5, print, "a").cancel()

    async def main():
        loop.call_later(0.5, print, "b").cancel()

    loop.run_until_complete(main())
    assert asked == [(True, ("a",), None), (True, ("b",), None)]


@pytest.mark.parametrize("turns", [0, 1])
def test_an_overriding_call_soon_hears_what_is_scheduled_before_the_first_run(loop_factory, turns):
    async def main():
        for _ in range(turns):
            await asyncio.sleep(0)

    def call_soon(self, callback, *args, context=None):
        asked.append(callback)
        return kind.call_soon(self, callback, *args, context=context)

    probe = loop_factory()
    kind = type(probe)
    probe.close()
    asked = []
    loop = type("Overriding", (kind,), {"call_soon": call_soon})()
    try:
        task = loop.create_task(main())
        assert len(asked) == 1
        future = loop.create_future()
        future.add_done_callback(int)
        future.set_result(None)
        assert asked[1:] == [int]
        future.remove_done_callback(int)
        asked.clear()
        loop.call_exception_handler = lambda context: None
        loop.run_until_complete(task)
        assert len(asked) == turns + 1
    finally:
        loop.close()
