"""Child processes: started as asyncio and Popen say, fed, heard and waited for."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import tempfile

import pytest

PIPE = subprocess.PIPE


def python(code):
    """Return the arguments of a Python process that starts quickly."""
    return sys.executable, "-S", "-E", "-c", code


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


def test_what_is_run_may_be_named_by_bytes_and_run_under_another_name(run):
    async def main():
        heard = []
        for start, words, how in (
            (asyncio.create_subprocess_exec, ("zero", "-c", "echo $0"), {"executable": "/bin/sh"}),
            (asyncio.create_subprocess_exec, (b"/bin/echo", b"\xff"), {}),
            (asyncio.create_subprocess_shell, (b"echo shell",), {}),
        ):
            process = await start(*words, stdout=PIPE, **how)
            heard.append((await process.communicate())[0])
        return heard

    assert run(main()) == [b"zero\n", b"\xff\n", b"shell\n"]


def test_descriptors_are_left_open_when_asked_to(run):
    async def main():
        statuses = []
        with tempfile.TemporaryFile() as file:
            os.set_inheritable(file.fileno(), True)
            for how in ({}, {"close_fds": True}, {"close_fds": False}):
                process = await asyncio.create_subprocess_exec(
                    "/usr/bin/test", "-e", f"/proc/self/fd/{file.fileno()}", **how
                )
                statuses.append(await process.wait())
        return statuses

    assert run(main()) == [1, 1, 0]


def test_files_and_sockets_as_the_childs_own(run):
    async def main():
        near, far = socket.socketpair()
        with tempfile.TemporaryFile() as file, near, far:
            file.write(b"from a file")
            file.seek(0)
            process = await asyncio.create_subprocess_exec("/bin/cat", stdin=file, stdout=near)
            status = await process.wait()
            return status, process.stdin, process.stdout, far.recv(100)

    assert run(main()) == (0, None, None, b"from a file")
