"""The product for end-to-end tests: one that they share, and one of a test's own to kill."""

from collections.abc import Iterator

import pytest
from product import Product, running_product


@pytest.fixture(scope="session")
def product() -> Iterator[Product]:
    """A running `zapisano demo`, one per worker; its tests make people and tenants of their own.

    Mark the module `pytest.mark.xdist_group("product")`: one worker runs all who share it.
    """
    with running_product() as running:
        yield running
        assert running.leaks() == []


@pytest.fixture
def own_product() -> Iterator[Product]:
    """A running `zapisano demo` for one test alone, which may stop and kill it."""
    with running_product() as running:
        yield running
