"""Where the booking guide is typed: its blocks, the root's doors beside a running demo, a shell."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from people import until
from product import Product

ROOT = Path(__file__).resolve().parents[2]
GUIDES = ROOT / "docs" / "guides"
BOOKING, CREDITS = GUIDES / "booking.md", GUIDES / "credits.md"
SHIMS = Path(__file__).parent / "shims"
# What the guide expects to find where one stands.
DOORS = ("config.py", "door.py", "middlewares", "sales_bot")
TUNNEL = "https://salon.ngrok-free.app"
PATIENCE_SECONDS = 120.0
READY = "SELECT count(*) FROM shared.tenants WHERE state = 'awaiting_bot'"
HEADING = re.compile(r"^#{2,3} (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(?:bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def fences(guide: Path) -> list[tuple[str, str]]:
    """Every block of a guide in order: its language, '' where none is said, and its text."""
    return [(found[1], found[2]) for found in FENCE.finditer(guide.read_text())]


def block(heading: str, guide: Path = BOOKING) -> str:
    """The one block under the heading that starts so: `block("5.3")`."""
    text = guide.read_text()
    headings = list(HEADING.finditer(text))
    ends = [*(one.start() for one in headings[1:]), len(text)]
    (section,) = (
        text[one.end() : end]
        for one, end in zip(headings, ends, strict=True)
        if one[1].startswith(heading)
    )
    (found,) = BLOCK.findall(section)
    return found


@dataclass(frozen=True)
class Typed:
    """What came of it."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Workshop:
    """A copy of the root's doors, and a demo that was started beside them."""

    product: Product

    @property
    def root(self) -> Path:
        """Where one stands."""
        return self.product.root

    def environment(self, more: Mapping[str, str], *, venv: bool = False) -> dict[str, str]:
        """The shell's, with the shims first; `venv` as after `source .venv/bin/activate`."""
        paths = [str(SHIMS), str(self.root / "bin"), os.environ["PATH"]]
        if venv:
            paths.insert(1, str(self.root / ".venv" / "bin"))
        kept = {name: value for name, value in self.product.environment.items() if name != "PATH"}
        return {
            **kept,
            "PATH": os.pathsep.join(paths),
            "GUIDE_ETC": str(self.root / "machine"),
            "PIP_NO_INDEX": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            **more,
        }

    def hosts(self, text: str) -> str:
        """Only addresses differ from the guide: this demo's instead of its own."""
        secrets = self.product.secrets
        shop = f"{secrets['yookassa_shop_id']}:{secrets['yookassa_secret_key']}"
        webhook = self.product.ports["ZAPISANO_WEBHOOK_PORT"]
        for theirs, ours in (
            ("localhost:8001", f"localhost:{webhook}"),
            ("ngrok http 8001", f"ngrok http {webhook}"),
            ("https://api.yookassa.ru", self.product.simulator_url),
            ("https://YOUR_NGROK_URL", TUNNEL),
            ("YOUR_SHOP_ID:YOUR_SECRET_KEY", shop),
        ):
            text = text.replace(theirs, ours)
        return text

    def type(self, text: str, folder: Path | None = None, *, venv: bool = False) -> Typed:
        """Type it into a shell: programs that it starts read what is typed after them."""
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail"],
            input=self.hosts(text),
            capture_output=True,
            text=True,
            env=self.environment({}, venv=venv),
            cwd=folder or self.root,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Typed(done.returncode, done.stdout, done.stderr)

    @contextmanager
    def typing(
        self, text: str, folder: Path, awaited: str, **more: str
    ) -> Generator["re.Match[str]"]:
        """Type what stays in the foreground; its match of `awaited`; then it is ended."""
        screen = folder / "screen.log"
        with screen.open("wb") as output:
            shell = subprocess.Popen(
                ["bash", "-e"],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=self.environment(more),
                cwd=folder,
                start_new_session=True,
            )
        assert shell.stdin is not None
        try:
            shell.stdin.write(self.hosts(text).encode())
            shell.stdin.close()
            yield until(lambda: re.search(awaited, screen.read_text(), re.DOTALL), screen.read_text)
        finally:
            # Not SIGINT: what a shell has put into the background is deaf to that.
            os.killpg(shell.pid, signal.SIGTERM)
            shell.wait(PATIENCE_SECONDS)

    def servers(self) -> dict[str, str]:
        """What an operator's `.env` says of the servers, here those of the demo."""
        return {
            "DATABASE_URL": self.product.owner_dsn,
            "REDIS_URL": self._redis_url(),
            "ZAPISANO_SECRET_KEY": self.product.secrets["secret_key"],
        }

    def redis_keys(self) -> dict[str, str]:
        """Redis in the guide's own words."""
        address = urlsplit(self._redis_url())
        assert address.hostname
        return {
            "REDIS_HOST": address.hostname,
            "REDIS_PORT": str(address.port),
            "REDIS_PASSWORD": address.password or "",
            "REDIS_ENABLED": "true",
        }

    def _redis_url(self) -> str:
        record = json.loads((self.product.folder / "stack.json").read_text())
        return record["redis_url"]

    def python(self, program: str, **more: str) -> Typed:
        """Run a Python program of the project's from the root, as the guide's `main.py`."""
        (self.root / "main.py").write_text(program)
        done = subprocess.run(
            [str(self.root / ".venv" / "bin" / "python"), "main.py"],
            capture_output=True,
            text=True,
            env=self.environment(more),
            cwd=self.root,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return Typed(done.returncode, done.stdout, done.stderr)


def copy_doors(folder: Path) -> None:
    """Put the root's doors, and the way to the virtual environment, into a folder."""
    for door in DOORS:
        if (ROOT / door).is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "logs", ".env")
            shutil.copytree(ROOT / door, folder / door, ignore=ignored)
        else:
            shutil.copy2(ROOT / door, folder)
    (folder / ".venv").symlink_to(sys.prefix)


@contextmanager
def open_workshop() -> Generator[Workshop]:
    """A demo started in a folder with the doors, and two tenants in it."""
    root = Path(tempfile.mkdtemp(prefix="zapisano-guide-", dir="/tmp"))
    root.chmod(0o711)
    copy_doors(root)
    (root / "bin").mkdir()
    (root / "bin" / "zapisano").symlink_to(Path(sys.prefix) / "bin" / "zapisano")
    product = Product(root)
    try:
        product.start()
        for name in ("Салон Ромашка", "Барбершоп Борода"):
            made = product.master(
                "POST", "/api/tenants", json={"name": name, "owner_id": 100200301}
            )
            assert made.status_code == 201, made.text
        until(lambda: product.value(READY) == 2, product.screen)
        yield Workshop(product)
    finally:
        product.close()
        shutil.rmtree(root)
