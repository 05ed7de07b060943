"""Transports of child processes: what they are, how they close, and the order in which ends are told."""

import asyncio
import contextvars
import signal
import subprocess

import pytest

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


class Noting(asyncio.SubprocessProtocol):
    """Keeps what it hears."""

    def __init__(self):
        self.calls = []
        self.data = {1: b"", 2: b""}
        loop = asyncio.get_running_loop()
        self.exited = loop.create_future()
        self.lost = loop.create_future()

    def connection_made(self, transport):
        self.calls.append("made")

    def pipe_data_received(self, fd, data):
        self.data[fd] += data

    def pipe_connection_lost(self, fd, exc):
        self.calls.append(("pipe", fd, type(exc).__name__ if exc else None))

    def process_exited(self):
        self.calls.append("exited")
        self.exited.set_result(None)

    def connection_lost(self, exc):
        self.calls.append(("lost", exc))
        self.lost.set_result(exc)


def test_the_transport(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Noting, "/bin/cat")
        assert isinstance(transport, asyncio.SubprocessTransport)
        assert transport.get_pid() > 0
        assert transport.get_returncode() is None
        assert transport.get_protocol() is protocol
        assert transport.is_closing() is False
        assert type(transport.get_extra_info("subprocess")) is subprocess.Popen
        stdin = transport.get_pipe_transport(0)
        assert isinstance(stdin, asyncio.WriteTransport)
        assert isinstance(transport.get_pipe_transport(1), asyncio.ReadTransport)
        assert transport.get_pipe_transport(7) is None
        stdin.write(b"hello")
        stdin.write_eof()
        await protocol.lost
        assert transport.get_returncode() == 0
        transport.close()
        return protocol.data[1], protocol.calls[0], protocol.calls[-1]

    assert run(main()) == (b"hello", "made", ("lost", None))


def test_closing_kills(run):
    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(Noting, "/bin/sleep", "60")
        transport.close()
        transport.close()
        assert transport.is_closing() is True
        await protocol.lost
        return transport.get_returncode()

    assert run(main()) == -signal.SIGKILL


def test_signals_after_the_end(same):
    async def scenario(loop):
        transport, protocol = await loop.subprocess_exec(
            Noting, "/bin/true", stdin=None, stdout=None, stderr=None
        )
        await protocol.lost
        await asyncio.sleep(0)
        raised = []
        for send in (transport.kill, transport.terminate, lambda: transport.send_signal(0)):
            try:
                send()
            except ProcessLookupError as error:
                raised.append(error)
        transport.close()
        return protocol.calls, raised

    same(scenario)


def test_the_order_of_ends_is_asyncios(same_trace):
    class Protocol(asyncio.SubprocessProtocol):
        def __init__(self, loop, note):
            self.note = note
            self.ends = {fd: loop.create_future() for fd in range(3)}
            self.end = loop.create_future()

        def connection_made(self, transport):
            self.note("made")

        def pipe_data_received(self, fd, data):
            self.note("data", fd, data)

        def pipe_connection_lost(self, fd, exc):
            self.note("pipe", fd, exc)
            self.ends[fd].set_result(None)

        def process_exited(self):
            self.note("exited")

        def connection_lost(self, exc):
            self.note("lost", exc)
            self.end.set_result(None)

    code = "read line; echo out; exec >&-; read line; exec 2>&-; read line; exec sleep 60 <&-"

    async def script(loop, note):
        transport, protocol = await loop.subprocess_exec(
            lambda: Protocol(loop, note), "/bin/sh", "-c", code
        )
        note("started", transport.get_returncode())
        stdin = transport.get_pipe_transport(0)
        for fd in (1, 2, 0):
            stdin.write(b"go\n")
            await protocol.ends[fd]
        note("waits", transport.get_returncode())
        transport.terminate()
        await protocol.end
        note("ended", transport.get_returncode())
        transport.close()

    trace = same_trace(script, turns=False)
    assert trace[-3:-1] == [[None, "lost", None], [None, "ended", -signal.SIGTERM]]


@pytest.mark.beyond_asyncio("on 3.11 a thread tells of the end, in no context")
def test_the_context_of_who_started_it(run):
    class Reporting(Noting):
        def process_exited(self):
            super().process_exited()
            self.calls.append(VARIABLE.get())

    async def main():
        VARIABLE.set("starting")
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            Reporting, "/bin/true", stdin=None, stdout=None, stderr=None
        )
        VARIABLE.set("later")
        await protocol.exited
        await protocol.lost
        transport.close()
        return protocol.calls

    assert run(main()) == ["made", "exited", "starting", ("lost", None)]


def test_what_process_exited_raises_is_reported(loop, complaints):
    class Faulty(Noting):
        def process_exited(self):
            super().process_exited()
            raise ZeroDivisionError

    async def main():
        transport, protocol = await loop.subprocess_exec(
            Faulty, "/bin/true", stdin=None, stdout=None, stderr=None
        )
        await protocol.lost
        transport.close()

    loop.run_until_complete(main())
    assert [type(each["exception"]) for each in complaints] == [ZeroDivisionError]
