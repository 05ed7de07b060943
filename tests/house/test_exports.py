"""Every native name has one public home, and says which.

A class that prints as `conbrio.Task` is found as `conbrio.Task` and nowhere else, so a pickle,
a document and a traceback agree on what to call it.
"""

import importlib
import pathlib
import pkgutil
import types

import pytest

conbrio = pytest.importorskip("conbrio")

# Native names that have no public home, each with the reason.
INTERNAL = {
    "AsCompleted": "the native half of what as_completed() returns",
    "Barrier": "the native half of the public Barrier",
    "Condition": "the native half of the public Condition",
    "DatagramTransport": "made by the loop; asyncio.DatagramTransport is what isinstance knows",
    "Event": "the native half of the public Event",
    "Child": "a child process that the loop waits for; asyncio.SubprocessTransport is what isinstance knows",
    "Dial": "a connection that create_connection makes",
    "EventLoop": "the native half of Loop, which is the public one",
    "Follower": "between a job of an executor and its future",
    "FutureIter": "what awaits a Future; made by `await` alone",
    "Listener": "a listening socket of a server; asyncio.Server is what isinstance knows",
    "Lock": "the native half of the public Lock",
    "NATIVE_TASKS": "for the package itself; build_info() tells others",
    "Op": "what a native coroutine method returns; awaited, not named",
    "Queue": "the native half of the public Queue",
    "Ready": "a wait that is over; awaited, not named",
    "ReadPipeTransport": "made by the loop; asyncio.ReadTransport is what isinstance knows",
    "Semaphore": "the native half of the public Semaphore",
    "SocketWait": "what a verb of sock_recv's family waits with",
    "StreamReader": "the native half of the public StreamReader",
    "StreamReaderProtocol": "the native half of the public StreamReaderProtocol",
    "StreamTransport": "made by the loop; asyncio.Transport is what isinstance knows",
    "StreamWriter": "the native half of the public StreamWriter",
    "TaskGroup": "the native half of the public TaskGroup",
    "Timeout": "the native half of the public Timeout",
    "WritePipeTransport": "made by the loop; asyncio.WriteTransport is what isinstance knows",
    "TlsFlow": "the native half of a TLS protocol; made by the loop",
    "TlsWriter": "the native half of a TLS transport; asyncio.Transport is what isinstance knows",
    "expect_tls": "called once, by the room that defines the TLS classes",
    "follow": "a part of run_in_executor, which is the loop's",
    "resolve_literal": "a part of getaddrinfo, which is the loop's",
    "serve": "a part of create_server, which is the loop's",
    "set_loop_class": "called once, by the room that defines Loop",
}


def public_modules() -> list[types.ModuleType]:
    """Returns the package and those of its modules that can be imported here and are not private."""
    found = [conbrio]
    for entry in pkgutil.iter_modules(conbrio.__path__):
        if entry.name.startswith("_"):
            continue
        try:
            found.append(importlib.import_module(f"conbrio.{entry.name}"))
        except ImportError:  # a neighbour's module, and the neighbour is not installed
            continue
    return found


def homes(native: types.ModuleType, public: list[types.ModuleType]) -> dict[str, list[str]]:
    """Returns, for every public native name, the public modules that hold the same object."""
    names = [name for name in vars(native) if not name.startswith("_")]
    return {
        name: [
            module.__name__
            for module in public
            if any(value is getattr(native, name) for value in vars(module).values())
        ]
        for name in names
        if not isinstance(getattr(native, name), types.ModuleType)
    }


def misplaced(
    native: types.ModuleType, public: list[types.ModuleType], internal: dict[str, str]
) -> list[str]:
    """Returns every native name that has no home, has two, or tells of another."""
    wrong = []
    for name, found in homes(native, public).items():
        said = getattr(getattr(native, name), "__module__", None)
        if name in internal:
            continue
        if len(found) != 1:
            wrong.append(f"{name} lives in {found or 'no public module'}")
        elif isinstance(getattr(native, name), type) and said != found[0]:
            wrong.append(f"{name} lives in {found[0]} and says {said}")
    return wrong


def test_a_native_name_has_one_home() -> None:
    assert misplaced(importlib.import_module("conbrio._conbrio"), public_modules(), INTERNAL) == []


def test_all_says_what_is_there() -> None:
    assert sorted(conbrio.__all__) == list(conbrio.__all__)
    assert [name for name in conbrio.__all__ if not hasattr(conbrio, name)] == []
    public = {
        name
        for name, value in vars(conbrio).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public == {name for name in conbrio.__all__ if not name.startswith("_")}


def test_a_public_class_says_where_it_lives() -> None:
    classes = [
        getattr(conbrio, name)
        for name in conbrio.__all__
        if isinstance(getattr(conbrio, name), type)
    ]
    assert [one.__qualname__ for one in classes if one.__module__ != "conbrio"] == []


def test_a_typed_package_says_so() -> None:
    assert (pathlib.Path(conbrio.__file__).parent / "py.typed").exists()


def module_with(name: str, **values: object) -> types.ModuleType:
    """Returns a module that holds these values."""
    module = types.ModuleType(name)
    vars(module).update(values)
    return module


def test_what_is_misplaced_is_found() -> None:
    task = type("Task", (), {"__module__": "conbrio"})
    stray = type("Task", (), {"__module__": "conbrio._conbrio"})
    home, other = module_with("conbrio", Task=task), module_with("conbrio.testing", Job=task)
    native = module_with("conbrio._conbrio", Task=task)
    assert misplaced(native, [home], {}) == []
    assert misplaced(native, [], {}) == ["Task lives in no public module"]
    assert misplaced(native, [], {"Task": "a reason"}) == []
    assert misplaced(native, [home, other], {}) == ["Task lives in ['conbrio', 'conbrio.testing']"]
    astray = misplaced(
        module_with("conbrio._conbrio", Task=stray), [module_with("conbrio", Task=stray)], {}
    )
    assert astray == ["Task lives in conbrio and says conbrio._conbrio"]
