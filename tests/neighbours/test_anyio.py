"""anyio: its asyncio backend on the loop under test, by its own options."""

import asyncio
import threading

import pytest

anyio = pytest.importorskip("anyio")


@pytest.fixture
def run_anyio(loop_factory, no_leaks):
    """Run an anyio program on the loop under test."""

    def run(function, *args):
        options = {"loop_factory": loop_factory}
        return anyio.run(function, *args, backend="asyncio", backend_options=options)

    return run


def test_runs_on_the_loop(run_anyio, loop_factory):
    async def main():
        return type(asyncio.get_running_loop())

    pattern = loop_factory()
    pattern.close()
    assert run_anyio(main) is type(pattern)


def test_task_groups_and_cancel_scopes(run_anyio):
    async def main():
        order = []

        async def work(name, naps):
            try:
                for _ in range(naps):
                    await anyio.sleep(0)
                order.append(name)
            except anyio.get_cancelled_exc_class():
                order.append(f"{name} cancelled")
                raise

        async with anyio.create_task_group() as group:
            group.start_soon(work, "a", 2)
            group.start_soon(work, "b", 1)
            group.start_soon(work, "c", 1000)
            await anyio.sleep(0.001)
            group.cancel_scope.cancel()
        with anyio.move_on_after(0.01) as scope:
            await anyio.sleep_forever()
        with pytest.raises(TimeoutError), anyio.fail_after(0.01):
            await anyio.Event().wait()
        return order[:2], scope.cancelled_caught

    order, caught = run_anyio(main)
    assert order == ["b", "a"]
    assert caught


def test_streams_and_threads(run_anyio):
    async def main():
        async def echo(stream):
            async with stream:
                async for data in stream:
                    await stream.send(data.upper())

        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        async with anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            async with await anyio.connect_tcp("127.0.0.1", port) as stream:
                await stream.send(b"hello")
                heard = await stream.receive()
            threaded = await anyio.to_thread.run_sync(lambda: anyio.from_thread.run(anyio.sleep, 0))
            group.cancel_scope.cancel()
        await listener.aclose()
        return heard, threaded

    assert run_anyio(main) == (b"HELLO", None)


def test_memory_streams_and_limits(run_anyio):
    async def main():
        send, receive = anyio.create_memory_object_stream(3)
        limit = anyio.CapacityLimiter(2)
        heard = []

        async def producer():
            async with send:
                for number in range(20):
                    async with limit:
                        await send.send(number)

        async with anyio.create_task_group() as group:
            group.start_soon(producer)
            async with receive:
                async for number in receive:
                    heard.append(number)
        return heard

    assert run_anyio(main) == list(range(20))


def test_blocking_portal(run_anyio, loop_factory, no_leaks):
    from anyio.from_thread import start_blocking_portal

    options = {"loop_factory": loop_factory}
    with start_blocking_portal(backend="asyncio", backend_options=options) as portal:
        assert portal.call(anyio.sleep, 0) is None
        assert portal.start_task_soon(lambda: 5).result(10) == 5


def test_worker_threads_are_used_again(run_anyio, loop_factory):
    """They are tied to the task that the run waits for, which it knows by asyncio's own callback."""

    async def main():
        names = set()
        for _ in range(50):
            task = asyncio.create_task(anyio.to_thread.run_sync(threading.get_ident))
            names.add(await task)
        return len(names)

    async def plain():
        return await asyncio.create_task(main())

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        assert runner.run(plain()) == 1
    assert run_anyio(main) == 1
