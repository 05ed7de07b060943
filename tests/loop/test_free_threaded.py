"""A free-threaded CPython is refused in one clear sentence."""

import subprocess
import sys

PROGRAM = """
import sys
sys.abiflags += "t"
try:
    import conbrio
except ImportError as error:
    print(error)
"""


def test_a_free_threaded_build_is_refused_at_import():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    assert (
        done.stdout
        == "conbrio needs a CPython with the interpreter lock; this is a free-threaded build\n"
    )
    assert done.stderr == ""
