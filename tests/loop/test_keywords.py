"""Arguments by their names: what asyncio's methods take by keyword, ours take; what they refuse, ours refuse."""

import asyncio
import functools
import os
import signal
import socket

import pytest

from loopkit.either import LOOPS
from loopkit.either import run as run_on

CALLS = {
    "call_soon": lambda loop, _: loop.call_soon(callback=int),
    "call_soon context": lambda loop, _: loop.call_soon(callback=int, context=None),
    "call_soon_threadsafe": lambda loop, _: loop.call_soon_threadsafe(callback=int),
    "call_later": lambda loop, _: loop.call_later(delay=0, callback=int),
    "call_later mixed": lambda loop, _: loop.call_later(0, callback=int),
    "call_at": lambda loop, _: loop.call_at(when=loop.time(), callback=int),
    "add_reader": lambda loop, at: loop.add_reader(fd=at.reader, callback=int),
    "remove_reader": lambda loop, at: loop.remove_reader(fd=at.reader),
    "add_writer": lambda loop, at: loop.add_writer(fd=at.writer, callback=int),
    "remove_writer": lambda loop, at: loop.remove_writer(fd=at.writer),
    "add_signal_handler": lambda loop, _: loop.add_signal_handler(sig=signal.SIGUSR1, callback=int),
    "remove_signal_handler": lambda loop, _: loop.remove_signal_handler(sig=signal.SIGUSR1),
    "set_debug": lambda loop, _: loop.set_debug(enabled=False),
    "set_task_factory": lambda loop, _: loop.set_task_factory(factory=None),
    "set_exception_handler": lambda loop, _: loop.set_exception_handler(handler=None),
    "run_until_complete": lambda loop, at: loop.run_until_complete(future=at.future),
    "run_in_executor": lambda loop, _: loop.run_in_executor(executor=None, func=int),
    "create_task": lambda loop, _: loop.create_task(coro=asyncio.sleep(0)),
    "getaddrinfo": lambda loop, _: loop.getaddrinfo(host="127.0.0.1", port=80, type=1),
    "sock_recv": lambda loop, at: loop.sock_recv(sock=at.left, n=1),
    "sock_sendall": lambda loop, at: loop.sock_sendall(sock=at.left, data=b"1"),
    "write": lambda _, at: at.transport.write(data=b"1"),
    "writelines": lambda _, at: at.transport.writelines(list_of_data=[b"1"]),
    "set_protocol": lambda _, at: at.transport.set_protocol(protocol=asyncio.Protocol()),
    "set_write_buffer_limits": lambda _, at: at.transport.set_write_buffer_limits(high=9, low=3),
    "nothing": lambda loop, _: loop.call_soon(),
    "no callback": lambda loop, _: loop.call_later(1),
    "nothing for two": lambda loop, _: loop.call_at(),
    "unknown": lambda loop, _: loop.call_soon(int, other=1),
    "twice": lambda loop, _: loop.call_soon(int, callback=int),
    "delay twice": lambda loop, _: loop.call_later(1, int, delay=2),
    "no fd": lambda loop, _: loop.add_reader(callback=int),
    "no enabled": lambda loop, _: loop.set_debug(),
}


class Places:
    """What the calls are made with."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.reader, self.writer = os.pipe()
        self.left, self.right = socket.socketpair()
        self.left.setblocking(False)
        self.right.setblocking(False)
        self.right.send(b"1")
        self.future = loop.create_future()
        self.transport: asyncio.Transport

    def close(self) -> None:
        self.transport.abort()
        os.close(self.reader)
        os.close(self.writer)
        self.left.close()


@pytest.mark.parametrize("name", CALLS)
def test_a_keyword_is_taken_or_refused_as_asyncio_does(name):
    async def main():
        loop = asyncio.get_running_loop()
        places = Places(loop)
        places.transport, _ = await loop.create_connection(asyncio.Protocol, sock=places.right)
        try:
            answer = CALLS[name](loop, places)
            if asyncio.isfuture(answer) or asyncio.iscoroutine(answer):
                answer = await answer
            seen = type(answer).__name__.removeprefix("_ThreadSafe")
        except (TypeError, RuntimeError) as error:
            # Whose method it is differs.
            seen = type(error), str(error).rpartition(".")[2]
        loop.remove_reader(places.reader)
        loop.remove_writer(places.writer)
        loop.remove_signal_handler(signal.SIGUSR1)
        places.close()
        await asyncio.sleep(0.01)
        return seen

    ours, theirs = (run_on(main(), factory) for factory in LOOPS.values())
    assert ours == theirs


def test_a_keyword_beside_arguments_for_the_callback(run):
    async def main():
        loop = asyncio.get_running_loop()
        heard = []
        loop.call_soon(heard.append, 1)
        loop.call_later(0, heard.append, 2, context=None)
        loop.call_later(delay=0, callback=functools.partial(heard.append, 3))
        await asyncio.sleep(0.01)
        return heard

    assert run(main()) == [1, 2, 3]
