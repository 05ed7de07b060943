"""How the ends of child processes are heard: by which thread, of which children, by whose watcher."""

import asyncio
import concurrent.futures
import os
import subprocess
import sys

import pytest

from loopkit import leaks
from loopkit.children import output

PIPE = subprocess.PIPE


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
        def _native_watch_child(self, pid, callback, args):
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


@pytest.mark.beyond_asyncio("3.12 says 255, others have a thread that has it first")
@pytest.mark.parametrize("how", ["kill", "poll"])
def test_the_code_of_a_child_that_popen_has_reaped(run, how):
    async def main():
        words = "/bin/sh", "-c", "read line; exit 7"
        process = await asyncio.create_subprocess_exec(*words, stdin=PIPE)
        process.stdin.write(b"now\n")
        ends = os.P_PID, process.pid, os.WEXITED | os.WNOWAIT
        assert os.waitid(*ends)  # noqa: ASYNC222 - the loop must not hear of it meanwhile
        popen = process._transport.get_extra_info("subprocess")
        popen.poll() if how == "poll" else popen.kill()
        return await process.wait()

    assert run(main()) == 7
