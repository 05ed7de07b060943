"""Which event loop is under test, read from the environment so that child processes agree.

``CONBRIO_TEST_LOOP`` names a callable as ``module:callable`` (default ``conbrio:new_event_loop``) and
``CONBRIO_TEST_DRIVER`` the driver of a conbrio loop. Any loop can stand in: a test that cannot fail on a
faulty one is no test.
"""

import asyncio
import functools
import importlib
import os
import types
from collections.abc import Callable

Factory = Callable[[], asyncio.AbstractEventLoop]

DRIVERS = ("epoll", "poll")


def spec() -> str:
    """Return the name of the callable that makes the loop under test."""
    return os.environ.get("CONBRIO_TEST_LOOP", "conbrio:new_event_loop")


def is_conbrio() -> bool:
    """Tell whether the loop under test is this project's."""
    return spec().partition(":")[0] == "conbrio"


def is_asyncio() -> bool:
    """Tell whether the loop under test is the standard library's own."""
    return spec().partition(":")[0] == "asyncio"


def factory(driver: str | None = None) -> Factory:
    """Return a callable that makes a fresh loop, on ``driver`` where the loop knows drivers."""
    module_name, _, name = spec().partition(":")
    module = importlib.import_module(module_name)
    driver = driver or os.environ.get("CONBRIO_TEST_DRIVER")
    if is_conbrio() and driver:
        return functools.partial(module.Loop, driver=driver)
    made: Factory = getattr(module, name or "new_event_loop")
    return made


def new_loop() -> asyncio.AbstractEventLoop:
    """Make a loop as the environment says; for child processes."""
    return factory()()


def reference() -> asyncio.AbstractEventLoop:
    """Make one of the standard library's own loops, which says what is right."""
    return asyncio.SelectorEventLoop()


def classes() -> types.ModuleType:
    """Return the module whose ``Future`` and ``Task`` belong to the loop under test."""
    return importlib.import_module("conbrio" if is_conbrio() else "asyncio")
