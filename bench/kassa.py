"""`python -m bench.kassa PORT SHOP`: a YooKassa that answers at once, to measure against.

Every payment has succeeded; its id says the order and the amount: `<order's id>_29900`.
"""

import sys

from aiohttp import web


def routes(shop: str) -> web.RouteTableDef:
    """What the product asks about a payment."""
    table = web.RouteTableDef()

    @table.get("/v3/payments/{id}")
    async def payment(request: web.Request) -> web.Response:
        payment_id = request.match_info["id"]
        order, _, kopecks = payment_id.partition("_")
        return web.json_response(
            {
                "id": payment_id,
                "status": "succeeded",
                "paid": True,
                "amount": {"value": f"{int(kopecks) / 100:.2f}", "currency": "RUB"},
                "recipient": {"account_id": shop, "gateway_id": "1"},
                "test": True,
                "metadata": {"order_id": order},
            }
        )

    return table


def main() -> None:
    """Serve until killed."""
    app = web.Application()
    app.add_routes(routes(sys.argv[2]))
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None, access_log=None)


if __name__ == "__main__":
    main()
