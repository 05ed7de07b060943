"""``python -m conbrio``: runs any program, unmodified, on our loop.

The program sees its own ``sys.argv``, ``sys.path`` and ``__main__``, ends with its own status and
shows its own tracebacks, as if the interpreter had started it. Does not know what it does.
"""

from __future__ import annotations

import builtins
import functools
import io
import linecache
import marshal
import os
import pkgutil
import runpy
import sys
import textwrap
import types
from importlib import machinery, util

from ._conbrio import __version__
from ._install import install

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

    _Hook = Callable[[type[BaseException], BaseException, types.TracebackType | None], Any]

USAGE = """\
usage: python -m conbrio [option ...] program.py [argument ...]
       python -m conbrio [option ...] -m module [argument ...]
       python -m conbrio [option ...] -c code [argument ...]
"""
HELP = (
    USAGE
    + """
Runs a Python program with conbrio as asyncio's event loop and primitives. What follows the
program is its own.

  program.py   a file, a folder or archive with a __main__.py, or - for standard input
  -m module    a module or package, as `python -m module` runs it
  -c code      the code itself
  --debug      asyncio's debug mode (sets PYTHONASYNCIODEBUG=1)
  --loop-only  leave asyncio's names alone: the loop is ours, the primitives are asyncio's
  --version    say which conbrio this is
  -h, --help   say this
  --           the program is next, even if its name begins with -
"""
)

# The interpreter's own door for -m, folders and archives.
as_main = runpy._run_module_as_main  # type: ignore[attr-defined]  # noqa: SLF001

# Modules that were `__main__`: kept, since this one's names must outlive its place.
replaced: list[types.ModuleType] = []


def main(argv: list[str]) -> None:
    """Run the program that the arguments name; whatever it raises passes through.

    Args:
        argv: What follows ``python -m conbrio``.

    Raises:
        SystemExit: The program ended so, or the arguments name none (status 2).
    """
    rest = list(argv)
    options = take_options(rest)
    if not rest:
        refuse("no program given")
    install(primitives="--loop-only" not in options)
    first = rest.pop(0)
    if first[:2] in {"-c", "-m"} and "--" not in options:
        word = first[2:] or (rest.pop(0) if rest else None)
        if word is None:
            refuse(f"Argument expected for the {first} option")
        run_named = run_module if first.startswith("-m") else run_code
        run_named(word, rest)
    else:
        run_path(first, rest)


def take_options(rest: list[str]) -> set[str]:
    """Obey the options that come before the program, and take them away."""
    options = set()
    while rest and rest[0].startswith("-") and rest[0] != "-" and rest[0][:2] not in {"-c", "-m"}:
        option = rest.pop(0)
        options.add(option)
        if option == "--":
            break
        obey(option)
    return options


def obey(option: str) -> None:
    """Do what an option before the program asks for."""
    if option in {"-h", "--help"}:
        sys.stdout.write(HELP)
        sys.exit(0)
    if option == "--version":
        sys.stdout.write(f"conbrio {__version__}\n")
        sys.exit(0)
    if option == "--debug":
        os.environ["PYTHONASYNCIODEBUG"] = "1"
    elif option != "--loop-only":
        refuse(f"unknown option {option}")


def refuse(why: str) -> NoReturn:
    """Say what is wrong with the arguments, and end with status 2 as the interpreter does."""
    sys.stderr.write(f"{why}\n{USAGE}")
    sys.exit(2)


def run_module(name: str, arguments: list[str]) -> None:
    """Run a module as ``python -m`` does; ``sys.path`` begins with the working folder already."""
    sys.argv = ["-m", *arguments]
    guarded(lambda: as_main(name), fresh_main())


def run_code(code: str, arguments: list[str]) -> None:
    """Run code from the command line as ``python -c`` does."""
    sys.argv = ["-c", *arguments]
    begin_path("")
    if sys.version_info >= (3, 14):
        code = textwrap.dedent(code)
    run_source(code, "<string>", fresh_main())


def run_path(path: str, arguments: list[str]) -> None:
    """Run a file, a folder, an archive or standard input as ``python path`` does."""
    sys.argv = [path, *arguments]
    if path == "-":
        begin_path("")
        run_standard_input()
    elif pkgutil.get_importer(path) is not None:
        begin_path(whole_path(path), always=True)
        guarded(lambda: as_main("__main__", alter_argv=False), fresh_main())
    else:
        run_file(path)


def run_standard_input() -> None:
    """Run what standard input holds; under ``-i`` the interpreter itself takes it line by line."""
    if not sys.flags.interactive:
        run_source(sys.stdin.buffer.read(), "<stdin>", fresh_main(__file__="<stdin>"))
        return
    # It does so after the program has ended, which is here at once.
    fresh_main()
    if not sys.flags.quiet and not sys.flags.verbose:
        sys.stderr.write(f"Python {sys.version} on {sys.platform}\n")
        if not sys.flags.no_site:
            words = '"help", "copyright", "credits" or "license" for more information.'
            sys.stderr.write(f"Type {words}\n")


def run_file(path: str) -> None:
    """Run one file, source or compiled."""
    whole = whole_path(path)
    try:
        with io.open_code(whole) as file:
            source = file.read()
    except OSError as error:
        reason = f"[Errno {error.errno}] {error.strerror}"
        sys.stderr.write(f"{sys.orig_argv[0]}: can't open file {whole!r}: {reason}\n")
        sys.exit(2)
    # Where the working folder is gone there is nothing to resolve the path from.
    real = os.path.realpath(whole) if os.path.isabs(whole) else whole
    begin_path(os.path.dirname(real))
    # CPython: two bytes tell a compiled file, whatever its name.
    if whole.endswith(".pyc") or source[:2] == util.MAGIC_NUMBER[:2]:
        compiled = machinery.SourcelessFileLoader("__main__", whole)
        namespace = fresh_main(__file__=whole, __loader__=compiled)
        guarded(lambda: exec(code_in(source), namespace), namespace)  # noqa: S102
    else:
        loader = machinery.SourceFileLoader("__main__", whole)
        run_source(source, whole, fresh_main(__file__=whole, __loader__=loader))


def whole_path(path: str) -> str:
    """Begin a path with the working folder, as the interpreter does.

    The rest stays as it was written: `link/..` is where the system finds it, which words alone
    cannot tell. Where the working folder is gone, all of it does.
    """
    if os.path.isabs(path):
        return path
    try:
        folder = os.getcwd()
    except OSError:
        return path
    return folder if path in {"", "."} else f"{folder}{os.sep}{path}"


def code_in(compiled: bytes) -> types.CodeType:
    """Return the code that a compiled file holds, or complain as the interpreter does.

    The import system, which reads such files too, has other words for what is wrong.
    """
    if not compiled.startswith(util.MAGIC_NUMBER):
        raise RuntimeError("Bad magic number in .pyc file")
    try:
        code = marshal.loads(compiled[16:])  # noqa: S302
    except (EOFError, TypeError, ValueError):
        code = None
    if not isinstance(code, types.CodeType):
        raise RuntimeError("Bad code object in .pyc file")  # noqa: TRY004
    return code


def run_source(source: str | bytes, name: str, namespace: dict[str, Any]) -> None:
    """Compile and run source in the namespace of ``__main__``."""
    if isinstance(source, str) and sys.version_info >= (3, 13):
        # CPython: from 3.13 on tracebacks show lines of code that lies in no file.
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    guarded(
        lambda: exec(compile(source, name, "exec", dont_inherit=True), namespace),  # noqa: S102
        namespace,
    )


def begin_path(entry: str, *, always: bool = False) -> None:
    """Let ``sys.path`` begin where the program's would; ``-P`` and ``-I`` want no such entry.

    A folder or an archive is found by it, so it is there ``always``.
    """
    if not sys.flags.safe_path:
        sys.path[0] = entry
    elif always:
        sys.path.insert(0, entry)


def fresh_main(**names: Any) -> dict[str, Any]:
    """Make an empty ``__main__`` module, so that pickles and child processes find the program's."""
    module = types.ModuleType("__main__")
    namespace = module.__dict__
    namespace.update(__builtins__=builtins, __loader__=machinery.BuiltinImporter)
    if "__file__" in names and sys.version_info < (3, 15):
        namespace["__cached__"] = None
    if sys.version_info < (3, 14):
        namespace["__annotations__"] = {}
    namespace.update(names)
    replaced.append(sys.modules["__main__"])
    sys.modules["__main__"] = module
    return namespace


def guarded(program: Callable[[], object], namespace: dict[str, Any]) -> None:
    """Run the program; if it raises, its traceback will begin with its own first frame.

    The exception still goes all the way up, so that the interpreter ends as it would: status,
    signal, ``-i`` and ``sys.last_exc`` included. The names of a file leave ``__main__`` when it has
    run: ``-i``, threads and exit handlers find none, nor from 3.14 on does the exception hook.
    """
    names = {"__file__", "__cached__"} & namespace.keys()

    def leave() -> None:
        for name in names:
            namespace.pop(name, None)

    try:
        program()
    except BaseException as error:
        if sys.version_info >= (3, 14):
            leave()
        # Under -i a program's SystemExit is shown as well, and ends nothing.
        if sys.flags.inspect or not isinstance(error, SystemExit):
            sys.excepthook = functools.partial(show, sys.excepthook, leave)
        raise
    leave()


def show(
    hook: _Hook,
    leave: Callable[[], None],
    kind: type[BaseException],
    error: BaseException,
    trace: types.TracebackType | None,
) -> None:
    """Hand an exception to the program's hook without the frames that led to the program."""
    sys.excepthook = hook
    own = step = trace
    while step is not None:
        if step.tb_frame.f_globals is globals():
            own = step.tb_next
        step = step.tb_next
    sys.last_traceback = own
    try:
        hook(kind, error.with_traceback(own), own)
    except BaseException as wrong:
        # The interpreter shows this one too, and we are none of it; a bare `raise` adds no frame.
        if wrong.__traceback__ is not None:
            wrong.__traceback__ = wrong.__traceback__.tb_next
        raise
    finally:
        leave()


if __name__ == "__main__":
    main(sys.argv[1:])
