"""The chains of migrations, rendered without a server."""

import shutil
from pathlib import Path

from zapisano.db.chains import FOLDER, SHARED_HEAD, head, render


def test_the_known_head_is_the_chains_head() -> None:
    assert head("shared") == SHARED_HEAD


def test_statements_come_one_by_one_and_uncorrupted() -> None:
    statements = render("tenant", None)
    assert any(s.startswith("CREATE TABLE bookings") for s in statements)
    assert statements[-1].startswith("INSERT INTO shared.tenant_version ")
    assert not any("%(" in s or "%%" in s for s in statements)


def test_a_folder_may_have_a_percent_sign_in_its_name(tmp_path: Path) -> None:
    folder = tmp_path / "my%20project"
    shutil.copytree(FOLDER, folder)
    assert head("shared", folder) == SHARED_HEAD


def test_nothing_leads_from_the_head_to_itself() -> None:
    assert render("shared", SHARED_HEAD) == ()
