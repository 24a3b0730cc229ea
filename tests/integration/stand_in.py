"""Small programs that stand where the product will: the supervisor runs them as it runs it.

stand_in.py stack <mode>      `zapisano demo` with real servers and the parts below
stand_in.py part <name>       says READY=1, notes SIGTERM in $TRACE, and ends
stand_in.py once <name>       notes itself in $TRACE, says STATUS=$SAID, ends with $ONCE_CODE
"""

import os
import signal
import socket
import sys
from dataclasses import replace
from pathlib import Path

import typer

from zapisano.stack import commands, plan
from zapisano.stack.config import StackConfig
from zapisano.stack.process import Process, Ready

HERE = str(Path(__file__).resolve())


def note(text: str) -> None:
    handle = os.open(os.environ["TRACE"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{text}\n".encode())
    os.close(handle)


def tell(state: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(state.encode(), os.environ["NOTIFY_SOCKET"])


def part(name: str) -> None:
    if os.environ.get("DEAF") == name:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signals = {signal.SIGUSR1}
    else:
        signals = {signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    if name == os.environ.get("BROKEN"):
        sys.stderr.write("BROKEN_SETTING: it is broken\n")
        sys.exit(int(os.environ["BROKEN_CODE"]))
    note(f"{name} up")
    tell("STATUS=hello\nREADY=1")
    signal.sigwait(signals)
    note(f"{name} down")


def once(name: str) -> None:
    note(f"{name} done")
    if "SAID" in os.environ:
        tell(f"STATUS={os.environ['SAID']}")
    sys.exit(int(os.environ.get("ONCE_CODE", "0")))


def stood_in(process: Process) -> Process:
    if process.name in ("postgres", "valkey"):
        return process
    kind = "once" if process.ready is Ready.EXIT else "part"
    argv = (sys.executable, HERE, kind, process.name)
    grace = os.environ["GRACE"] if os.environ.get("DEAF") == process.name else "10"
    return replace(process, argv=argv, grace_seconds=float(grace))


def planned(config: StackConfig) -> plan.Plan:
    real = plan.demo(config)
    return replace(real, processes=tuple(stood_in(process) for process in real.processes))


def main() -> None:
    role = sys.argv.pop(1)
    if role == "part":
        part(sys.argv[1])
    elif role == "once":
        once(sys.argv[1])
    else:
        commands.start(sys.argv[1], planned, browser=False)


if __name__ == "__main__":
    try:
        main()
    except typer.Exit as ending:
        sys.exit(ending.exit_code)
