"""Tutorial D: why `yield from` cannot stand in connection_made.

The loop calls it as a plain function: with yield / await in it the call only
makes a generator or coroutine, the body never runs (and today a warning says
so); the connection itself goes on.
"""
import asyncio

import _seed as seed

ran = []


class WithAwait(asyncio.Protocol):
    async def connection_made(self, transport):
        ran.append("connection_made")
        await asyncio.sleep(0)

    def data_received(self, data):
        ran.append(data)


class WithYield(asyncio.Protocol):
    def connection_made(self, transport):
        ran.append("connection_made")
        yield from asyncio.sleep(0)

    def data_received(self, data):
        ran.append(data)


async def one(protocol):
    loop = asyncio.get_running_loop()
    server = await loop.create_server(protocol, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname()[:2])
    writer.write(b"data")
    await asyncio.sleep(0.05)
    writer.close()
    server.close()
    await asyncio.sleep(0.05)


def main():
    with seed.warned(RuntimeWarning, "coroutine 'WithAwait.connection_made' was never awaited"):
        asyncio.run(one(WithAwait))
    seed.equal(ran, [b"data"])
    ran.clear()
    asyncio.run(one(WithYield))
    seed.equal(ran, [b"data"])


if __name__ == "__main__":
    seed.run(main)
