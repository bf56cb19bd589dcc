"""Which log a record belongs to: by the name it goes by or, where nothing says it, by fields that only that log has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from enrich.model import Resources

TABLE = "logs.csv"


def log_name(path: str) -> str:
    """A log's name from a header or a ``_path`` field, which an attacker may have written: only plain names pass."""
    return path if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", path) else "unknown"


@dataclass(frozen=True)
class Logs:
    """The logs that are known, and sets of fields of which each stands for a log, in the order they are tried."""

    names: frozenset[str]
    signs: tuple[tuple[str, frozenset[str]], ...]

    @classmethod
    def of(cls, rows: Iterable[tuple[str, str | None]]) -> Logs:
        """From pairs of a log's name and its fields (None: known by name alone)."""
        pairs = list(rows)
        return cls(
            frozenset(log for log, _ in pairs),
            tuple((log, frozenset(fields.split())) for log, fields in pairs if fields),
        )

    @cached_property
    def fields(self) -> frozenset[str]:
        """All fields that stand for some log."""
        return frozenset[str]().union(*(fields for _, fields in self.signs))

    def told(self, records: pl.DataFrame) -> pl.Series:
        """The log of each record by the fields it has; null where they tell none."""
        there = [
            pl.when(pl.all_horizontal(pl.col(name).is_not_null() for name in sorted(fields))).then(pl.lit(log))
            for log, fields in self.signs
            if fields <= set(records.columns)
        ]
        if not there:
            return pl.Series("log", [None] * records.height, pl.String)
        return records.select(pl.coalesce(there).alias("log")).to_series()

    def check(self) -> int:
        """See that each set of fields can win; the number of sets. Raises ValueError naming one that never does."""
        for number, (log, fields) in enumerate(self.signs):
            for other, fewer in self.signs[:number]:
                if fewer <= fields:
                    raise ValueError(f"{log}: {' '.join(sorted(fields))}: {other} wins, by {' '.join(sorted(fewer))}")
        return len(self.signs)


def load(resources: Resources) -> Logs:
    """The logs of the table, the site's own first."""
    return resources.shared("logs", lambda: Logs.of(resources.csv(TABLE).select("log", "fields").iter_rows()))
