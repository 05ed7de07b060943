"""Fixtures of every test: the loop under test, once per driver, and the check that nothing leaked."""

import asyncio
import gc
import pathlib
import signal
import sys
import types
from collections.abc import Callable, Coroutine, Iterator

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from loopkit import leaks, subject, traces
from loopkit.plain import plain, words

MARKERS = (
    "slow: takes more than a quarter of a second; skipped unless --slow",
    "beyond_asyncio(reason): asks more than the standard loop does, so it is not asked of that one",
    "conbrio_only: names something that only conbrio has",
)

USUAL_SIGNALS = {
    signal.SIGHUP: signal.SIG_DFL,
    signal.SIGINT: signal.default_int_handler,
    signal.SIGQUIT: signal.SIG_DFL,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--driver`` (which drivers a conbrio loop is tested on) and ``--slow``."""
    parser.addoption(
        "--driver", action="append", choices=subject.DRIVERS, help="test on this driver only"
    )
    parser.addoption("--slow", action="store_true", help="run the slow tests as well")


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, so that a misspelt one is an error."""
    for line in MARKERS:
        config.addinivalue_line("markers", line)
    # A shell has what it runs in the background ignore these signals, and children inherit that.
    for number, usual in USUAL_SIGNALS.items():
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what uses a driver once on each."""
    if "driver" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("driver") or subject.DRIVERS
        metafunc.parametrize(
            "driver", chosen if subject.is_conbrio() else [None], ids=lambda each: each or "only"
        )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is slow, and what cannot be asked of the loop under test."""
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("slow"):
            item.add_marker(pytest.mark.skip(reason="slow; asked for with --slow"))
        beyond = item.get_closest_marker("beyond_asyncio")
        if beyond and subject.is_asyncio():
            item.add_marker(pytest.mark.skip(reason=f"beyond asyncio: {beyond.args[0]}"))
        if item.get_closest_marker("conbrio_only") and not subject.is_conbrio():
            item.add_marker(pytest.mark.skip(reason="names something that only conbrio has"))


def pytest_collection_finish() -> None:
    """Let the collector forget what was loaded: it runs twice for each test."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def conbrio() -> types.ModuleType:
    """The package itself, for tests of what no other loop has."""
    if not subject.is_conbrio():
        pytest.skip("names something that only conbrio has")
    return subject.classes()


@pytest.fixture
def loop_factory(driver: str | None) -> subject.Factory:
    """A callable that makes a fresh loop under test."""
    return subject.factory(driver)


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Fail when the test leaves a descriptor open or a thread running."""
    gc.collect()
    watch = leaks.Watch()
    yield
    gc.collect()
    assert watch.excess() == []


@pytest.fixture
def loop(loop_factory: subject.Factory, no_leaks: None) -> Iterator[asyncio.AbstractEventLoop]:
    """A fresh loop that nobody runs yet; closed afterwards."""
    loop = loop_factory()
    loop.set_debug(False)
    yield loop
    if not loop.is_closed():
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@pytest.fixture
def run(loop_factory: subject.Factory, no_leaks: None) -> Callable[..., object]:
    """Run a coroutine on a fresh loop, as ``asyncio.run`` does, and look for leaks at the end."""

    def run_on_fresh_loop(
        main: Coroutine[object, object, object], *, debug: bool = False
    ) -> object:
        with asyncio.Runner(debug=debug, loop_factory=loop_factory) as runner:
            return runner.run(main)

    return run_on_fresh_loop


@pytest.fixture
def complaints(loop: asyncio.AbstractEventLoop) -> list[dict[str, object]]:
    """What the exception handler of ``loop`` was told."""
    heard: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: heard.append(context))
    return heard


@pytest.fixture
def same_trace(loop_factory: subject.Factory, no_leaks: None) -> Callable[..., list[object]]:
    """Assert that a script leaves the same trace as on the standard loop; return the trace."""

    def check(script: traces.Script, *, turns: bool = True) -> list[object]:
        expected = traces.trace(subject.reference(), script, turns=turns)
        found = traces.trace(loop_factory(), script, turns=turns)
        assert found == expected
        return found

    return check


@pytest.fixture
def same(loop_factory: subject.Factory, no_leaks: None) -> Callable[..., object]:
    """Assert that ``scenario(loop)`` ends as on the standard loop, complaints included; return its end."""

    def one(
        loop: asyncio.AbstractEventLoop, scenario: Callable[..., object]
    ) -> tuple[object, object]:
        heard: list[object] = []
        loop.set_exception_handler(lambda _, context: heard.append(words(context)))
        try:
            end = scenario(loop)
            if asyncio.iscoroutine(end):
                end = loop.run_until_complete(end)
        except BaseException as error:
            end = error
            error.__traceback__ = None
        finally:
            if not loop.is_closed():
                loop.run_until_complete(loop.shutdown_default_executor())
                loop.close()
        return plain(end), heard

    def check(scenario: Callable[..., object]) -> object:
        expected = one(subject.reference(), scenario)
        found = one(loop_factory(), scenario)
        assert found == expected
        return found[0]

    return check


@pytest.fixture
def Future() -> type:  # noqa: N802
    """The class of the futures that the loop under test makes."""
    made: type = subject.classes().Future
    return made


@pytest.fixture
def Task() -> type:  # noqa: N802
    """The class of the tasks that the loop under test makes."""
    made: type = subject.classes().Task
    return made


@pytest.fixture(params=["ours", "standard"])
def either(request):
    """Runs a coroutine function with ours and with asyncio's names on one kind of loop; both traces are equal."""
    from loopkit.either import compared

    return compared(request.param)
