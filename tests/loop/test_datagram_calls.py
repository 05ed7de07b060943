"""How many system calls datagrams take: counted by a library of ours that stands before the system's."""

import json
import os
import shutil
import subprocess
import sys
import textwrap

import pytest

COUNTER = """
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
int received, sent;
int recvmmsg(int fd, struct mmsghdr *all, unsigned count, int flags, struct timespec *until) {
    received++;
    return syscall(SYS_recvmmsg, fd, all, count, flags, until);
}
int sendmmsg(int fd, struct mmsghdr *all, unsigned count, int flags) {
    sent++;
    return syscall(SYS_sendmmsg, fd, all, count, flags);
}
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    sent++;
    return syscall(SYS_sendto, fd, data, size, flags, to, length);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    sent++;
    return syscall(SYS_sendmsg, fd, message, flags);
}
"""

PROGRAM = """
import asyncio, ctypes, json, socket
import conbrio

counted = ctypes.CDLL(None)
received = ctypes.c_int.in_dll(counted, "received")
sent = ctypes.c_int.in_dll(counted, "sent")

class Heard(asyncio.DatagramProtocol):
    data = []
    def connection_made(self, transport):
        self.transport = transport
    def datagram_received(self, data, addr):
        self.data.append(data)

async def main():
    loop = asyncio.get_running_loop()
    with socket.socket(type=socket.SOCK_DGRAM) as far:
        far.bind(("127.0.0.1", 0))
        far.settimeout(10)
        transport, heard = await loop.create_datagram_endpoint(Heard, local_addr=("127.0.0.1", 0))
        here, there = transport.get_extra_info("sockname"), far.getsockname()
        calls = []
        for burst in range(8):
            for number in range(32):
                far.sendto(b"%d" % number, here)
            before = received.value
            while len(heard.data) < 32:
                await asyncio.sleep(0)
            calls.append(received.value - before)
            heard.data.clear()
        before = sent.value
        for number in range(32):
            transport.sendto(b"%d" % number, there)
        await asyncio.sleep(0)
        replies = [far.recv(9) for _ in range(32)]
        assert replies == [b"%d" % number for number in range(32)]
        print(json.dumps([calls, sent.value - before]))
        transport.close()

conbrio.run(main())
"""


@pytest.mark.beyond_asyncio("it makes a system call a datagram")
def test_a_burst_of_datagrams_takes_few_system_calls(tmp_path):
    if not shutil.which("cc"):
        pytest.skip("a C compiler is missing: it builds what counts the calls")
    source, library = tmp_path / "counter.c", tmp_path / "counter.so"
    source.write_text(COUNTER)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    told = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        env=os.environ | {"LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    received, sent = json.loads(told.stdout)
    # Of 32 datagrams. The first bursts teach the transport that there are bursts; a look that finds nothing may follow.
    assert min(received) >= 1
    assert received[-1] <= 3
    assert 1 <= sent <= 3
