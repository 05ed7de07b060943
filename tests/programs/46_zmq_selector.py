"""Tutorial D, "another selector": SelectorEventLoop(ZmqSelector()).

The event loop polls with zmq.Poller, so 0MQ sockets themselves can be given to
add_reader / add_writer, beside plain sockets and the loop's own wake-up.  The
original leans on private names of selectors (_BaseSelectorImpl, and
_key_from_fd, gone in 3.13); ours is a public selectors.BaseSelector.

Loops that take a selector: stdlib's.  CONBRIO_SELECTOR_LOOP='module:callable'
names another (called with the selector); a loop without one is skipped here,
and 47 shows what it can do instead.
"""
import asyncio
import errno
import math
import os
import selectors
import socket
import threading
import time
from collections.abc import Mapping

import _seed as seed
from _seed import S

zmq = seed.need("zmq")


class _Map(Mapping):
    def __init__(self, selector):
        self.selector = selector

    def __len__(self):
        return len(self.selector._keys)

    def __iter__(self):
        return iter(key.fileobj for key in self.selector._keys.values())

    def __getitem__(self, fileobj):
        try:
            return self.selector._keys[self.selector._ident(fileobj)]
        except (KeyError, ValueError):
            raise KeyError("%r is not registered" % (fileobj,)) from None


class ZmqSelector(selectors.BaseSelector):
    def __init__(self, poller=None):
        self._poller = poller if poller is not None else zmq.Poller()
        self._keys = {}                       # zmq.Socket or descriptor -> SelectorKey
        self._map = _Map(self)
        self.selects = 0

    def _ident(self, fileobj):
        if isinstance(fileobj, zmq.Socket):
            return fileobj
        if isinstance(fileobj, int):
            return fileobj
        fd = fileobj.fileno()
        if fd < 0:
            # closed meanwhile: find it by itself
            for ident, key in self._keys.items():
                if key.fileobj is fileobj:
                    return ident
            raise ValueError("bad file descriptor %r" % (fileobj,))
        return fd

    @staticmethod
    def _flags(events):
        if not events or events & ~(selectors.EVENT_READ | selectors.EVENT_WRITE):
            raise ValueError("Invalid events: %r" % (events,))
        return ((zmq.POLLIN if events & selectors.EVENT_READ else 0)
                | (zmq.POLLOUT if events & selectors.EVENT_WRITE else 0))

    def register(self, fileobj, events, data=None):
        ident = self._ident(fileobj)
        if ident in self._keys:
            raise KeyError("%r is already registered" % (fileobj,))
        flags = self._flags(events)
        fd = ident.getsockopt(zmq.FD) if isinstance(ident, zmq.Socket) else ident
        key = selectors.SelectorKey(fileobj, fd, events, data)
        self._keys[ident] = key
        self._poller.register(ident, flags)
        return key

    def unregister(self, fileobj):
        ident = self._ident(fileobj)
        try:
            key = self._keys.pop(ident)
        except KeyError:
            raise KeyError("%r is not registered" % (fileobj,)) from None
        self._poller.unregister(ident)
        return key

    def modify(self, fileobj, events, data=None):
        ident = self._ident(fileobj)
        key = self._keys[ident]._replace(events=events, data=data)
        self._keys[ident] = key
        self._poller.register(ident, self._flags(events))
        return key

    def select(self, timeout=None):
        self.selects += 1
        if timeout is not None:
            timeout = max(0, math.ceil(timeout * 1e3))
        try:
            polled = self._poller.poll(timeout)
        except zmq.ZMQError as e:
            if e.errno == errno.EINTR:
                return []
            raise
        ready = []
        for ident, flags in polled:
            key = self._keys.get(ident)
            if key is None:
                continue
            events = 0
            if flags & zmq.POLLIN:
                events |= selectors.EVENT_READ
            if flags & zmq.POLLOUT:
                events |= selectors.EVENT_WRITE
            if flags & zmq.POLLERR:
                events = selectors.EVENT_READ | selectors.EVENT_WRITE
            events &= key.events
            if events:
                ready.append((key, events))
        return ready

    def close(self):
        self._keys.clear()

    def get_map(self):
        return self._map


def make_loop(selector):
    spec = os.environ.get("CONBRIO_SELECTOR_LOOP", "")
    if spec:
        return seed.load(spec)(selector)
    if seed.SPEC:
        try:
            return seed.factory()(selector)
        except TypeError as e:
            seed.skip("%s takes no selector: %s" % (seed.SPEC, e))
    return asyncio.SelectorEventLoop(selector)


def main():
    selector = ZmqSelector()
    loop = make_loop(selector)
    asyncio.set_event_loop(loop)
    context = zmq.Context()
    a, b = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    port = a.bind_to_random_port("tcp://127.0.0.1")
    b.connect("tcp://127.0.0.1:%d" % port)

    got = []
    finished = loop.create_future()

    def readable():
        got.append(b.recv(zmq.NOBLOCK))       # one message a call: level-triggered
        if len(got) == 100:
            loop.remove_reader(b)
            finished.set_result(None)

    async def program():
        loop.add_reader(b, readable)
        for n in range(100):
            a.send(b"message %d" % n)
        await asyncio.wait_for(finished, 30)
        seed.equal(got, [b"message %d" % n for n in range(100)])

        # Timers keep their time, threads wake the loop, plain sockets work.
        with seed.timed(1, "sleep under the 0MQ poller"):
            await asyncio.sleep(S(1))
        fut = loop.create_future()
        thread = threading.Thread(
            target=lambda: (time.sleep(S(0.5)), loop.call_soon_threadsafe(fut.set_result, "woken")))
        with seed.timed(0.5, "call_soon_threadsafe"):
            thread.start()
            seed.equal(await fut, "woken")
        thread.join()
        x, y = socket.socketpair()
        x.setblocking(False)
        y.setblocking(False)
        loop.call_later(S(0.2), y.send, b"plain")
        seed.equal(await loop.sock_recv(x, 10), b"plain")
        x.close()
        y.close()

        # A writer on a 0MQ socket.
        written = loop.create_future()
        loop.add_writer(a, lambda: written.done() or written.set_result(None))
        await asyncio.wait_for(written, 30)
        loop.remove_writer(a)

        # And a server with clients, all polled by 0MQ.
        async def echo(reader, writer):
            writer.write((await reader.readline()).upper())
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
        writer.write(b"line\n")
        seed.equal(await reader.read(), b"LINE\n")
        writer.close()
        server.close()

    loop.run_until_complete(program())
    seed.check(selector.selects > 10, "the loop really polled with it")
    loop.close()
    a.close(0)
    b.close(0)
    context.term()


if __name__ == "__main__":
    seed.run(main, uses_loop=False)
