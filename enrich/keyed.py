"""Values by 64-bit key in plain arrays: what a run remembers about millions of flows, at a few bytes each.

Keys are hashes (of a uid, of an address pair), so two different things share a key once in about 10^19 pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

Keys = npt.NDArray[np.uint64]
Policy = Literal["any", "least", "same"]
CONFLICT = np.uint64(2**64 - 1)


def hashes(*columns: pl.Series) -> Keys:
    """A 64-bit key for each row of the columns together."""
    frame = pl.DataFrame([column.alias(str(at)) for at, column in enumerate(columns)])
    return frame.hash_rows(seed=7).to_numpy()


@dataclass(slots=True)
class Keyed:
    """A map from keys to unsigned numbers, filled by batches, then sorted once, then asked by batches.

    ``any`` joins the bits of all values of a key, ``least`` keeps the smallest, ``same`` keeps what all agree on (else
    CONFLICT). 0 means absent and is never stored.
    """

    policy: Policy
    _keys: list[Keys] = field(default_factory=list)
    _values: list[Keys] = field(default_factory=list)
    _sorted: tuple[Keys, Keys] | None = None
    _pending: int = 0

    def add(self, keys: Keys, values: Keys) -> None:
        """Remember a value for each key."""
        present = values != 0
        self._keys.append(keys[present])
        self._values.append(values[present].astype(np.uint64))
        self._pending += int(present.sum())
        if self._pending > 4_000_000:
            self._settle()

    def _settle(self) -> tuple[Keys, Keys]:
        """Sort what has come in and join the values of equal keys."""
        if self._sorted is not None and not self._keys:
            return self._sorted
        old = [] if self._sorted is None else [self._sorted]
        keys = np.concatenate([*(k for k, _ in old), *self._keys]) if self._keys or old else np.zeros(0, np.uint64)
        values = np.concatenate([*(v for _, v in old), *self._values]) if self._keys or old else np.zeros(0, np.uint64)
        self._keys, self._values, self._pending = [], [], 0
        order = np.argsort(keys, kind="stable")
        keys, values = keys[order], values[order]
        if len(keys):
            starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
            joined = (np.bitwise_or if self.policy == "any" else np.minimum).reduceat(values, starts)
            if self.policy == "same":
                joined[joined != np.maximum.reduceat(values, starts)] = CONFLICT
            keys, values = keys[starts], joined
        self._sorted = (keys, values)
        return self._sorted

    def get(self, keys: Keys) -> Keys:
        """The value of each key; 0 where there is none."""
        known, values = self._settle()
        if not len(known):
            return np.zeros(len(keys), np.uint64)
        at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        return np.where(known[at] == keys, values[at], np.uint64(0))

    def __len__(self) -> int:
        return len(self._settle()[0])
