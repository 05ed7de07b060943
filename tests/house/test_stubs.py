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
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.timeout(300)
def test_the_stubs_are_true(tmp_path: pathlib.Path) -> None:
    pytest.importorskip("conbrio")
    done = stubtest("conbrio", "--allowlist", str(ALLOWED), "--ignore-unused-allowlist", folder=tmp_path)
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
