"""gather, timeout, TaskGroup, wait_for and StreamReader, ours and asyncio's, and what compares them."""

import asyncio

import pytest

conbrio = pytest.importorskip("conbrio")
swaps = pytest.importorskip("conbrio._swaps")

OURS = {
    name: getattr(conbrio, name)
    for name in ("gather", "timeout", "timeout_at", "TaskGroup", "wait_for", "StreamReader")
}
THEIRS = {name: getattr(asyncio, name) for name in OURS}
LOOPS = {"ours": conbrio.new_event_loop, "standard": asyncio.SelectorEventLoop}


def as_names(kind):
    """Returns the functions of a kind as attributes of one object."""
    return type("Names", (), {name: staticmethod(value) for name, value in kind.items()})


def run(main, factory=conbrio.new_event_loop):
    """Runs a coroutine on a loop of its own."""
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


def both(main):
    """Returns what a coroutine function gives with our names in the places of asyncio's, and with asyncio's."""
    theirs = run(main(), LOOPS["standard"])
    with swaps.held(True):
        ours = run(main(), LOOPS["ours"])
    return ours, theirs


def compared(which):
    """Returns what runs a coroutine function with ours and with asyncio's names on one kind of loop: the traces are equal."""

    def compare(program):
        ours, theirs = (run(program(as_names(kind)), LOOPS[which]) for kind in (OURS, THEIRS))
        assert ours == theirs
        return ours

    return compare


def seen(error):
    """Returns what an exception is, in a form that compares."""
    if isinstance(error, BaseExceptionGroup):
        return [type(error).__name__, error.message, sorted(map(str, map(seen, error.exceptions)))]
    cause, context = (one and type(one).__name__ for one in (error.__cause__, error.__context__))
    return [type(error).__name__, [str(one) for one in error.args], cause, context]
