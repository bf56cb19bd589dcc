"""Values by 64-bit key: what a run remembers about millions of flows, at a few bytes each.

Keys are hashes (of a uid, of an address pair), so two different things share a key once in about 10^19 pairs. They are
the same in each run, since a state keeps them (:mod:`enrich.state`).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.runs import MOST, Columns, Runs
from enrich.scratch import Array, Scratch

Keys = npt.NDArray[np.uint64]
Policy = Literal["any", "least", "same"]
CONFLICT = np.uint64(2**64 - 1)


def hashes(*columns: pl.Series) -> Keys:
    """A 64-bit key for each row of the columns together."""
    frame = pl.DataFrame([column.alias(str(at)) for at, column in enumerate(columns)])
    return frame.hash_rows(seed=7).to_numpy()


class Sought:
    """Keys that several stores are asked for, by their first bits, which spares the processor's caches and memory."""

    def __init__(self, keys: Keys) -> None:
        parts = _leading(keys)
        self._order = np.argsort(parts, kind="stable")
        self.keys, self._parts = keys[self._order], parts[self._order]

    def __len__(self) -> int:
        return len(self.keys)

    def among(self, firsts: Keys) -> Iterator[slice]:
        """For each part of a table, by the first key of each: where those are that it may hold, and a few others."""
        marks = _leading(firsts)
        starts = np.searchsorted(self._parts, marks)
        ends = [*np.searchsorted(self._parts, marks[1:], "right"), len(self)]
        return map(slice, starts, ends)

    def ordered(self, values: Array) -> Array:
        """What goes with the keys as they were given, in the order of the keys."""
        return values[self._order]

    def in_place(self, values: Keys) -> Keys:
        """What goes with the keys in their order, as they were given."""
        out = np.empty_like(values)
        out[self._order] = values
        return out


def _leading(keys: Keys) -> npt.NDArray[np.uint16]:
    return (keys >> np.uint64(48)).astype(np.uint16)  # numpy sorts so few bits several times as fast


def distinct(keys: Keys) -> tuple[Keys, npt.NDArray[np.intp]]:
    """The keys, few of them twice, and where among these each is."""
    order = np.argsort((keys >> np.uint64(32)).astype(np.uint16), kind="stable")
    order = order[np.argsort(_leading(keys[order]), kind="stable")]
    alike = keys[order]
    fresh = np.concatenate([[True], alike[1:] != alike[:-1]])[: len(keys)]
    at = np.empty(len(keys), np.intp)
    at[order] = np.cumsum(fresh) - 1
    return alike[fresh], at


class Keyed:
    """A map from keys to unsigned numbers, filled by batches, then asked by batches.

    ``any`` joins the bits of all values of a key, ``least`` keeps the smallest, ``same`` keeps what all agree on (else
    CONFLICT). 0 means absent and is never stored.
    """

    def __init__(self, policy: Policy, scratch: Scratch | None = None, most: int = MOST) -> None:
        """``most``: so many rows wait, or stay, in memory; ``scratch`` takes the others."""
        joined = partial(_joined, policy)
        self._runs = Runs((np.uint64, np.uint64), joined, scratch, thin=joined, most=most)

    def add(self, keys: Keys, values: Keys) -> None:
        """Remember a value for each key but 0, which stands for none. Raises OutputError where the disk is full."""
        present = (values != 0) & (keys != 0)
        self._runs.add((keys[present], values[present].astype(np.uint64)))

    def get(self, keys: Keys | Sought) -> Keys:
        """The value of each key; 0 where there is none."""
        sought = keys if isinstance(keys, Sought) else Sought(keys)
        table = self._runs.table()
        values = np.zeros(len(sought), np.uint64)
        for number, rows in enumerate(sought.among(table.firsts[0])):
            wanted = sought.keys[rows]
            if len(wanted):
                known, theirs = table.piece(number)
                at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
                found = np.flatnonzero(known[at] == wanted)
                values[rows][found] = theirs[at[found]]
                table.forget()
        return sought.in_place(values)

    def knows(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Which of the keys have a value."""
        return np.not_equal(self.get(keys), 0)

    def rows(self) -> Iterator[pl.DataFrame]:
        """All of it, some at a time: columns ``key`` and ``value``, in the order of the keys."""
        for keys, values in self._runs.table().pieces():
            yield pl.DataFrame({"key": keys, "value": values})

    def remember(self, rows: pl.DataFrame) -> None:
        """Add what :meth:`rows` gave."""
        self.add(rows["key"].to_numpy(), rows["value"].to_numpy())

    def settle(self) -> None:
        """All has come: sort it. Else this is done when it is asked for. Raises OutputError where the disk is full."""
        self._runs.table()

    def __len__(self) -> int:
        return self._runs.table().height


def _joined(policy: Policy, rows: Columns) -> Columns:
    keys, values = rows
    if not len(keys):
        return rows
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    joined = (np.bitwise_or if policy == "any" else np.minimum).reduceat(values, starts)
    if policy == "same":
        joined[joined != np.maximum.reduceat(values, starts)] = CONFLICT
    return keys[starts], joined
