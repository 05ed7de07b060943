"""The map of the house, and the test that holds every file to it.

A room uses rooms on lower floors and its own files; never sideways, never up. Adding a room
means giving it a floor in the tables below, so every change of shape is a line to review.
"""

import ast
import pathlib
import re
import tomllib
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Lowest floor first; rooms of one line do not know each other.
FLOORS: dict[str, list[str]] = {
    "conbrio-driver": ["event sys", "driver alarm", "wake epoll poll uring sim", "any", "lib"],
    "conbrio-core": [
        "clock ready timers sleeper sources outbox inflow lines waiters signals child stats singles",
        "stream datagram listener dial jobs lookout",
        "resolve turn",
        "lib",
    ],
    "conbrio-tls": ["openssl", "machine", "lib"],
    "conbrio-python": [
        "ffi",
        "names runnable",
        "report selector",
        "engine",
        "handle protocol",
        "future watch",
        "op",
        "task jobs signals",
        "transport sock files sync",
        "server dial streams tls process",
        "gevent monitor",
        "event_loop",
        "about",
        "lib",
    ],
    "conbrio": [
        "_abi _conbrio",
        "_standing _hints _sockets",
        "_connect _serve _sock _tls _transports _trsock _datagram _spawn _sendfile _jobs _eager _fallback _registry _sync",
        "_streams",
        "_loop _swaps",
        "_runner _install",
        "gevent pool files selector bridge monitor ipython testing",
        "__init__ __main__",
    ],
}
# What a manifest may name; build and development dependencies are the crate's own affair.
CRATES: dict[str, set[str]] = {
    "conbrio-driver": {"libc", "rustix", "socket2", "io-uring"},
    "conbrio-core": {"conbrio-driver"},
    "conbrio-tls": {"libc"},
    "conbrio-python": {"conbrio-core", "conbrio-driver", "conbrio-tls", "pyo3"},
}
UNSAFE_ROOMS = {("conbrio-driver", "sys"), ("conbrio-python", "ffi"), ("conbrio-tls", "openssl")}
VAGUE = {"base", "common", "helper", "helpers", "impl", "manager", "misc", "util", "utils"}
NOTES = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60


class Source:
    """One file of ours: where it is, which room it belongs to, and what it says."""

    def __init__(self, root: pathlib.Path, path: pathlib.Path) -> None:
        self.path, self.name = path, str(path.relative_to(root))
        self.text = path.read_text()
        self.is_rust = path.suffix == ".rs"
        parts = path.relative_to(root).parts
        self.house = parts[1]  # the crate, or the Python package
        self.within = parts[3:] if self.is_rust and parts[2] == "src" else parts[2:]
        self.room = self.within[0].removesuffix(path.suffix).removesuffix("_tests")
        self.has_floor = parts[2] == "src" if self.is_rust else True


def sources(root: pathlib.Path) -> Iterator[Source]:
    """Yields every file that the rules are for."""
    for folder, pattern in (
        ("crates", "*/src/**/*.rs"),
        ("crates", "*/tests/**/*.rs"),
        ("python", "**/*.py*"),
    ):
        for path in sorted((root / folder).glob(pattern)):
            if path.suffix in {".rs", ".py", ".pyi"}:
                yield Source(root, path)


# ------------------------------------------------------------------ reading Rust
RUST_NOISE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|b?r(\#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?'(?:\\.[^']*|[^'\\\n])'""",
    re.DOTALL,
)


def rust_code(text: str) -> str:
    """Returns Rust text with comments and literals blanked out, lines kept."""
    return RUST_NOISE.sub(lambda noise: "\n" * noise.group().count("\n"), text)


def names_after(prefix: str, code: str) -> set[str]:
    """Returns the first word after every `prefix`, looking into one pair of braces."""
    used = set()
    for found in re.finditer(prefix + r"(?:(\w+)|\{)", code):
        if found.group(1):
            used.add(found.group(1))
            continue
        depth, word, start = 1, True, found.end()
        for step in re.finditer(r"[{},]|\w+", code[start:]):
            token = step.group()
            depth += {"{": 1, "}": -1}.get(token, 0)
            if depth == 0:
                break
            if token == "," and depth == 1:
                word = True
            elif word and depth == 1:
                used.add(token)
                word = False
    return used


def rooms_used_by_rust(source: Source) -> set[str]:
    """Returns the rooms that a Rust file names."""
    code = rust_code(source.text)
    used = names_after(r"\bcrate::", code)
    if len(source.within) == 1 or source.within[1:] == ("mod.rs",):
        used |= names_after(r"(?<!::)\bsuper::", code.partition("#[cfg(test)]")[0])
    own = set(re.findall(r"\bfn\s+(\w+)", code)) if source.room == "lib" else set()
    return used - own - {"", "self", source.room}


def rust_functions(code: str) -> Iterator[tuple[str, int]]:
    """Yields every function's name and its length in lines."""
    for found in re.finditer(r"\bfn\s+(\w+)", code):
        round_depth, braces = 0, 0
        for place in range(found.end(), len(code)):
            letter = code[place]
            round_depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(letter, 0)
            if letter == ";" and not round_depth and not braces:
                break
            braces += {"{": 1, "}": -1}.get(letter, 0)
            if letter == "}" and not braces:
                yield found.group(1), code.count("\n", found.start(), place) + 1
                break


# ------------------------------------------------------------------ reading Python
def rooms_used_by_python(source: Source) -> set[str]:
    """Returns the rooms of the package that a Python file imports when it runs."""
    tree, used = ast.parse(source.text), set()
    for block in [node for node in ast.walk(tree) if isinstance(node, ast.If)]:
        if "TYPE_CHECKING" in ast.unparse(block.test):
            block.body = [ast.Pass()]
    rooms = {room for floor in FLOORS["conbrio"] for room in floor.split()}
    inside = len(source.within) - 1  # how many folders below the package this file lies
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = {0: "", inside + 1: "conbrio."}.get(node.level)
            if above is not None:
                module = f"{above}{node.module or ''}".rstrip(".")
                names = [f"{module}.{alias.name}" for alias in node.names]
        for name in names:
            top, _, rest = name.partition(".")
            first = rest.partition(".")[0]
            if top == "conbrio":
                used.add(first if first in rooms or first.startswith("_") else "__init__")
    return used - {source.room}


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    """Yields every function's name and its length in lines."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node.end_lineno - node.lineno + 1


# ------------------------------------------------------------------ the rules
def floor(house: str, room: str) -> int | None:
    """Returns the floor a room lies on, or none when the map does not know it."""
    return next(
        (level for level, rooms in enumerate(FLOORS.get(house, [])) if room in rooms.split()), None
    )


def wrong_uses(source: Source) -> Iterator[str]:
    """Yields every use of a room that is not on a lower floor."""
    if not source.has_floor:
        return
    own = floor(source.house, source.room)
    if own is None:
        yield f"{source.name}: the room `{source.room}` is on no floor; give it one in test_floors.py"
        return
    for used in sorted((rooms_used_by_rust if source.is_rust else rooms_used_by_python)(source)):
        level = floor(source.house, used)
        if level is None:
            yield f"{source.name}: `{used}` is on no floor; name the room itself, or give it a floor"
        elif level >= own:
            yield f"{source.name}: `{source.room}` reaches up or sideways to `{used}`"


def wrong_words(source: Source) -> Iterator[str]:
    """Yields what a file says that it may not say."""
    if source.is_rust:
        code = rust_code(source.text)
        if re.search(r"\bsuper::super\b", code):
            yield f"{source.name}: `super::super`; name the room from the crate"
        if (source.house, source.room) not in UNSAFE_ROOMS and re.search(
            r"\bunsafe\s*(\{|fn|impl|extern|trait)", code
        ):
            yield f"{source.name}: `unsafe` outside the rooms for it"
        if source.house != "conbrio-python" and re.search(r"\bpyo3\b", code):
            yield f"{source.name}: only conbrio-python names PyO3"
    if note := NOTES.search(source.text):
        yield f"{source.name}: a note to oneself ({note.group()})"


def wrong_sizes(source: Source) -> Iterator[str]:
    """Yields what is too long or has no good name."""
    lines = source.text.splitlines()
    if source.is_rust and not (lines and lines[0].startswith("//! ")):
        yield f"{source.name}: the first line says what lives there (`//! ...`)"
    if not source.is_rust and not (lines and lines[0].startswith(('"""', "#!"))):
        yield f"{source.name}: the first line says what lives there (a docstring)"
    if len(lines) > FILE_LINES_MAX:
        yield f"{source.name}: {len(lines)} lines, and {FILE_LINES_MAX} are the most"
    for part in source.within:
        if part.partition(".")[0].strip("_") in VAGUE:
            yield f"{source.name}: `{part}` is a name that fits everything"
    functions = (
        rust_functions(rust_code(source.text)) if source.is_rust else python_functions(source.text)
    )
    for name, length in functions:
        if length > FUNCTION_LINES_MAX:
            yield f"{source.name}: `{name}` has {length} lines, and {FUNCTION_LINES_MAX} are the most"


def wrong_manifest(root: pathlib.Path, crate: str) -> Iterator[str]:
    """Yields what a crate depends on and may not."""
    manifest = tomllib.loads((root / "crates" / crate / "Cargo.toml").read_text())
    tables = [manifest, *manifest.get("target", {}).values()]
    for extra in sorted(
        {name for table in tables for name in table.get("dependencies", {})}
        - CRATES.get(crate, set())
    ):
        yield f"crates/{crate}/Cargo.toml: {extra} is not on the map"
    if manifest.get("lints", {}).get("workspace") is not True:
        yield f"crates/{crate}/Cargo.toml: `[lints] workspace = true` is missing"


def violations(root: pathlib.Path) -> list[str]:
    """Returns everything below `root` that breaks a rule of the house."""
    found = [
        wrong
        for source in sources(root)
        for rule in (wrong_uses, wrong_words, wrong_sizes)
        for wrong in rule(source)
    ]
    crates = [path.parent.name for path in sorted((root / "crates").glob("*/Cargo.toml"))]
    return found + [wrong for crate in crates for wrong in wrong_manifest(root, crate)]


# ------------------------------------------------------------------ the tests
@pytest.mark.parametrize("source", list(sources(ROOT)), ids=lambda source: source.name)
def test_a_file_keeps_to_the_house(source: Source) -> None:
    wrong = [line for rule in (wrong_uses, wrong_words, wrong_sizes) for line in rule(source)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "crate", sorted(path.parent.name for path in (ROOT / "crates").glob("*/Cargo.toml"))
)
def test_a_crate_depends_only_on_what_the_map_allows(crate: str) -> None:
    assert list(wrong_manifest(ROOT, crate)) == []


def test_core_forbids_unsafe() -> None:
    assert "#![forbid(unsafe_code)]" in (ROOT / "crates/conbrio-core/src/lib.rs").read_text()


HEADER = "//! A room.\n"
PLANTED = {
    "a handle that knows the loop": ("crates/conbrio-python/src/handle.rs", HEADER + "use crate::event_loop::EventLoop;", "reaches up"),
    "a future that knows a task": ("crates/conbrio-python/src/future.rs", HEADER + "use crate::{names, task::Task};", "`task`"),
    "a sideways super": ("crates/conbrio-core/src/timers.rs", HEADER + "use super::ready::Ready;", "sideways to `ready`"),
    "a grandparent": ("crates/conbrio-python/src/task/step.rs", HEADER + "use super::super::engine;", "super::super"),
    "a name from the root": ("crates/conbrio-core/src/turn.rs", HEADER + "use crate::Ready;", "no floor"),
    "a new room": ("crates/conbrio-core/src/attic.rs", HEADER, "`attic` is on no floor"),
    "unsafe upstairs": ("crates/conbrio-core/src/ready.rs", HEADER + "fn f() { unsafe { g() } }", "unsafe"),
    "PyO3 in core": ("crates/conbrio-core/src/ready.rs", HEADER + "use pyo3::Python;", "PyO3"),
    "no header": ("crates/conbrio-core/src/ready.rs", "use std::io;", "first line"),
    "a vague name": ("crates/conbrio-core/src/stream/utils.rs", HEADER, "fits everything"),
    "a long file": ("crates/conbrio-core/src/ready.rs", HEADER * 501, "501 lines"),
    "a long function": ("crates/conbrio-core/src/ready.rs", HEADER + "fn f() -> [u8; 4] {\n" + "g();\n" * 60 + "}", "`f` has 62"),
    "a note": ("crates/conbrio-core/src/ready.rs", HEADER + "// TODO later", "note to oneself"),
    "a foreign crate": ("crates/conbrio-core/Cargo.toml", '[dependencies]\npyo3 = "0.30"\n[lints]\nworkspace = true', "pyo3 is not"),
    "no lints": ("crates/conbrio-core/Cargo.toml", "[dependencies]", "lints"),
    "a runner below the loop": ("python/conbrio/_connect.py", '"""Connects."""\nfrom . import _loop\n', "`_loop`"),
    "an absolute import upward": ("python/conbrio/_loop.py", '"""Loop."""\nfrom conbrio._runner import run\n', "`_runner`"),
    "a room that imports the front door": ("python/conbrio/_loop.py", '"""Loop."""\nfrom conbrio import run\n', "`__init__`"),
    "a neighbour's file looking up": ("python/conbrio/gevent/hub.py", '"""Hub."""\nfrom ..pool import Pool\n', "sideways to `pool`"),
    "a long Python function": ("python/conbrio/_loop.py", '"""Loop."""\ndef f():\n' + "    g()\n" * 61, "`f` has 62"),
    "no docstring": ("python/conbrio/_loop.py", "import asyncio\n", "first line"),
}  # fmt: skip


@pytest.mark.parametrize(("path", "text", "says"), list(PLANTED.values()), ids=list(PLANTED))
def test_what_is_planted_is_found(tmp_path: pathlib.Path, path: str, text: str, says: str) -> None:
    file = tmp_path / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    wrong = violations(tmp_path)
    assert len(wrong) == 1
    assert says in wrong[0]


def test_what_is_allowed_is_not_found(tmp_path: pathlib.Path) -> None:
    good = {
        "crates/conbrio-core/src/turn.rs": HEADER
        + "use crate::{clock::now, ready::{Ready, Other}};\n// unsafe { }\n",
        "crates/conbrio-python/src/ffi/class.rs": HEADER
        + "fn f() { unsafe { g('\"') } }\nfn h(x: &'static str) {}\n",
        "crates/conbrio-core/src/ready.rs": HEADER
        + 'const X: &str = "unsafe { crate::turn }";\n#[cfg(test)]\nmod t { use super::*; }\n',
        "python/conbrio/_loop.py": '"""Loop."""\nfrom ._connect import connect\nfrom typing import TYPE_CHECKING\n'
        "if TYPE_CHECKING:\n    from ._runner import Runner\n",
        "python/conbrio/gevent/hub.py": '"""Hub."""\nfrom . import loop\nfrom .._loop import Loop\n',
    }
    for path, text in good.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    assert violations(tmp_path) == []
