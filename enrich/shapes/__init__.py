"""Records as the reader wants them: each shape turns an enriched batch into the text of its records.

A shape works in two steps. ``prepare`` runs where the enrichers run: it renders the small tables of added columns, each
distinct row once. What it returns does the heavy part and may run in another thread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from enrich.batch import Batch
from enrich.model import Added

Encoded = Callable[[], pl.Series]
"""The records as one line each, without line ends."""


@dataclass(slots=True)
class Enriched:
    """A batch and the columns to append to it. ``taken`` are names that the input already has."""

    batch: Batch
    added: list[Added]
    taken: frozenset[str] = frozenset()

    def visible(self, table: pl.DataFrame) -> dict[str, str]:
        """The columns of an added table that are written, and their names; the input's own names are never taken."""
        return {
            name: f"enrich.{name}" if name in self.taken else name for name in table.columns if not name.startswith("_")
        }


class Shape(Protocol):
    """How records are written."""

    suffix: str
    one_file: bool
    """All logs of an input go to one file, in the input's order."""

    def prepare(self, enriched: list[Enriched]) -> Encoded:
        """Prepare the batches that go to one file; call the result for their lines."""

    def header(self, text: str, enriched: Enriched) -> list[str]:
        """An input's header lines; none for most shapes."""


def joined(parts: list[pl.Series | str]) -> pl.Series:
    """Join texts row by row."""
    expressions = [pl.lit(part) for part in parts]
    return pl.select(pl.concat_str(expressions)).to_series()
