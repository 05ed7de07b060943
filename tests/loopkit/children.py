"""Programs run in a process of their own, with the same loop under test."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import textwrap

PRELUDE = "import asyncio, os, signal, sys, threading, time\nfrom loopkit.subject import new_loop\n"
TESTS = pathlib.Path(__file__).parent.parent


def environment(driver: str | None = None, **extra: str) -> dict[str, str]:
    """Return the environment in which a child finds these rooms and the same loop."""
    path = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
    env = dict(os.environ, PYTHONPATH=path, PYTHONFAULTHANDLER="1", **extra)
    if driver:
        env["CONBRIO_TEST_DRIVER"] = driver
    return env


def start(
    code: str, driver: str | None = None, *options: str, **extra: str
) -> subprocess.Popen[str]:
    """Start a Python process that runs ``code``; its output can be read line by line."""
    program = PRELUDE + textwrap.dedent(code)
    return subprocess.Popen(
        [sys.executable, *options, "-c", program],
        env=environment(driver, **extra),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def end(child: subprocess.Popen[str]) -> None:
    """Kill ``child`` and what it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def finish(child: subprocess.Popen[str], seconds: float = 30) -> tuple[int, str, str]:
    """Wait for ``child`` and return its status, its output and its complaints."""
    try:
        out, err = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        end(child)
        out, err = child.communicate()
        raise AssertionError(f"the child hangs\n--- out\n{out}\n--- err\n{err}") from None
    except BaseException:
        end(child)
        child.communicate()
        raise
    return child.returncode, out, err


def run_python(
    code: str, driver: str | None = None, *options: str, **extra: str
) -> tuple[int, str, str]:
    """Run ``code`` to its end."""
    return finish(start(code, driver, *options, **extra))


def output(code: str, driver: str | None = None, *options: str, **extra: str) -> str:
    """Run ``code``, which must end well and complain of nothing, and return what it printed."""
    status, out, err = run_python(code, driver, *options, **extra)
    assert (status, err) == (0, ""), f"status {status}\n--- out\n{out}\n--- err\n{err}"
    return out
