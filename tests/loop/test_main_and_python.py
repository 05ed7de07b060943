"""python -m conbrio beside plain python: the same output, complaints and status."""

import importlib.util
import marshal
import os
import subprocess
import sys

import pytest

from loopkit import children

pytestmark = pytest.mark.conbrio_only

MAGIC = importlib.util.MAGIC_NUMBER
CODE = marshal.dumps(
    compile("print(type(__loader__).__name__, __file__)\n1 / 0", "gone.py", "exec")
)
COMPILED = {
    "magic.pyc": b"abcdefghijklmnopqrstuvw",
    "thing.pyc": MAGIC + bytes(12) + marshal.dumps(5),
    "cut.pyc": MAGIC + bytes(12) + CODE[:-5],
    "nothing.pyc": MAGIC + bytes(12),
    "code.pyc": MAGIC + bytes(12) + CODE,
    "code": MAGIC + bytes(12) + CODE,
}
# Where an exit handler and, under -i, whoever asks find the program's file no more.
NAMES = """
import atexit, sys
atexit.register(lambda: print("at exit", sorted({"__file__", "__cached__"} & globals().keys())))
print(__file__)
"""
ASKED = """
print(sorted(globals()))
import sys, traceback
traceback.print_last()
print(traceback.extract_tb(sys.last_traceback))
"""


def runs(start, *words, **options):
    done = subprocess.run(
        [*start, *map(str, words)],
        env=children.environment(PYTHONSTARTUP=""),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        **{"input": "", **options},
    )
    return done.returncode, done.stdout, done.stderr


def as_python(*words, options=(), **more):
    """Run a program both ways, and return what plain python answered once ours is the same."""
    plain = runs([sys.executable, *options], *words, **more)
    assert runs([sys.executable, *options, "-m", "conbrio"], *words, **more) == plain
    return plain


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"

    def write(code):
        path.write_text(code)
        return path

    return write


@pytest.mark.parametrize("name", ["/program.py", "program.py", "../program.py", "/folder"])
def test_a_working_folder_that_is_gone(program, tmp_path, name):
    program("import sys; print(__file__, sys.argv, sys.path[0])")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "__main__.py").write_text("print(__file__)")
    gone = tmp_path / "gone"
    path = f"{tmp_path}{name}" if name.startswith("/") else name
    script = 'mkdir "$0" && cd "$0" && rmdir "$0" && exec "$@"'
    start = ["sh", "-c", script, str(gone), sys.executable]
    plain = runs(start, path)
    assert runs([*start, "-m", "conbrio"], path) == plain
    assert plain[0] == (2 if name == "program.py" else 0)


@pytest.mark.parametrize(("end", "ended"), [("", 0), ("sys.exit(3)", 3), ("1 / 0", 1)])
@pytest.mark.parametrize("options", [[], ["-i"], ["-i", "-q"]])
def test_what_is_left_of_a_file_that_has_run(program, end, ended, options):
    path = program(NAMES + end)
    status, out, _ = as_python(path, options=options, input=ASKED)
    assert out.startswith(f"{path}\n")
    assert status == (0 if options else ended)


@pytest.mark.parametrize(
    "words", [["-c", NAMES.replace("__file__", "5") + "sys.exit(3)"], ["-m", "program"]]
)
def test_code_and_a_module_that_end_under_inspection(program, tmp_path, words):
    program("import sys; sys.exit(3)")
    _, _, err = as_python(*words, options=["-i"], input=ASKED, cwd=tmp_path)
    assert "SystemExit: 3" in err


@pytest.mark.parametrize("options", [["-i"], ["-i", "-q"], []])
def test_standard_input_is_interactive_where_that_is_asked_for(options):
    _, out, err = as_python("-", "a", options=options, input="import sys\n5\nsys.argv\n" + ASKED)
    assert (">>> " in err, out.startswith("5\n['-', 'a']\n")) == (bool(options), bool(options))


@pytest.mark.parametrize(
    "hook",
    [
        "def hook(*_): inner()\ndef inner(): raise TypeError('hook')",
        "def hook(*_): sys.exit(4)",
        "def hook(*_): print('__file__' in globals())",
        "hook = int",
    ],
)
def test_an_exception_hook(program, hook):
    path = program(f"import sys\n{hook}\nsys.excepthook = hook\nraise KeyError(1)\n")
    as_python(path)


@pytest.mark.parametrize("name", COMPILED)
def test_compiled_files(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(COMPILED[name])
    status, out, err = as_python(path)
    assert status == 1
    assert out == (f"SourcelessFileLoader {path}\n" if "code" in name else "")
    assert ("ZeroDivisionError" if "code" in name else "RuntimeError: Bad ") in err


@pytest.mark.parametrize("name", ["-program.py", "-c", "-m", "--debug", "program.py", "nosuch.py"])
def test_a_program_after_two_dashes(tmp_path, name):
    for each in {name, "program.py"} - {"nosuch.py"}:
        (tmp_path / each).write_text("import sys; print(__file__, sys.argv)")
    status, out, _ = as_python("--", name, "-x", "--", cwd=tmp_path)
    assert (status, out != "") == ((2, False) if name == "nosuch.py" else (0, True))


@pytest.mark.parametrize("name", ["", ".", "./", "folder"])
def test_folders_without_a_main_module(tmp_path, name):
    (tmp_path / "folder").mkdir()
    status, _, err = as_python(name, cwd=tmp_path)
    assert status == 1
    assert "can't find '__main__' module in" in err


def test_a_path_from_the_root(program):
    path = program("print(__file__)")
    assert as_python(os.path.relpath(path, "/"), cwd="/") == (0, f"/{path}\n", "")
