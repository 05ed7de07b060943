"""Tutorial D, "reading and writing big files in small pieces".

AsyncFileWrapper: read(n) / read() in blocks of 4096, one block each turn of the
loop (call_soon), so that others get their turns; write; close.  Argument checks
as there.  Two faults of the original mended, both visible in a second read: it
leaves its buffer full at the end of the file, and cuts it by the wrong count.
"""
import asyncio
import os
import tempfile

import _seed as seed


class AsyncFileWrapper(object):
    DEFAULT_BLOCK_SIZE = 4096

    def __init__(self, loop=None, filename=None, fileobj=None, mode="rb"):
        if (filename is None) == (fileobj is None):
            raise RuntimeError("Conflicting arguments")
        if filename is not None:
            if "b" not in mode:
                raise RuntimeError("Only binary mode is supported")
            fileobj = open(filename, mode=mode)
        elif "b" not in fileobj.mode:
            raise RuntimeError("Only binary mode is supported")
        self.fileobj = fileobj
        self.loop = loop if loop is not None else asyncio.get_running_loop()
        self.rbuffer = bytearray()
        self._pending = None                     # (handle, future) while a read is on
        self.turns = 0

    def _next(self, future, n, total):
        self._pending = (self.loop.call_soon(self.read_ready, future, n, total), future)

    def read_ready(self, future, n, total):
        self._pending = None
        self.turns += 1
        if future.cancelled():
            return
        res = self.fileobj.read1(n)
        self.rbuffer.extend(res)
        if not res or 0 < total <= len(self.rbuffer):          # end of file, or enough
            take = len(self.rbuffer) if total < 0 else min(total, len(self.rbuffer))
            result = bytes(self.rbuffer[:take])
            del self.rbuffer[:take]
            future.set_result(result)
        elif total > 0:
            self._next(future, min(total - len(self.rbuffer), self.DEFAULT_BLOCK_SIZE), total)
        else:
            self._next(future, self.DEFAULT_BLOCK_SIZE, total)

    async def read(self, n=-1):
        if n == 0:
            return b""
        future = self.loop.create_future()
        self._next(future, self.DEFAULT_BLOCK_SIZE if n < 0 else min(n, self.DEFAULT_BLOCK_SIZE), n)
        return await future

    def write(self, data):
        return self.fileobj.write(data)

    def close(self):
        if self._pending is not None:
            handle, future = self._pending
            handle.cancel()
            future.cancel()
            self._pending = None
        self.fileobj.close()


async def main():
    size = 1 << 20
    data = os.urandom(size)
    fd, path = tempfile.mkstemp()
    try:
        os.write(fd, data)
        os.close(fd)

        turns = []

        async def other():
            while True:
                await asyncio.sleep(0)
                turns.append(1)

        task = asyncio.create_task(other())
        afile = AsyncFileWrapper(filename=path)
        content = await afile.read()
        seed.check(content == data, "the whole file")
        seed.equal(afile.turns, size // 4096 + 1, "a block each turn, and one for the end")
        seed.check(len(turns) >= size // 4096 - 2, "others had as many turns: %d" % len(turns))
        seed.equal(await afile.read(), b"", "at the end")
        afile.close()

        afile = AsyncFileWrapper(filename=path)
        parts = []
        for n in (1, 10, 5000, 4096, 0, 100000):
            part = await afile.read(n)
            seed.equal(len(part), n)
            parts.append(part)
        parts.append(await afile.read())
        seed.check(b"".join(parts) == data, "in pieces")
        afile.close()

        afile = AsyncFileWrapper(filename=path, mode="r+b")
        afile.write(b"written")
        afile.close()
        with open(path, "rb") as f:
            seed.equal(f.read(7), b"written")
            with seed.raises(RuntimeError, "Conflicting arguments"):
                AsyncFileWrapper(filename=path, fileobj=f)
        with seed.raises(RuntimeError, "Conflicting arguments"):
            AsyncFileWrapper()
        with seed.raises(RuntimeError, "Only binary mode"):
            AsyncFileWrapper(filename=path, mode="r")
        with open(path) as f, seed.raises(RuntimeError, "Only binary mode"):
            AsyncFileWrapper(fileobj=f)

        # close() while a read is on (the errata): no read_ready after it.
        afile = AsyncFileWrapper(filename=path)
        reader = asyncio.ensure_future(afile.read())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        done = afile.turns
        afile.close()
        with seed.raises(asyncio.CancelledError):
            await reader
        for _ in range(5):
            await asyncio.sleep(0)
        seed.equal(afile.turns, done, "not called back after close()")
        task.cancel()
    finally:
        os.unlink(path)


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
