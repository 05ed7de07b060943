"""aiohttp: a server and a client of its own, unmodified."""

import asyncio

import pytest

aiohttp = pytest.importorskip("aiohttp")

from aiohttp import web  # noqa: E402

from loopkit import children, peers  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


async def serve(application):
    """Start ``application`` on a free port; return its runner and its address."""
    runner = web.AppRunner(application, shutdown_timeout=0.05)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    return runner, f"http://127.0.0.1:{port}"


def test_requests_and_answers(run):
    async def main():
        async def hello(request):
            return web.json_response({"hello": request.match_info["name"]})

        async def echo(request):
            return web.Response(body=await request.read())

        application = web.Application(client_max_size=1 << 24)
        application.add_routes([web.get("/{name}", hello), web.post("/", echo)])
        runner, url = await serve(application)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/world") as answer:
                first = answer.status, await answer.json()
            data = b"x" * 900_000
            async with session.post(url, data=data) as answer:
                second = await answer.read() == data
            texts = await asyncio.gather(*(fetch(session, f"{url}/{n}") for n in range(50)))
        await runner.cleanup()
        return first, second, [text["hello"] for text in texts]

    async def fetch(session, url):
        async with session.get(url) as answer:
            return await answer.json()

    expected = (200, {"hello": "world"}), True, [str(number) for number in range(50)]
    assert run(main()) == expected


def test_streaming_and_websockets(run):
    async def main():
        async def stream(request):
            answer = web.StreamResponse()
            await answer.prepare(request)
            for number in range(100):
                await answer.write(b"%d " % number)
            await answer.write_eof()
            return answer

        async def talk(request):
            sock = web.WebSocketResponse()
            await sock.prepare(request)
            async for message in sock:
                await sock.send_str(message.data.upper())
            return sock

        application = web.Application()
        application.add_routes([web.get("/stream", stream), web.get("/talk", talk)])
        runner, url = await serve(application)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{url}/stream") as answer:
                text = await answer.text()
            async with session.ws_connect(f"{url}/talk") as sock:
                heard = []
                for word in ("one", "two"):
                    await sock.send_str(word)
                    heard.append((await sock.receive()).data)
        await runner.cleanup()
        return text, heard

    text, heard = run(main())
    assert text.split() == [str(number) for number in range(100)]
    assert heard == ["ONE", "TWO"]


def test_files_go_by_sendfile(run, tmp_path):
    (tmp_path / "file").write_bytes(b"f" * 500_000)

    async def main():
        application = web.Application()
        application.router.add_static("/", tmp_path)
        runner, url = await serve(application)
        async with aiohttp.ClientSession() as session, session.get(f"{url}/file") as answer:
            size = len(await answer.read())
        await runner.cleanup()
        return size

    assert run(main()) == 500_000


def test_timeouts_and_refusals(run):
    async def main():
        async def slow(request):
            await asyncio.sleep(60)

        application = web.Application()
        application.add_routes([web.get("/", slow)])
        runner, url = await serve(application)
        timeout = aiohttp.ClientTimeout(total=0.05)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            with pytest.raises(TimeoutError):
                await session.get(url)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"http://127.0.0.1:{peers.free_port()}")
        await runner.cleanup()

    run(main())


def test_run_app(driver):
    code = """
    from aiohttp import web
    import socket
    async def hello(request):
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, signal.raise_signal, signal.SIGINT)
        return web.Response(text=type(loop).__module__)
    application = web.Application()
    application.add_routes([web.get("/", hello)])
    sock = socket.create_server(("127.0.0.1", 0))
    def ask():
        import urllib.request
        print(urllib.request.urlopen("http://127.0.0.1:%d" % sock.getsockname()[1]).read().decode())
    threading.Thread(target=ask).start()
    loop = new_loop()
    web.run_app(application, sock=sock, loop=loop, print=None)
    print(loop.is_closed())
    """
    status, out, err = children.run_python(code, driver)
    loop_module = children.run_python("print(type(new_loop()).__module__)", driver)[1].strip()
    assert (status, out.split()) == (0, [loop_module, "True"]), err
