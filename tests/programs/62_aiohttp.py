"""Tutorial A: "aiohttp is the HTTP framework on asyncio", and "one
thread and coroutines serve many users at once".

50 requests that each take 1 second inside, together in about 1 second.
"""
import asyncio

import _seed as seed
from _seed import S

seed.need("aiohttp")
import aiohttp                                     # noqa: E402
from aiohttp import web                            # noqa: E402


async def main():
    async def handle(request):
        await asyncio.sleep(S(1))
        return web.Response(text="hello " + request.match_info["name"])

    app = web.Application()
    app.router.add_get("/{name}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async def get(n):
            async with session.get("http://127.0.0.1:%d/%d" % (port, n)) as response:
                return response.status, await response.text()

        await get(0)
        with seed.timed(1, "50 requests", 4 * seed.SLACK):
            results = await asyncio.gather(*[get(n) for n in range(50)])
    seed.equal(results, [(200, "hello %d" % n) for n in range(50)])
    await runner.cleanup()


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
