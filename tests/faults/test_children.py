"""Children that fail to start, are killed or stopped, hang up, or are reaped by somebody else."""

import asyncio
import errno
import gc
import os
import resource
import signal
import subprocess
import sys
import weakref

import pytest

from loopkit import children, leaks
from loopkit.peers import until

# ruff: noqa: ASYNC222 - who waits by blocking is what some of these are about

PIPE = subprocess.PIPE


def zombies():
    """Return the children of this process that have ended and that nobody has waited for."""
    found = []
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as file:
            for pid in file.read().split():
                with open(f"/proc/{pid}/stat") as stat:
                    if stat.read().rpartition(")")[2].split()[0] == "Z":
                        found.append(int(pid))
    return found


# ------------------------------------------------------------------ a start that fails
@pytest.mark.parametrize("pipes", [{}, {"stdin": PIPE, "stdout": PIPE, "stderr": PIPE}])
@pytest.mark.parametrize(
    ("program", "number"),
    [("/does/not/exist", errno.ENOENT), ("/", errno.EACCES), (__file__, errno.EACCES)],
)
def test_a_program_that_cannot_be_run(run, program, number, pipes):
    async def main():
        with pytest.raises(OSError, match=program.replace(".", r"\.")) as raised:
            await asyncio.create_subprocess_exec(program, **pipes)
        return raised.value.errno

    assert run(main()) == number
    assert zombies() == []


def test_arguments_that_are_too_long(run):
    async def main():
        with pytest.raises(OSError, match="Argument list too long") as raised:
            await asyncio.create_subprocess_exec(
                "/bin/true", "x" * (1 << 20), stdin=PIPE, stdout=PIPE
            )
        return raised.value.errno

    assert run(main()) == errno.E2BIG


def test_a_folder_that_is_not_there(run):
    async def main():
        with pytest.raises(FileNotFoundError, match="/does/not/exist"):
            await asyncio.create_subprocess_exec("/bin/true", cwd="/does/not/exist")

    run(main())


@pytest.mark.filterwarnings("ignore:.*preexec_fn:DeprecationWarning")
def test_a_preexec_that_raises(run):
    def fail():
        raise ZeroDivisionError

    async def main():
        with pytest.raises(subprocess.SubprocessError, match="preexec_fn"):
            await asyncio.create_subprocess_exec("/bin/true", preexec_fn=fail)

    run(main())


def test_no_descriptors_left(run):
    """Starting fails with what the system says, leaves nothing behind, and works again afterwards."""

    async def main():
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        numbers, hogs = set(), []
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(leaks.descriptors()) + 40, hard))
        try:
            while True:
                try:
                    hogs.append(os.dup(0))
                except OSError:
                    break
            for _ in range(12):
                try:
                    other = await asyncio.create_subprocess_exec(
                        "/bin/cat", stdin=PIPE, stdout=PIPE, stderr=PIPE
                    )
                except OSError as error:
                    numbers.add(error.errno)
                else:
                    await other.communicate(b"")
                    break
                os.close(hogs.pop())
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for hog in hogs:
                os.close(hog)
        assert await process.communicate(b"still here") == (b"still here", None)
        return numbers

    assert run(main()) == {errno.EMFILE}
    assert zombies() == []


# ------------------------------------------------------------------ ends
def test_killed_by_somebody(run):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/sleep", "60", stdin=PIPE, stdout=PIPE)
        os.kill(process.pid, signal.SIGKILL)
        assert await process.communicate(b"unheard") == (b"", None)
        return process.returncode

    assert run(main()) == -signal.SIGKILL


def test_a_stopped_child_has_not_ended(run):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE)
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        wait = asyncio.create_task(process.wait())
        await asyncio.sleep(0.02)
        assert not wait.done()
        process.send_signal(signal.SIGCONT)
        process.stdin.close()
        return await wait

    assert run(main()) == 0


def test_a_child_that_hangs_up(run):
    """Bytes for a child that does not read them are lost, and nothing is raised by `communicate`."""

    async def write_for_ever(stream):
        while True:
            stream.write(b"x" * 100_000)
            await stream.drain()

    async def main():
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exec <&-", stdin=PIPE)
        await process.wait()
        await process.communicate(b"x" * 1_000_000)
        other = await asyncio.create_subprocess_exec("/bin/true", stdin=PIPE)
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            await asyncio.wait_for(write_for_ever(other.stdin), 30)
        await other.wait()
        return process.returncode, other.returncode

    assert run(main()) == (0, 0)


def test_an_end_that_somebody_else_took(run, caplog):
    async def main():
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", "read line; exit 5", stdin=PIPE
        )
        process.stdin.write(b"go\n")
        assert os.waitpid(process.pid, 0)[1] == 5 << 8
        return await process.wait()

    assert run(main()) == 255
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert "returncode 255" in caplog.text


@pytest.mark.beyond_asyncio("with a descriptor for each child it raises ProcessLookupError")
def test_a_process_that_reaps_by_itself(driver):
    code = """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

        async def main():
            process = await asyncio.create_subprocess_exec("/bin/true")
            print(await process.wait())

        loop = new_loop()
        loop.run_until_complete(main())
        loop.close()
    """
    status, out, err = children.run_python(code, driver)
    assert (status, out) == (0, "255\n"), err


def test_a_start_that_is_given_up(run):
    async def main():
        task = asyncio.create_task(asyncio.create_subprocess_exec("/bin/sleep", "60", stdin=PIPE))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    run(main())
    gc.collect()
    assert zombies() == []


def test_wait_is_given_up(run):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/sleep", "60")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.01)
        process.kill()
        return await process.wait()

    assert run(main()) == -signal.SIGKILL


# ------------------------------------------------------------------ many
@pytest.mark.parametrize("rounds", [4, pytest.param(30, marks=pytest.mark.slow)])
def test_hundreds_of_children(run, rounds):
    """None is lost and none is left, though the loop waits for all at once."""

    async def one(number):
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", f"exit {number % 200}")
        return await process.wait()

    async def main():
        started = []
        for _ in range(rounds):
            started += await asyncio.gather(*[one(number) for number in range(100)])
        return started

    assert run(main()) == list(range(100)) * rounds
    assert zombies() == []


def test_descriptors_do_not_pile_up(run):
    async def main():
        counts = []
        for _ in range(10):
            process = await asyncio.create_subprocess_exec(
                "/bin/cat", stdin=PIPE, stdout=PIPE, stderr=PIPE
            )
            await process.communicate(b"hello")
            await asyncio.sleep(0)
            counts.append(len(leaks.descriptors()))
        return counts[-1] - counts[0]

    assert run(main()) == 0


def test_transports_and_processes_are_freed(run):
    async def main():
        process = await asyncio.create_subprocess_exec("/bin/cat", stdin=PIPE, stdout=PIPE)
        transport = weakref.ref(process._transport)
        pipe = weakref.ref(process._transport.get_pipe_transport(1))
        await process.communicate(b"hello")
        await asyncio.sleep(0)
        del process
        gc.collect()
        return transport(), pipe()

    assert run(main()) == (None, None)


# ------------------------------------------------------------------ loops that end, processes that fork
@pytest.mark.beyond_asyncio("the descriptor of a child is left open")
def test_a_loop_closed_with_a_running_child(driver):
    code = """
        import gc, warnings
        warnings.simplefilter("ignore", ResourceWarning)

        async def main():
            global process
            process = await asyncio.create_subprocess_exec("/bin/sleep", "60", stdin=asyncio.subprocess.PIPE)
            return process.pid

        before = set(os.listdir("/proc/self/fd"))
        loop = new_loop()
        pid = loop.run_until_complete(main())
        loop.close()
        os.kill(pid, signal.SIGKILL)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        sys.unraisablehook = lambda unraisable: None
        del process, loop
        gc.collect()
        print(sorted(set(os.listdir("/proc/self/fd")) - before))
    """
    status, out, err = children.run_python(code, driver)
    assert (status, out) == (0, "-9\n[]\n"), err


def test_a_forked_child_starts_children_of_its_own(driver):
    code = """
        async def main():
            process = await asyncio.create_subprocess_exec("/bin/cat", stdin=asyncio.subprocess.PIPE)
            pid = os.fork()
            if pid == 0:
                asyncio.events._set_running_loop(None)
                own = new_loop()

                async def inner():
                    process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 6")
                    return await process.wait()

                os._exit(own.run_until_complete(inner()))
            _, status = await asyncio.to_thread(os.waitpid, pid, 0)
            process.stdin.close()
            print(os.waitstatus_to_exitcode(status), await process.wait())

        with asyncio.Runner(loop_factory=new_loop) as runner:
            runner.run(main())
    """
    status, out, err = children.run_python(code, driver, "-W", "ignore::DeprecationWarning")
    assert (status, out) == (0, "6 0\n"), err


def test_sigchld_is_not_needed(run):
    async def main():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
        try:
            process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 4")
            return await process.wait()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])

    assert run(main()) == 4


def test_a_handler_of_sigchld_does_no_harm(run):
    async def main():
        loop = asyncio.get_running_loop()
        heard = []
        loop.add_signal_handler(signal.SIGCHLD, heard.append, True)
        process = await asyncio.create_subprocess_exec("/bin/sh", "-c", "exit 4")
        status = await process.wait()
        await until(lambda: heard)
        loop.remove_signal_handler(signal.SIGCHLD)
        return status

    assert run(main()) == 4


def test_a_subinterpreter_is_no_obstacle(driver):
    if sys.version_info < (3, 13):
        pytest.skip("the module is there from 3.13 on")
    code = """
        import _interpreters

        async def main():
            other = _interpreters.create()
            process = await asyncio.create_subprocess_exec("/bin/true")
            print(await process.wait())
            _interpreters.destroy(other)

        loop = new_loop()
        loop.run_until_complete(main())
        loop.close()
    """
    assert children.output(code, driver) == "0\n"
