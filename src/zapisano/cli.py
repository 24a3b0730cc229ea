"""The `zapisano` command: it reads arguments and calls, and holds no logic."""

import typer

from zapisano.stack import commands as stack

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback()
def root() -> None:
    """A thousand Telegram booking bots, the money for them, in one service."""


app.add_typer(stack.app)


def main() -> None:
    """Run the command line."""
    app()
