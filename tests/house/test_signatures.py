"""Every method takes what asyncio's takes, by the same names, on the Python that runs this.

The standard loop's own method counts as much as the abstract one's, since the two differ in
places. Keyword-only arguments of our own may be added; nothing may be missing or renamed.
"""

import asyncio
import inspect
import types
import typing

import pytest

conbrio = pytest.importorskip("conbrio")

# Where ours may differ, each with its reason.
DIFFERS: dict[str, str] = {}

TWINS = [
    (conbrio.Loop, [asyncio.AbstractEventLoop, asyncio.SelectorEventLoop]),
    (conbrio.Future, [asyncio.Future]),
    (conbrio.Task, [asyncio.Task]),
    (conbrio.Runner, [asyncio.Runner]),
]


def shape(function: object) -> list[tuple[str, object, str]] | None:
    """Returns name, kind and default of each argument but the first, if that can be known."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return None
    arguments = [(one.name, one.kind, repr(one.default)) for one in signature.parameters.values()]
    return arguments[1:] if arguments and arguments[0][0] == "self" else arguments


def by_place(arguments: list[tuple[str, object, str]]) -> list[tuple[str, object, str]]:
    """Returns the arguments that are told by their place."""
    keywords = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    return [one for one in arguments if one[1] not in keywords]


def public_methods(owners: list[type]) -> list[str]:
    """Returns the names of the methods that the first owner shows."""
    return [
        name
        for name in dir(owners[0])
        if not name.startswith("_") and callable(getattr(owners[0], name))
    ]


def disagreement(ours: type, owners: list[type], name: str) -> str | None:
    """Returns in which way our method is not any of the owners'."""
    mine = getattr(ours, name, None)
    if mine is None:
        return f"{name} is missing"
    theirs = [wanted for owner in owners if (wanted := shape(getattr(owner, name))) is not None]
    if not theirs:
        return None
    has = shape(mine)
    if has is None:
        return f"{name} has no signature that inspect can read"
    takes_every_keyword = any(one[1] is inspect.Parameter.VAR_KEYWORD for one in has)
    for wanted in theirs:
        if takes_every_keyword and by_place(has) == by_place(wanted):
            return None
        kept = [one for one in has if one in wanted or one[1] is not inspect.Parameter.KEYWORD_ONLY]
        if sorted(kept, key=lambda one: one[1]) == sorted(wanted, key=lambda one: one[1]):
            return None
    return f"{name}{inspect.signature(mine)} is not {name}{inspect.signature(getattr(owners[-1], name))}"


CASES = [(ours, owners, name) for ours, owners in TWINS for name in public_methods(owners)]


@pytest.mark.parametrize(
    ("ours", "owners", "name"), CASES, ids=[f"{ours.__name__}.{name}" for ours, _, name in CASES]
)
def test_a_method_takes_what_asyncios_takes(ours: type, owners: list[type], name: str) -> None:
    if reason := DIFFERS.get(f"{ours.__name__}.{name}"):
        pytest.skip(reason)
    assert disagreement(ours, owners, name) is None


def call_soon(self, callback, *args, context=None): ...
def with_more(self, callback, *args, context=None, quick=False): ...
def renamed(self, function, *args, context=None): ...
def positional(self, callback, /, *args, context=None): ...
def without_context(self, callback, *args): ...
def other_default(self, callback, *args, context=0): ...
def every_keyword(self, callback, *args, **kwargs): ...


@pytest.mark.parametrize(
    ("function", "good"),
    [
        (call_soon, True),
        (with_more, True),
        (renamed, False),
        (positional, False),
        (without_context, False),
        (other_default, False),
        (every_keyword, True),
    ],
)
def test_what_differs_is_found(function: types.FunctionType, good: bool) -> None:
    ours = type("Ours", (), {"call_soon": function})
    assert (
        disagreement(ours, [asyncio.AbstractEventLoop, asyncio.SelectorEventLoop], "call_soon")
        is None
    ) is good


def test_what_is_missing_is_found() -> None:
    assert (
        disagreement(type("Ours", (), {}), [asyncio.AbstractEventLoop], "call_soon")
        == "call_soon is missing"
    )


@pytest.mark.parametrize("name", ["run", "new_event_loop", "start_server", "timeout"])
def test_hints_of_functions_can_be_read(name):
    """As asyncio's: libraries that inject arguments read them."""
    assert typing.get_type_hints(getattr(conbrio, name)) == {}


@pytest.mark.parametrize("kind", [conbrio.Loop, conbrio.Runner])
def test_hints_of_methods_can_be_read(kind):
    """As of functions."""
    methods = [getattr(kind, name) for name in dir(kind)]
    own = [one for one in methods if inspect.isfunction(one) and "conbrio" in one.__module__]
    assert own
    assert [typing.get_type_hints(one) for one in own] == [{}] * len(own)
