"""What cannot be run: the system's reasons, by which name, and nothing left behind."""

import asyncio
import errno
import os

import pytest

PIPE, DEVNULL = -1, -3

CONTENTS = {
    "empty": b"",
    "text": b"echo hello\n",
    "broken": b"\x7fELF" + bytes(100),
    "orphan": b"#!/no/such/interpreter\nhello\n",
    "folder's": b"#!/tmp\n",
    "endless": b"#!/" + b"x" * 5000 + b"\n",
    "script": b"#!/bin/sh\necho ran $*\n",
    "unmarked": b"#!/bin/sh\n",
}

REASONS = [
    ("empty", errno.ENOEXEC),
    ("text", errno.ENOEXEC),
    ("broken", errno.ENOEXEC),
    ("endless", errno.ENOEXEC),
    ("orphan", errno.ENOENT),
    ("folder's", errno.EACCES),
    ("unmarked", errno.EACCES),
    ("", errno.EACCES),
    ("fifo", errno.EACCES),
    ("missing", errno.ENOENT),
    ("dangling", errno.ENOENT),
    ("loop", errno.ELOOP),
    ("script/within", errno.ENOTDIR),
    ("n" * 300, errno.ENAMETOOLONG),
    ("a/" * 3000, errno.ENAMETOOLONG),
]


@pytest.fixture
def folder(tmp_path):
    """A folder with files of all kinds that cannot be run, and with one that can."""
    for name, content in CONTENTS.items():
        path = tmp_path / name
        path.write_bytes(content)
        path.chmod(0o644 if name == "unmarked" else 0o755)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "dangling").symlink_to("/no/where")
    os.mkfifo(tmp_path / "fifo", 0o755)
    (tmp_path / "fifo").chmod(0o755)
    return tmp_path


async def refused(*argv, **how):
    """The number and the name of a refusal, by whichever way of starting a child."""
    loop, found = asyncio.get_running_loop(), []
    with pytest.raises(OSError) as raised:  # noqa: PT011 - the number is the answer
        await asyncio.create_subprocess_exec(*argv, stdin=PIPE, stdout=PIPE, stderr=PIPE, **how)
    found.append((raised.value.errno, raised.value.filename))
    with pytest.raises(OSError) as raised:  # noqa: PT011
        await loop.subprocess_exec(
            asyncio.SubprocessProtocol, *argv, stdin=None, stdout=DEVNULL, stderr=PIPE, **how
        )
    found.append((raised.value.errno, raised.value.filename))
    assert found[0] == found[1]
    return found[0]


@pytest.mark.parametrize(("name", "number"), REASONS, ids=[name[:12] for name, _ in REASONS])
def test_a_program_that_cannot_be_run(run, folder, name, number):
    path = os.path.join(folder, name)
    assert run(refused(path, "word")) == (number, path)
    # The name by which it is to run does not matter where the file is given besides.
    assert run(refused("name", executable=path)) == (number, path)


@pytest.mark.parametrize(
    ("name", "number"),
    [each for each in REASONS if each[0] in {"loop", "script/within", "missing"}],
)
def test_a_folder_to_which_nobody_can_go(run, folder, name, number):
    path = os.path.join(folder, name)
    assert run(refused("/bin/true", cwd=path)) == (number, path)


def test_too_many_words(run):
    words = ["x" * 3_000_000]
    assert run(refused("/bin/true", *words))[0] == errno.E2BIG
    assert run(refused("/bin/true", env={"A": words[0]}))[0] == errno.E2BIG


def test_names_that_are_looked_for(run, folder):
    """In each folder of the PATH that the child is given; a file that cannot be run hides no other one."""

    async def main():
        found = []
        places = f"/nowhere:{folder}"
        for name, path in [("missing", places), ("unmarked", places), ("script", places)]:
            try:
                child = await asyncio.create_subprocess_exec(
                    name, "well", stdout=PIPE, env={"PATH": path}
                )
            except OSError as error:
                found.append((error.errno, error.filename))
            else:
                found.append(await child.communicate())
        return found

    expected = [(errno.ENOENT, "missing"), (errno.EACCES, "unmarked"), (b"ran well\n", None)]
    assert run(main()) == expected


def test_the_loop_goes_on_after_refusals(run, folder):
    """Many of them in a row and at once, and then a child that runs."""

    async def main():
        attempts = [refused(str(folder / "text")) for _ in range(20)]
        found = set(await asyncio.gather(*attempts))
        child = await asyncio.create_subprocess_exec(folder / "script", "on", stdout=PIPE)
        return found, await child.communicate(), child.returncode

    found, said, code = run(main())
    assert found == {(errno.ENOEXEC, str(folder / "text"))}
    assert (said, code) == ((b"ran on\n", None), 0)


def test_a_shell_says_why_itself(run, folder):
    """126 for what it cannot run, 127 for what it does not find."""

    async def main():
        codes = []
        for name in ("unmarked", "missing", "script/within", "script"):
            child = await asyncio.create_subprocess_shell(
                str(folder / name), stdout=DEVNULL, stderr=DEVNULL
            )
            codes.append(await child.wait())
        return codes

    codes = run(main())
    assert (codes[0], codes[1], codes[3]) == (126, 127, 0)
    assert codes[2] in {126, 127}
