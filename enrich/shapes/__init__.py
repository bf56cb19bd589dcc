"""Records as the reader wants them: each shape turns an enriched batch into the text of its records.

It renders the small tables of added columns, each distinct row once a run, and puts rows together by their numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import polars as pl

from enrich.batch import Batch, Form
from enrich.model import Added

Texts = pl.DataFrame
"""The texts of a batch's added columns, row by row; a column for each table of them."""
Parts = Sequence[pl.Series | str]
"""Texts row by row, or the same in each row."""
PREFIX = "enrich."
"""What comes before an added column's name where the input has one of that name."""
_PIECE = 4_096
"""So many records become text at a time."""


class Lines(NamedTuple):
    """Lines without their ends, in cells: a line is its row of ``cells``, the separator between them.

    So the writer puts them together, and no text is copied before.
    """

    cells: pl.DataFrame
    separator: str = "\x1f"

    @classmethod
    def of(cls, parts: Parts, separator: str) -> Self:
        """Lines that consist of these parts."""
        height = max(part.len() for part in parts if isinstance(part, pl.Series))
        columns = (part if isinstance(part, pl.Series) else _repeated(part, height) for part in parts)
        return cls(pl.DataFrame([column.alias(str(at)) for at, column in enumerate(columns)]), separator)

    def whole(self) -> pl.Series:
        """The lines as one column."""
        return self.cells.select(pl.concat_str(pl.all(), separator=self.separator)).to_series()


@dataclass(slots=True)
class Enriched:
    """A batch and the columns to append to it.

    ``taken`` are names of added columns that the input has already; ``clashes`` says which records have one (None:
    all of them, as in a TSV log, where it is the header that names them).
    """

    batch: Batch
    added: list[Added]
    taken: frozenset[str] = frozenset()
    clashes: pl.Series | None = None

    @classmethod
    def of(cls, batch: Batch, added: list[Added]) -> Enriched:
        """Look up which names the input has already."""
        names = [name for item in added for name in item.table.columns if not name.startswith("_")]
        if batch.form is Form.TSV:
            return cls(batch, added, frozenset(name for name in batch.types if _bare(name) in names))
        if batch.form is Form.EVE or batch.raw is None or not names:
            return cls(batch, added)
        return cls(batch, added, *_members(batch.raw, names))

    def visible(self, table: pl.DataFrame, taken: Collection[str] | None = None) -> dict[str, str]:
        """The columns of an added table that are written, and their names; the input's own names are never taken."""
        taken = self.taken if taken is None else taken
        return {name: own_name(name, taken) for name in table.columns if not name.startswith("_")}


def own_name(name: str, taken: Collection[str]) -> str:
    """The name of an added column where the input has some of its own."""
    while name in taken:
        name = f"{PREFIX}{name}"
    return name


def _members(raw: pl.Series, names: Sequence[str]) -> tuple[frozenset[str], pl.Series | None]:
    """Which of the names, with or without our prefix, are members of some JSON records, and of which."""
    # A name in quotes before a colon is a member's: inside a text its second quote would be escaped.
    maybe = raw.str.contains_any([f'"{name}"' for name in names])
    if not maybe.any():
        return frozenset(), None
    member = rf'"(?:{re.escape(PREFIX)})*(?:{"|".join(map(re.escape, names))})"\s*:'
    found = raw.filter(maybe).str.extract_all(member)
    taken = found.explode(empty_as_null=False).unique().str.extract(r'^"(.*)"')
    return frozenset(taken), maybe.scatter(maybe.arg_true(), found.list.len() > 0)


def _bare(name: str) -> str:
    while name.startswith(PREFIX):
        name = name.removeprefix(PREFIX)
    return name


def _repeated(text: str, height: int) -> pl.Series:
    return pl.Series([text]).new_from_index(0, height)


def in_pieces(batch: Batch, texts: Texts, lines: Callable[[Batch, Texts], Lines]) -> Iterator[Lines]:
    """The lines of a batch, whose added columns are texts already, piece by piece."""
    for part, piece in batch.pieces(_PIECE):
        yield lines(piece, texts[part])


def texts_of(item: Enriched, rendered: Callable[[Added], pl.Series]) -> Texts:
    """The texts of those added tables of which anything is written."""
    written = (added for added in item.added if item.visible(added.table))
    return pl.DataFrame([rendered(added).alias(str(at)) for at, added in enumerate(written)])


class Shape(Protocol):
    """How records are written."""

    one_file: bool
    """All logs of an input go to one file, in the input's order."""

    def lines(self, enriched: list[Enriched]) -> Iterator[Lines]:
        """The records of batches that go to one file, a line each, in pieces."""

    def header(self, text: str, enriched: Enriched) -> list[str]:
        """An input's header lines; none for most shapes."""


def joined(parts: Parts) -> pl.Series:
    """Join texts row by row."""
    return Lines.of(parts, "").whole()
