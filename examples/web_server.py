"""A web server on aiohttp: greets by name, and counts its visitors.

python examples/web_server.py 8080
python -m conbrio examples/web_server.py 8080
"""

import itertools
import sys

from aiohttp import web

visitors = itertools.count(1)


async def greet(request: web.Request) -> web.Response:
    """Answers with the name in the path and the visitor's number."""
    name = request.match_info.get("name", "world")
    return web.json_response({"hello": name, "visitor": next(visitors) % 10_000_000 + 10_000_000})


def main() -> None:
    """Serves until it is interrupted."""
    app = web.Application()
    app.add_routes([web.get("/", greet), web.get("/{name}", greet)])
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8080
    web.run_app(app, host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
