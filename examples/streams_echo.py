"""An echo server on asyncio's streams: each line goes back to where it came from.

python examples/streams_echo.py 8081
python -m conbrio examples/streams_echo.py 8081
"""

import asyncio
import contextlib
import sys


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Sends every line back until the other side has said its last."""
    with contextlib.suppress(ConnectionError):
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()
    writer.close()


async def main() -> None:
    """Serves until it is interrupted."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8081
    server = await asyncio.start_server(echo, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
