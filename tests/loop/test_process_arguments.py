"""Child processes started, used and ended in rare ways: other users, odd descriptors, refusals, early ends, cancellations."""

import asyncio
import grp
import os
import pwd
import resource
import signal
import sys
import tempfile

import pytest

from loopkit.peers import until

PIPE, DEVNULL, STDOUT = -1, -3, -2
DAEMON, BIN = (str(grp.getgrnam(name).gr_gid) for name in ("daemon", "bin"))
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user")


def python(code):
    """Return the arguments of a Python process that starts quickly."""
    return sys.executable, "-S", "-E", "-c", code


async def said(*argv, **how):
    """What a child prints."""
    child = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, **how)
    out, _ = await child.communicate()
    return out.decode().split()


@AS_ROOT
@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"user": "nobody"}, [str(pwd.getpwnam("nobody").pw_uid), "0", "0"]),
        ({"user": 65534, "group": 65534, "extra_groups": []}, ["65534", "65534", "65534"]),
        ({"group": "daemon", "extra_groups": ["bin", 7]}, ["0", DAEMON, DAEMON, BIN, "7"]),
    ],
)
def test_somebody_else(run, how, expected):
    said_by_it = run(said("/bin/sh", "-c", "id -u; id -g; id -G", **how))
    assert (said_by_it[:2], sorted(said_by_it[2:])) == (expected[:2], sorted(expected[2:]))


@pytest.mark.parametrize(
    ("how", "code", "expected"),
    [
        ({"umask": 0o27}, "print(oct(os.umask(0)))", ["0o27"]),
        (
            {"process_group": 0},
            "print(os.getpgid(0) == os.getpid(), os.getsid(0) == os.getpid())",
            ["True", "False"],
        ),
        ({"pipesize": 8192}, "import fcntl; print(fcntl.fcntl(1, 1032))", ["8192"]),
        ({"creationflags": 0, "startupinfo": None}, "print(1)", ["1"]),
        (
            {"preexec_fn": lambda: resource.setrlimit(resource.RLIMIT_CORE, (0, 0))},
            "import resource; print(resource.getrlimit(4)[0])",
            ["0"],
        ),
    ],
    ids=["umask", "process_group", "pipesize", "windows", "preexec_fn"],
)
def test_what_popen_takes_besides(run, how, code, expected):
    assert run(said(*python("import os; " + code), **how)) == expected


def fails():
    raise ValueError("in the child")


@pytest.mark.parametrize(
    ("how", "error", "says"),
    [
        ({"text": True}, ValueError, "text must be False"),
        ({"encoding": "utf-8"}, ValueError, "encoding must be None"),
        ({"errors": "strict"}, ValueError, "errors must be None"),
        ({"universal_newlines": True}, ValueError, "universal_newlines must be False"),
        ({"bufsize": 1}, ValueError, "bufsize must be 0"),
        ({"user": "nosuchuser"}, KeyError, "nosuchuser"),
        ({"group": -2}, ValueError, "Group ID cannot be negative"),
        ({"cwd": "/nosuch"}, FileNotFoundError, "/nosuch"),
        ({"cwd": "/etc/passwd"}, NotADirectoryError, "/etc/passwd"),
        ({"executable": "/nosuch"}, FileNotFoundError, "/nosuch"),
        ({"env": {"A": 1}}, TypeError, "expected str, bytes or os.PathLike object, not int"),
        ({"env": {"A=B": "c"}}, ValueError, "illegal environment variable name"),
        ({"creationflags": 1}, ValueError, "creationflags is only supported on Windows"),
        ({"preexec_fn": fails}, Exception, "Exception occurred in preexec_fn."),
    ],
)
def test_what_is_refused(run, how, error, says):
    async def main():
        with pytest.raises(error, match=says):
            await asyncio.create_subprocess_exec("/bin/true", stdin=PIPE, stdout=PIPE, **how)

    run(main())


def test_files_and_nothing_for_input(run):
    async def main():
        with tempfile.TemporaryFile() as file:
            file.write(b"kept")
            file.flush()
            file.seek(0)
            from_file = await said("/bin/cat", stdin=file)
            file.seek(0)
            from_number = await said("/bin/cat", stdin=file.fileno())
        nothing = await said("/bin/cat", stdin=DEVNULL)
        child = await asyncio.create_subprocess_exec("/bin/true", stdin=DEVNULL, stderr=DEVNULL)
        streams = child.stdin, child.stdout, child.stderr, await child.communicate()
        return from_file, from_number, nothing, streams

    assert run(main()) == (["kept"], ["kept"], [], (None, None, None, (None, None)))


@pytest.mark.parametrize("line", ["exit 7", "kill -TERM $$"])
def test_after_the_end(run, line):
    async def main():
        child = await asyncio.create_subprocess_shell(line)
        code = await child.wait()
        # The transport's own end comes some turns behind.
        for _ in range(5):
            await asyncio.sleep(0)
        for act in (child.kill, child.terminate, lambda: child.send_signal(0)):
            with pytest.raises(ProcessLookupError):
                act()
        transport = child._transport
        assert transport.is_closing()
        assert (transport.get_pid(), transport.get_returncode()) == (child.pid, code)
        assert transport.get_pipe_transport(1) is None
        assert repr(transport).endswith(f" closed pid={child.pid} returncode={code}>")
        transport.close()
        return code, await child.wait()

    code = 7 if "exit" in line else -signal.SIGTERM
    assert run(main()) == (code, code)


def test_communicate_that_is_cancelled(run):
    """The child lives on, and what it says later can still be read."""

    async def main():
        code = "import sys; sys.stdin.buffer.read(1); print('heard'); sys.stdin.buffer.read()"
        child = await asyncio.create_subprocess_exec(*python(code), stdin=PIPE, stdout=PIPE)
        asking = asyncio.create_task(child.communicate(b"x"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert child.returncode is None
        # Nothing more to say, which ends its input on every version.
        out, err = await child.communicate(b"")
        return out, err, child.returncode

    assert run(main()) == (b"heard\n", None, 0)


def test_a_child_that_does_not_listen(run):
    """What it does not read is lost, and nobody is told."""

    async def main():
        child = await asyncio.create_subprocess_exec("/bin/true", stdin=PIPE, stdout=PIPE)
        found = await child.communicate(b"x" * 1_000_000)
        return found, child.returncode

    assert run(main()) == ((b"", None), 0)


def test_one_of_those_who_wait_gives_up(run):
    async def main():
        child = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE)
        waits = [asyncio.create_task(child.wait()) for _ in range(4)]
        await asyncio.sleep(0)
        waits[1].cancel()
        child.stdin.close()
        found = await asyncio.gather(*waits, return_exceptions=True)
        return [each if isinstance(each, int) else type(each).__name__ for each in found]

    assert run(main()) == [0, "CancelledError", 0, 0]


class Notes(asyncio.SubprocessProtocol):
    """Keeps what it is told, with the transport's state in words."""

    def __init__(self):
        self.calls = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def pipe_data_received(self, fd, data):
        self.calls.append((fd, data))

    def pipe_connection_lost(self, fd, exc):
        self.calls.append((fd, exc))

    def process_exited(self):
        self.calls.append(("exited", self.transport.get_returncode()))

    def connection_lost(self, exc):
        self.calls.append(("lost", exc))
        self.lost.set_result(None)


async def noted(line, act=lambda transport: None, **pipes):
    how = {"stdin": None, "stdout": None, "stderr": None, **pipes}
    transport, notes = await asyncio.get_running_loop().subprocess_shell(Notes, line, **how)
    act(transport)
    await notes.lost
    closing = transport.is_closing()
    transport.close()
    return notes.calls, closing


def test_a_child_that_closes_its_output_early(run):
    async def main():
        line = "exec 1>&- 2>&-; read line; exit 3"
        transport, notes = await asyncio.get_running_loop().subprocess_shell(Notes, line)
        await until(lambda: len(notes.calls) == 2)
        assert transport.get_returncode() is None
        assert sorted(notes.calls) == [(1, None), (2, None)]
        transport.get_pipe_transport(0).write(b"go\n")
        await notes.lost
        transport.close()
        return notes.calls[-1], set(notes.calls[2:-1])

    last, before = run(main())
    assert last == ("lost", None)
    assert before == {(0, None), ("exited", 3)}


def test_a_grandchild_that_keeps_the_output(run):
    """The protocol hears of the end of the child first, and of its loss when nobody writes any more."""
    found = run(noted("sleep 0.1 & exit 4", stdout=PIPE))
    assert found == ([("exited", 4), (1, None), ("lost", None)], False)


@pytest.mark.parametrize("pipes", [{}, {"stdin": PIPE, "stdout": PIPE}])
def test_close_while_it_runs(run, pipes):
    def act(transport):
        transport.close()
        transport.close()
        assert transport.is_closing()

    calls, closing = run(noted("exec sleep 30", act, **pipes))
    assert calls[-1] == ("lost", None)
    assert ("exited", -signal.SIGKILL) in calls
    assert sorted(call[0] for call in calls if isinstance(call[0], int)) == [0, 1][: len(pipes)]
    assert closing


def test_many_at_once(run):
    async def main():
        start = asyncio.create_subprocess_exec
        children = [await start("/bin/sleep", "30") for _ in range(120)]
        for child in children:
            child.kill()
        return {await child.wait() for child in children}

    assert run(main()) == {-signal.SIGKILL}
