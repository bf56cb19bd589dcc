"""The errors this package raises on purpose. Each message says what is wrong, where, and what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


def meant(word: str, known: Iterable[str]) -> str:
    """Advice for a word that is unknown: the nearest known one, and all there are."""
    every = sorted(known)
    near = get_close_matches(word, every, n=1, cutoff=0.5)
    return f"{f'do you mean {near[0]}? ' if near else ''}there are: {', '.join(every)}"


class EnrichError(Exception):
    """Base of all deliberate errors; the command line prints the message and never a traceback."""


class TableError(EnrichError):
    """A mapping table is malformed or one of its embedded examples fails; names file, rule and example."""


class ConfigError(EnrichError):
    """A configuration file or option cannot be used; names the file and key."""


class SourceError(EnrichError):
    """An input cannot be read at all (absent, unreadable, not a log); names the path."""


class AbsentError(EnrichError):
    """What is asked for is not in a run's output."""


class OutputError(EnrichError):
    """The output cannot be written (full disk, permissions); names the path."""

    @classmethod
    def of(cls, path: object, error: Exception, option: str = "--out") -> OutputError:
        """What a failed write to a path means; ``option`` names another place.

        Polars' errors tell the system's number in their text.
        """
        text = re.search(r"\(os error (\d+)\)", str(error))
        number = getattr(error, "errno", None) or (int(text[1]) if text else None)
        if number is None:
            return cls(f"{path}: {error}")
        advice = ""
        if number in _FULL:
            advice = f"; make room there, or name another place with {option}"
        elif number in _FORBIDDEN:
            advice = f"; allow it, or name another place with {option}"
        return cls(f"{path}: {os.strerror(number)}{advice}")
