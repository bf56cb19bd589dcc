"""DNS answers by the client that got them and by time: which name an address stood for when a flow began."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.keyed import Keys, Sought
from enrich.runs import MOST, Columns, Runs
from enrich.scratch import Scratch

Times = npt.NDArray[np.uint64]
_COLUMNS = ("key", "since", "until", "value")
_LOW = np.uint64(32)
_SECOND = 1_000_000
"""``since`` is in microseconds, as exact as logs are, since a name may be asked for just before the next."""
_LAST = 2**32 - 2**21
"""The last second that is told apart, with room for what an answer lasts."""


class Answers:
    """DNS answers: under which key (client and address) which name was told, from when until when.

    An answer that repeats the one before it lengthens that one. Where some come after others were joined, one that
    falls between two of the same name may win too early.
    """

    def __init__(self, grace: int = 3600, scratch: Scratch | None = None, most: int = MOST) -> None:
        """``grace``: seconds that an answer still holds after its TTL; ``most`` and ``scratch`` as of Keyed."""
        self.grace = grace
        kinds = (np.uint64, np.uint64, np.uint32, np.uint64)
        self._runs = Runs(kinds, _lengthened, scratch, ordered_by=2, thin=_repeated_once, most=most)

    def add(self, keys: Keys, times: pl.Series, ttls: pl.Series, names: Keys) -> None:
        """Remember answers that have a time; times in epoch seconds, TTLs in seconds (at most a week counts).

        Raises OutputError where the disk is full.
        """
        dated = times.is_not_null()
        if not dated.all():
            keys, names = keys[dated.to_numpy()], names[dated.to_numpy()]
            times, ttls = times.filter(dated), ttls.filter(dated)
        since = _microseconds(times)
        lasting = ttls.fill_null(0).fill_nan(0).clip(0, 7 * 86400).cast(pl.UInt32).to_numpy()
        self._runs.add((keys, since, _seconds(since) + lasting + np.uint32(self.grace), names))

    def get(self, keys: Keys | Sought, times: pl.Series) -> Keys:
        """The name key of the latest answer before each time, within its TTL and the grace; 0 where there is none."""
        sought = keys if isinstance(keys, Sought) else Sought(keys)
        table = self._runs.table()
        when = sought.ordered(_microseconds(times))
        names = np.zeros(len(sought), np.uint64)
        # The piece whose first row is the last before what is sought; most rows are in its order already.
        pieces = _not_behind(table.firsts, sought.keys, when)
        order = np.argsort(pieces, kind="stable")
        for asking in np.split(order, np.flatnonzero(np.diff(pieces[order])) + 1):
            if len(asking) and (number := int(pieces[asking[0]])):
                piece = table.piece(number - 1)
                known, _, until, theirs = piece
                first = np.minimum(np.searchsorted(known, sought.keys[asking]), len(known) - 1)
                rows = asking[known[first] == sought.keys[asking]]
                at = _not_behind(piece, sought.keys[rows], when[rows]) - 1
                holds = (known[at] == sought.keys[rows]) & (_seconds(when[rows]) <= until[at])
                names[rows[holds]] = theirs[at[holds]]
                table.forget()
        found = sought.in_place(names)
        found[times.is_null().to_numpy()] = 0
        return found

    def rows(self) -> Iterator[pl.DataFrame]:
        """All of it, some at a time: columns ``key``, ``since`` (epoch microseconds), ``until`` (seconds), ``value``.

        Values are names. In the order of their keys and times.
        """
        for piece in self._runs.table().pieces():
            yield pl.DataFrame(dict(zip(_COLUMNS, piece, strict=True)))

    def remember(self, rows: pl.DataFrame) -> None:
        """Add what :meth:`rows` gave."""
        self._runs.add(tuple(rows[name].to_numpy() for name in _COLUMNS))

    def settle(self) -> None:
        """All has come: sort it. Else this is done when it is asked for. Raises OutputError where the disk is full."""
        self._runs.table()

    def __len__(self) -> int:
        return self._runs.table().height


def _microseconds(times: pl.Series) -> Times:
    return (times.fill_null(0).fill_nan(0).clip(0, _LAST) * _SECOND).round().cast(pl.UInt64).to_numpy()


def _seconds(times: Times) -> npt.NDArray[np.uint32]:
    return (times // np.uint64(_SECOND)).astype(np.uint32)


def _not_behind(rows: Columns, keys: Keys, when: Times) -> npt.NDArray[np.intp]:
    """How many of the rows, in the order of their keys and times, are not behind each key and time."""
    known, since = rows[:2]
    low, high = np.searchsorted(known, keys), np.searchsorted(known, keys, "right")
    # Halving, for all at once: a server of many names may have any number of answers.
    while (undecided := np.flatnonzero(low < high)).size:
        middle = (low[undecided] + high[undecided]) // 2
        later = since[middle] > when[undecided]
        low[undecided[~later]], high[undecided[later]] = middle[~later] + 1, middle[later]
    return low


def _lengthened(rows: Columns) -> Columns:
    """Answers by key and time, each run of the same name under the same key as one, as long as no gap parts them."""
    keys, since, until, names = _repeated_once(rows)
    if not len(keys):
        return rows
    other = np.concatenate([[True], (keys[1:] != keys[:-1]) | (names[1:] != names[:-1])])
    # The latest end so far under each key and name: numbered, none is taken for that of those before.
    ends = np.maximum.accumulate(np.cumsum(other).astype(np.uint64) << _LOW | until).astype(np.uint32)
    other[1:] |= _seconds(since[1:]) > ends[:-1]
    starts = np.flatnonzero(other)
    return keys[starts], since[starts], np.maximum.reduceat(until, starts), names[starts]


def _repeated_once(rows: Columns) -> Columns:
    """Of answers of one name under one key at one time the last only, which lasts as long as the longest of them."""
    keys, since, until, names = rows
    alike = np.flatnonzero((keys[1:] == keys[:-1]) & (since[1:] == since[:-1]))
    if not len(alike):
        return rows
    among = np.union1d(alike, alike + 1)
    order = among[np.lexsort((among, names[among], since[among], keys[among]))]
    same = (names[order][1:] == names[order][:-1]) & (since[order][1:] == since[order][:-1])
    same &= keys[order][1:] == keys[order][:-1]
    starts = np.flatnonzero(np.concatenate([[True], ~same]))
    last = order[np.concatenate([starts[1:] - 1, [len(order) - 1]])]
    longest = until.copy()
    longest[last] = np.maximum.reduceat(until[order], starts)
    kept = np.ones(len(keys), bool)
    kept[among] = False
    kept[last] = True
    return keys[kept], since[kept], longest[kept], names[kept]
