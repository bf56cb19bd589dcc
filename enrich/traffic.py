"""What a run's flows were, by application: the roll-up behind the closing summary and ``run.json``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from enrich.flows import ANSWERED, among
from enrich.model import Accumulator, Resources, RollUp
from enrich.tally import GROUP, hashed

_BY = ("app.protocol", "app.name", "app.category")
_GROUPS = (*_BY, "silent")
_SPOKEN = [state for state in ANSWERED if state != "empty"]
_SIZES = ("orig_ip_bytes", "resp_ip_bytes")


class Traffic:
    """Flows and bytes by protocol, application and category.

    Flows without a protocol are parted by ``silent``: whether nobody answered them, or nothing was said.
    """

    notes = ()

    def __init__(self) -> None:
        self.totals: pl.DataFrame | None = None

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Count one conn batch."""
        if not {*_BY, "_state"} <= {*frame.columns}:
            return
        sizes = [pl.col(name).fill_null(0) for name in _SIZES if name in frame.columns] or [pl.lit(0, pl.UInt64)]
        unknown = pl.col("app.protocol").is_null()
        silent = pl.when(unknown).then(~among(pl.col("_state"), _SPOKEN)).alias("silent")
        frame = frame.with_columns(silent)
        grouped = frame.with_columns(hashed(frame, _GROUPS)).group_by(GROUP)
        counted = grouped.agg(
            pl.col(_GROUPS).first(),
            pl.len().cast(pl.UInt64).alias("flows"),
            pl.sum_horizontal(sizes).cast(pl.UInt64).sum().alias("bytes"),
            pl.col("app.contradiction").sum().cast(pl.UInt64).alias("contradictions"),
        ).drop(GROUP)
        both = counted if self.totals is None else pl.concat([self.totals, counted])
        self.totals = both.group_by(_GROUPS).agg(pl.col("flows", "bytes", "contradictions").sum())

    def results(self) -> Iterable[Mapping[str, Any]]:
        """One record an application, most flows first."""
        if self.totals is None:
            return []
        ordered = self.totals.sort("flows", "bytes", *_GROUPS, descending=[True, True, *(False for _ in _GROUPS)])
        return ordered.rename({name: name.removeprefix("app.") for name in _BY}).iter_rows(named=True)


def _start(_: Resources) -> Accumulator:
    return Traffic()


ROLL_UP = RollUp(
    name="traffic",
    doc="Flows and bytes by protocol, application and category.",
    reads={"conn": frozenset({*_BY, *_SIZES, "app.contradiction", "_state"})},
    start=_start,
    own_file=False,
)
