"""The small port behind which a payment provider sits: what we ask of it, and how it fails."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from zapisano.errors import AppError, NotFound, Upstream


class ProviderUnavailable(Upstream):
    """No answer, or one that says nothing: the outcome is UNKNOWN; the same again is safe."""

    code, text = "provider_unavailable", "The payment service is not answering."


class ProviderRefused(AppError):
    """The request has failed for certain; a new attempt needs a new key."""

    code, status, text = "provider_refused", 502, "The payment service has refused the request."

    def __init__(self, detail: str = "", *, settles_key: bool = False) -> None:
        """`settles_key`: the refusal is the key's own result, so no earlier request under the same
        key can have succeeded (refused credentials are refused before the key is looked at)."""
        super().__init__(detail)
        self.settles_key = settles_key


class UnknownPayment(NotFound):
    """The provider knows no payment with this id."""

    code, text = "unknown_payment", "There is no such payment."


class UnknownRefund(NotFound):
    """The provider knows no refund with this id."""

    code, text = "unknown_refund", "There is no such refund."


@dataclass(frozen=True)
class Method:
    """What was paid with. Only a `saved` one may be charged again without its holder."""

    id: str
    saved: bool
    title: str
    last4: str | None


@dataclass(frozen=True)
class Payment:
    """A payment as the provider tells it. `status` is an open set; only two words are final."""

    id: str
    status: str
    paid: bool
    amount: Decimal | None
    currency: str
    account_id: str
    test: bool | None
    metadata: Mapping[str, str]
    confirmation_url: str | None = None
    cancel_reason: str | None = None
    method: Method | None = None
    refunded: Decimal | None = None

    @property
    def succeeded(self) -> bool:
        """The money is with the shop, and that is final."""
        return self.status == "succeeded"

    @property
    def canceled(self) -> bool:
        """There will be no money, and that is final."""
        return self.status == "canceled"

    @property
    def went_back(self) -> bool:
        """All of it was given back: then nobody has to have been granted it."""
        return self.refunded is not None and self.refunded == self.amount


@dataclass(frozen=True)
class Refund:
    """Money on its way back, as the provider tells it; the words are a payment's."""

    id: str
    payment_id: str
    status: str
    amount: Decimal | None
    currency: str
    cancel_reason: str | None = None

    @property
    def succeeded(self) -> bool:
        """The money has left the shop, and that is final."""
        return self.status == "succeeded"

    @property
    def canceled(self) -> bool:
        """The money stays with the shop, and that is final."""
        return self.status == "canceled"


class Provider(Protocol):
    """What the product asks of a payment provider."""

    async def create_payment(self, body: bytes, key: str) -> Payment:
        """Create a payment, or get the one that this key has created within 24 h.

        Raises:
            ProviderUnavailable: the outcome is unknown; repeat with the same key and bytes.
            ProviderRefused: nothing was created; a new attempt needs a new key.
        """
        ...

    async def get_payment(self, payment_id: str) -> Payment:
        """Look a payment up.

        Raises:
            ProviderUnavailable: ask again later.
            UnknownPayment: there is none with this id.
        """
        ...

    def list_payments(self, since: datetime, until: datetime) -> AsyncIterator[Payment]:
        """Go through every payment created in [since, until].

        Raises:
            ProviderUnavailable: ask again later.
        """
        ...


class RefundingProvider(Provider, Protocol):
    """A provider that gives money back in parts, and tells of it by an id of its own."""

    async def create_refund(self, body: bytes, key: str) -> Refund:
        """Give money back, or get the refund that this key has created within 24 h.

        Raises:
            ProviderUnavailable: the outcome is unknown; repeat with the same key and bytes.
            ProviderRefused: nothing was created; a new attempt needs a new key.
        """
        ...

    async def get_refund(self, refund_id: str) -> Refund:
        """Look a refund up.

        Raises:
            ProviderUnavailable: ask again later.
            UnknownRefund: there is none with this id.
        """
        ...

    def list_refunds(
        self, since: datetime, until: datetime, payment_id: str | None = None
    ) -> AsyncIterator[Refund]:
        """Go through every refund created in [since, until], of one payment or of all.

        Raises:
            ProviderUnavailable: ask again later.
        """
        ...
