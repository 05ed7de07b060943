"""Context variables: who runs in which context, and that none leaks out."""

import asyncio
import contextvars
import decimal
import socket
import sys
import threading

import pytest

from loopkit import peers, pipes
from loopkit.peers import Recorder

variable = contextvars.ContextVar("variable", default="default")


def test_tasks_have_a_copy_each(run):
    async def child(name):
        before = variable.get()
        variable.set(name)
        await asyncio.sleep(0)
        return before, variable.get()

    async def main():
        variable.set("main")
        ends = await asyncio.gather(child("a"), child("b"))
        return ends, variable.get()

    assert run(main()) == ([("main", "a"), ("main", "b")], "main")
    assert variable.get() == "default"


def test_a_step_enters_and_leaves_its_context(loop):
    """Also when the step ends by an exception, and when it was woken by a foreign future."""

    async def child(future):
        variable.set("child")
        try:
            await future
        finally:
            assert variable.get() == "child"
        return variable.get()

    for make in (loop.create_future, lambda: asyncio.Future(loop=loop)):
        future = make()
        task = loop.create_task(child(future))
        loop.call_later(0, future.set_result, 1)
        assert loop.run_until_complete(task) == "child"
        future = make()
        task = loop.create_task(child(future))
        loop.call_later(0, future.set_exception, KeyError())
        with pytest.raises(KeyError):
            loop.run_until_complete(task)
        assert variable.get() == "default"


def test_a_context_may_be_shared_by_tasks(loop):
    context = contextvars.copy_context()

    async def add(name):
        for _ in range(3):
            variable.set(variable.get() + name)
            await asyncio.sleep(0)

    async def main():
        tasks = [loop.create_task(add(name), context=context) for name in "ab"]
        await asyncio.gather(*tasks)

    loop.run_until_complete(main())
    assert context[variable] == "defaultababab"


@pytest.mark.parametrize("method", ["call_soon", "call_later", "call_soon_threadsafe"])
def test_callbacks_leave_no_trace(loop, method):
    args = [0] if method == "call_later" else []
    seen = []
    getattr(loop, method)(*args, variable.set, "changed")
    getattr(loop, method)(*args, lambda: seen.append(variable.get()))
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert seen == ["default"]
    assert variable.get() == "default"


def test_an_entered_context_is_refused(same):
    """A callback whose context is entered already fails as on the standard loop."""

    def scenario(loop):
        context = contextvars.copy_context()
        order = []
        loop.call_soon(order.append, 1, context=context)
        loop.call_soon(loop.stop)
        context.run(loop.run_forever)
        return order

    same(scenario)


def test_a_wrong_context_is_told(same):
    def scenario(loop):
        heard = []
        loop.set_exception_handler(lambda _, context: heard.append(context))

        async def main():
            loop.call_soon(print, context=5)
            await asyncio.sleep(0)

        try:
            loop.run_until_complete(main())
        except Exception as error:
            heard.append(error)
        return len(heard)

    assert same(scenario) == 1


def test_done_callbacks_run_where_they_were_added(run):
    async def main():
        heard = []
        future = asyncio.get_running_loop().create_future()
        variable.set("first")
        future.add_done_callback(lambda _: heard.append(variable.get()))
        variable.set("second")
        future.add_done_callback(lambda _: heard.append(variable.get()))
        variable.set("third")
        future.set_result(None)
        await asyncio.sleep(0)
        return heard

    assert run(main()) == ["first", "second"]


def test_servers_give_protocols_the_context_that_started_them(run):
    async def main():
        heard = []

        class Looking(Recorder):
            def __init__(self):
                super().__init__()
                heard.append(variable.get())

            def connection_made(self, transport):
                heard.append(variable.get())
                super().connection_made(transport)

            def data_received(self, data):
                heard.append(variable.get())
                self.transport.close()

        loop = asyncio.get_running_loop()
        variable.set("server")
        server = await loop.create_server(Looking, "127.0.0.1", 0)
        variable.set("client")
        transport, protocol = await loop.create_connection(
            Recorder, *server.sockets[0].getsockname()
        )
        transport.write(b"x")
        await protocol.lost
        server.close()
        await server.wait_closed()
        return heard

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        expected = runner.run(main())
    assert run(main()) == expected


def test_readers_and_signals_run_where_they_were_added(run):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.unix_pair()
        heard = loop.create_future()
        variable.set("adder")
        loop.add_reader(near, lambda: (near.recv(1), heard.set_result(variable.get())))
        variable.set("later")
        far.send(b"x")
        end = await heard
        loop.remove_reader(near)
        near.close()
        far.close()
        return end

    assert run(main()) == "adder"


def test_decimal_contexts_stay_apart(run):
    async def child(precision):
        decimal.setcontext(decimal.Context(prec=precision))
        await asyncio.sleep(0)
        return str(decimal.Decimal(1) / 3)

    async def main():
        return await asyncio.gather(child(3), child(7))

    assert run(main()) == ["0.333", "0.3333333"]


def test_run_until_complete_does_not_change_the_callers_context(loop):
    async def change():
        variable.set("inside")

    loop.run_until_complete(change())
    assert variable.get() == "default"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with 3.12")
def test_eager_steps_too(run, Task):
    async def child():
        variable.set("eager")
        await asyncio.sleep(0)
        return variable.get()

    async def main():
        variable.set("main")
        task = Task(child(), loop=asyncio.get_running_loop(), eager_start=True)
        between = variable.get()
        return between, await task, variable.get()

    assert run(main()) == ("main", "eager", "main")


def test_threads_have_contexts_of_their_own(loop_factory, no_leaks):
    ends = []

    def elsewhere():
        loop = loop_factory()

        async def main():
            before = variable.get()
            variable.set("thread")
            await asyncio.sleep(0)
            return before, variable.get()

        ends.append(loop.run_until_complete(main()))
        loop.close()

    token = variable.set("outside")
    thread = threading.Thread(target=lambda: contextvars.Context().run(elsewhere))
    thread.start()
    thread.join()
    variable.reset(token)
    assert ends == [("default", "thread")]


def test_who_handles_exceptions_sees_what_the_callback_has_set(same):
    """In the failed callback's context, as a log line's request number wants it."""

    def scenario(loop):
        heard = []

        def handle(_, told):
            get = getattr(told["handle"], "get_context", contextvars.copy_context)
            heard.append([variable.get(), get().get(variable)])

        def fails(*_):
            variable.set("set by the callback")
            raise ValueError

        loop.set_exception_handler(handle)
        loop.call_soon(fails)
        kept = loop.call_soon(fails)
        loop.call_soon(fails, context=contextvars.copy_context())
        loop.call_soon_threadsafe(fails)
        later = loop.call_later(0, fails)
        future = loop.create_future()
        future.add_done_callback(fails)
        future.set_result(None)
        loop.run_until_complete(asyncio.sleep(0.01))
        assert not kept.cancelled()
        assert not later.cancelled()
        return heard

    assert len(same(scenario)) == 6


class Fails(asyncio.BaseProtocol):
    """Fails at its end, with something set."""

    def connection_lost(self, exc):
        variable.set("set at the end")
        raise ValueError


async def stream(loop):
    near, far = peers.unix_pair()
    transport, _ = await loop.create_connection(Fails, sock=near)
    return transport, far


async def stream_that_owes(loop):
    transport, far = await stream(loop)
    transport.write(bytes(3_000_000))
    return transport, far


async def endpoint(loop):
    transport, _ = await loop.create_datagram_endpoint(Fails, local_addr=("127.0.0.1", 0))
    return transport, None


async def endpoint_that_owes(loop):
    near, far = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
    far.setblocking(False)
    far.bind("")
    near.connect(far.getsockname())
    transport, _ = await loop.create_datagram_endpoint(Fails, sock=near)
    for _ in range(1000):
        transport.sendto(bytes(1000))
    assert transport.get_write_buffer_size() > 0
    return transport, far


async def reading_pipe(loop):
    out, into = pipes.ends()
    transport, _ = await loop.connect_read_pipe(Fails, out)
    return transport, into


async def writing_pipe(loop):
    out, into = pipes.ends()
    transport, _ = await loop.connect_write_pipe(Fails, into)
    return transport, out


OWING = [stream_that_owes, endpoint_that_owes]


@pytest.mark.parametrize("make", [stream, endpoint, reading_pipe, writing_pipe, *OWING])
def test_a_protocol_that_fails_at_its_end_is_reported_in_its_context(same, make):
    async def scenario(loop):
        heard = []
        loop.set_exception_handler(lambda _, told: heard.append([variable.get(), sorted(told)]))
        transport, far = await make(loop)
        transport.close()
        while not heard:
            if make in OWING:
                await loop.sock_recv(far, 100_000)
            await asyncio.sleep(0)
        if far is not None:
            far.close()
        await asyncio.sleep(0)
        return heard

    assert len(same(scenario)) == 1


@pytest.mark.conbrio_only
def test_a_write_that_finds_the_loss_tells_it_in_the_connections_context(run):
    class Hears(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            self.calls.append(variable.get())

    async def main():
        variable.set("connected")
        transport, protocol, far = await peers.connected(Hears, peers.unix_pair)
        transport.pause_reading()
        far.close()
        variable.set("written")
        transport.write(b"x")
        await protocol.lost
        return protocol.calls

    assert run(main())[-1] == "connected"
