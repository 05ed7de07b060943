"""Child processes: started, fed, heard, waited for, and the order in which their ends are told."""

import asyncio
import concurrent.futures
import contextvars
import os
import signal
import subprocess
import sys

import pytest

from loopkit import leaks
from loopkit.children import output

PIPE = subprocess.PIPE
VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def python(code):
    """Return the arguments of a Python process that starts quickly."""
    return sys.executable, "-S", "-E", "-c", code


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


# ------------------------------------------------------------------ asyncio.subprocess
def test_a_status_is_returned(run):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 7")
        assert process.pid > 0
        assert await process.wait() == 7
        assert await process.wait() == 7
        return process.returncode

    assert run(main()) == 7


def test_bytes_go_round(run):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        out, err = await process.communicate(b"hello")
        return out, err, process.returncode

    assert run(main()) == (b"hello", None, 0)


def test_a_shell_runs_a_line(run):
    async def main():
        process = await asyncio.create_subprocess_shell(
            "echo out; echo err >&2; exit 3", stdout=PIPE, stderr=PIPE
        )
        return await process.communicate(), process.returncode

    assert run(main()) == ((b"out\n", b"err\n"), 3)


def test_a_megabyte_goes_through_each_pipe_at_once(run):
    data = os.urandom(1 << 20)
    code = (
        "import os, threading\n"
        "data = b''\n"
        "while piece := os.read(0, 1 << 20): data += piece\n"
        "def put(fd):\n"
        "    rest = data\n"
        "    while rest: rest = rest[os.write(fd, rest):]\n"
        "threads = [threading.Thread(target=put, args=(fd,)) for fd in (1, 2)]\n"
        "[each.start() for each in threads]\n"
        "[each.join() for each in threads]\n"
    )

    async def main():
        process = await asyncio.create_subprocess_exec(
            *python(code), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        out, err = await process.communicate(data)
        return out == data, err == data, process.returncode

    assert run(main()) == (True, True, 0)


def test_streams(run):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        for line in (b"one\n", b"two\n"):
            process.stdin.write(line)
            await process.stdin.drain()
            assert await process.stdout.readline() == line
        process.stdin.close()
        await process.stdin.wait_closed()
        assert await process.stdout.read() == b""
        return await process.wait()

    assert run(main()) == 0


def test_stdio_are_real_pipes(run):
    code = "import os, stat; print([stat.S_ISFIFO(os.fstat(fd).st_mode) for fd in (0, 1, 2)])"

    async def main():
        process = await asyncio.create_subprocess_exec(
            *python(code), stdin=PIPE, stdout=PIPE, stderr=PIPE
        )
        return (await process.communicate())[0]

    assert run(main()) == b"[True, True, True]\n"


def test_one_pipe_for_both_outputs(run):
    async def main():
        process = await asyncio.create_subprocess_shell(
            "echo out; echo err >&2", stdout=PIPE, stderr=subprocess.STDOUT
        )
        return await process.communicate()

    assert run(main()) == (b"out\nerr\n", None)


def test_signals_are_sent(run):
    async def main():
        codes = []
        for send in ("terminate", "kill", "send_signal"):
            process = await asyncio.create_subprocess_exec("/bin/sleep", "60")
            getattr(process, send)(*([signal.SIGHUP] if send == "send_signal" else []))
            codes.append(await process.wait())
        return codes

    assert run(main()) == [-signal.SIGTERM, -signal.SIGKILL, -signal.SIGHUP]


def test_many_wait_for_one_end(run):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE)
        waits = [asyncio.create_task(process.wait()) for _ in range(5)]
        await asyncio.sleep(0)
        waits[0].cancel()
        process.stdin.close()
        return await asyncio.gather(*waits[1:])

    assert run(main()) == [0] * 4


# ------------------------------------------------------------------ the arguments of Popen
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ({"cwd": "/"}, "print(os.getcwd())", "/"),
        ({"env": {"CHILD": "yes"}}, "print(os.environ['CHILD'])", "yes"),
        ({"umask": 0o27}, "print(oct(os.umask(0)))", "0o27"),
        ({"start_new_session": True}, "print(os.getsid(0) == os.getpid())", "True"),
        ({"process_group": 0}, "print(os.getpgid(0) == os.getpid())", "True"),
        ({"preexec_fn": lambda: os.nice(3)}, "print(os.nice(0))", str(os.nice(0) + 3)),
        ({"restore_signals": False}, "import signal; print(signal.getsignal(13))", "1"),
        ({"pipesize": 4096}, "import fcntl; print(fcntl.fcntl(1, 1032))", "4096"),
        ({"close_fds": True}, "print(len(os.listdir('/proc/self/fd')))", "4"),
        ({"executable": sys.executable}, "print(os.getpid() > 0)", "True"),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*preexec_fn:DeprecationWarning")
def test_what_popen_takes(run, arguments, code, said):
    async def main():
        process = await asyncio.create_subprocess_exec(
            *python("import os; " + code), stdout=PIPE, **arguments
        )
        out, _ = await process.communicate()
        return out.decode().strip(), process.returncode

    assert run(main()) == (said, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes somebody else")
def test_who_the_child_is(run):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "/bin/sh",
            "-c",
            "id -u; id -g; id -G",
            stdout=PIPE,
            user=1234,
            group=2345,
            extra_groups=[3456],
        )
        return (await process.communicate())[0].split()

    assert run(main()) == [b"1234", b"2345", b"2345", b"3456"]


def test_descriptors_are_passed(run):
    async def main():
        out, into = os.pipe()
        process = await asyncio.create_subprocess_exec(
            *python(f"import os; os.write({into}, b'hello')"), pass_fds=[into]
        )
        os.close(into)
        await process.wait()
        said = os.read(out, 10)
        os.close(out)
        return said

    assert run(main()) == b"hello"


@pytest.mark.parametrize(
    "arguments",
    [
        {"universal_newlines": True},
        {"text": True},
        {"encoding": "ascii"},
        {"bufsize": 1},
        {"shell": True},
    ],
)
def test_what_asyncio_refuses(same, arguments):
    async def scenario(loop):
        await loop.subprocess_exec(asyncio.SubprocessProtocol, "/bin/true", **arguments)

    same(scenario)


# ------------------------------------------------------------------ transports
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


# ------------------------------------------------------------------ how ends are heard
@pytest.mark.beyond_asyncio("on 3.11 a thread of its own waits for each")
def test_no_thread_waits_for_a_child(run):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE)
        found = leaks.threads()
        process.stdin.close()
        await process.wait()
        return [name for name in found if "waitpid" in name]

    assert run(main()) == []


def test_a_hundred_children_at_once(run):
    async def one(number):
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exit {number}")
        return await process.wait()

    async def main():
        return await asyncio.gather(*[one(number) for number in range(100)])

    assert run(main()) == list(range(100))
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_other_children_are_left_alone(run):
    async def main():
        other = subprocess.Popen(["/bin/sh", "-c", "exit 9"])  # noqa: ASYNC220
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "sleep 0.05")
        await process.wait()
        return other.wait()

    assert run(main()) == 9


def test_a_loop_in_another_thread(loop_factory):
    def serve():
        with asyncio.Runner(loop_factory=loop_factory) as runner:
            return runner.run(main())

    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        return await process.communicate(b"hello")

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        assert pool.submit(serve).result() == (b"hello", None)


def test_a_thread_waits_where_the_kernel_cannot(conbrio):
    asked = []

    class Loop(conbrio.Loop):
        def _watch_child(self, pid, callback, args):
            asked.append(pid)
            raise PermissionError

    async def main():
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 5")
        assert await process.wait() == 5
        return [process.pid]

    with asyncio.Runner(loop_factory=Loop) as runner:
        assert runner.run(main()) == asked


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there are no child watchers any more")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_watcher_is_honoured(run):
    class Watching(asyncio.ThreadedChildWatcher):
        def add_child_handler(self, pid, callback, *args):
            asked.append(pid)
            super().add_child_handler(pid, callback, *args)

    class Absent(asyncio.ThreadedChildWatcher):
        def is_active(self):
            return False

    asked = []

    async def main():
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 5")
        return await process.wait(), [process.pid]

    try:
        asyncio.set_child_watcher(Watching())
        assert run(main()) == (5, asked)
        asyncio.set_child_watcher(Absent())
        with pytest.raises(RuntimeError, match="subprocess support is not installed"):
            run(main())
    finally:
        asyncio.set_child_watcher(None)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="there are no child watchers any more")
@pytest.mark.parametrize(
    "watcher",
    [
        "SafeChildWatcher",
        "FastChildWatcher",
        "MultiLoopChildWatcher",
        "ThreadedChildWatcher",
        "PidfdChildWatcher",
    ],
)
def test_asyncios_watchers(driver, watcher):
    code = f"""
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        async def main():
            process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 5")
            print(await process.wait())

        loop = new_loop()
        watcher = asyncio.{watcher}()
        watcher.attach_loop(loop)
        asyncio.set_child_watcher(watcher)
        loop.run_until_complete(main())
        watcher.close()
        loop.close()
    """
    assert output(code, driver) == "5\n"


def test_hooks_of_fork_are_not_run(driver):
    code = """
        ran = []
        os.register_at_fork(before=lambda: ran.append("before"), after_in_parent=lambda: ran.append("after"))

        async def main():
            process = await asyncio.create_subprocess_exec("/bin/true")
            await process.wait()
            assert ran == []

        loop = new_loop()
        loop.run_until_complete(main())
        loop.close()
    """
    output(code, driver)
