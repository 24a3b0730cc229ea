"""The chains of migrations, rendered without a server."""

from zapisano.db.chains import SHARED_HEAD, head, render


def test_the_known_head_is_the_chains_head() -> None:
    assert head("shared") == SHARED_HEAD


def test_statements_come_one_by_one_and_uncorrupted() -> None:
    statements = render("tenant", None)
    assert any(s.startswith("CREATE TABLE bookings") for s in statements)
    assert statements[-1].startswith("INSERT INTO shared.tenant_version ")
    assert not any("%(" in s or "%%" in s for s in statements)


def test_nothing_leads_from_the_head_to_itself() -> None:
    assert render("shared", SHARED_HEAD) == ()
