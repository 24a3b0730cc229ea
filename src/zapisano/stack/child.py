"""The last step before a child's program: who it is, and that it dies with its parent.

Run as a script of its own (`command()` builds the line), because the order matters and none of
it may happen between fork and exec of a process with threads: changing the account clears the
death signal, and the signal is sent when the *thread* that started the child ends. Hence also:
start children from the main thread only. It is Linux's `prctl(2)`; sessions are `setsid(2)`.
Kept to a handful of fast imports: it runs before every child.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
KEEP = -1
CANNOT_START = 127


def command(
    argv: tuple[str, ...], *, death_signal: int, uid: int = KEEP, gid: int = KEEP
) -> list[str]:
    """The command line that becomes `argv`, dies with us by `death_signal`, as another account."""
    wrap = [sys.executable, "-I", "-S", __file__]
    return [*wrap, *(str(n) for n in (os.getpid(), death_signal, uid, gid)), *argv]


def _become(parent: int, death_signal: int, uid: int, gid: int, argv: list[str]) -> None:
    if uid != KEEP:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        # It ended before the request was made, so no signal will ever come.
        os.kill(os.getpid(), signal.SIGKILL)
    # A shell may have started us with these ignored, and Python itself ignores SIGPIPE.
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.umask(0o077)
    os.execvp(argv[0], argv)  # noqa: S606 - the line was built by our own supervisor


def main() -> None:
    """Read the five parts of the line and become the program."""
    parent, death_signal, uid, gid = (int(text) for text in sys.argv[1:5])
    try:
        _become(parent, death_signal, uid, gid, sys.argv[5:])
    except OSError as error:
        sys.stderr.write(f"can't start {sys.argv[5]}: {error}\n")
        sys.exit(CANNOT_START)


if __name__ == "__main__":
    main()
