"""Values by 64-bit key in plain arrays: what a run remembers about millions of flows, at a few bytes each.

Keys are hashes (of a uid, of an address pair), so two different things share a key once in about 10^19 pairs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

Keys = npt.NDArray[np.uint64]
Policy = Literal["any", "least", "same"]
CONFLICT = np.uint64(2**64 - 1)
_PENDING = 1_000_000
_PARTS = 16


def hashes(*columns: pl.Series) -> Keys:
    """A 64-bit key for each row of the columns together."""
    frame = pl.DataFrame([column.alias(str(at)) for at, column in enumerate(columns)])
    return frame.hash_rows(seed=7).to_numpy()


def positions(known: Keys, keys: Keys, side: Literal["left", "right"] = "left") -> npt.NDArray[np.intp]:
    """Where each key would stand among sorted ones, before its equals or behind (as in numpy's ``searchsorted``).

    Asked in order, which spares the processor's caches.
    """
    order = np.argsort(keys)
    out = np.empty(len(keys), dtype=np.intp)
    out[order] = np.searchsorted(known, keys[order], side)
    return out


def parts(keys: Keys) -> Iterator[npt.NDArray[np.intp]]:
    """Rows by ranges of their keys, in order, so that what is done to all of them needs memory for one range only."""
    part = keys >> np.uint64(60)
    for number in range(_PARTS):
        yield np.flatnonzero(part == number)


def release_memory() -> None:
    """Hand memory that is free but kept by the C library back to the system, where that library can (glibc)."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


@dataclass(slots=True)
class Keyed:
    """A map from keys to unsigned numbers, filled by batches, then sorted once, then asked by batches.

    ``any`` joins the bits of all values of a key, ``least`` keeps the smallest, ``same`` keeps what all agree on (else
    CONFLICT). 0 means absent and is never stored.
    """

    policy: Policy
    _new: list[tuple[Keys, Keys]] = field(default_factory=list)
    _settled: tuple[Keys, Keys] = field(default_factory=lambda: (np.zeros(0, np.uint64), np.zeros(0, np.uint64)))
    _pending: int = 0

    def add(self, keys: Keys, values: Keys) -> None:
        """Remember a value for each key."""
        present = values != 0
        self._new.append((keys[present], values[present].astype(np.uint64)))
        self._pending += len(self._new[-1][0])
        if self._pending > max(_PENDING, len(self._settled[0]) // 4):
            self._settle()

    def _settle(self) -> tuple[Keys, Keys]:
        """Sort what has come in and join the values of equal keys."""
        if not self._new:
            return self._settled
        keys = np.concatenate([self._settled[0], *(k for k, _ in self._new)])
        values = np.concatenate([self._settled[1], *(v for _, v in self._new)])
        self._new, self._pending = [], 0
        self._settled = (keys[:0], values[:0])
        joined = [self._join(keys[rows], values[rows]) for rows in parts(keys)]
        del keys, values
        self._settled = (np.concatenate([k for k, _ in joined]), np.concatenate([v for _, v in joined]))
        return self._settled

    def _join(self, keys: Keys, values: Keys) -> tuple[Keys, Keys]:
        if not len(keys):
            return keys, values
        order = np.argsort(keys)
        keys, values = keys[order], values[order]
        starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
        joined = (np.bitwise_or if self.policy == "any" else np.minimum).reduceat(values, starts)
        if self.policy == "same":
            joined[joined != np.maximum.reduceat(values, starts)] = CONFLICT
        return keys[starts], joined

    def get(self, keys: Keys) -> Keys:
        """The value of each key; 0 where there is none."""
        known, values = self._settle()
        if not len(known):
            return np.zeros(len(keys), np.uint64)
        at = np.minimum(positions(known, keys), len(known) - 1)
        return np.where(known[at] == keys, values[at], np.uint64(0))

    def rows(self) -> pl.DataFrame:
        """All of it: columns ``key`` and ``value``, in the order of the keys."""
        keys, values = self._settle()
        return pl.DataFrame({"key": keys, "value": values})

    def remember(self, rows: pl.DataFrame) -> None:
        """Add what :meth:`rows` gave."""
        self.add(rows["key"].to_numpy(), rows["value"].to_numpy())

    def __len__(self) -> int:
        return len(self._settle()[0])
