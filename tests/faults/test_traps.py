"""Traps that other loops fell into, one test each; those met elsewhere are named in TRAPS.

TRAPS maps each trap to the test that guards it, and a test holds the map to be true.
"""

import asyncio
import contextvars
import gc
import inspect
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import threading
import weakref

import pytest

from loopkit import children, peers, subject
from loopkit.peers import Recorder

TRAPS = {
    "FIN after close() though the protocol keeps its transport": "test_close_sends_fin_while_the_protocol",
    "remove_signal_handler exists and tells": "test_handler_is_called_with_its_arguments",
    "a signal right after add_signal_handler": "test_a_signal_right_after_add_is_not_lost",
    "the exception handler gets the loop and a context": "test_handler_is_called_with_the_loop",
    "equal deadlines are first in, first out": "test_equal_deadlines_are_first_in_first_out",
    "context= of call_soon": "test_handles_run_in_the_context_they_are_given",
    "context of protocol callbacks": "test_protocols_run_in_the_context_of_their_making",
    "an async generator dropped in the middle": "test_a_generator_dropped_in_the_middle_is_closed",
    "a list of hosts": "test_several_hosts",
    "file objects in add_reader": "test_numbers_and_objects",
    "create_task(loop.sock_recv(...))": "test_each_makes_a_coroutine",
    "getaddrinfo gives enum members and keeps the zone": "test_getaddrinfo_answers_as_the_system",
    "RST": "test_reset_while_idle",
    "errors inside protocol callbacks": "test_protocol_methods_that_raise_are_reported",
    "serve_forever cancelled": "test_cancelled_serve_forever_keeps_or_closes_clients",
    "TLS reset before the handshake": "test_tls_reset_before_the_handshake_is_quiet",
    "a closed transport frees its protocol": "test_a_closed_transport_frees_its_protocol",
    "writes larger than a buffer": "test_much_data_arrives_whole",
    "idle wake-ups stay at zero": "test_an_idle_loop_does_not_spin",
    "a loop run from another thread": "test_a_loop_runs_in_another_thread",
    "task factory keywords": "test_the_factory_hears_what_this_version_passes_on",
    "a patched loop.time": "test_patched_time_moves_the_scheduler",
    "ready before due timers": "test_ready_callbacks_run_before_timers_that_came_due",
    "stop() before run still runs the ready callbacks": "test_stop_before_run_runs_exactly_one_turn",
    "pause_reading in connection_made": "test_pause_reading_in_connection_made",
    "bytes paths of Unix sockets": "test_paths",
    "abstract addresses": "test_abstract_addresses",
    "signal.signal handlers in an idle loop": "test_plain_handlers_run_while_the_loop_sleeps",
    "a protocol factory that raises": "test_a_factory_that_raises_does_not_stop_the_server",
    "descriptors do not leak into children": "test_descriptors_of_the_loop_are_not_inherited",
    "remove_reader tells": "test_returns",
    "cancelled timers leave memory": "test_cancelled_timers_do_not_pile_up",
    "Handle and TimerHandle by isinstance": "test_handles_are_asyncios",
    "isinstance(t, asyncio.Transport)": "test_transports_are_asyncios",
    "happy eyeballs": "test_happy_eyeballs",
    "all_errors": "test_all_refused",
    "keep_alive": "test_keep_alive",
    "close_clients": "test_clients_are_closed_and_aborted",
    "sock_sendto and sock_recvfrom": "test_datagrams",
    "sock_sendfile": "test_sendfile",
    "BufferedProtocol": "test_buffered_protocol",
    "write limits": "test_write_limits",
    "the default executor's shutdown": "test_shutdown_refuses_new_work",
    "wrong-thread check": "test_wrong_threads_are_refused",
    "slow callback log": "test_slow_callbacks_are_told",
    "a greenlet switch in the middle of a turn": "test_a_callback_switches_out_in_the_middle",
    "a greenlet below each task": "test_plain_functions_wait_through_greenlets",
    "PYTHONASYNCIODEBUG": "test_the_environment_decides_at_first",
    "start_tls with bytes already buffered": "test_bytes_that_arrive_before_start_tls",
    "at-fork hooks are not run by a spawn": "test_hooks_of_fork_are_not_run",
    "a subinterpreter alive during a spawn": "test_a_subinterpreter_is_no_obstacle",
    "regular files given to connect_read_pipe": "test_regular_files_are_refused",
    "set_default_executor takes executors only": "test_set_default_executor",
    "what Popen takes": "test_what_popen_takes",
    "stdio are pipes": "test_stdio_are_real_pipes",
    "the socket file goes with its server": "test_the_file_of_a_closed_server",
    "a TLS handshake that never comes": "test_a_tls_handshake_that_never_comes_times_out",
    "a native wait is a coroutine and no future": "test_it_is_a_coroutine_and_no_future",
}


def test_the_map_is_true():
    """Every test named above exists."""
    text = "".join(
        path.read_text() for path in pathlib.Path(__file__).parent.parent.rglob("test_*.py")
    )
    names = set(re.findall(r"^def (test_\w+)\(", text, re.MULTILINE))
    missing = [name for name in TRAPS.values() if not any(each.startswith(name) for each in names)]
    assert missing == []


def test_run_until_complete_keeps_no_done_callback(loop):
    """Veloxloop left its own callback on the future, which stopped a later run."""
    future = loop.create_future()
    loop.call_soon(loop.stop)
    with pytest.raises(RuntimeError):
        loop.run_until_complete(future)
    assert not future._callbacks


def test_no_threads_and_no_wake_ups(run):
    """Rsloop ran five threads that woke every 50 ms."""

    async def main():
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Recorder, "127.0.0.1", 0)

        def switches():
            lines = pathlib.Path("/proc/self/status").read_text()
            return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", lines, re.MULTILINE)[1])

        before = switches()
        threads = len(os.listdir("/proc/self/task"))
        await asyncio.sleep(0.4)
        woken = switches() - before
        server.close()
        await server.wait_closed()
        return threads, woken

    before = len(os.listdir("/proc/self/task"))
    threads, woken = run(main())
    assert threads == before
    assert woken <= 4


def test_a_socket_of_a_datagram_family_in_the_loop(run):
    """Uvloop knew neither Unix datagrams by address nor sock_recvfrom on them."""

    async def main():
        loop = asyncio.get_running_loop()
        near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        near.setblocking(False)
        far.setblocking(False)
        await loop.sock_sendall(near, b"hello")
        data, _ = await loop.sock_recvfrom(far, 100)
        near.close()
        far.close()
        return data

    assert run(main()) == b"hello"


def test_sendfile_over_a_transport(run, tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(200_000))

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await peers.connected()
        transport.write(b"head")
        reading = asyncio.create_task(peers.read_all(loop, far))
        with path.open("rb") as file:
            assert await loop.sendfile(transport, file) == 200_000
        transport.write(b"tail")
        transport.close()
        heard = await reading
        await protocol.lost
        far.close()
        return heard

    assert run(main()) == b"head" + path.read_bytes() + b"tail"


def test_sendfile_where_the_system_cannot(run):
    import io

    async def main():
        loop = asyncio.get_running_loop()
        transport, protocol, far = await peers.connected()
        with pytest.raises(asyncio.SendfileNotAvailableError):
            await loop.sendfile(transport, io.BytesIO(b"memory"), fallback=False)
        assert await loop.sendfile(transport, io.BytesIO(b"memory")) == 6
        assert await loop.sock_recv(far, 100) == b"memory"
        transport.close()
        with pytest.raises(RuntimeError, match="Transport is closing"):
            await loop.sendfile(transport, io.BytesIO(b"memory"))
        await protocol.lost
        far.close()

    run(main())


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A key and a certificate for localhost, made by the openssl program."""
    folder = tmp_path_factory.mktemp("certificate")
    pem = folder / "both.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    options = [
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        str(pem),
        "-out",
        str(folder / "c"),
    ]
    try:
        subprocess.run([*command.split(), *options], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no openssl program here")
    with pem.open("a") as file:
        file.write((folder / "c").read_text())
    return str(pem)


@pytest.fixture
def contexts(certificate):
    """TLS contexts of a server and of a client that trusts it."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    server.set_alpn_protocols(["two", "one"])
    client = ssl.create_default_context(cafile=certificate)
    client.set_alpn_protocols(["one", "two"])
    return server, client


@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_tls_streams(run, contexts, size):
    """An arbitrary SSLContext is honoured: ALPN, ssl_object, peer certificate, close."""

    async def main():
        async def echo(reader, writer):
            writer.write(await reader.readexactly(size))
            await writer.drain()
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=contexts[0])
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=contexts[1], server_hostname="localhost"
        )
        data = os.urandom(size)
        writer.write(data)
        assert await reader.readexactly(size) == data
        tls = writer.get_extra_info("ssl_object")
        assert isinstance(tls, ssl.SSLObject)
        assert tls.selected_alpn_protocol() in ("one", "two")
        assert writer.get_extra_info("peercert")["subject"]
        assert writer.get_extra_info("cipher")
        assert isinstance(writer.transport, asyncio.Transport)
        assert isinstance(writer.get_extra_info("socket"), asyncio.trsock.TransportSocket)
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    run(main())


@pytest.mark.skipif(
    subject.is_asyncio() and sys.version_info < (3, 14),
    reason="asyncio lost the early bytes until 3.14",
)
def test_start_tls_with_bytes_already_there(run, contexts):
    """What came before start_tls is part of the handshake, not lost."""

    async def main():
        async def serve(reader, writer):
            line = await reader.readline()
            await asyncio.sleep(0.05)
            await writer.start_tls(contexts[0])
            writer.write(line + await reader.readline())
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"STARTTLS\n")
        await writer.start_tls(contexts[1], server_hostname="localhost")
        writer.write(b"inside\n")
        heard = await reader.read()
        writer.close()
        server.close()
        return heard

    assert run(main()) == b"STARTTLS\ninside\n"


def test_start_tls(run, contexts):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        (server_transport, _), (client_transport, _) = await asyncio.gather(
            loop.create_connection(Recorder, sock=near), loop.create_connection(Recorder, sock=far)
        )
        first, second = Recorder(), Recorder()
        inner, outer = await asyncio.gather(
            loop.start_tls(server_transport, first, contexts[0], server_side=True),
            loop.start_tls(client_transport, second, contexts[1], server_hostname="localhost"),
        )
        outer.write(b"x" * 50_000)
        assert await first.received(50_000) == b"x" * 50_000
        inner.write(b"answer")
        assert await second.received(6) == b"answer"
        outer.close()
        await asyncio.gather(first.lost, second.lost)

    run(main())


def test_a_tls_handshake_that_never_comes_times_out(run, contexts):
    async def main():
        loop = asyncio.get_running_loop()
        near, far = peers.tcp_pair()
        with pytest.raises(
            ConnectionAbortedError, match=r"SSL handshake is taking longer than 0.05"
        ):
            await loop.create_connection(
                Recorder, sock=near, ssl=contexts[1], server_hostname="localhost",
                ssl_handshake_timeout=0.05,
            )  # fmt: skip
        far.close()

    run(main())


def test_a_context_made_before_the_import_is_used(driver):
    """Rsloop learnt of certificates only from contexts made after its import."""
    code = """
    import ssl
    context = ssl.create_default_context()
    loop = new_loop()
    async def main():
        import socket
        near, far = socket.socketpair()
        task = loop.create_task(
            loop.create_connection(asyncio.Protocol, sock=near, ssl=context, server_hostname="x"))
        far.setblocking(False)
        hello = await loop.sock_recv(far, 5)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        far.close()
        return hello[:2]
    print(loop.run_until_complete(main()))
    loop.close()
    """
    assert children.output(code, driver) == "b'\\x16\\x03'\n"


def test_a_generator_in_flight_when_its_task_is_collected(loop, complaints):
    """Talyn crashed here; asyncio says that the task was destroyed."""

    async def numbers():
        try:
            yield 1
            await loop.create_future()
        finally:
            pass

    async def consume():
        async for _ in numbers():
            pass

    task = loop.create_task(consume())
    for _ in range(3):
        loop.run_until_complete(asyncio.sleep(0))
    seen = weakref.ref(task)
    del task
    gc.collect()
    messages = [context["message"] for context in complaints]
    assert messages == ["Task was destroyed but it is pending!"]
    complaints.clear()
    gc.collect()
    assert seen() is None


def test_threads_that_call_while_the_loop_closes(loop_factory, no_leaks):
    for _ in range(20):
        loop = loop_factory()
        refused = []

        def call(loop=loop, refused=refused):
            while not refused:
                try:
                    loop.call_soon_threadsafe(int)
                except RuntimeError as error:
                    refused.append(str(error))

        thread = threading.Thread(target=call)
        thread.start()
        loop.run_until_complete(asyncio.sleep(0.001))
        loop.close()
        thread.join()
        assert refused == ["Event loop is closed"]


def test_context_of_every_scheduler_is_honoured(loop):
    variable = contextvars.ContextVar("variable")
    context = contextvars.Context()
    context.run(variable.set, "given")
    heard = []

    def hear(*_):
        heard.append(variable.get(None))

    future = loop.create_future()
    future.add_done_callback(hear, context=context)
    future.set_result(1)
    loop.call_soon(hear, context=context)
    loop.call_soon_threadsafe(hear, context=context)
    loop.call_later(0, hear, context=context)
    loop.call_at(0, hear, context=context)
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
    assert heard == ["given"] * 5


def test_no_method_only_says_not_implemented(loop):
    """Every method of AbstractEventLoop is there."""
    from asyncio import AbstractEventLoop

    missing = [
        name
        for name, method in inspect.getmembers(AbstractEventLoop, inspect.isfunction)
        if not name.startswith("__") and getattr(type(loop), name, method) is method
    ]
    assert missing == []


def test_loops_of_the_same_thread_do_not_mix(loop_factory, no_leaks):
    """Callbacks, descriptors and tasks stay with their loop."""
    first, second = loop_factory(), loop_factory()
    order = []
    first.call_soon(order.append, "first")
    second.call_soon(order.append, "second")
    second.run_until_complete(asyncio.sleep(0))
    assert order == ["second"]
    task = first.create_task(asyncio.sleep(0))
    assert asyncio.all_tasks(second) == set()
    assert asyncio.all_tasks(first) == {task}
    first.run_until_complete(task)
    first.close()
    assert second.run_until_complete(asyncio.sleep(0.001, 1)) == 1
    second.close()


@pytest.mark.skipif(subject.is_asyncio(), reason="it is the standard loop")
def test_the_loop_says_whose_it_is(loop):
    assert type(loop).__module__.partition(".")[0] == subject.spec().partition(":")[0]
