"""DNS answers by the client that got them and by time: which name an address stood for when a flow began."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.keyed import Keys, parts, positions

Seconds = npt.NDArray[np.uint32]
_ANSWERS_PENDING = 500_000


@dataclass(slots=True)
class Answers:
    """DNS answers: under which key (client and address) which name was told, from when until when.

    An answer that repeats the one before it lengthens that one, so what is remembered is bounded by distinct answers.
    Where batches do not come in the order of time, an answer between two that were joined so may win too early.
    """

    grace: int = 3600
    _new: list[tuple[Keys, Seconds, Seconds, Keys]] = field(default_factory=list)
    _settled: tuple[Keys, Seconds, Seconds, Keys] | None = None
    _pending: int = 0

    def add(self, keys: Keys, times: pl.Series, ttls: pl.Series, names: Keys) -> None:
        """Remember answers; times in epoch seconds, TTLs in seconds (at most a week counts)."""
        since = times.fill_null(0).clip(0, 2**32 - 2**21).cast(pl.UInt32).to_numpy()
        until = since + ttls.fill_null(0).clip(0, 7 * 86400).cast(pl.UInt32).to_numpy() + np.uint32(self.grace)
        self._take(keys, since, until, names)

    def _take(self, keys: Keys, since: Seconds, until: Seconds, names: Keys) -> None:
        self._new.append((keys, since, until, names))
        self._pending += len(keys)
        if self._pending > max(_ANSWERS_PENDING, 0 if self._settled is None else len(self._settled[0]) // 4):
            self._settle()

    def get(self, keys: Keys, times: pl.Series) -> Keys:
        """The name key of the latest answer before each time, within its TTL and the grace; 0 where there is none."""
        known, since, until, names = self._settle()
        if not len(known):
            return np.zeros(len(keys), np.uint64)
        # One second of slack: times are whole seconds here.
        when = times.fill_null(0).clip(0, 2**32 - 2).cast(pl.UInt32).to_numpy() + np.uint32(1)
        first, end = positions(known, keys), positions(known, keys, "right")
        low, high = first, end
        # Halving, for all flows at once: a server of many names may have any number of answers.
        while (undecided := low < high).any():
            middle = np.where(undecided, (low + high) // 2, 0)
            later = since[middle] > when
            low, high = np.where(undecided & ~later, middle + 1, low), np.where(undecided & later, middle, high)
        found = low - 1
        safe = np.maximum(found, 0)
        return np.where((found >= first) & (when <= until[safe]), names[safe], np.uint64(0))

    def rows(self) -> pl.DataFrame:
        """All of it: columns ``key``, ``since`` and ``until`` (epoch seconds) and ``value`` (the name)."""
        return pl.DataFrame(dict(zip(("key", "since", "until", "value"), self._settle(), strict=True)))

    def remember(self, rows: pl.DataFrame) -> None:
        """Add what :meth:`rows` gave."""
        self._take(*(rows[name].to_numpy() for name in ("key", "since", "until", "value")))

    def __len__(self) -> int:
        return len(self._settle()[0])

    def _settle(self) -> tuple[Keys, Seconds, Seconds, Keys]:
        if self._settled is not None and not self._new:
            return self._settled
        old = [] if self._settled is None else [self._settled]
        none = (np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.uint64))
        keys, since, until, names = (np.concatenate(column) for column in zip(none, *old, *self._new, strict=True))
        self._new, self._pending, self._settled = [], 0, None
        joined = [_lengthened(keys[r], since[r], until[r], names[r]) for r in parts(keys)]
        del keys, since, until, names
        k, s, u, n = (np.concatenate(column) for column in zip(*joined, strict=True))
        self._settled = (k, s, u, n)
        return self._settled


def _lengthened(keys: Keys, since: Seconds, until: Seconds, names: Keys) -> tuple[Keys, Seconds, Seconds, Keys]:
    """Answers by key and time, each run of the same name under the same key as one, as long as no gap parts them."""
    if not len(keys):
        return keys, since, until, names
    order = np.lexsort((since, keys))
    keys, since, until, names = keys[order], since[order], until[order], names[order]
    fresh = (keys[1:] != keys[:-1]) | (names[1:] != names[:-1]) | (since[1:] > until[:-1])
    starts = np.flatnonzero(np.concatenate([[True], fresh]))
    return keys[starts], since[starts], np.maximum.reduceat(until, starts), names[starts]
