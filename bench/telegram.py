"""`python -m bench.telegram PORT`: a Telegram that says yes to everything, to measure against."""

import sys

from aiohttp import web


async def answer(_: web.Request) -> web.Response:
    """Accept any method of any bot."""
    return web.json_response({"ok": True, "result": True})


def main() -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
