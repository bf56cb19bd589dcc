"""Rows of numbers by 64-bit key, any number of them, in bounded memory.

What comes in waits in memory. When that is much, it is sorted and put aside in a scratch file: a *run*. When all has
come, the runs are merged block by block into one table in the order of the keys, which is asked piece by piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
import numpy.typing as npt

from enrich.scratch import Array, Scratch, ScratchFile

Columns = tuple[Array, ...]
"""Equally long arrays, the first of them the keys."""
MOST = 500_000
"""So many rows wait in memory, or stay there."""
_PIECE = 1 << 17
"""So many rows of a file are looked at before their memory is given back."""
_BLOCK = 1 << 12
"""So many rows of each run are in memory while runs are merged; fewer, where there are very many runs."""


class Table:
    """Rows in the order of their keys, in memory or in files."""

    def __init__(self, columns: Columns, files: Sequence[ScratchFile] = (), piece: int = _PIECE) -> None:
        """``piece``: so many rows of files are looked at before their memory is given back."""
        self.columns, self.files = columns, files
        self.height = len(columns[0])
        self._piece = piece if files else max(self.height, 1)
        self.firsts: Columns = tuple(column[:: self._piece].copy() for column in columns)
        self.forget()

    def piece(self, number: int) -> Columns:
        """Some consecutive rows: those from the ``number``th of ``firsts`` on."""
        start = number * self._piece
        return tuple(column[start : start + self._piece] for column in self.columns)

    def pieces(self) -> Iterator[Columns]:
        """All rows, some at a time, and be it none."""
        for number in range(max(1, len(self.firsts[0]))):
            yield self.piece(number)
            self.forget()

    def forget(self) -> None:
        """Give back the memory that looking at files took."""
        for file in self.files:
            file.forget()


class Runs:
    """Rows that come in any order and become one :class:`Table`."""

    def __init__(
        self,
        kinds: Sequence[npt.DTypeLike],
        join: Callable[[Columns], Columns],
        scratch: Scratch | None = None,
        *,
        ordered_by: int = 1,
        thin: Callable[[Columns], Columns] | None = None,
        most: int = MOST,
    ) -> None:
        """``kinds`` are the columns' types; rows are in the order of the first ``ordered_by`` columns.

        ``join`` makes sorted rows fewer; the last that it made it gets again, before those that follow. ``thin`` does
        so before all have come, with any of them. ``most``: rows that memory holds.
        """
        self.kinds = kinds
        self._join, self._thin, self._by = join, thin, ordered_by
        self._scratch, self._most = scratch or Scratch(), most
        self._new: list[Columns] = []
        self._pending = 0
        self._aside: list[ScratchFile] = []
        self._ends: list[int] = [0]
        self._table: Table | None = None

    def add(self, columns: Columns) -> None:
        """Take in rows. Raises OutputError where the disk is full."""
        if self._table is not None and not self._table.files:
            self._take(self._table.columns)
            self._table = None
        self._take(columns)
        if self._pending <= self._most:
            return
        rows = self._gathered()
        if self._thin is not None and len(rows[0]) <= self._most // 2:
            self._take(rows)
        else:
            self._put_aside(rows)

    def table(self) -> Table:
        """All rows that have come, joined."""
        if self._table is not None and not self._pending and not self._aside:
            return self._table
        rows = self._gathered()
        if self._table is None and not self._aside:
            self._table = Table(rows if self._thin is self._join else self._join(rows))
            return self._table
        runs = [rows] if len(rows[0]) else []
        if self._aside:
            columns = tuple(file.array(kind) for file, kind in zip(self._aside, self.kinds, strict=True))
            runs = [*(tuple(c[start:end] for c in columns) for start, end in pairwise(self._ends)), *runs]
        if self._table is not None:
            runs.insert(0, self._table.columns)
        files = [self._scratch.file() for _ in self.kinds]
        for block in self._merged(runs):
            for file, column, kind in zip(files, block, self.kinds, strict=True):
                file.append(column.astype(kind, copy=False))
        self._aside, self._ends = [], [0]
        columns = tuple(file.array(kind) for file, kind in zip(files, self.kinds, strict=True))
        self._table = Table(columns, files, min(_PIECE, self._most))
        return self._table

    def _take(self, columns: Columns) -> None:
        self._new.append(columns)
        self._pending += len(columns[0])

    def _gathered(self) -> Columns:
        """What waits in memory, sorted, and fewer where that may be."""
        none = tuple(np.zeros(0, kind) for kind in self.kinds)
        rows = tuple(np.concatenate(column) for column in zip(none, *self._new, strict=True))
        self._new, self._pending = [], 0
        rows = self._sorted(rows)
        return rows if self._thin is None else self._thin(rows)

    def _put_aside(self, rows: Columns) -> None:
        if not self._aside:
            self._aside = [self._scratch.file() for _ in self.kinds]
        for file, column in zip(self._aside, rows, strict=True):
            file.append(column)
        self._ends.append(self._ends[-1] + len(rows[0]))

    def _sorted(self, rows: Columns, kind: Literal["quicksort", "stable"] = "quicksort") -> Columns:
        """The rows in order; ``stable`` is faster where long parts of them are."""
        order = np.argsort(rows[0], kind=kind) if self._by == 1 else np.lexsort(rows[: self._by][::-1])
        return tuple(column[order] for column in rows)

    def _merged(self, runs: Sequence[Columns]) -> Iterator[Columns]:
        """The rows of sorted runs in one order, joined, some at a time."""
        block = max(1, min(_BLOCK, self._most // len(runs)))
        places = [0] * len(runs)
        last: Columns | None = None
        while any(place < len(run[0]) for run, place in zip(runs, places, strict=True)):
            rests = [tuple(column[place:] for column in run) for run, place in zip(runs, places, strict=True)]
            # Up to there, of no run more than a block is needed (and what is equal to its last row).
            limit = min((self._row(rest, block - 1) for rest in rests if len(rest[0]) > block), default=None)
            counts = [len(rest[0]) if limit is None else self._after(rest, limit) for rest in rests]
            taken = [tuple(column[:count] for column in rest) for rest, count in zip(rests, counts, strict=True)]
            places = [place + count for place, count in zip(places, counts, strict=True)]
            rows = self._sorted(tuple(np.concatenate(column) for column in zip(*taken, strict=True)), "stable")
            if last is not None:
                rows = tuple(np.concatenate(pair) for pair in zip(last, rows, strict=True))
            rows = self._join(rows)
            # The last one may go on in what follows.
            last = tuple(column[-1:] for column in rows)
            yield tuple(column[:-1] for column in rows)
            for file in (*self._aside, *(() if self._table is None else self._table.files)):
                file.forget()
        if last is not None:
            yield last

    def _row(self, rows: Columns, at: int) -> tuple[int, ...]:
        return tuple(int(column[at]) for column in rows[: self._by])

    def _after(self, rows: Columns, row: tuple[int, ...]) -> int:
        """How many of sorted rows are not behind a row."""
        start, end = 0, len(rows[0])
        for column, value in zip(rows, row, strict=False):
            wanted, among = column.dtype.type(value), column[start:end]
            start, end = (
                start + int(np.searchsorted(among, wanted, "left")),
                start + int(np.searchsorted(among, wanted, "right")),
            )
        return end
