"""`python -m bench.telegram PORT`: a Telegram that says yes to everything, to measure against."""

import sys

from aiohttp import web

RESULTS = {
    "getMe": {"id": 7000000001, "is_bot": True, "first_name": "Bench", "username": "bench_bot"},
    "sendMessage": {"message_id": 1, "date": 0, "chat": {"id": 1, "type": "private"}},
}


async def answer(request: web.Request) -> web.Response:
    """Accept any method of any bot."""
    method = request.path.rpartition("/")[2]
    return web.json_response({"ok": True, "result": RESULTS.get(method, True)})


def main() -> None:
    """Serve until killed."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
