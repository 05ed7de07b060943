"""Tutorial A: "asyncio has TCP, UDP, SSL and more".

An echo over each: TCP streams, a UDP pair of datagram endpoints, TLS streams
(with a certificate made on the spot by the openssl program), Unix sockets.
"""
import asyncio
import os
import shutil
import ssl
import subprocess
import tempfile

import _seed as seed


async def echo(reader, writer):
    while True:
        data = await reader.read(65536)
        if not data:
            break
        writer.write(data.upper())
        await writer.drain()
    writer.close()


async def talk(reader, writer, eof=True):
    for size in (1, 1000, 200000):
        writer.write(b"a" * size)
        await writer.drain()
        seed.equal(await reader.readexactly(size), b"A" * size)
    if eof:
        writer.write_eof()
        seed.equal(await reader.read(), b"")
    writer.close()
    await writer.wait_closed()


async def tcp():
    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    await asyncio.gather(*[talk(*await asyncio.open_connection(host, port)) for _ in range(5)])
    server.close()


async def unix(folder):
    path = os.path.join(folder, "socket")
    server = await asyncio.start_unix_server(echo, path)
    await talk(*await asyncio.open_unix_connection(path))
    server.close()


async def udp():
    loop = asyncio.get_running_loop()

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport):
            self.transport = transport

        def datagram_received(self, data, addr):
            self.transport.sendto(data.upper(), addr)

    class Client(asyncio.DatagramProtocol):
        def __init__(self):
            self.got = asyncio.Queue()

        def datagram_received(self, data, addr):
            self.got.put_nowait((data, addr))

    server, _ = await loop.create_datagram_endpoint(Echo, local_addr=("127.0.0.1", 0))
    addr = server.get_extra_info("sockname")
    client, protocol = await loop.create_datagram_endpoint(Client, remote_addr=addr)
    for n in range(10):
        client.sendto(b"datagram %d" % n)
        data, sender = await asyncio.wait_for(protocol.got.get(), 10)
        seed.equal((data, tuple(sender)), (b"DATAGRAM %d" % n, tuple(addr)))
    client.close()
    server.close()


async def tls(folder):
    cert, key = os.path.join(folder, "cert"), os.path.join(folder, "key")
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
         "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", cert], capture_output=True)
    seed.equal(made.returncode, 0, made.stderr.decode())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    client = ssl.create_default_context(cafile=cert)
    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=context)
    host, port = server.sockets[0].getsockname()[:2]
    for _ in range(3):
        reader, writer = await asyncio.open_connection(host, port, ssl=client, server_hostname="localhost")
        seed.check(writer.get_extra_info("cipher") and writer.get_extra_info("peercert"))
        seed.check(not writer.can_write_eof())
        await talk(reader, writer, eof=False)
    with seed.raises(ssl.SSLCertVerificationError):
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: None)
        await asyncio.open_connection(host, port, ssl=ssl.create_default_context(),
                                      server_hostname="localhost")
    server.close()


async def main():
    with tempfile.TemporaryDirectory() as folder:
        await tcp()
        await udp()
        await unix(folder)
        if shutil.which("openssl"):
            await tls(folder)


if __name__ == "__main__":
    seed.run(lambda: asyncio.run(main()))
