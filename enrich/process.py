"""How a command behaves as a process: its errors, signals, standard streams and exit status."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from enrich.errors import AbsentError, ConfigError, EnrichError, OutputError, TableError

Command = TypeVar("Command", bound=Callable[..., Any])
EXIT_SOME, EXIT_USAGE, EXIT_NOTHING, EXIT_OUTPUT = 1, 2, 3, 4
_STATUS = (
    (AbsentError, EXIT_SOME),
    (ConfigError, EXIT_USAGE),
    (TableError, EXIT_USAGE),
    (OutputError, EXIT_OUTPUT),
)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let the signals that end a service or a lost session clean up as Ctrl-C does."""
    signals = [signal.SIGTERM, signal.SIGHUP] if threading.current_thread() is threading.main_thread() else []
    before = [(number, signal.signal(number, _stop)) for number in signals]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _open_streams() -> None:
    """Standard streams that whoever called us has closed, as such that lead nowhere."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


def _let_go_of_output() -> None:
    """Lead what is still to be written nowhere, so that Python does not complain of it in the end."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Tell the user something, on standard error."""
    from enrich.terminal import printable

    with suppress(OSError):  # the terminal may be gone
        sys.stderr.write(f"zeek-enrich: {printable(text)}\n")
        sys.stderr.flush()


def _stop(number: int, _: object) -> None:
    raise KeyboardInterrupt(number)


def behaved(command: Command) -> Command:
    """A command whose errors are one line and an exit status, and which signals end as Ctrl-C does."""

    @functools.wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            with _stoppable():
                _open_streams()
                done = command(*args, **kwargs)
                sys.stdout.flush()
                return done
        except EnrichError as error:
            say(str(error))
            raise SystemExit(
                next((status for kind, status in _STATUS if isinstance(error, kind)), EXIT_NOTHING)
            ) from None
        except KeyboardInterrupt as stop:
            say("stopped; incomplete outputs were removed")
            # Libraries that were interrupted put words of their own into it.
            number = next((arg for arg in stop.args if isinstance(arg, int)), signal.SIGINT)
            raise SystemExit(128 + number) from None
        except BrokenPipeError:  # whoever read has enough
            _let_go_of_output()
            raise SystemExit(128 + signal.SIGPIPE) from None
        except OSError as error:
            if error.filename is None:
                _let_go_of_output()
            say(f"{error.filename or 'standard output'}: {error.strerror or error}")
            raise SystemExit(EXIT_OUTPUT if error.filename is None else EXIT_NOTHING) from None

    return wrapped  # type: ignore[return-value]


def tell(words: Callable[[], None]) -> None:
    """Say how a run ended. That nobody listens does not change it."""
    try:
        words()
        sys.stdout.flush()
    except OSError:
        _let_go_of_output()
