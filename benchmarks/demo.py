#!/usr/bin/env python3
"""The demo: two unmodified programs on asyncio, uvloop and conbrio, under the same load.

    demo.py [--build FOLDER] [--rounds 3] [--seconds 2] [--connections 64]

The programs are examples/web_server.py (aiohttp) and examples/streams_echo.py (asyncio's
streams). Each runs in a fresh process on the first processor, the load comes from a second
process on the last one; the loops take turns, and the table shows medians. The load is C
where a compiler is, and Python otherwise, which then says so.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import selectors
import shutil
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
EXAMPLES = HERE.parent / "examples"
ROWS = [
    ("aiohttp web server", "http", "web_server.py", "aiohttp"),
    ("asyncio streams echo", "echo", "streams_echo.py", "asyncio"),
]
UVLOOP = """
import runpy, sys, warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import uvloop; uvloop.install()
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
LAUNCH = {"asyncio": [], "uvloop": ["-c", UVLOOP], "conbrio": ["-m", "conbrio"]}
TICKS = os.sysconf("SC_CLK_TCK")


def build_load(folder: Path) -> list[str]:
    """Returns the command that makes the load, compiled when a compiler is there."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler:
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / "demo_load"
        if subprocess.run([compiler, "-O2", "-w", "-o", program, HERE / "src" / "demo_load.c"], check=False).returncode == 0:
            return [str(program)]
    print("no C compiler: the load comes from Python, which is slower than some of the servers")
    return [sys.executable, __file__, "load"]


def python_load(kind: str, port: int, connections: int, seconds: float) -> None:
    """Makes the load in Python, in the words of demo_load.c."""
    request = b"GET /demo HTTP/1.1\r\nHost: localhost\r\nAccept: */*\r\n\r\n" if kind == "http" else b"x" * 99 + b"\n"
    chosen = selectors.DefaultSelector()
    for _ in range(connections):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.send(request)
        chosen.register(sock, selectors.EVENT_READ, {"have": b""})
    answers, begin = 0, time.perf_counter()
    while (end := time.perf_counter()) - begin < seconds:
        for key, _ in chosen.select(0.1):
            key.data["have"] += key.fileobj.recv(4096)
            head, _, body = key.data["have"].partition(b"\r\n\r\n")
            if key.data["have"] == request or (kind == "http" and body and head.startswith(b"HTTP/1.1 200")):
                key.data["have"] = b""
                answers += 1
                key.fileobj.send(request)
    print(answers, end - begin)


def free_port() -> int:
    """Returns a port that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_until_served(server: subprocess.Popen, port: int) -> None:
    """Waits for the server's socket, at most ten seconds."""
    for _ in range(200):
        if server.poll() is not None:
            raise SystemExit(f"demo: the server ended with {server.returncode} before it served")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit("demo: the server did not answer within ten seconds")


def busy_seconds(pid: int) -> float:
    """Returns the processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def measure(load: list[str], loop: str, kind: str, program: str, args: argparse.Namespace) -> tuple[float, float]:
    """Runs one program on one loop once; returns answers a second and microseconds each."""
    port = free_port()
    command = [sys.executable, *LAUNCH[loop], str(EXAMPLES / program), str(port)]
    server = subprocess.Popen(pinned(command, first=True), stdout=subprocess.DEVNULL)
    try:
        wait_until_served(server, port)
        words = [kind, str(port), str(args.connections)]
        subprocess.run(pinned([*load, *words, "0.5"]), check=True, stdout=subprocess.DEVNULL)
        before = busy_seconds(server.pid)
        done = subprocess.run(pinned([*load, *words, str(args.seconds)]), check=True, stdout=subprocess.PIPE, text=True)
        used = busy_seconds(server.pid) - before
    finally:
        server.terminate()
        server.wait()
    answers, seconds = done.stdout.split()
    return int(answers) / float(seconds), used / int(answers) * 1e6


def pinned(command: list[str], *, first: bool = False) -> list[str]:
    """Puts the server on the first processor and the load on the last, where one can."""
    processors = sorted(os.sched_getaffinity(0))
    if len(processors) < 2 or not shutil.which("taskset"):
        return command
    return ["taskset", "-c", str(processors[0 if first else -1]), *command]


def table(name: str, results: dict[str, list[tuple[float, float]]]) -> None:
    """Prints one program's medians beside asyncio's."""
    base = statistics.median(rate for rate, _ in results["asyncio"])
    for loop, samples in results.items():
        rate, cost = (statistics.median(column) for column in zip(*samples, strict=True))
        print(f"| {name:20} | {loop:8} | {rate:10,.0f} | {rate / base:5.2f} x | {cost:8.1f} us |", flush=True)


def main() -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=Path, default=HERE / "build")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--loops", default="asyncio,uvloop,conbrio")
    args = parser.parse_args()
    loops = [loop for loop in args.loops.split(",") if importlib.util.find_spec(loop)]
    for loop in set(args.loops.split(",")) - set(loops):
        print(f"{loop} is not installed for this Python: left out")
    load = build_load(args.build)
    print(f"Python {sys.version.split()[0]}, {args.connections} connections, {args.rounds} rounds of {args.seconds:g} s each\n")
    print("| program              | loop     | requests/s | ratio   | server CPU  |")
    print("|----------------------|----------|-----------:|--------:|------------:|")
    for name, kind, program, needs in ROWS:
        if not importlib.util.find_spec(needs):
            print(f"{needs} is not installed for this Python: {name} is left out")
            continue
        results: dict[str, list[tuple[float, float]]] = {loop: [] for loop in loops}
        for turn in range(args.rounds):
            for loop in loops[turn % len(loops):] + loops[:turn % len(loops)]:
                results[loop].append(measure(load, loop, kind, program, args))
        table(name, results)


if __name__ == "__main__":
    if sys.argv[1:2] == ["load"]:
        python_load(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
    else:
        main()
