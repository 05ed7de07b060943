"""What the documents say is there is there, and what they show runs."""

import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCUMENTS = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/differences.md",
    "docs/primitives.md",
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
PATH = re.compile(r"`([\w.\-/]*(?:/|\.(?:rs|py|pyi|toml|md))[\w.\-/]*)`")
# Where a path in a document may begin.
BEGINNINGS = [
    "",
    "python/conbrio/",
    *(f"crates/conbrio-{crate}/src/" for crate in ("driver", "core", "tls", "python")),
]


def missing_paths(root: pathlib.Path, text: str) -> list[str]:
    """Returns every path in backticks that leads nowhere."""
    prose = BLOCK.sub("", text)
    named = {path for path in PATH.findall(prose) if not path.startswith(("/", "http", "~"))}
    return sorted(
        path for path in named if not any((root / start / path).exists() for start in BEGINNINGS)
    )


def missing_rooms(root: pathlib.Path, text: str) -> list[str]:
    """Returns every room in the architecture's table of floors that is not there."""
    rooms = []
    for crate, names in re.findall(
        r"^\| *`(conbrio-\w+)` *\|[^|]*\| *(.*?) *\|$", text, re.MULTILINE
    ):
        for room in re.findall(r"`(\w+)`", names):
            source = root / "crates" / crate / "src"
            if not (source / f"{room}.rs").exists() and not (source / room).is_dir():
                rooms.append(f"{crate}: {room}")
    return rooms


def blocks(text: str, *languages: str) -> list[str]:
    """Returns the code blocks in these languages."""
    return [body for language, body in BLOCK.findall(text) if language in languages]


def unknown_commands(root: pathlib.Path, shell: list[str]) -> list[str]:
    """Returns every `make X` and `./dev X` of the shell blocks that does not exist."""
    goals = re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE)
    verbs = re.findall(r"verb\(\"(\w+)\"|add_parser\(\"(\w+)\"", (root / "dev").read_text())
    known = {f"make {goal}" for goal in goals} | {
        f"./dev {word}" for pair in verbs for word in pair if word
    }
    used = re.findall(r"^(make \w+|\./dev \w+)", "\n".join(shell), re.MULTILINE)
    return sorted(set(used) - known)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_names_what_is_there(name: str) -> None:
    text = (ROOT / name).read_text()
    assert missing_paths(ROOT, text) == []
    assert missing_rooms(ROOT, text) == []
    assert unknown_commands(ROOT, blocks(text, "sh", "console")) == []


README_BLOCKS = blocks((ROOT / "README.md").read_text(), "python")


@pytest.mark.parametrize("block", README_BLOCKS, ids=range(len(README_BLOCKS)))
def test_what_the_readme_shows_runs(block: str, tmp_path: pathlib.Path) -> None:
    pytest.importorskip("conbrio")
    program = tmp_path / "shown.py"
    program.write_text(block)
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_compiles_and_says_how_to_run_it(path: pathlib.Path) -> None:
    text = path.read_text()
    compile(text, path, "exec")
    assert f"python -m conbrio examples/{path.name}" in text


def test_the_example_that_ends_runs() -> None:
    pytest.importorskip("conbrio")
    argv = [sys.executable, "-m", "conbrio", ROOT / "examples" / "crawl.py"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "sum of squares: 328350\n", "")


def test_a_change_is_one_sentence_of_a_known_kind() -> None:
    for note in (ROOT / "changes").glob("*.md"):
        assert note.name.split(".")[1] in {"added", "changed", "fixed", "faster", "removed"}, (
            note.name
        )
        assert note.read_text().strip().endswith("."), note.name


def test_what_is_planted_is_found(tmp_path: pathlib.Path) -> None:
    (tmp_path / "crates/conbrio-core/src").mkdir(parents=True)
    (tmp_path / "crates/conbrio-core/src/turn.rs").touch()
    assert missing_paths(tmp_path, "See `turn.rs` and `crates/conbrio-core/src/turn.rs`.") == []
    assert missing_paths(tmp_path, "See `turn2.rs` and `docs/gone.md`.") == [
        "docs/gone.md",
        "turn2.rs",
    ]
    table = "| `conbrio-core` | order | `turn`, `attic` |\n"
    assert missing_rooms(tmp_path, table) == ["conbrio-core: attic"]
    (tmp_path / "Makefile").write_text("test:\n")
    (tmp_path / "dev").write_text('verb("bench", do_bench)')
    assert unknown_commands(tmp_path, ["make test\nmake tea\n./dev bench x\n./dev nap\n"]) == [
        "./dev nap",
        "make tea",
    ]
