"""Exit statuses: 0 done, 1 failed or different, 2 misuse, 130 Ctrl-C; and the sentence that says what failed."""

from __future__ import annotations

import sys
from collections.abc import Callable

from bitwright.cli.console import failure, failure_data, finish, prepare, settle
from sim.errors import EngineError, InputError

__all__ = ["exit_status"]

MISUSE, INTERRUPTED = 2, 130
"""Exit statuses of a wrong command line, and after Ctrl-C, as shells give it."""
OUT_OF_MEMORY = "can't allocate memory"
"""What torch says when it runs out of memory, in an ordinary RuntimeError."""
FAILURES = InputError, EngineError, OSError, MemoryError, OverflowError, RecursionError, UnicodeError


def exit_status(command: Callable[[], object]) -> int:
    """Run a command and return its exit status, after a sentence on stderr if it failed.

    Parameters
    ----------
    command : callable
        Writes its result to stdout; ends in SystemExit or without it.
    """
    prepare()
    try:
        return _status(command)
    finally:
        settle()


def _status(command: Callable[[], object]) -> int:
    """Turn whatever the command ends in into a status and, for a failure, a sentence."""
    try:
        return _run(command)
    except SystemExit as end:
        return _told(end)
    except KeyboardInterrupt:
        status, text = INTERRUPTED, "interrupted"
    except FAILURES as error:
        status, text = 1, _sentence(error)
    except RuntimeError as error:
        if OUT_OF_MEMORY not in str(error):
            raise
        status, text = 1, f"not enough memory: {error}"
    failure(text, status)
    return status


def _told(end: SystemExit) -> int:
    """Return the status of an end that was asked for; of a misuse, which is told on stderr already, also as JSON."""
    misuse = getattr(end.__context__, "format_message", None)
    if end.code == MISUSE and misuse is not None:
        failure_data(misuse(), MISUSE)
    return end.code if isinstance(end.code, int) else int(end.code is not None)


def _run(command: Callable[[], object]) -> int:
    """Run the command and write what stdout holds back; typer's exit status for Ctrl-C is an interrupt again."""
    if sys.stdout is None:
        raise InputError("stdout is closed: the result would be lost")
    try:
        command()
    except SystemExit as end:
        if end.code == INTERRUPTED:
            raise KeyboardInterrupt from None
        if end.code:
            raise
    finish()
    return 0


def _sentence(error: BaseException) -> str:
    """Describe a failure in a sentence."""
    match error:
        case OSError(filename=str(name), strerror=str(reason)):
            return f"'{name}': {reason}"
        case OSError(strerror=str(reason)):
            return reason
        case MemoryError():
            return f"not enough memory: {error}" if str(error) else "not enough memory"
        case OverflowError():
            return f"a number is too large: {error}"
        case RecursionError():
            return f"something is nested too deeply: {error}"
        case _:
            return str(error)
