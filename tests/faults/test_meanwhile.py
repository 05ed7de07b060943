"""What a program does while something of ours asks it: in a socket's own method, an audit hook, a signal's handler."""

import asyncio
import gc
import os
import socket
import sys
import warnings

import pytest

from loopkit import children, peers


class Ending(socket.socket):
    """A socket whose ``recv`` does something first, once there is something to receive."""

    def recv(self, size):
        data = super().recv(size)
        self.before()
        return data


@pytest.mark.parametrize("deed", ["cancel", "end"])
def test_a_socket_that_ends_the_wait_for_it(loop, complaints, deed):
    """The answer finds the future done: the exception handler hears of it, and the loop goes on."""
    near, far = socket.socketpair()
    sock = Ending(near.family, near.type, fileno=near.detach())
    sock.setblocking(False)
    futures = []

    def make_future():
        futures.append(asyncio.Future(loop=loop))
        return futures[-1]

    async def main():
        loop.create_future = make_future
        receiving = asyncio.ensure_future(loop.sock_recv(sock, 10))
        await asyncio.sleep(0)
        del loop.create_future
        sock.before = (
            receiving.cancel if deed == "cancel" else lambda: futures[0].set_result(b"own")
        )
        far.send(b"heard")
        return await asyncio.gather(receiving, return_exceptions=True)

    (end,) = loop.run_until_complete(main())
    sock.close()
    far.close()
    assert end == b"own" if deed == "end" else isinstance(end, asyncio.CancelledError)
    (complaint,) = complaints
    assert complaint["message"].startswith("Exception in callback ")
    assert isinstance(complaint["exception"], asyncio.InvalidStateError)


def test_a_wait_that_is_over_keeps_nothing_that_came(run):
    async def main():
        near, far = peers.unix_pair()
        far.setblocking(True)
        receiving = asyncio.ensure_future(asyncio.get_running_loop().sock_recv(near, 100_000))
        await asyncio.sleep(0.01)
        far.send(b"x" * 50_000)
        data = await receiving
        del receiving
        await asyncio.sleep(0)
        fresh = bytes(50_000)
        counts = sys.getrefcount(data), sys.getrefcount(fresh)
        near.close()
        far.close()
        return len(data), counts

    size, (count, usual) = run(main())
    assert (size, count) == (50_000, usual)


def test_a_signal_that_has_come_before_the_first_wait(driver):
    """No Python code runs between the signal and the wait: what looks for the main thread is the first that does."""
    code = """
    import ctypes
    loop = new_loop()
    strike = getattr(ctypes.CDLL(None), "raise")
    loop.call_soon(strike, signal.SIGINT)
    loop.call_later(20, loop.stop)
    try:
        loop.run_forever()
    except KeyboardInterrupt:
        print("interrupted")
    again = []
    signal.signal(signal.SIGUSR1, lambda *_: again.append(1))
    threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGUSR1]).start()
    def look():
        loop.stop() if again else loop.call_later(0.01, look)
    loop.call_soon(look)
    loop.run_forever()
    print("heard")
    loop.close()
    """
    assert children.output(code, driver) == "interrupted\nheard\n"


def test_an_audit_hook_that_refuses_a_connections_socket(driver):
    """Who has asked hears of it, and the connection goes on."""
    code = """
    import socket
    refuse = False
    def hook(event, args):
        if refuse and event == "socket.__new__":
            raise PermissionError("no sockets")
    sys.addaudithook(hook)
    class Server(asyncio.Protocol):
        def connection_made(self, transport):
            global refuse
            self.transport, refuse = transport, True
            try:
                transport.get_extra_info("socket")
            except PermissionError as error:
                print(error)
            refuse = False
        def data_received(self, data):
            self.transport.write(data + b" " + str(self.transport.get_extra_info("socket").getsockname() == name).encode())
            self.transport.close()
    async def main():
        global name
        server = await loop.create_server(Server, "127.0.0.1", 0)
        name = server.sockets[0].getsockname()
        reader, writer = await asyncio.open_connection(*name)
        writer.write(b"heard")
        print((await reader.read()).decode())
        writer.close()
        server.close()
        await server.wait_closed()
    loop = new_loop()
    loop.run_until_complete(main())
    loop.close()
    """
    said = children.output(code, driver)
    # asyncio has made the socket by then, and is refused nothing.
    assert said in {"no sockets\nheard True\n", "heard True\n"}


def test_a_write_to_a_pipe_that_has_come_to_block_can_be_interrupted(driver):
    code = """
    def strike(*_):
        raise KeyboardInterrupt
    signal.signal(signal.SIGUSR1, strike)
    async def main():
        out, into = os.pipe()
        transport, _ = await asyncio.get_running_loop().connect_write_pipe(asyncio.Protocol, os.fdopen(into, "wb", 0))
        os.set_blocking(into, True)
        threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGUSR1]).start()
        try:
            transport.write(b"x" * 1_000_000)
        except KeyboardInterrupt:
            print("struck")
        os.set_blocking(into, False)
        size = len(os.read(out, 1_000_000))
        transport.write(b"more")
        transport.close()
        await asyncio.sleep(0.01)
        rest = b""
        while piece := os.read(out, 1_000_000):
            rest += piece
        print(size > 0, rest.endswith(b"more"))
        os.close(out)
    loop = new_loop()
    loop.run_until_complete(main())
    loop.close()
    """
    assert children.output(code, driver) == "struck\nTrue True\n"


def test_what_a_signals_handler_raises_in_such_a_write_ends_the_transport(driver):
    code = """
    def strike(*_):
        raise ValueError("struck")
    signal.signal(signal.SIGUSR1, strike)
    class Protocol(asyncio.Protocol):
        def connection_lost(self, error):
            print("lost", repr(error))
    async def main():
        loop.set_exception_handler(lambda _, context: print(context["message"], repr(context["exception"])))
        out, into = os.pipe()
        transport, _ = await loop.connect_write_pipe(Protocol, os.fdopen(into, "wb", 0))
        transport.write(b"x" * 1_000_000)
        os.set_blocking(into, True)
        threading.Timer(0.2, os.kill, [os.getpid(), signal.SIGUSR1]).start()
        os.read(out, 50_000)
        await asyncio.sleep(0.5)
        print(transport.is_closing())
        os.close(out)
    loop = new_loop()
    loop.run_until_complete(main())
    loop.close()
    """
    expected = "Fatal write error on pipe transport ValueError('struck')\nlost ValueError('struck')\nTrue\n"
    assert children.output(code, driver) == expected


def test_each_write_to_a_full_pipe_of_a_closed_loop_is_refused(loop):
    async def main():
        out, into = os.pipe()
        pipe = os.fdopen(into, "wb", 0)
        transport, _ = await loop.connect_write_pipe(asyncio.Protocol, pipe)
        return out, pipe, transport

    out, pipe, transport = loop.run_until_complete(main())
    loop.close()
    ends = []
    for _ in range(3):
        try:
            transport.write(b"x" * 100_000)
            ends.append(None)
        except Exception as error:
            ends.append(str(error))
    size = transport.get_write_buffer_size()
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        del transport
        gc.collect()
    pipe.close()
    os.close(out)
    assert ends[1:] == ["Event loop is closed"] * 2
    assert size == 0


def test_what_a_derived_loop_takes_by_position_is_its_own(loop_factory):
    pattern = loop_factory()
    pattern.close()

    class Named(type(pattern)):
        def __init__(self, name):
            super().__init__()
            self.name = name

    for name in ("worker", 5, None):
        loop = Named(name)
        assert loop.run_until_complete(asyncio.sleep(0, loop.name)) == name
        loop.close()
