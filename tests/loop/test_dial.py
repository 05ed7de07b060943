"""create_connection to an address in numbers: the native way does what asyncio's own way does, and gives way to it."""

import asyncio
import contextlib
import contextvars
import logging
import socket
import subprocess
import sys

import pytest

from loopkit import peers, subject

HOSTS = [
    "127.0.0.1",
    pytest.param("::1", marks=pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")),
]
WAYS = [
    "_ensure_resolved",
    "_connect_sock",
    "sock_connect",
    "_sock_connect",
    "_add_writer",
    "remove_writer",
    "_create_connection_transport",
    "_make_socket_transport",
]


@contextlib.contextmanager
def listening(host="127.0.0.1", backlog=100):
    """A listening socket that accepts nobody by itself."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        sock = socket.create_server((host, 0), family=family, backlog=backlog)
    except OSError:
        pytest.skip("no IPv6 here")
    with sock:
        yield sock


def noting(note):
    """A protocol class that notes its calls by turn."""

    class Noting(asyncio.Protocol):
        def __init__(self):
            note("factory")

        def connection_made(self, transport):
            note("made")

        def connection_lost(self, exc):
            note("lost", exc)

    return Noting


@pytest.mark.parametrize("host", HOSTS)
def test_each_step_comes_in_asyncios_turn(same_trace, host):
    with listening(host) as listener:
        port = listener.getsockname()[1]

        async def script(loop, note):
            transport, protocol = await loop.create_connection(noting(note), host, port)
            note("connected", transport.get_protocol() is protocol)
            peer, _ = listener.accept()
            transport.close()
            await asyncio.sleep(0)
            note("closed")
            peer.close()

        same_trace(script)


@pytest.mark.parametrize("host", HOSTS)
def test_what_is_known_of_the_connection(same, host):
    with listening(host) as listener:

        async def scenario(loop):
            transport, _ = await loop.create_connection(
                asyncio.Protocol, host, listener.getsockname()[1]
            )
            peer, where = listener.accept()
            sock = transport.get_extra_info("socket")
            told = [
                transport.get_extra_info("peername")
                == listener.getsockname()
                == sock.getpeername(),
                transport.get_extra_info("sockname") == where == sock.getsockname(),
                (sock.family, sock.type, sock.proto, sock.gettimeout()),
                sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY),
                peer.recv(1) if transport.abort() else None,
            ]
            peer.close()
            await asyncio.sleep(0)
            return told

        same(scenario)


ARGUMENTS = [
    ((), {}),
    ((), {"all_errors": True}),
    ((), {"family": socket.AF_INET}),
    ((), {"family": socket.AF_INET6}),
    ((), {"family": 1000}),
    ((), {"proto": socket.IPPROTO_TCP}),
    ((), {"proto": socket.IPPROTO_UDP}),
    ((), {"proto": 1}),
    ((), {"flags": socket.AI_PASSIVE}),
    ((), {"happy_eyeballs_delay": 0.1}),
    ((), {"interleave": 1}),
    ((), {"local_addr": ("127.0.0.2", 0)}),
    ((), {"local_addr": ("192.0.2.1", 0)}),
    ((), {"local_addr": ("::1", 0)}),
    (("127.0.0.1", 65536), {}),
    (("127.0.0.1", -1), {}),
    (("127.0.0.1", None), {}),
    (("127.0.0.1", "1"), {}),
    (("127.0.0.1", "no such service"), {}),
    (("127.0.0.1", 1.5), {}),
    (("127.0.0.1", b"1"), {}),
    ((b"127.0.0.1", 1), {}),
    ((bytearray(b"127.0.0.1"), 1), {}),
    (("255.255.255.255", 1), {}),
    (("255.255.255.255", 1), {"all_errors": True}),
    (("::1", 1), {}),
    (("0.0.0.0", 1), {}),
    (("127.0.0.01", 1), {}),
    (("127.1", 1), {}),
    (("::1%lo", 1), {}),
    ((1, 1), {}),
    ((), {"server_hostname": "x"}),
    ((), {"ssl": 0, "server_hostname": "x"}),
    ((), {"sock": 1}),
]


@pytest.mark.parametrize(("where", "options"), ARGUMENTS, ids=str)
def test_a_connection_that_fails_fails_as_asyncios_does(same, where, options):
    where = where or ("127.0.0.1", peers.free_port())

    async def scenario(loop):
        try:
            await loop.create_connection(asyncio.Protocol, *where, **options)
        except Exception as error:
            causes = [
                error.__cause__ is None,
                error.__context__ is None,
                *getattr(error, "exceptions", ()),
            ]
            return (
                type(error),
                str(error),
                getattr(error, "errno", None),
                [repr(cause) for cause in causes],
            )
        return None

    assert same(scenario) is not None


def test_refused_in_asyncios_turn(same_trace):
    port = peers.free_port()

    async def script(loop, note):
        try:
            await loop.create_connection(noting(note), "127.0.0.1", port)
        except OSError as error:
            note("refused", error)

    same_trace(script)


@pytest.mark.parametrize("turns", range(6))
def test_cancelled_at_each_step(same_trace, turns):
    with listening() as listener:

        async def script(loop, note):
            task = loop.create_task(loop.create_connection(noting(note), *listener.getsockname()))
            for _ in range(turns):
                await asyncio.sleep(0)
            note("cancel", task.cancel())
            with contextlib.suppress(asyncio.CancelledError):
                transport, _ = await task
                transport.abort()
            note("over", task.cancelled())
            for _ in range(3):
                await asyncio.sleep(0)
            if turns:
                listener.accept()[0].close()

        same_trace(script)


def test_a_protocol_factory_that_raises(run):
    """The connection is closed at once, as later versions of asyncio do it on all of them."""

    class BrokenError(Exception):
        pass

    def broken():
        raise BrokenError

    with listening() as listener:

        async def main():
            loop = asyncio.get_running_loop()
            with pytest.raises(BrokenError):
                await loop.create_connection(broken, *listener.getsockname())
            peer, _ = listener.accept()
            peer.settimeout(5)
            assert peer.recv(1) == b""
            peer.close()

        if sys.version_info >= (3, 14) or not subject.is_asyncio():
            run(main())


def test_a_connection_that_never_comes_is_given_up_with_its_loop(loop):
    with listening(backlog=0) as listener:
        full = [socket.socket() for _ in range(3)]
        for each in full:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        task = loop.create_task(loop.create_connection(asyncio.Protocol, *listener.getsockname()))
        loop.run_until_complete(asyncio.sleep(0.01))
        assert not task.done()
        task.cancel()
        loop.run_until_complete(asyncio.wait([task]))
        other = loop.create_connection(asyncio.Protocol, *listener.getsockname())
        other.send(None)
        loop.close()
        other.close()
        for each in full:
            each.close()


def test_the_context_of_the_protocols_calls(same):
    variable = contextvars.ContextVar("variable", default="nothing")

    class Telling(asyncio.Protocol):
        def __init__(self):
            self.told = []
            variable.set("factory")

        def connection_made(self, transport):
            self.told.append(variable.get())

        def data_received(self, data):
            self.told.append(variable.get())

    with listening() as listener:

        async def scenario(loop):
            variable.set("caller")
            transport, protocol = await loop.create_connection(Telling, *listener.getsockname())
            variable.set("after")
            peer, _ = listener.accept()
            peer.send(b"x")
            await peers.until(lambda: len(protocol.told) > 1)
            transport.abort()
            peer.close()
            await asyncio.sleep(0)
            return protocol.told

        same(scenario)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("place", ["subclass", "instance"])
def test_a_method_that_somebody_has_replaced_is_called(same, way, place):
    with listening() as listener:

        async def connect(loop):
            transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
            listener.accept()[0].close()
            transport.abort()
            await asyncio.sleep(0)

        def scenario(loop):
            calls = []
            kind = type(loop)

            def replaced(*args, **options):
                calls.append(way)
                return getattr(kind, way)(
                    *(args if place == "subclass" else (loop, *args)), **options
                )

            if place == "subclass":
                loop.close()
                loop = type("Replaced", (kind,), {way: replaced})()
            else:
                setattr(loop, way, replaced)
            try:
                loop.run_until_complete(connect(loop))
            finally:
                loop.close()
            return calls

        assert same(scenario)


def test_a_method_replaced_on_the_class_and_put_back(loop, monkeypatch):
    asked = []
    connect = asyncio.BaseEventLoop._connect_sock

    async def connect_sock(self, *args):
        asked.append(args)
        return await connect(self, *args)

    async def main(listener):
        transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
        listener.accept()[0].close()
        transport.abort()
        await asyncio.sleep(0)

    with listening() as listener:
        loop.run_until_complete(main(listener))
        assert not asked
        with monkeypatch.context() as patched:
            patched.setattr(asyncio.BaseEventLoop, "_connect_sock", connect_sock)
            loop.run_until_complete(main(listener))
        assert len(asked) == 1
        loop.run_until_complete(main(listener))
        assert len(asked) == 1


def test_sockets_of_the_programs_own_are_used(loop, monkeypatch):
    made = []

    class Own(socket.socket):
        def __init__(self, *args, **options):
            made.append(self)
            super().__init__(*args, **options)

    async def main(listener):
        transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
        accepted = listener.accept()[0]
        transport.abort()
        await asyncio.sleep(0)
        accepted.close()

    with listening() as listener:
        monkeypatch.setattr(socket, "socket", Own)
        loop.run_until_complete(main(listener))
    assert made


AUDITED = """
import asyncio, socket, sys
module, _, factory = sys.argv[1].partition(":")
factory = getattr(__import__(module), factory)
heard = []
sys.addaudithook(lambda event, args: heard.append((event, args[1:])) if event == "socket.connect" else None)
listener = socket.create_server(("127.0.0.1", 0))
async def main():
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
    transport.abort()
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
assert heard == [("socket.connect", (listener.getsockname(),))], heard
"""


def test_an_audit_hook_hears_of_the_connection():
    factory = "conbrio:new_event_loop" if subject.is_conbrio() else "asyncio:SelectorEventLoop"
    done = subprocess.run(
        [sys.executable, "-c", AUDITED, factory],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_debug_mode_logs_the_connection(loop, caplog):
    caplog.set_level(logging.DEBUG, "asyncio")
    loop.set_debug(True)

    async def main(listener):
        transport, _ = await loop.create_connection(asyncio.Protocol, *listener.getsockname())
        listener.accept()[0].close()
        transport.abort()
        await asyncio.sleep(0)

    with listening() as listener:
        loop.run_until_complete(main(listener))
        port = listener.getsockname()[1]
    assert any(
        f"connected to 127.0.0.1:{port}: (" in record.getMessage() for record in caplog.records
    )


def test_no_descriptor_left_is_an_error_like_any_other(loop):
    resource = pytest.importorskip("resource")

    async def main(listener):
        await loop.create_connection(asyncio.Protocol, *listener.getsockname())

    with listening() as listener:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        loop.run_until_complete(asyncio.sleep(0.001))
        resource.setrlimit(resource.RLIMIT_NOFILE, (listener.fileno(), hard))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                loop.run_until_complete(main(listener))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
