"""Counting by group over batches: what roll-ups are made of. Memory is bounded by groups, never by rows.

Groups are told apart by a hash of their keys: one number is much less to compare than several texts.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.batch import standing_alone

_LOOSE, _SOON = 100_000, 50
"""Rows of unmerged parts that are allowed, beside half as many as are merged; one in 50 of them where merging tells
which rows need no look any more."""
_MANY = 50
"""So many frames are kept apart: each takes some kilobytes, however few its rows."""
_VALUES, _LEAST = 1_000_000, 16
"""So many values are sampled of all groups; no fewer of one."""
_SPAN = 2**32 - 1
"""The last stretch of time that is told apart."""
ENOUGH = 32_768
"""So many rows are worth being looked at."""
GROUP, _HASH, _ROW = "_group", "_hash", "_row"
_SEED = secrets.randbits(64)
"""Of the hashes of groups: another in each run, so that nobody can write logs in which they collide."""
_DRAW = 11
"""Of the hashes that say what is in a sample, or among equals is kept: the same in each run, as that should be."""


class _Parts:
    """Frames of one schema that are merged into one whenever they have grown too many."""

    def __init__(self, merge: Callable[[pl.DataFrame], pl.DataFrame], share: int = 1) -> None:
        self._merge, self._share = merge, share
        self._parts: list[pl.DataFrame] = []
        self._merged = self._loose = 0

    def add(self, part: pl.DataFrame) -> None:
        self._parts.append(standing_alone(part))
        self._loose += part.height
        if self._loose > self._merged // 2 + _LOOSE // self._share or len(self._parts) > _MANY:
            self.frame()

    def frame(self) -> pl.DataFrame | None:
        if self._loose:
            merged = standing_alone(self._merge(pl.concat(self._parts)))
            self._parts, self._merged, self._loose = [merged], merged.height, 0
        return self._parts[0] if self._parts else None


class Waiting:
    """Frames that wait until there are rows enough to be worth looking at: each look costs, however few the rows."""

    def __init__(self, look: Callable[[pl.DataFrame], None], enough: int) -> None:
        self._look, self._enough = look, enough
        self._frames: list[pl.DataFrame] = []
        self._rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        """Take in a frame; look at it, and at all that waited, if they are enough together."""
        if not frame.height:
            return
        self._frames.append(frame if frame.height * 2 >= self._enough else standing_alone(frame))
        self._rows += frame.height
        if self._rows >= self._enough:
            self.look()
        elif len(self._frames) > _MANY:
            self._frames = [standing_alone(pl.concat(self._frames, rechunk=True))]

    def look(self) -> None:
        """Look at what waits."""
        frames, self._frames, self._rows = self._frames, [], 0
        if frames:
            self._look(frames[0] if len(frames) == 1 else pl.concat(frames, rechunk=True))


class _Counting:
    """What counters have in common: the columns that they read of a batch, and few rows wait for more."""

    def __init__(self, reads: Sequence[str]) -> None:
        self._reads = list(dict.fromkeys(reads))
        self._waiting = Waiting(self._look, ENOUGH)

    def add(self, frame: pl.DataFrame) -> None:
        """Look at the rows of a batch."""
        self._waiting.add(frame[self._reads])

    def _look(self, frame: pl.DataFrame) -> None:
        raise NotImplementedError


class Tally(_Counting):
    """Rows, sums and first and last time of each group.

    Of each batch it reads the keys, ``ts`` (epoch seconds) and the columns to sum. ``frame()`` has the keys,
    ``first_seen``, ``last_seen``, ``rows`` and the sums. No more than ``most`` groups are kept, no more than ``each``
    of one value of the first key: those with most rows. ``cut`` counts the groups given up for that.
    """

    def __init__(
        self, keys: Sequence[str], sums: Sequence[str] = (), *, most: int | None = None, each: int | None = None
    ) -> None:
        super().__init__((*keys, "ts", *sums))
        self.keys, self.sums, self.most, self.each = list(keys), list(sums), most, each
        self.cut = 0
        self._parts = _Parts(self._merge)

    def _look(self, frame: pl.DataFrame) -> None:
        seen = (pl.col("ts").min().alias("first_seen"), pl.col("ts").max().alias("last_seen"))
        sums = (pl.col(name).fill_null(0).sum() for name in self.sums)
        rows = _numbered(hashed(frame, self.keys), *(frame[name] for name in ("ts", *self.sums)))
        counted = rows.group_by(GROUP).agg(pl.first(_ROW), *seen, pl.len().cast(pl.UInt64).alias("rows"), *sums)
        self._parts.add(_with(counted, frame, self.keys))

    def frame(self) -> pl.DataFrame | None:
        """All groups so far; None before anything was counted."""
        self._waiting.look()
        frame = self._parts.frame()
        return None if frame is None else frame.select(*self.keys, "first_seen", "last_seen", "rows", *self.sums)

    def _merge(self, parts: pl.DataFrame) -> pl.DataFrame:
        seen = (pl.col("first_seen").min(), pl.col("last_seen").max())
        numbered = parts.drop(self.keys).with_row_index(_ROW)
        merged = numbered.group_by(GROUP).agg(pl.first(_ROW), *seen, pl.col("rows", *self.sums).sum())
        kept, keys = merged, parts[self.keys]
        if self.each is not None and kept.height > self.each:
            kept = _busiest(kept, keys, keys[self.keys[0]].hash(_SEED).gather(kept[_ROW]), self.each)
        if self.most is not None and kept.height > self.most:
            kept = _busiest(kept, keys, pl.repeat(0, kept.height, eager=True), self.most)
        self.cut += merged.height - kept.height
        return _with(kept, keys, self.keys)


class Sample(_Counting):
    """The first ``size`` rows of each group in the order of the column ``by``; of no more than ``most`` groups.

    Rows of a group that agree in the columns (besides ``by``) are one. ``cut`` counts the groups given up.
    """

    def __init__(
        self,
        keys: Sequence[str],
        columns: Sequence[str],
        *,
        by: str = "ts",
        size: int = 20,
        descending: bool = False,
        most: int = 100_000,
    ) -> None:
        super().__init__((*keys, *columns, by))
        self.keys, self.columns = list(keys), list(dict.fromkeys((*columns, by)))
        self._same = [GROUP, *(columns or (by,))]
        self.by, self.size, self.descending, self.most = by, size, descending, most
        self.cut = 0
        self._parts = _Parts(self._merge, _SOON)
        self._full: pl.DataFrame | None = None

    def _look(self, frame: pl.DataFrame) -> None:
        rows = _numbered(hashed(frame, self.keys), frame[self.by])
        if self._full is not None:
            rows = self._before(rows, self._full)
        if rows.height:
            rows = _with(rows, frame, [name for name in (*self.keys, *self.columns) if name != self.by])
            self._parts.add(self._first(rows))

    def frame(self) -> pl.DataFrame | None:
        """The rows kept, in order; None before anything was seen."""
        self._waiting.look()
        frame = self._parts.frame()
        return None if frame is None else frame.select(*self.keys, *self.columns)

    def _before(self, rows: pl.DataFrame, full: pl.DataFrame) -> pl.DataFrame:
        """The rows that may yet be among the first of their group."""
        by, last = pl.col(self.by), pl.col("_last")
        sooner = by > last if self.descending else by < last
        known = rows.join(full, on=GROUP, how="left", maintain_order="left")
        return known.filter(last.is_null() | by.is_null() | sooner)[rows.columns]

    def _first(self, frame: pl.DataFrame) -> pl.DataFrame:
        rows = _numbered(hashed(frame, self._same).alias(_HASH), frame[GROUP], frame[self.by])
        rows = rows.sort(self.by, descending=self.descending, maintain_order=True)
        return frame[_head(rows[rows[_HASH].arg_unique().sort()], [GROUP], self.size)[_ROW]]

    def _merge(self, parts: pl.DataFrame) -> pl.DataFrame:
        first = self._first(parts)
        kept = _few(first, [GROUP], self.most)
        if kept.height < first.height:
            self.cut += first[GROUP].n_unique() - self.most
        full = kept.group_by(GROUP).agg(pl.len(), pl.col(self.by).last().alias("_last"))
        self._full = full.filter(pl.col("len") >= self.size).drop("len")
        return kept


class Extremes(_Counting):
    """The smallest and the largest value of a column in each group (``low``, ``high``), of at most ``most`` groups."""

    def __init__(self, keys: Sequence[str], of: str, most: int = 500_000) -> None:
        super().__init__((*keys, of))
        self.keys, self.of, self.most = list(keys), of, most
        self._parts = _Parts(self._merge)

    def _look(self, frame: pl.DataFrame) -> None:
        extremes = pl.min(self.of).alias("low"), pl.max(self.of).alias("high")
        self._parts.add(frame.group_by(self.keys, maintain_order=True).agg(*extremes))

    def frame(self) -> pl.DataFrame | None:
        """The keys, ``low`` and ``high``; None before anything was seen."""
        self._waiting.look()
        return self._parts.frame()

    def _merge(self, parts: pl.DataFrame) -> pl.DataFrame:
        return parts.group_by(self.keys, maintain_order=True).agg(pl.min("low"), pl.max("high")).head(self.most)


class Distinct(_Counting):
    """How many different values of a column each group has, from a sample of those with the smallest hashes.

    Exact up to ``size`` values, then estimated from how far the sample reaches among all hashes, to about one part in
    the square root of ``size`` (Bar-Yossef et al., Counting Distinct Elements in a Data Stream, 2002). Of no more than
    ``most`` groups; where all samples together grow beyond bounds, each gets smaller. Where only the counts are asked
    for (``values=False``), hashes are all that is kept of the values.
    """

    def __init__(
        self, keys: Sequence[str], of: str, size: int = 256, most: int = 500_000, *, values: bool = True
    ) -> None:
        super().__init__((*keys, of))
        self.keys, self.of, self.size, self.most = list(keys), of, size, most
        self._valued = [of] if values else []
        self._parts = _Parts(self._merge, _SOON)
        self._named = _Parts(self._merge_names)
        self._full: pl.DataFrame | None = None

    def _look(self, frame: pl.DataFrame) -> None:
        hashes = frame[self.of].hash(seed=_DRAW).alias(_HASH)
        rows = _numbered(hashed(frame, self.keys, _DRAW), hashes)
        if self._full is not None:
            known = rows.join(self._full, on=GROUP, how="left", maintain_order="left")
            reach = pl.col("_reach")
            rows = known.filter(reach.is_null() | (pl.col(_HASH) < reach))[rows.columns]
        rows = rows[hashed(rows, (GROUP, _HASH)).arg_unique()]
        if rows.height:
            named = rows[rows[GROUP].arg_unique()][[_ROW, GROUP]]
            self._named.add(_with(named, frame, self.keys))
            self._parts.add(_with(rows, frame, self._valued))

    def values(self) -> pl.DataFrame | None:
        """The sample: keys and values, at most ``size`` of each group."""
        self._waiting.look()
        frame = self._parts.frame()
        return None if frame is None else self._with_keys(frame).select(*self.keys, self.of)

    def counts(self) -> pl.DataFrame | None:
        """The keys and ``distinct``."""
        self._waiting.look()
        frame = self._parts.frame()
        if frame is None:
            return None
        reach = (pl.col(_HASH).max().cast(pl.Float64) + 1) / 2.0**64
        held = pl.len().cast(pl.UInt64)
        estimate = ((self.size - 1) / reach).round().cast(pl.UInt64)
        distinct = pl.when(held < self.size).then(held).otherwise(estimate)
        return self._with_keys(frame.group_by(GROUP).agg(distinct.alias("distinct"))).select(*self.keys, "distinct")

    def _with_keys(self, frame: pl.DataFrame) -> pl.DataFrame:
        named = self._named.frame()
        if named is None:
            raise AssertionError("groups without names")
        return frame.join(named, on=GROUP)

    def _merge(self, parts: pl.DataFrame) -> pl.DataFrame:
        ordered = parts.sort(_HASH).sort(GROUP, maintain_order=True)
        groups, hashes = ordered[GROUP].to_numpy(), ordered[_HASH].to_numpy()
        fresh = np.flatnonzero(_begins(groups, hashes))
        begins = _begins(groups[fresh])
        place = np.arange(len(fresh)) - np.maximum.accumulate(np.where(begins, np.arange(len(fresh)), 0))
        while np.count_nonzero(place < self.size) > _VALUES and self.size > _LEAST:
            self.size //= 2
        kept = ordered[fresh[(place < self.size) & (np.cumsum(begins) <= self.most)]]
        full = kept.group_by(GROUP).agg(pl.len(), pl.col(_HASH).max().alias("_reach"))
        self._full = full.filter(pl.col("len") >= self.size).drop("len")
        return kept

    def _merge_names(self, parts: pl.DataFrame) -> pl.DataFrame:
        named = parts.unique(GROUP)
        return named if named.height <= self.most else named.sort(GROUP).head(self.most)


class Spans(_Counting):
    """The stretches of time in which each group was seen. They are ``seconds`` long, longer when too many."""

    def __init__(self, key: str, seconds: int, most: int = 500_000) -> None:
        super().__init__((key, "ts"))
        self.key, self.seconds, self.most = key, seconds, most
        self._numbers = pl.DataFrame(schema={GROUP: pl.UInt64, key: pl.String, "number": pl.Int64})
        self._parts = _Parts(self._merge)

    def _look(self, frame: pl.DataFrame) -> None:
        at = (frame["ts"] // self.seconds).cast(pl.Int64).clip(0, _SPAN).alias("at")
        rows = _numbered(frame[self.key], at)
        spans = rows[hashed(rows, (self.key, "at")).arg_unique()]
        spans = pl.DataFrame([hashed(spans, [self.key]), spans[_ROW], spans["at"]])
        new = spans[[_ROW, GROUP]].join(self._numbers, on=GROUP, how="anti", maintain_order="left")
        new = new.unique(GROUP, maintain_order=True).head(max(2 * self.most - self._numbers.height, 0))
        if new.height:
            numbers = pl.int_range(pl.len()).alias("number") + self._numbers.height
            numbered = standing_alone(_with(new, frame, [self.key])).with_columns(numbers)
            self._numbers = pl.concat([self._numbers, numbered], rechunk=True)
        # One number a span is much less to hold and to compare than a text and a time.
        code = (pl.col("number") * (_SPAN + 1) + pl.col("at")).alias("code")
        self._parts.add(spans.join(self._numbers, on=GROUP).select(code))

    def frame(self) -> pl.DataFrame | None:
        """The key and ``start`` (epoch seconds) of each stretch; None before anything was seen."""
        self._waiting.look()
        codes = self._parts.frame()
        if codes is None:
            return None
        start = (pl.col("code") % (_SPAN + 1) * self.seconds).alias("start")
        spans = codes.select(pl.col("code") // (_SPAN + 1), start)
        return spans.join(self._numbers, left_on="code", right_on="number").select(self.key, "start")

    def _merge(self, parts: pl.DataFrame) -> pl.DataFrame:
        merged = parts.unique()
        while merged.height > self.most and self.seconds < 86400:
            self.seconds *= 2
            number, at = pl.col("code") // (_SPAN + 1), pl.col("code") % (_SPAN + 1)
            merged = merged.select(number * (_SPAN + 1) + at // 2).unique()
        return merged if merged.height <= self.most else merged.sort("code").head(self.most)


def hashed(frame: pl.DataFrame, keys: Sequence[str], seed: int = _SEED) -> pl.Series:
    """One number for the keys of each row."""
    return frame[list(keys)].hash_rows(seed=seed).alias(GROUP)


def _numbered(*columns: pl.Series) -> pl.DataFrame:
    """The columns with the number of each row."""
    return pl.DataFrame([pl.Series(_ROW, np.arange(len(columns[0]), dtype=np.uint32)), *columns])


def _with(rows: pl.DataFrame, frame: pl.DataFrame, columns: Sequence[str]) -> pl.DataFrame:
    """Numbered rows of a frame with more of its columns."""
    known = (rows[name] for name in rows.columns if name != _ROW)
    more = frame[list(columns)][rows[_ROW]] if columns else ()
    return pl.DataFrame([*known, *more])


def _begins(*sorted_columns: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Where a new value, or combination of values, begins."""
    begins = np.zeros(len(sorted_columns[0]), dtype=bool)
    begins[:1] = True
    for column in sorted_columns:
        begins[1:] |= column[1:] != column[:-1]
    return begins


def _head(ordered: pl.DataFrame, keys: Sequence[str], size: int) -> pl.DataFrame:
    """The first rows of each group of an ordered frame, in that order."""
    if ordered.height <= size:
        return ordered
    return ordered.filter(pl.int_range(pl.len()).over(keys) < size)


def _busiest(groups: pl.DataFrame, keys: pl.DataFrame, of: pl.Series, most: int) -> pl.DataFrame:
    """Of each value ``of`` so many groups: those with most rows; of those with equally many always the same."""
    judged = groups.with_columns(of=of)
    crowded = judged.group_by("of").len().filter(pl.col("len") > most)
    if not crowded.height:
        return groups
    least = judged.join(crowded, on="of", how="semi").group_by("of").agg(least=pl.col("rows").top_k(most).min())
    judged = judged.join(least, on="of", how="left", maintain_order="left")
    sure = judged.filter(pl.col("least").is_null() | (pl.col("rows") > pl.col("least")))
    equal = judged.filter(pl.col("rows") == pl.col("least"))
    room = equal.select("of").unique().join(sure.group_by("of").agg(pl.len()), on="of", how="left")
    room = room.select("of", room=most - pl.col("len").fill_null(0).cast(pl.Int64))
    order = hashed(keys[equal[_ROW]], keys.columns, _DRAW).arg_sort()
    equal = equal[order].join(room, on="of", maintain_order="left")
    equal = equal.filter(pl.int_range(pl.len()).over("of") < pl.col("room"))
    return pl.concat([sure[groups.columns], equal[groups.columns]])


def _few(frame: pl.DataFrame, keys: Sequence[str], most: int) -> pl.DataFrame:
    """The rows of the first groups."""
    groups = frame.select(keys).unique(maintain_order=True)
    if groups.height <= most:
        return frame
    return frame.join(groups.head(most), on=keys, how="semi", nulls_equal=True)
