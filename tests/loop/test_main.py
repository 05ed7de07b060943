"""python -m conbrio: runs any program unmodified, with its own arguments, main module and status."""

import os
import subprocess
import sys
import textwrap
import zipapp

import pytest

from loopkit import children

pytestmark = pytest.mark.conbrio_only

SHOW = """
import asyncio, sys
async def main():
    await asyncio.sleep(0)
    return type(asyncio.get_running_loop()).__module__, asyncio.get_running_loop().get_debug()
print(__name__, sys.argv, *asyncio.run(main()))
"""


def conbrio_runs(*words, stdin=None, cwd=None, **extra):
    """Run ``python -m conbrio`` with ``words`` and return its status, output and complaints."""
    done = subprocess.run(
        [sys.executable, "-m", "conbrio", *map(str, words)],
        env=children.environment(**extra),
        input=stdin,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def program(tmp_path):
    """Write a program to a file and return its path."""

    def write(code, name="program.py"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(code))
        return path

    return write


def test_a_file(program):
    path = program(SHOW)
    status, out, err = conbrio_runs(path, "a", "--debug", "-x")
    assert (status, err) == (0, "")
    assert out == f"__main__ {[str(path), 'a', '--debug', '-x']} conbrio False\n"


def test_code():
    status, out, err = conbrio_runs("-c", SHOW, "a", "-m")
    assert (status, err) == (0, "")
    assert out == "__main__ ['-c', 'a', '-m'] conbrio False\n"


def test_a_module(program, tmp_path):
    path = program(SHOW, "shown.py")
    status, out, err = conbrio_runs("-m", "shown", "a", cwd=tmp_path)
    assert (status, err) == (0, "")
    assert out == f"__main__ {[str(path), 'a']} conbrio False\n"


def test_a_package_and_a_folder(program, tmp_path):
    (tmp_path / "pack").mkdir()
    program(SHOW, "pack/__main__.py")
    status, out, _ = conbrio_runs("-m", "pack", cwd=tmp_path)
    assert (status, out.split()[-2:]) == (0, ["conbrio", "False"])
    status, out, _ = conbrio_runs(tmp_path / "pack")
    assert (status, out.split()[-2:]) == (0, ["conbrio", "False"])


def test_an_archive(program, tmp_path):
    (tmp_path / "pack").mkdir()
    program(SHOW, "pack/__main__.py")
    zipapp.create_archive(tmp_path / "pack", tmp_path / "pack.pyz")
    status, out, _ = conbrio_runs(tmp_path / "pack.pyz", "a")
    assert (status, out.split()[-2:]) == (0, ["conbrio", "False"])


def test_standard_input():
    status, out, _ = conbrio_runs("-", "a", stdin=SHOW)
    assert (status, out) == (0, "__main__ ['-', 'a'] conbrio False\n")


def test_debug(program):
    status, out, _ = conbrio_runs("--debug", program(SHOW))
    assert (status, out.split()[-1]) == (0, "True")


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("raise SystemExit(3)", 3),
        ("import sys; sys.exit('words')", 1),
        ("1 / 0", 1),
        ("import os; os._exit(9)", 9),
        ("raise KeyboardInterrupt", -2),
        ("import sys; sys.exit()", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -15),
    ],
)
def test_exit_status_is_the_programs(program, ending, status):
    path = program(ending)
    found, _, err = conbrio_runs(path)
    plain = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, timeout=50
    )
    assert found == plain.returncode == status
    assert err == plain.stderr


def test_tracebacks_are_the_programs(program):
    path = program(
        """
        import asyncio
        async def main():
            await asyncio.sleep(0)
            raise ValueError("words")
        asyncio.run(main())
        """
    )
    status, _, err = conbrio_runs(path)
    assert status == 1
    assert err.startswith("Traceback (most recent call last):\n")
    assert f'File "{path}"' in err
    assert err.endswith("ValueError: words\n")
    assert "conbrio/__main__.py" not in err


def test_pickles_and_child_processes_find_the_main_module(program):
    path = program(
        """
        import multiprocessing
        class Thing:
            def __init__(self, n): self.n = n
        def double(thing):
            return Thing(2 * thing.n)
        if __name__ == "__main__":
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(pool.apply(double, [Thing(4)]).n)
        """
    )
    assert conbrio_runs(path) == (0, "8\n", "")


def test_neighbours_of_the_program_can_be_imported(program):
    program("WORDS = 'next door'", "neighbour_of_mine.py")
    path = program("import neighbour_of_mine; print(neighbour_of_mine.WORDS)")
    assert conbrio_runs(path) == (0, "next door\n", "")


@pytest.mark.parametrize("words", [[], ["--nonsense"], ["-m"], ["-c"]])
def test_wrong_arguments(words):
    status, out, err = conbrio_runs(*words)
    assert (status, out) == (2, "")
    assert "usage: python -m conbrio" in err


def test_missing_programs():
    status, _, err = conbrio_runs("no/such/program.py")
    assert (status, "No such file or directory" in err) == (2, True)
    status, _, err = conbrio_runs("-m", "no_such_module_here")
    assert (status, "No module named no_such_module_here" in err) == (1, True)


def test_help_and_version():
    status, out, _ = conbrio_runs("--help")
    assert (status, out.startswith("usage: python -m conbrio")) == (0, True)
    status, out, _ = conbrio_runs("--version")
    assert (status, out.startswith("conbrio ")) == (0, True)


def test_streams_program_unmodified(program):
    path = program(
        """
        import asyncio
        async def echo(reader, writer):
            writer.write(await reader.readline())
            writer.close()
        async def main():
            async with await asyncio.start_server(echo, "127.0.0.1", 0) as server:
                reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
                writer.write(b"hello\\n")
                print(await reader.read())
                writer.close()
        asyncio.run(main())
        """
    )
    assert conbrio_runs(path) == (0, "b'hello\\n'\n", "")


def test_the_working_folder_is_left_alone(program, tmp_path):
    path = program("import os; print(os.getcwd())")
    assert conbrio_runs(path, cwd="/") == (0, "/\n", "")
    assert os.getcwd() != str(tmp_path)


def test_a_path_that_goes_up_from_a_link(program, tmp_path):
    """``..`` behind a link is where the link leads, which the words of the path alone cannot tell."""
    (tmp_path / "real" / "below").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "real" / "below")
    program("print('right')", "real/program.py")
    program("print('wrong')", "program.py")
    status, output, _ = conbrio_runs("link/../program.py", cwd=tmp_path)
    assert (status, output) == (0, "right\n")


@pytest.mark.parametrize("option", ["-P", "-I"])
@pytest.mark.parametrize("archive", [False, True])
def test_a_folder_and_an_archive_where_the_path_is_safe(tmp_path, option, archive):
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "__main__.py").write_text("import sys, beside; print(beside.WORD, sys.path[0])\n")
    (folder / "beside.py").write_text("WORD = 'found'\n")
    path = folder
    if archive:
        path = tmp_path / "program.pyz"
        zipapp.create_archive(folder, path)

    def runs(*words):
        done = subprocess.run(
            [sys.executable, option, *words, path],
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
        return done.returncode, done.stdout

    expected = runs()
    assert expected == (0, f"found {path}\n")
    assert runs("-m", "conbrio") == expected


def test_the_main_module_has_the_annotations_that_the_interpreter_gives_it(program):
    path = program("print('__annotations__' in globals(), globals().get('__annotations__'))")
    expected = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, timeout=50, check=True
    ).stdout
    assert conbrio_runs(path)[:2] == (0, expected)


@pytest.mark.parametrize("kind", ["future", "task", "sleep", "queue"])
def test_a_debugger_steps_over_an_await(program, kind):
    path = program(f"""
        import asyncio, sys

        async def one():
            return 1

        async def main():
            loop = asyncio.get_running_loop()
            future = loop.create_future()
            loop.call_soon(future.set_result, 1)
            queue = asyncio.Queue()
            loop.call_later(0.001, queue.put_nowait, 1)
            waits = dict(future=future, task=asyncio.ensure_future(one()))
            waits.update(sleep=asyncio.sleep(0.001, 1), queue=queue.get())
            wait = waits.pop("{kind}")
            for other in waits:
                getattr(waits[other], "close", int)()
            breakpoint()
            x = await wait
            await asyncio.sleep(0.002)

        asyncio.run(main())
    """)
    words = "n\nn\nn\nc\n"
    expected = subprocess.run(
        [sys.executable, path], input=words, capture_output=True, text=True, timeout=50, check=True
    )
    assert conbrio_runs(path, stdin=words)[:2] == (0, expected.stdout)
    assert "x = await wait" in expected.stdout
