"""install and uninstall: asyncio uses our loop, and stops doing so; the policy; nothing at import."""

import asyncio
import subprocess
import sys
import textwrap

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


def test_import_brings_few_modules():
    code = """
    import concurrent.futures.thread, ssl
    asyncio.new_event_loop().close()
    before = set(sys.modules)
    import conbrio
    asyncio.set_event_loop(conbrio.new_event_loop())
    print(*sorted(name for name in set(sys.modules) - before if name.partition(".")[0] != "conbrio"))
    """
    # Little that asyncio itself does not need: what a program pays for before its first line.
    assert set(children.output(code).split()) <= {"__future__"}


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
        # Where native tasks are refused, some names are asyncio's own.
        if isinstance(each, type) and each is not getattr(asyncio, name, None):
            assert each.__module__ == "conbrio", name
    assert set(conbrio.__all__) >= {
        "Future", "Handle", "Loop", "Runner", "Task", "TimerHandle", "build_info", "install",
        "new_event_loop", "run", "uninstall",
    }  # fmt: skip


def test_every_method_of_the_loop_has_words(conbrio):
    ours = [kind for kind in conbrio.Loop.__mro__ if kind.__module__.startswith("conbrio")]
    bare = [
        name
        for kind in ours
        for name, each in vars(kind).items()
        if callable(each) and not name.startswith("_") and not each.__doc__
    ]
    assert len(ours) > 3
    assert bare == []


def test_importing_us_first_leaves_asyncio_whole():
    code = """
import conbrio, asyncio, _asyncio
async def main():
    return asyncio.current_task() is not None
print(asyncio.Task is _asyncio.Task, asyncio.current_task is getattr(_asyncio, "current_task", asyncio.current_task))
print(conbrio.run(main()), asyncio.run(main()))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False
    )
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


WITHOUT_POLICIES = """
import threading, unittest
from asyncio import events, runners, unix_events
import conbrio

# As asyncio is from 3.16 on: a loop for each thread, a function that makes loops, and no policy.
current = threading.local()

def set_event_loop(loop):
    current.loop = loop

def get_event_loop():
    running = events._get_running_loop()
    if running is not None:
        return running
    loop = getattr(current, "loop", None)
    if loop is None:
        raise RuntimeError("no current event loop")
    return loop

def new_event_loop():
    return asyncio.SelectorEventLoop()

for module in (asyncio, events, unix_events):
    for name in [name for name in vars(module) if "olicy" in name or "hild_watcher" in name]:
        delattr(module, name)
for module in (asyncio, events):
    for each in (set_event_loop, get_event_loop, new_event_loop):
        setattr(module, each.__name__, each)
version = sys.version_info
sys.version_info = (3, 16, 0, "final", 0)
for name in ("conbrio._install", "conbrio"):
    del sys.modules[name]
import conbrio
sys.version_info = version
"""


def test_a_python_without_policies():
    """From 3.16 on there is the function that makes loops, and nothing else to put a loop into."""
    code = """
    async def kind():
        if version >= (3, 14):  # until then asyncio's own loop asks its policy about children
            process = await asyncio.create_subprocess_exec("/bin/true")
            await process.wait()
        return type(asyncio.get_running_loop()).__module__
    def kinds():
        loop = asyncio.new_event_loop()
        loop.close()
        with asyncio.Runner() as runner:
            ran = runner.run(kind())
        return asyncio.run(kind()), ran, type(loop).__module__
    assert "EventLoopPolicy" not in conbrio.__all__
    assert not hasattr(conbrio, "EventLoopPolicy")
    before = asyncio.new_event_loop, events.new_event_loop
    print(*kinds())
    conbrio.install()
    conbrio.install()
    print(*kinds())
    assert asyncio.new_event_loop is events.new_event_loop
    print(conbrio.run(kind()))
    conbrio.uninstall()
    print(*kinds())
    assert before == (asyncio.new_event_loop, events.new_event_loop)
    conbrio.uninstall()
    conbrio.install()
    asyncio.new_event_loop = events.new_event_loop = new_event_loop
    conbrio.uninstall()
    print(*kinds())
    conbrio.install()
    class Case(unittest.IsolatedAsyncioTestCase):
        async def test_kind(self):
            print(await kind())
    unittest.main(argv=["test"], exit=False, testRunner=unittest.TextTestRunner(stream=open(os.devnull, "w")))
    """
    found = children.output(WITHOUT_POLICIES + textwrap.dedent(code)).splitlines()
    theirs, ours = ["asyncio.unix_events " * 3, "conbrio " * 3]
    wanted = [theirs, ours, "conbrio", theirs, theirs, "conbrio"]
    assert [line.split() for line in found] == [line.split() for line in wanted]
