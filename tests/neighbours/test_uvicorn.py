"""uvicorn: serves an application on the loop under test, chosen by name as its users choose it."""

import pytest

pytest.importorskip("uvicorn")

from loopkit import children, subject

PROGRAM = """
import socket, urllib.request
import uvicorn

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({{"type": message["type"] + ".complete"}})
            if message["type"] == "lifespan.shutdown":
                return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    kind = type(asyncio.get_running_loop()).__module__.encode()
    await send({{"type": "http.response.start", "status": 200, "headers": []}})
    await send({{"type": "http.response.body", "body": kind + b" ", "more_body": True}})
    await send({{"type": "http.response.body", "body": b"%d" % len(body)}})

sock = socket.create_server(("127.0.0.1", 0))
url = "http://127.0.0.1:%d" % sock.getsockname()[1]
config = uvicorn.Config(application, loop={loop!r}, http={http!r}, log_level="critical")
server = uvicorn.Server(config)

def ask():
    for size in (0, 10, 1_000_000):
        print(urllib.request.urlopen(url, data=b"x" * size).read().decode(), flush=True)
    server.should_exit = True

threading.Thread(target=ask).start()
server.run(sockets=[sock])
"""


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_serves(driver, http):
    pytest.importorskip(http)
    loop = subject.spec() if driver is None else "loopkit.subject:new_loop"
    status, out, err = children.run_python(PROGRAM.format(loop=loop, http=http), driver)
    module = children.run_python(
        "loop = new_loop(); print(type(loop).__module__); loop.close()", driver
    )[1]
    expected = [f"{module.strip()} {size}" for size in (0, 10, 1_000_000)]
    assert (status, out.splitlines()) == (0, expected), err


def test_the_name_that_its_users_type(conbrio):
    status, out, err = children.run_python(
        PROGRAM.format(loop="conbrio:new_event_loop", http="h11")
    )
    assert (status, out.split()[0]) == (0, "conbrio"), err


def test_the_command_line(driver, tmp_path):
    """``uvicorn --loop module:callable``, ended by Ctrl-C."""
    import os
    import signal
    import subprocess
    import sys
    import urllib.request

    (tmp_path / "served.py").write_text(
        "import asyncio\n"
        "async def application(scope, receive, send):\n"
        "    kind = type(asyncio.get_running_loop()).__module__.encode()\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': kind})\n"
    )
    env = children.environment(driver)
    env["PYTHONPATH"] += os.pathsep + str(tmp_path)
    loop = subject.spec() if driver is None else "loopkit.subject:new_loop"
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        "served:application",
        "--port",
        "0",
        "--lifespan",
        "off",
    ]
    child = subprocess.Popen([*command, "--loop", loop], env=env, stderr=subprocess.PIPE, text=True)
    lines = []
    for line in child.stderr:
        lines.append(line)
        if "running on" in line:
            break
    else:
        pytest.fail("".join(lines))
    url = lines[-1].split("running on ")[1].split()[0]
    heard = urllib.request.urlopen(url).read().decode()
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=30)
    assert heard == type_module(driver)
    assert child.returncode in (0, -signal.SIGINT, 130)


def type_module(driver):
    """Return where the class of the loop under test lives."""
    code = "loop = new_loop(); print(type(loop).__module__); loop.close()"
    return children.output(code, driver).strip()
