"""install and uninstall: asyncio uses our loop, and stops doing so; the policy; nothing at import."""

import asyncio
import subprocess
import sys

import pytest

from loopkit import children

pytestmark = pytest.mark.conbrio_only

until_316 = pytest.mark.skipif(sys.version_info >= (3, 16), reason="policies end with 3.15")


def test_import_changes_nothing():
    code = """
    before = {name: id(getattr(asyncio, name)) for name in dir(asyncio)}
    import asyncio.events, asyncio.tasks, asyncio.futures
    inner = [asyncio.events, asyncio.tasks, asyncio.futures, sys.modules["_asyncio"]]
    names = [{name: id(value) for name, value in vars(module).items()} for module in inner]
    import conbrio
    assert before == {name: id(getattr(asyncio, name)) for name in before}
    after = [{name: id(value) for name, value in vars(module).items()} for module in inner]
    for old, new in zip(names, after):
        assert old == {name: new[name] for name in old}
    async def main():
        return type(asyncio.get_running_loop()).__module__
    print(asyncio.run(main()))
    """
    assert children.output(code) == "asyncio.unix_events\n"


def test_install_and_uninstall():
    code = """
    import conbrio
    async def main():
        return type(asyncio.get_running_loop()).__module__
    def kinds():
        loop = asyncio.new_event_loop()
        loop.close()
        return asyncio.run(main()), type(loop).__module__
    assert conbrio.install() is None
    print(*kinds())
    conbrio.install()
    print(*kinds())
    assert conbrio.uninstall() is None
    print(*kinds())
    conbrio.uninstall()
    conbrio.install()
    print(*kinds())
    """
    theirs, ours = "asyncio.unix_events asyncio.unix_events", "conbrio conbrio"
    assert children.output(code).splitlines() == [ours, ours, theirs, ours]


def test_a_loop_that_runs_stays_what_it_is():
    code = """
    import conbrio
    async def main():
        loop = asyncio.get_running_loop()
        conbrio.install()
        await asyncio.sleep(0)
        assert asyncio.get_running_loop() is loop
        conbrio.uninstall()
        return type(loop).__module__
    print(asyncio.run(main()))
    """
    assert children.output(code) == "asyncio.unix_events\n"


def test_uninstall_spares_what_somebody_else_put_in_place():
    if sys.version_info >= (3, 14):
        pytest.skip("setting a policy warns there")
    code = """
    import conbrio
    conbrio.install()
    class Mine(asyncio.DefaultEventLoopPolicy):
        pass
    mine = Mine()
    asyncio.set_event_loop_policy(mine)
    conbrio.uninstall()
    assert asyncio.get_event_loop_policy() is mine
    """
    children.output(code)


@until_316
def test_the_policy_makes_our_loops(conbrio):
    policy = conbrio.EventLoopPolicy()
    loop = policy.new_event_loop()
    try:
        assert type(loop) is conbrio.Loop
        policy.set_event_loop(loop)
        assert policy.get_event_loop() is loop
        policy.set_event_loop(None)
    finally:
        loop.close()


@until_316
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_policy_is_asyncios(conbrio):
    base = asyncio.AbstractEventLoopPolicy
    assert isinstance(conbrio.EventLoopPolicy(), base)


@until_316
def test_set_event_loop_policy(conbrio):
    code = """
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)
    import conbrio
    asyncio.set_event_loop_policy(conbrio.EventLoopPolicy())
    async def main():
        return type(asyncio.get_running_loop()).__module__
    print(asyncio.run(main()))
    asyncio.set_event_loop_policy(None)
    print(asyncio.run(main()))
    """
    assert children.output(code) == "conbrio\nasyncio.unix_events\n"


def test_loops_are_made_in_every_way(conbrio):
    for make in (conbrio.new_event_loop, conbrio.Loop):
        loop = make()
        assert type(loop) is conbrio.Loop
        assert isinstance(loop, asyncio.AbstractEventLoop)
        assert isinstance(loop, asyncio.SelectorEventLoop)
        assert loop.run_until_complete(asyncio.sleep(0, 1)) == 1
        loop.close()
    for name in ("epoll", "poll"):
        loop = conbrio.Loop(driver=name)
        assert loop.run_until_complete(asyncio.sleep(0.001, 1)) == 1
        loop.close()
    with pytest.raises(ValueError, match=r"no such driver|nonsense"):
        conbrio.Loop(driver="nonsense")


def test_public_names(conbrio):
    for name in conbrio.__all__:
        each = getattr(conbrio, name)
        if isinstance(each, type) and not each.__module__.startswith("_asyncio"):
            assert each.__module__ == "conbrio", name
    assert set(conbrio.__all__) >= {
        "Future", "Handle", "Loop", "Runner", "Task", "TimerHandle", "build_info", "install",
        "new_event_loop", "run", "uninstall",
    }  # fmt: skip


def test_every_method_of_the_loop_has_words(conbrio):
    bare = [
        name
        for name, each in vars(conbrio.Loop).items()
        if callable(each) and not name.startswith("_") and not each.__doc__
    ]
    assert bare == []


def test_importing_us_first_leaves_asyncio_whole():
    code = """
import conbrio, asyncio, _asyncio
async def main():
    return asyncio.current_task() is not None
print(asyncio.Task is _asyncio.Task, asyncio.current_task is getattr(_asyncio, "current_task", asyncio.current_task))
print(conbrio.run(main()), asyncio.run(main()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("True True\nTrue True\n", "")


def test_installed_child_threads_and_forks_use_our_loop():
    code = """
    import conbrio
    conbrio.install()
    async def main():
        return type(asyncio.get_running_loop()).__module__
    ends = []
    thread = threading.Thread(target=lambda: ends.append(asyncio.run(main())))
    thread.start(); thread.join()
    pid = os.fork()
    if not pid:
        os._exit(7 if asyncio.run(main()) == "conbrio" else 1)
    print(ends[0], os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    """
    ignored = ("-W", "ignore::DeprecationWarning")  # a thread that was joined may still be seen
    assert children.output(code, None, *ignored) == "conbrio 7\n"
