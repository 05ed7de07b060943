"""Tutorial D, errata: O_NONBLOCK, and close() with a read on.

On a pipe, a FIFO or a terminal the flag matters: without it the loop stands
still in read().  os.read then raises BlockingIOError and add_reader says when
to try again.  (A buffered read1() gives b'' both for "nothing yet" and for the
end, so the raw descriptor is read.)  On a regular file the flag does nothing
and epoll refuses it: that needs a thread or io_uring.  The loop's own way is
connect_read_pipe / connect_write_pipe.
"""
import asyncio
import os
import tempfile
import threading
import time

import _seed as seed
from _seed import S


class AsyncFD:
    """What the errata ask for, on a descriptor that can be polled."""

    def __init__(self, fd):
        self.loop = asyncio.get_running_loop()
        os.set_blocking(fd, False)
        self.fd = fd
        self.waiter = None

    async def read(self, n=4096):
        while True:
            try:
                return os.read(self.fd, n)
            except BlockingIOError:
                pass
            self.waiter = self.loop.create_future()
            self.loop.add_reader(self.fd, self._ready)
            try:
                await self.waiter
            finally:
                if self.fd >= 0:
                    self.loop.remove_reader(self.fd)
                self.waiter = None

    def _ready(self):
        if not self.waiter.done():
            self.waiter.set_result(None)

    def close(self):
        self.loop.remove_reader(self.fd)
        if self.waiter is not None and not self.waiter.done():
            self.waiter.cancel()
        os.close(self.fd)
        self.fd = -1


async def main():
    loop = asyncio.get_running_loop()
    ticks = []

    async def ticker():
        while True:
            await asyncio.sleep(S(0.1))
            ticks.append(1)

    tick = asyncio.create_task(ticker())

    # A FIFO whose writer comes late.
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "fifo")
        os.mkfifo(path)
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

        def writer():
            time.sleep(S(1))
            with open(path, "wb") as f:
                f.write(b"first")
                f.flush()
                time.sleep(S(1))
                f.write(b"second")

        afile = AsyncFD(fd)
        holder = os.open(path, os.O_WRONLY | os.O_NONBLOCK)    # no end before the writer comes
        thread = threading.Thread(target=writer)
        with seed.timed(1, "first piece"):
            thread.start()
            seed.equal(await afile.read(), b"first")
        os.close(holder)
        seed.equal(await afile.read(), b"second")
        seed.equal(await afile.read(), b"", "end of file")
        thread.join()
        seed.check(len(ticks) >= 12, "the loop went on: %d ticks" % len(ticks))
        afile.close()

    # close() with a read on: the read ends, nothing is called back later.
    r, w = os.pipe()
    afile = AsyncFD(r)
    reader = asyncio.ensure_future(afile.read())
    await asyncio.sleep(S(0.1))
    afile.close()
    with seed.raises(asyncio.CancelledError):
        await reader
    os.close(w)

    # The loop's own pipes.
    r, w = os.pipe()
    stream = asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(stream), os.fdopen(r, "rb"))
    wtransport, _ = await loop.connect_write_pipe(asyncio.Protocol, os.fdopen(w, "wb"))
    wtransport.write(b"through the pipe\n")
    seed.equal(await stream.readline(), b"through the pipe\n")
    wtransport.write(b"x" * 300000)                # more than the pipe holds
    seed.equal(await stream.readexactly(300000), b"x" * 300000)
    wtransport.close()
    seed.equal(await stream.read(), b"")
    transport.close()

    # A regular file cannot be polled on epoll: the loop says so.
    with tempfile.TemporaryFile() as f:
        try:
            loop.add_reader(f.fileno(), lambda: None)
        except (PermissionError, OSError):
            pass
        else:
            loop.remove_reader(f.fileno())
    tick.cancel()


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
