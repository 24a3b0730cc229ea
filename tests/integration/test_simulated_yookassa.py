"""The simulated YooKassa is faithful: the vendor's own client drives it; its knobs do as told."""

import socket
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
import yookassa
from yookassa.domain.exceptions import (
    BadRequestError,
    ForbiddenError,
    InternalServerError,
    NotFoundError,
    TooManyRequestsError,
    UnauthorizedError,
)
from yookassa.domain.notification import WebhookNotificationFactory

from integration.yookassa_fixtures import (
    SECRET_KEY,
    SHOP_ID,
    Listener,
    Simulator,
    listener,
    order,
    running,
    simulator,
    until,
)

__all__ = ["listener", "simulator"]
OAUTH = "AAEAAAAAtesttoken"
# The client is untyped and guesses None for every field, so its types are left out.
vendor: Any = yookassa


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    """One simulator for the tests that turn no knob; nobody listens to its notifications."""
    with running(tmp_path_factory.mktemp("yookassa"), "") as started:
        yield started


@pytest.fixture
def sdk(shop: Simulator) -> Iterator[Simulator]:
    """The official client, whose configuration is global to the process."""
    vendor.Configuration.configure(SHOP_ID, SECRET_KEY, api_url=shop.api)
    yield shop
    vendor.Configuration.configure("", "")


def key() -> str:
    return str(uuid.uuid4())


def said(refused: pytest.ExceptionInfo[Any]) -> dict[str, Any]:
    """The error body that the client carries in its exception."""
    return refused.value.content


def held(shop: Simulator) -> Any:
    """A payment whose money waits for the shop."""
    payment = vendor.Payment.create(order(capture=False), key())
    shop.control("pay", {"payment_id": payment.id})
    return payment


# the vendor's client


def test_sdk_creates_pays_and_reads(sdk: Simulator) -> None:
    payment = vendor.Payment.create(order(), key())
    assert (payment.status, payment.paid, payment.test) == ("pending", False, True)
    assert payment.recipient.account_id == SHOP_ID
    assert payment.confirmation.confirmation_url == f"{sdk.url}/yookassa/pay/{payment.id}"
    sdk.control("pay", {"payment_id": payment.id})
    paid = vendor.Payment.find_one(payment.id)
    assert (paid.status, paid.paid, paid.refundable) == ("succeeded", True, True)
    assert str(paid.income_amount.value) == "288.53"
    assert paid.payment_method.card.last4 == "4477"
    assert paid.metadata["order_id"] == "42"


def test_sdk_repeats_with_one_key(sdk: Simulator) -> None:
    same = key()
    first, again = (vendor.Payment.create(order(), same) for _ in range(2))
    assert first.id == again.id
    with pytest.raises(BadRequestError) as refused:
        vendor.Payment.create(order(description="другое"), same)
    assert said(refused)["description"] == "Idempotence key duplicated"
    assert said(refused)["parameter"] == "Idempotence-Key"
    assert said(refused)["code"] == "invalid_request"


def test_sdk_repeats_in_threads_make_one_payment(sdk: Simulator) -> None:
    same = key()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(vendor.Payment.create, [order()] * 16, [same] * 16))
    assert len({payment.id for payment in made}) == 1


def test_sdk_captures_and_cancels(sdk: Simulator) -> None:
    taken = vendor.Payment.capture(held(sdk).id, {"amount": order()["amount"]}, key())
    assert taken.status == "succeeded"
    assert vendor.Payment.capture(held(sdk).id).status == "succeeded"
    let_go = vendor.Payment.cancel(held(sdk).id, key())
    assert let_go.status == "canceled"
    assert let_go.cancellation_details.reason == "canceled_by_merchant"
    with pytest.raises(BadRequestError):
        vendor.Payment.capture(let_go.id)


def test_sdk_refunds_in_parts(sdk: Simulator) -> None:
    payment = vendor.Payment.create(order(), key())
    sdk.control("pay", {"payment_id": payment.id})
    part = {"payment_id": payment.id, "amount": {"value": "100.00", "currency": "RUB"}}
    refund = vendor.Refund.create(part, key())
    assert (refund.status, refund.payment_id) == ("succeeded", payment.id)
    assert vendor.Refund.find_one(refund.id).id == refund.id
    assert str(vendor.Payment.find_one(payment.id).refunded_amount.value) == "100.00"
    with pytest.raises(BadRequestError) as refused:
        vendor.Refund.create(part | {"amount": {"value": "199.01", "currency": "RUB"}}, key())
    assert said(refused)["parameter"] == "amount.value"
    vendor.Refund.create(part | {"amount": {"value": "199.00", "currency": "RUB"}}, key())
    listed = vendor.Refund.list({"payment_id": payment.id})
    assert [str(item.amount.value) for item in listed.items] == ["199.00", "100.00"]
    assert not vendor.Payment.find_one(payment.id).refundable


def test_sdk_walks_a_list_by_cursor(sdk: Simulator) -> None:
    made = [vendor.Payment.create(order(), key()) for _ in range(5)]
    asked = {"limit": 2, "status": "pending", "created_at.gte": made[0].created_at}
    seen: list[str] = []
    page = vendor.Payment.list(asked)
    while True:
        seen += [item.id for item in page.items]
        if page.next_cursor is None:
            break
        page = vendor.Payment.list(asked | {"cursor": page.next_cursor})
    assert [p.id for p in reversed(made)] == [i for i in seen if i in {p.id for p in made}]
    assert len(seen) == len(set(seen))


def test_sdk_saves_a_method_and_pays_with_it(sdk: Simulator) -> None:
    first = vendor.Payment.create(order(save_payment_method=True), key())
    sdk.control("pay", {"payment_id": first.id})
    method = vendor.Payment.find_one(first.id).payment_method
    assert method.saved
    again = {"amount": order()["amount"], "capture": True, "payment_method_id": method.id}
    assert vendor.Payment.create(again, key()).status == "succeeded"
    sdk.control("method", {"payment_method_id": method.id, "card": "5555555555554600"})
    poor = vendor.Payment.create(again, key())
    assert poor.cancellation_details.reason == "insufficient_funds"
    sdk.control("method", {"payment_method_id": method.id, "revoked": True})
    refused = vendor.Payment.create(again, key())
    assert refused.cancellation_details.reason == "permission_revoked"


def test_sdk_binds_a_card_with_no_charge(sdk: Simulator) -> None:
    asked = {
        "type": "bank_card",
        "confirmation": {"type": "redirect", "return_url": "https://shop.example/bound"},
    }
    method = vendor.PaymentMethod.create(asked, key())
    assert (method.status, method.saved) == ("pending", False)
    typed = {"number": "5555555555554477", "expiry": "12/30", "cvc": "123"}
    page = httpx.post(method.confirmation.confirmation_url, data=typed, follow_redirects=True)
    assert "Карта привязана" in page.text
    found = vendor.PaymentMethod.find_one(method.id)
    assert (found.status, found.saved) == ("active", True)
    paid = {"amount": order()["amount"], "capture": True, "payment_method_id": method.id}
    assert vendor.Payment.create(paid, key()).status == "succeeded"


def test_sdk_meets_the_error_classes(sdk: Simulator) -> None:
    with pytest.raises(NotFoundError) as missing:
        vendor.Payment.find_one("22e12f66-000f-5000-8000-18db351245c7")
    assert said(missing)["parameter"] == "payment_id"
    with pytest.raises(BadRequestError) as wrong:
        vendor.Payment.create(order(metadata={str(n): "x" for n in range(17)}), key())
    assert said(wrong)["parameter"] == "metadata"
    sdk.fault("429", path="/me", retry_after=700)
    with pytest.raises(TooManyRequestsError) as busy:
        vendor.Settings.get_account_settings()
    assert said(busy)["retry_after"] == 700
    sdk.fault("500", path="/me")
    with pytest.raises(InternalServerError):
        vendor.Settings.get_account_settings()
    assert vendor.Settings.get_account_settings().account_id == SHOP_ID
    vendor.Configuration.configure(SHOP_ID, "wrong", api_url=sdk.api)
    with pytest.raises(UnauthorizedError):
        vendor.Settings.get_account_settings()


def test_sdk_webhooks_need_a_partner_token(sdk: Simulator) -> None:
    wanted = {"event": "payment.succeeded", "url": "https://shop.example/webhook/yookassa"}
    with pytest.raises(ForbiddenError) as refused:
        vendor.Webhook.add(wanted, key())
    assert said(refused)["code"] == "forbidden"
    vendor.Configuration.configure_auth_token(OAUTH, api_url=sdk.api)
    hook = vendor.Webhook.add(wanted, key())
    assert hook.id.startswith("wh_")
    assert (hook.event, hook.url) == (wanted["event"], wanted["url"])
    assert [item.id for item in vendor.Webhook.list().items] == [hook.id]
    vendor.Webhook.remove(hook.id, key())
    assert vendor.Webhook.list().items == []
    vendor.Configuration.configure_auth_token("short", api_url=sdk.api)
    with pytest.raises(UnauthorizedError):
        vendor.Webhook.list()


# plain HTTP


def test_the_known_payment_of_the_guide_exists(shop: Simulator) -> None:
    known = shop.get("/payments/test_payment_123").json()
    assert (known["status"], known["paid"], known["test"]) == ("succeeded", True, True)
    assert known["amount"] == {"value": "299.00", "currency": "RUB"}
    assert known["recipient"]["account_id"] == SHOP_ID
    assert known["metadata"] == {
        "user_id": "123456789",
        "company_name": "Test Company",
        "plan": "1m",
        "days": "30",
    }


def test_the_guides_curl_is_forbidden_to_a_shop(shop: Simulator) -> None:
    command = ["curl", "-s", "-X", "POST", f"{shop.api}/webhooks", "-u", f"{SHOP_ID}:{SECRET_KEY}"]
    command += ["-H", "Content-Type: application/json", "-H", f"Idempotence-Key: {key()}"]
    command += ["-d", '{"event": "payment.succeeded", "url": "https://shop.example/w"}']
    command += ["-w", "%{http_code}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert '"code": "forbidden"' in done.stdout
    assert done.stdout.endswith("403")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/payments/x/capture", {}, 405),
        ("PUT", "/payments/x", {}, 405),
        ("GET", "/nothing", {}, 404),
        ("POST", "/payments", {"Content-Type": "text/plain", "Idempotence-Key": "k"}, 415),
        ("POST", "/payments", {"Content-Type": "application/json"}, 400),
        ("GET", "/payments?limit=101", {}, 400),
        ("GET", "/payments?limit=0", {}, 400),
        ("GET", "/payments?cursor=nowhere", {}, 400),
        ("GET", "/payments?created_at.gte=yesterday", {}, 400),
        ("GET", "/payments?status=paid", {}, 400),
    ],
)
def test_bad_requests(
    shop: Simulator, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = httpx.request(
        method, shop.api + path, headers=headers, auth=(SHOP_ID, SECRET_KEY), content=b""
    )
    assert answer.status_code == status
    if status == 405:
        assert answer.content == b""
    elif status == 415:
        assert answer.json()["description"].endswith("must be application/json, not text/plain")
    else:
        assert answer.json()["type"] == "error"


def test_a_refused_request_keeps_its_key(shop: Simulator) -> None:
    same = key()
    refused = shop.post("/payments", order(amount={"value": "0", "currency": "RUB"}), same)
    assert refused.status_code == 400
    corrected = shop.post("/payments", order(), same)
    assert corrected.json()["parameter"] == "Idempotence-Key"


def test_a_receipt_is_stored(shop: Simulator) -> None:
    line = {"description": "Подписка", "quantity": 1, "vat_code": 1, "amount": order()["amount"]}
    receipt = {"customer": {"email": "anna@shop.example"}, "items": [line]}
    made = shop.post("/payments", order(receipt=receipt), key()).json()
    assert made["receipt_registration"] == "pending"
    stored = next(item for item in shop.payments() if item["id"] == made["id"])
    assert stored["receipt"] == receipt


def test_the_page_shows_and_refuses(shop: Simulator) -> None:
    made = shop.post("/payments", order(description="<b>жирно</b>"), key()).json()
    url = made["confirmation"]["confirmation_url"]
    page = httpx.get(url)
    assert "&lt;b&gt;жирно" in page.text
    assert "<b>жирно" not in page.text
    assert "x-frame-options" not in page.headers
    assert "Card number" in httpx.get(url, params={"lang": "en"}).text
    filled = httpx.get(url, params={"card": "5555555555554600"})
    assert 'value="5555555555554600"' in filled.text
    wrong = httpx.post(url, data={"number": "4242", "expiry": "12/30", "cvc": "123"})
    assert wrong.status_code == 422
    assert shop.get(f"/payments/{made['id']}").json()["status"] == "pending"
    assert httpx.get(f"{shop.url}/yookassa/pay/nothing").status_code == 404
    done = httpx.post(url, data={"method": "sbp"}, follow_redirects=True)
    assert "Оплачено" in done.text
    assert 'content="3;url=https://shop.example/thanks"' in done.text
    paid = shop.get(f"/payments/{made['id']}").json()
    assert (paid["status"], paid["payment_method"]["type"]) == ("succeeded", "sbp")
    again = httpx.post(url, data={"method": "sbp"})
    assert again.status_code == 200


# the clock


def test_the_clock_expires_payments_holds_and_keys(
    simulator: Simulator, listener: Listener
) -> None:
    same = key()
    first = simulator.post("/payments", order(), same).json()
    hold = simulator.post("/payments", order(capture=False), key()).json()
    simulator.control("pay", {"payment_id": hold["id"]})
    assert listener.next()["event"] == "payment.waiting_for_capture"
    simulator.control("clock", {"advance_seconds": 3601})
    told = listener.next()
    assert (told["event"], told["object"]["id"]) == ("payment.canceled", first["id"])
    details = told["object"]["cancellation_details"]
    assert details == {"party": "yoo_money", "reason": "expired_on_confirmation"}
    assert simulator.post("/payments", order(), same).json() == first
    simulator.control("clock", {"advance_seconds": 24 * 3600})
    assert simulator.post("/payments", order(), same).json()["id"] != first["id"]
    simulator.control("clock", {"advance_seconds": 6 * 24 * 3600})
    reasons = {listener.next()["object"]["cancellation_details"]["reason"] for _ in range(2)}
    assert reasons == {"expired_on_capture", "expired_on_confirmation"}


def test_state_survives_a_kill(simulator: Simulator, listener: Listener) -> None:
    listener.answers = [503] * 100
    made = simulator.post("/payments", order(), "kept").json()
    simulator.control("clock", {"advance_seconds": 60})
    simulator.fault("drop", times=7, event="refund.succeeded")
    simulator.control("pay", {"payment_id": made["id"]})
    listener.next()
    simulator.kill()
    with Listener() as moved:
        simulator.notify_url = moved.url
        simulator.start()
        assert moved.next()["object"]["id"] == made["id"]
    assert simulator.post("/payments", order(), "kept").json() == made
    assert simulator.get(f"/payments/{made['id']}").json()["status"] == "succeeded"
    faults = httpx.get(f"{simulator.url}/yookassa/control/faults").json()["faults"]
    assert [(fault["kind"], fault["times"]) for fault in faults] == [("drop", 7)]


# notifications and knobs


def paid(simulator: Simulator, **changes: Any) -> str:
    made = simulator.post("/payments", order(**changes), key()).json()
    simulator.control("pay", {"payment_id": made["id"]})
    return str(made["id"])


def settled(simulator: Simulator, count: int = 1) -> list[dict[str, Any]]:
    """The notifications, once `count` of them are delivered."""

    def look() -> list[dict[str, Any]]:
        found = simulator.log()["notifications"]
        delivered = [one for one in found if one["state"] == "delivered"]
        return found if len(delivered) >= count else []

    return until(look, f"{count} notifications delivered")


def test_the_vendors_parser_reads_every_notification(
    simulator: Simulator, listener: Listener
) -> None:
    factory: Any = WebhookNotificationFactory()
    hold = simulator.post("/payments", order(capture=False), key()).json()
    simulator.control("pay", {"payment_id": hold["id"]})
    simulator.post(f"/payments/{hold['id']}/capture", {}, key())
    refund = {"payment_id": hold["id"], "amount": order()["amount"]}
    simulator.post("/refunds", refund, key())
    declined = simulator.post("/payments", order(), key()).json()
    simulator.control("pay", {"payment_id": declined["id"], "card": "5555555555554592"})
    asked = {"type": "bank_card", "confirmation": order()["confirmation"]}
    method = simulator.post("/payment_methods", asked, key()).json()
    typed = {"number": "5555555555554477", "expiry": "12/30", "cvc": "123"}
    httpx.post(method["confirmation"]["confirmation_url"], data=typed)
    read = [factory.create(listener.next()) for _ in range(5)]
    assert {(one.event, one.object.status) for one in read} == {
        ("payment.waiting_for_capture", "waiting_for_capture"),
        ("payment.succeeded", "succeeded"),
        ("refund.succeeded", "succeeded"),
        ("payment.canceled", "canceled"),
        ("payment_method.active", "active"),
    }


def test_a_notification_is_repeated_until_200(simulator: Simulator, listener: Listener) -> None:
    listener.answers = [503, 302]
    payment = paid(simulator)
    told = [listener.next() for _ in range(3)]
    assert told[0] == told[1] == told[2]
    assert told[0]["type"] == "notification"
    assert (told[0]["event"], told[0]["object"]["id"]) == ("payment.succeeded", payment)
    assert set(told[0]) == {"type", "event", "object"}
    (noted,) = settled(simulator)
    assert (noted["attempts"], noted["last_answer"]) == (3, "200")


def test_a_notification_is_given_up_after_a_day(simulator: Simulator, listener: Listener) -> None:
    listener.answers = [500] * 100
    paid(simulator)
    listener.next()
    simulator.control("clock", {"advance_seconds": 24 * 3600})

    def given_up() -> bool:
        return [one["state"] for one in simulator.log()["notifications"]] == ["given_up"]

    until(given_up, "the notification is given up")


def test_registered_webhooks_are_told_too(simulator: Simulator, listener: Listener) -> None:
    with Listener() as other:
        answer = httpx.post(
            f"{simulator.api}/webhooks",
            json={"event": "refund.succeeded", "url": other.url},
            headers={"Authorization": f"Bearer {OAUTH}", "Idempotence-Key": key()},
        )
        assert answer.json()["id"].startswith("wh_")
        payment = paid(simulator)
        refund = {"payment_id": payment, "amount": order()["amount"]}
        made = simulator.post("/refunds", refund, key()).json()
        told = other.next()
        assert (told["event"], told["object"]["id"]) == ("refund.succeeded", made["id"])
        assert told["object"]["payment_id"] == payment
        assert {listener.next()["event"] for _ in range(2)} == {
            "payment.succeeded",
            "refund.succeeded",
        }
        assert other.silent()


def test_drop(simulator: Simulator, listener: Listener) -> None:
    simulator.fault("drop")
    dropped, told = paid(simulator), paid(simulator)
    assert listener.next()["object"]["id"] == told
    noted = settled(simulator)
    assert [(one["object_id"], one["state"]) for one in noted] == [
        (dropped, "dropped"),
        (told, "delivered"),
    ]


def test_delay(simulator: Simulator, listener: Listener) -> None:
    simulator.fault("delay", seconds=0.8)
    late, prompt = paid(simulator), paid(simulator)
    assert [listener.next()["object"]["id"] for _ in range(2)] == [prompt, late]


def test_duplicate(simulator: Simulator, listener: Listener) -> None:
    simulator.fault("duplicate", copies=4)
    payment = paid(simulator)
    assert [listener.next()["object"]["id"] for _ in range(5)] == [payment] * 5
    assert len(settled(simulator, 5)) == 5


def test_reorder(simulator: Simulator, listener: Listener) -> None:
    simulator.fault("reorder", seconds=600)
    first, second = paid(simulator), paid(simulator)
    assert [listener.next()["object"]["id"] for _ in range(2)] == [second, first]


def test_early_comes_before_the_answer(simulator: Simulator, listener: Listener) -> None:
    simulator.fault("early")
    simulator.fault("slow", seconds=0.0)
    made = simulator.post("/payments", order(), key()).json()
    assert not listener.silent()
    assert listener.next()["object"]["id"] == made["id"]
    assert made["status"] == "pending"
    assert simulator.get(f"/payments/{made['id']}").json()["status"] == "succeeded"


def test_forged(simulator: Simulator, listener: Listener) -> None:
    simulator.fault("forged", variant="unknown")
    payment = paid(simulator)
    ids = {listener.next()["object"]["id"] for _ in range(2)}
    assert payment in ids
    (forged,) = ids - {payment}
    assert simulator.get(f"/payments/{forged}").status_code == 404
    pending = simulator.post("/payments", order(), key()).json()["id"]
    simulator.control("forge", {"payment_id": pending, "variant": "modified"})
    told = listener.next()
    assert (told["object"]["id"], told["object"]["status"]) == (pending, "succeeded")
    assert told["object"]["amount"]["value"] == "1.00"
    assert simulator.get(f"/payments/{pending}").json()["status"] == "pending"


def test_slow_answers_late(simulator: Simulator) -> None:
    simulator.fault("slow", seconds=600, path="/payments")
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(
            f"{simulator.api}/payments",
            json=order(),
            auth=(SHOP_ID, SECRET_KEY),
            headers={"Idempotence-Key": "slow"},
            timeout=0.5,
        )
    assert simulator.post("/payments", order(), "slow").status_code == 200
    assert len(simulator.payments()) == 2


def test_429_does_nothing(simulator: Simulator) -> None:
    simulator.fault("429", times=2, retry_after=250)
    for _ in range(2):
        busy = simulator.post("/payments", order(), "same")
        assert busy.status_code == 429
        assert (busy.json()["code"], busy.json()["retry_after"]) == ("too_many_requests", 250)
    assert len(simulator.payments()) == 1
    assert simulator.post("/payments", order(), "same").status_code == 200


def test_500_after_create_has_created(simulator: Simulator) -> None:
    simulator.fault("500_after_create")
    failed = simulator.post("/payments", order(), "same")
    assert (failed.status_code, failed.json()["code"]) == (500, "internal_server_error")
    created = [item for item in simulator.payments() if item["id"] != "test_payment_123"]
    repeated = simulator.post("/payments", order(), "same").json()
    assert [item["id"] for item in created] == [repeated["id"]]
    assert len(simulator.payments()) == 2


def test_reset_has_created_and_cuts_the_line(simulator: Simulator) -> None:
    simulator.fault("reset")
    with pytest.raises(httpx.TransportError):
        simulator.post("/payments", order(), "same")
    assert len(simulator.payments()) == 2
    repeated = simulator.post("/payments", order(), "same")
    assert repeated.status_code == 200
    assert len(simulator.payments()) == 2
    calls = simulator.log()["calls"]
    assert [(call["status"], call["fault"]) for call in calls] == [(None, "reset"), (200, None)]
    assert {call["key"] for call in calls} == {"same"}


def test_a_reset_is_a_tcp_reset(simulator: Simulator) -> None:
    simulator.fault("reset")
    body = b"{}"
    head = (
        "POST /v3/payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", simulator.port), 10) as line:
        line.sendall(head.encode() + body)
        with pytest.raises(ConnectionResetError):
            line.recv(1)


def test_a_refund_can_take_its_time(simulator: Simulator, listener: Listener) -> None:
    simulator.fault("refund_pending", times=2)
    payment = paid(simulator)
    assert listener.next()["event"] == "payment.succeeded"
    asked = {"payment_id": payment, "amount": {"value": "1.00", "currency": "RUB"}}
    lost, good = (simulator.post("/refunds", asked, key()).json() for _ in range(2))
    assert (lost["status"], good["status"]) == ("pending", "pending")
    simulator.control("refund", {"refund_id": lost["id"], "status": "canceled"})
    simulator.control("refund", {"refund_id": good["id"], "status": "succeeded"})
    assert listener.next()["object"]["id"] == good["id"]
    assert simulator.get(f"/refunds/{lost['id']}").json()["status"] == "canceled"
    left = simulator.get(f"/payments/{payment}").json()["refunded_amount"]["value"]
    assert left == "1.00"


def test_a_shop_without_the_agreement_may_not_charge_again(simulator: Simulator) -> None:
    payment = paid(simulator, save_payment_method=True)
    simulator.control("shop", {"recurring": False})
    again = {"amount": order()["amount"], "capture": True, "payment_method_id": payment}
    refused = simulator.post("/payments", again, key())
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


def test_a_probability_strikes_now_and_then(simulator: Simulator) -> None:
    simulator.fault("429", probability=0.5, seed=3)
    codes = [simulator.get("/me").status_code for _ in range(20)]
    assert {200, 429} == set(codes)
    httpx.delete(f"{simulator.url}/yookassa/control/faults")
    assert simulator.get("/me").status_code == 200
