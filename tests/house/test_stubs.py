"""The types we promise are the types there are: mypy's stubtest over the whole package."""

import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("mypy")

ALLOWED = pathlib.Path(__file__).with_name("stubs_allowed.txt")


def stubtest(*words: str, folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Runs stubtest in a folder of its own."""
    argv = [sys.executable, "-m", "mypy.stubtest", *words]
    return subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.timeout(300)
def test_the_stubs_are_true(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("conbrio")
    done = stubtest(
        "conbrio", "--allowlist", str(ALLOWED), "--ignore-unused-allowlist", folder=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr


def unexplained(text: str) -> list[str]:
    """Returns the allow-listed names that carry no reason."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [line for line in lines if len(line.partition("#")[2].split()) < 3]


def test_what_is_allowed_has_a_reason() -> None:
    assert unexplained(ALLOWED.read_text()) == []
    assert unexplained("conbrio.x\nconbrio.y  # stubtest cannot see it\n") == ["conbrio.x"]


@pytest.mark.timeout(300)
def test_a_stub_that_lies_is_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "planted.py").write_text("def f(a): ...\n")
    (tmp_path / "planted.pyi").write_text("def f(b: int) -> None: ...\n")
    done = stubtest("planted", folder=tmp_path)
    assert done.returncode != 0
    assert "planted.f" in done.stdout


TYPING = sorted((pathlib.Path(__file__).resolve().parents[1] / "typing").glob("*.py"))


def mypy(path: pathlib.Path, folder: pathlib.Path) -> subprocess.CompletedProcess[str]:
    """Runs mypy in strict mode over one file."""
    argv = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder), str(path)]
    return subprocess.run(
        argv, cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", TYPING, ids=lambda path: path.stem)
def test_a_checker_sees_the_types_we_mean(path: pathlib.Path, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("conbrio")
    done = mypy(path, tmp_path)
    assert done.returncode == 0, done.stdout


@pytest.mark.timeout(300)
def test_a_wrong_type_is_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "wrong.py").write_text("from typing import assert_type\nassert_type(1, str)\n")
    assert mypy(tmp_path / "wrong.py", tmp_path).returncode != 0
