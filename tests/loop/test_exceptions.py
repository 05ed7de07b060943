"""The exception handler: who calls it, with what, and what happens when it fails itself."""

import asyncio
import logging
import sys

import pytest

from loopkit import children, peers
from loopkit.peers import Recorder


def errors(caplog):
    """Return what asyncio logged as errors."""
    return [record for record in caplog.records if record.levelno == logging.ERROR]


def one_turn(loop):
    """Let ``loop`` take one turn."""
    loop.call_soon(loop.stop)
    loop.run_forever()


def test_handler_is_called_with_the_loop_and_a_dictionary(loop):
    heard = []
    loop.set_exception_handler(lambda *args: heard.append(args))
    loop.call_soon(lambda: 1 / 0)
    one_turn(loop)
    ((first, context),) = heard
    assert first is loop
    assert sorted(context) == ["exception", "handle", "message"]
    assert isinstance(context["exception"], ZeroDivisionError)


def test_get_and_set(loop):
    assert loop.get_exception_handler() is None
    handler = lambda loop, context: None  # noqa: E731
    loop.set_exception_handler(handler)
    assert loop.get_exception_handler() is handler
    loop.set_exception_handler(None)
    assert loop.get_exception_handler() is None
    with pytest.raises(TypeError, match="A callable object or None is expected, got 5"):
        loop.set_exception_handler(5)


def test_default_handler_logs(loop, caplog):
    def fail():
        raise ValueError("words")

    loop.call_soon(fail)
    one_turn(loop)
    (record,) = errors(caplog)
    assert record.name == "asyncio"
    text = record.getMessage()
    assert text.startswith("Exception in callback test_default_handler_logs.<locals>.fail() at ")
    assert "\nhandle: <Handle test_default_handler_logs.<locals>.fail() at " in text
    assert record.exc_info[0] is ValueError


def test_call_exception_handler_by_hand(loop, caplog):
    loop.call_exception_handler({"message": "by hand", "b": 2, "a": 1})
    loop.call_exception_handler({})
    first, second = (record.getMessage() for record in errors(caplog))
    assert first == "by hand\na: 1\nb: 2"
    assert second == "Unhandled exception in event loop"
    assert errors(caplog)[0].exc_info is False or not errors(caplog)[0].exc_info


def test_default_exception_handler_by_hand(loop, caplog):
    loop.set_exception_handler(lambda *_: None)
    loop.default_exception_handler({"message": "by hand", "exception": ValueError("v")})
    (record,) = errors(caplog)
    assert record.getMessage() == "by hand"
    assert record.exc_info[1].args == ("v",)


def test_a_handler_that_raises_is_reported(loop, caplog):
    def handler(loop, context):
        raise KeyError("handler")

    loop.set_exception_handler(handler)
    loop.call_soon(lambda: 1 / 0)
    one_turn(loop)
    (record,) = errors(caplog)
    assert record.getMessage().startswith("Unhandled error in exception handler\ncontext: {")
    assert record.exc_info[0] is KeyError
    order = []
    loop.call_soon(order.append, "alive")
    one_turn(loop)
    assert order == ["alive"]


def test_an_overridden_default_handler_that_raises(loop_factory, no_leaks, caplog):
    pattern = loop_factory()
    pattern.close()

    class Failing(type(pattern)):
        def default_exception_handler(self, context):
            raise KeyError("default")

    loop = Failing()
    loop.call_soon(lambda: 1 / 0)
    one_turn(loop)
    loop.close()
    (record,) = errors(caplog)
    assert record.getMessage() == "Exception in default exception handler"


def test_an_overridden_call_exception_handler_is_called(loop_factory, no_leaks):
    pattern = loop_factory()
    pattern.close()
    heard = []

    class Listening(type(pattern)):
        def call_exception_handler(self, context):
            heard.append(context["message"])

    loop = Listening()
    loop.call_soon(lambda: 1 / 0)
    loop.call_later(0, lambda: 1 / 0)
    loop.create_future().set_exception(ValueError())
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    loop.close()
    assert len(heard) == 3


@pytest.mark.parametrize("where", ["callback", "timer", "reader", "done callback", "threadsafe"])
@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_leaving_exceptions_leave_the_run(loop, complaints, where, error):
    near, far = peers.unix_pair()

    def leave(*_):
        raise error("out")

    if where == "callback":
        loop.call_soon(leave)
    elif where == "timer":
        loop.call_later(0, leave)
    elif where == "threadsafe":
        loop.call_soon_threadsafe(leave)
    elif where == "reader":
        far.send(b"x")
        loop.add_reader(near, leave)
    else:
        future = loop.create_future()
        future.add_done_callback(leave)
        future.set_result(None)
    loop.call_later(20, loop.stop)
    with pytest.raises(error, match="out"):
        loop.run_forever()
    assert complaints == []
    assert not loop.is_running()
    loop.remove_reader(near)
    near.close()
    far.close()
    assert loop.run_until_complete(asyncio.sleep(0, "fine")) == "fine"


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_leaving_exceptions_out_of_the_handler(same, error):
    def scenario(loop):
        def handler(loop, context):
            raise error("handler")

        loop.set_exception_handler(handler)
        loop.call_soon(lambda: 1 / 0)
        one_turn(loop)

    same(scenario)


def test_other_base_exceptions_are_reported(loop, complaints):
    class Odd(BaseException):
        pass

    def fail():
        raise Odd

    loop.call_soon(fail)
    loop.call_later(0, fail)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert [type(context["exception"]) for context in complaints] == [Odd, Odd]


def test_the_handler_runs_in_the_context_of_the_callback(loop):
    """A handler can tell whose callback failed, as on the standard loop of this version."""
    import contextvars

    variable = contextvars.ContextVar("variable", default="outside")
    heard = []
    loop.set_exception_handler(lambda *_: heard.append(variable.get()))
    context = contextvars.copy_context()
    context.run(variable.set, "callback")
    loop.call_soon(lambda: 1 / 0, context=context)
    one_turn(loop)
    reference = asyncio.SelectorEventLoop()
    expected = []
    reference.set_exception_handler(lambda *_: expected.append(variable.get()))
    reference.call_soon(lambda: 1 / 0, context=context)
    one_turn(reference)
    reference.close()
    assert heard == expected


PROTOCOL_METHODS = {
    "connection_made": "Exception in callback ",
    "data_received": "Fatal error: protocol.data_received() call failed.",
    "eof_received": "Fatal error: protocol.eof_received() call failed.",
    "connection_lost": "Exception in callback ",
    "pause_writing": "protocol.pause_writing() failed",
    "resume_writing": "protocol.resume_writing() failed",
}


@pytest.mark.parametrize("method", PROTOCOL_METHODS)
def test_protocol_methods_that_raise_are_reported(run, method):
    def fail(self, *args):
        getattr(Recorder, method)(self, *args)
        raise ValueError(method)

    async def main():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        near, far = peers.tcp_pair()
        kind = type("Failing", (Recorder,), {method: fail})
        transport, protocol = await loop.create_connection(kind, sock=near)
        if method in ("pause_writing", "resume_writing"):
            while "pause" not in protocol.calls:
                transport.write(b"x" * 65536)
            while "resume" not in protocol.calls:
                await loop.sock_recv(far, 65536)
        elif method == "data_received":
            far.send(b"x")
            await protocol.lost
        elif method == "eof_received":
            far.close()
            await protocol.lost
        transport.abort()
        await protocol.lost
        far.close()
        lost = protocol.lost.result()
        return complaints, lost

    complaints, lost = run(main())
    (context,) = complaints
    assert context["message"].startswith(PROTOCOL_METHODS[method])
    assert context["exception"].args == (method,)
    if method in ("data_received", "eof_received"):
        assert lost is context["exception"]
        assert isinstance(context["transport"], asyncio.Transport)
        assert isinstance(context["protocol"], Recorder)
    else:
        assert lost is None


@pytest.mark.parametrize("method", ["get_buffer", "buffer_updated"])
def test_buffered_protocol_methods_that_raise_are_reported(run, method):
    def fail(self, *args):
        raise ValueError(method)

    async def main():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _, context: complaints.append(context))
        near, far = peers.tcp_pair()
        kind = type("Failing", (peers.BufferedRecorder,), {method: fail})
        _, protocol = await loop.create_connection(kind, sock=near)
        far.send(b"x")
        await protocol.lost
        far.close()
        return [context["message"] for context in complaints]

    assert run(main()) == [f"Fatal error: protocol.{method}() call failed."]


@pytest.mark.parametrize("buffer", [b"read only", bytearray(), 5, None, memoryview(b"read only")])
def test_buffers_that_cannot_be_filled_are_reported(run, buffer):
    async def main():
        loop = asyncio.get_running_loop()
        complaints = []
        loop.set_exception_handler(lambda _, context: complaints.append(context["message"]))
        near, far = peers.tcp_pair()

        class Wrong(peers.BufferedRecorder):
            def get_buffer(self, sizehint):
                return buffer

        _, protocol = await loop.create_connection(Wrong, sock=near)
        far.send(b"x")
        await protocol.lost
        far.close()
        return complaints

    (message,) = run(main())
    assert message.startswith("Fatal ")


def test_exceptions_at_the_end_of_the_interpreter_do_not_hang(driver):
    code = """
    loop = new_loop()
    async def fail():
        raise ValueError("never seen")
    task = loop.create_task(fail())
    loop.run_until_complete(asyncio.sleep(0.001))
    print("end")
    """
    status, out, _ = children.run_python(code, driver)
    assert (status, out) == (0, "end\n")


def test_the_handler_finds_the_exception_being_handled(loop):
    """As in an ``except`` clause: ``logging.exception()`` and ``traceback.format_exc()`` work there."""
    seen = []
    loop.set_exception_handler(lambda _, context: seen.append((sys.exc_info()[1], context)))

    class Raises(asyncio.Protocol):
        def connection_made(self, transport):
            transport.write(b"x")

        def data_received(self, data):
            raise ValueError(data)

    async def main():
        server = await loop.create_server(Raises, "127.0.0.1", 0)
        transport, _ = await loop.create_connection(Raises, *server.sockets[0].getsockname())
        loop.call_soon(divmod, 1, 0)
        loop.call_later(0, divmod, 1, 0)
        while len(seen) < 4:  # noqa: ASYNC110 - a handler sets no event
            await asyncio.sleep(0.01)
        transport.close()
        server.close()
        await asyncio.sleep(0.01)

    loop.run_until_complete(main())
    assert all(handled is context["exception"] for handled, context in seen)
    assert {type(handled) for handled, _ in seen} == {ZeroDivisionError, ValueError}
    assert sys.exc_info() == (None, None, None)
