"""Counting by group over batches: what roll-ups are made of. Memory is bounded by groups, never by rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.texts import standing_alone

_LOOSE = 100_000
"""Rows of unmerged parts that are allowed beside those already merged."""
_VALUES, _LEAST = 1_000_000, 16
"""So many values are sampled of all groups; no fewer of one."""
_SPAN = 2**32 - 1
"""The last stretch of time that is told apart."""


class _Parts:
    """Frames of one schema that are merged into one whenever they have grown too many."""

    def __init__(self, merge: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
        self._merge = merge
        self._parts: list[pl.DataFrame] = []
        self._merged = self._loose = 0

    def add(self, part: pl.DataFrame) -> None:
        self._parts.append(standing_alone(part))
        self._loose += part.height
        if self._loose > self._merged + _LOOSE:
            self.frame()

    def frame(self) -> pl.DataFrame | None:
        if self._loose:
            merged = standing_alone(self._merge(pl.concat(self._parts)))
            self._parts, self._merged, self._loose = [merged], merged.height, 0
        return self._parts[0] if self._parts else None


class Tally:
    """Rows, sums and first and last time of each group.

    Of each batch it reads the keys, ``ts`` (epoch seconds) and the columns to sum. ``frame()`` has the keys,
    ``first_seen``, ``last_seen``, ``rows`` and the sums. No more than ``most`` groups are kept, no more than ``each``
    of one value of the first key: those with most rows. ``cut`` counts the groups given up for that.
    """

    def __init__(
        self, keys: Sequence[str], sums: Sequence[str] = (), *, most: int | None = None, each: int | None = None
    ) -> None:
        self.keys, self.sums, self.most, self.each = list(keys), list(sums), most, each
        self.cut = 0
        self._parts = _Parts(self._merge)

    def add(self, frame: pl.DataFrame) -> None:
        """Count the rows of a batch."""
        if frame.height:
            seen = (pl.col("ts").min().alias("first_seen"), pl.col("ts").max().alias("last_seen"))
            sums = (pl.col(name).fill_null(0).sum() for name in self.sums)
            self._parts.add(frame.group_by(self.keys).agg(*seen, pl.len().cast(pl.UInt64).alias("rows"), *sums))

    def frame(self) -> pl.DataFrame | None:
        """All groups so far; None before anything was counted."""
        return self._parts.frame()

    def _merge(self, parts: pl.DataFrame) -> pl.DataFrame:
        seen = (pl.col("first_seen").min(), pl.col("last_seen").max())
        merged = parts.group_by(self.keys).agg(*seen, pl.col("rows", *self.sums).sum())
        kept = merged
        if self.each is not None and kept.height > self.each:
            kept = _head(self._busiest(kept), self.keys[:1], self.each)
        if self.most is not None and kept.height > self.most:
            kept = self._busiest(kept).head(self.most)
        self.cut += merged.height - kept.height
        return kept

    def _busiest(self, groups: pl.DataFrame) -> pl.DataFrame:
        """The groups, those with most rows first; those with equally many always in the same order."""
        return groups.sort("rows", *self.keys, descending=[True, *(False for _ in self.keys)])


class Sample:
    """The first ``size`` rows of each group in the order of the column ``by``; of no more than ``most`` groups.

    Rows of a group that agree in the columns (besides ``by``) are one.
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
        self.keys, self.columns = list(keys), list(dict.fromkeys((*columns, by)))
        self._same = list(dict.fromkeys((*keys, *(columns or (by,)))))
        self.by, self.size, self.descending, self.most = by, size, descending, most
        self._parts = _Parts(self._merge)

    def add(self, frame: pl.DataFrame) -> None:
        """Look at the rows of a batch."""
        if frame.height:
            self._parts.add(self._first(frame.select(*self.keys, *self.columns)))

    def frame(self) -> pl.DataFrame | None:
        """The rows kept, in order; None before anything was seen."""
        return self._parts.frame()

    def _first(self, frame: pl.DataFrame) -> pl.DataFrame:
        ordered = frame.sort(self.by, descending=self.descending, maintain_order=True)
        return _head(ordered.unique(self._same, keep="first", maintain_order=True), self.keys, self.size)

    def _merge(self, parts: pl.DataFrame) -> pl.DataFrame:
        return _few(self._first(parts), self.keys, self.most)


class Extremes:
    """The smallest and the largest value of a column in each group (``low``, ``high``), of at most ``most`` groups."""

    def __init__(self, keys: Sequence[str], of: str, most: int = 500_000) -> None:
        self.keys, self.of, self.most = list(keys), of, most
        self._parts = _Parts(self._merge)

    def add(self, frame: pl.DataFrame) -> None:
        """Look at the rows of a batch."""
        if frame.height:
            self._parts.add(
                frame.group_by(self.keys, maintain_order=True).agg(
                    pl.min(self.of).alias("low"), pl.max(self.of).alias("high")
                )
            )

    def frame(self) -> pl.DataFrame | None:
        """The keys, ``low`` and ``high``; None before anything was seen."""
        return self._parts.frame()

    def _merge(self, parts: pl.DataFrame) -> pl.DataFrame:
        return parts.group_by(self.keys, maintain_order=True).agg(pl.min("low"), pl.max("high")).head(self.most)


class Distinct:
    """How many different values of a column each group has, from a sample of those with the smallest hashes.

    Exact up to ``size`` values, then estimated from how far the sample reaches among all hashes, to about one part in
    the square root of ``size`` (Bar-Yossef et al., Counting Distinct Elements in a Data Stream, 2002). Of no more than
    ``most`` groups; where all samples together grow beyond bounds, each gets smaller.
    """

    def __init__(self, keys: Sequence[str], of: str, size: int = 256, most: int = 500_000) -> None:
        self.keys, self.of, self.size, self.most = list(keys), of, size, most
        self._parts = _Parts(self._merge)

    def add(self, frame: pl.DataFrame) -> None:
        """Look at the rows of a batch."""
        if frame.height:
            values = frame.select(*self.keys, self.of).unique()
            self._parts.add(values.with_columns(pl.col(self.of).hash(seed=11).alias("_hash")))

    def values(self) -> pl.DataFrame | None:
        """The sample: keys and values, at most ``size`` of each group."""
        frame = self._parts.frame()
        return None if frame is None else frame.select(*self.keys, self.of)

    def counts(self) -> pl.DataFrame | None:
        """The keys and ``distinct``."""
        frame = self._parts.frame()
        if frame is None:
            return None
        reach = (pl.col("_hash").max().cast(pl.Float64) + 1) / 2.0**64
        held = pl.len().cast(pl.UInt64)
        estimate = ((self.size - 1) / reach).round().cast(pl.UInt64)
        distinct = pl.when(held < self.size).then(held).otherwise(estimate)
        return frame.group_by(self.keys).agg(distinct.alias("distinct"))

    def _merge(self, parts: pl.DataFrame) -> pl.DataFrame:
        groups = parts.select(self.keys).hash_rows(seed=11).to_numpy()
        order = np.lexsort((parts["_hash"].to_numpy(), groups))
        pairs = groups[order], parts["_hash"].to_numpy()[order]
        fresh = _begins(*pairs)
        order, groups = order[fresh], pairs[0][fresh]
        rows = np.arange(len(order))
        place = rows - np.maximum.accumulate(np.where(_begins(groups), rows, 0))
        while np.count_nonzero(place < self.size) > _VALUES and self.size > _LEAST:
            self.size //= 2
        return _few(parts[order[place < self.size]], self.keys, self.most)


class Spans:
    """The stretches of time in which each group was seen. They are ``seconds`` long, longer when too many."""

    def __init__(self, key: str, seconds: int, most: int = 500_000) -> None:
        self.key, self.seconds, self.most = key, seconds, most
        self._numbers = pl.DataFrame(schema={key: pl.String, "number": pl.Int64})
        self._parts = _Parts(self._merge)

    def add(self, frame: pl.DataFrame) -> None:
        """Look at a batch's key and ``ts``."""
        if not frame.height:
            return
        at = (pl.col("ts") // self.seconds).cast(pl.Int64).clip(0, _SPAN)
        spans = frame.select(self.key, at.alias("at")).unique()
        new = spans.select(self.key).unique(maintain_order=True).join(self._numbers, on=self.key, how="anti")
        new = new.head(max(2 * self.most - self._numbers.height, 0))
        numbered = standing_alone(new).with_columns(pl.int_range(pl.len()).alias("number") + self._numbers.height)
        self._numbers = pl.concat([self._numbers, numbered])
        # One number a span is much less to hold and to compare than a text and a time.
        code = (pl.col("number") * (_SPAN + 1) + pl.col("at")).alias("code")
        self._parts.add(spans.join(self._numbers, on=self.key).select(code))

    def frame(self) -> pl.DataFrame | None:
        """The key and ``start`` (epoch seconds) of each stretch; None before anything was seen."""
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


def _few(frame: pl.DataFrame, keys: Sequence[str], most: int) -> pl.DataFrame:
    """The rows of the first groups."""
    groups = frame.select(keys).unique(maintain_order=True)
    if groups.height <= most:
        return frame
    return frame.join(groups.head(most), on=keys, how="semi", nulls_equal=True)
