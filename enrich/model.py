"""What an enricher is: a declaration and one pure function on distinct keys.

An :class:`Enricher` names its key columns, the columns it adds, the logs it applies to (:class:`Use`) and the tables
it needs. Its ``prepare`` gets the tables once and returns the *work*: a function that receives a frame of **distinct**
keys (one column per name in ``keys``, any height, nulls possible) and returns a frame of the **same height and order**
holding exactly the ``adds`` columns; no match is null, an exception means a bug. One thread at a time calls it; what
several enrichers share (``Resources.shared``) may be used by several threads at a time. Everything else follows from
the declaration: caching, validation, documentation, and the same enricher on files and on DataFrames.

:class:`Memo` is the one place where that function is called: it remembers results over batches, so that each
distinct User-Agent, banner, address or name is worked out once a run, and hands a batch back as *row numbers into a
small table* (:class:`Added`). Shapes render the small table, not the rows.

This module imports nothing local.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Protocol, TypeVar, runtime_checkable

import polars as pl

Work = Callable[[pl.DataFrame], pl.DataFrame]
Render = Callable[[pl.DataFrame], pl.Series]
T = TypeVar("T")
ROW = "__row__"
_HASH = "__hash__"
_SEED = secrets.randbits(64)
"""Of the hashes by which keys are remembered: another in each run, so that nobody can write logs whose keys collide."""


class Resources(Protocol):
    """What ``prepare`` may ask for: mapping tables and the site's settings. No other I/O belongs in an enricher."""

    def csv(self, name: str) -> pl.DataFrame:
        """Return the CSV table ``mappings/<name>``, the site's own rows first, all columns strings."""

    def folder(self, name: str) -> pl.DataFrame:
        """Return all CSV tables of the folder ``mappings/<name>`` as one, the site's own rows first."""

    def names(self, folder: str, suffix: str) -> list[str]:
        """Return the names of the tables of a folder, sorted."""

    def overlays(self, name: str) -> list[Path]:
        """Return the site's own files for a table or folder."""

    def toml(self, name: str) -> dict[str, Any]:
        """Return the TOML table ``mappings/<name>``."""

    def path(self, name: str) -> Path:
        """Return where ``mappings/<name>`` lies (for folders and databases)."""

    def settings(self, section: str) -> Mapping[str, Any]:
        """Return a section of the site's configuration; empty if there is none."""

    def setting_path(self, section: str, key: str) -> Path | None:
        """Return a path named in the configuration, relative to the configuration file."""

    def shared(self, name: str, build: Callable[[], T]) -> T:
        """Build something expensive once a run and share it between enrichers, and so between threads."""


@dataclass(frozen=True, slots=True)
class Use:
    """Where an enricher applies: in which logs, with which of their columns as keys, under which prefix.

    ``columns`` are in the order of the enricher's ``keys``. A log that lacks every one of them is left alone; a
    missing column beside a present one reads as null. ``absent`` names a column of the log that, when it is there,
    makes the enricher stand back (the log has the answer already).
    """

    logs: tuple[str, ...]
    columns: tuple[str, ...]
    prefix: str = ""
    absent: str | None = None


@dataclass(frozen=True, slots=True)
class Enricher:
    """One enricher: its name, what it reads and adds, and how its work is prepared."""

    name: str
    doc: str
    keys: Mapping[str, pl.DataType | type[pl.DataType]]
    adds: Mapping[str, pl.DataType | type[pl.DataType]]
    uses: tuple[Use, ...]
    prepare: Callable[[Resources], Work]
    tables: tuple[str, ...] = ()
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Sections of the site's configuration that it alone reads, and their keys."""
    narrow: Callable[[pl.DataFrame], pl.DataFrame] | None = None
    """Blanks in the key columns, whole columns at a time, what the work will not look at: fewer distinct keys."""
    distinct: bool = True
    """False for keys of which nearly every row has its own: the work then gets the rows as they are."""

    def columns(self) -> list[str]:
        """Every column this enricher can add, with its prefixes."""
        return sorted({use.prefix + name for use in self.uses for name in self.adds})


class Accumulator(Protocol):
    """What a roll-up knows so far. Its memory is bounded by distinct things (hosts, applications), not by rows."""

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Take in one enriched batch: of the declared columns those that the log has, and what other roll-ups read."""

    def results(self) -> Iterable[Mapping[str, Any]]:
        """Its records, when all batches have come."""

    @property
    def notes(self) -> Sequence[str]:
        """What its bounds left out of its records, for the user to know; complete when these are."""


@runtime_checkable
class Remembering(Protocol):
    """A roll-up, or a part of one, that tells more where it knows what earlier runs saw (``--state``)."""

    schemas: Mapping[str, pl.Schema]
    """The tables that it hands from run to run, by names that no other has."""
    forgotten: list[str]
    """What the bounds on these tables left out; known after :meth:`rows`."""

    def remember(self, tables: Mapping[str, pl.DataFrame], since: float) -> None:
        """Take in what :meth:`rows` gave in an earlier run, before the first batch.

        What was not seen from ``since`` on (epoch seconds) may be missing.
        """

    def rows(self, now: float, age: float) -> Mapping[str, pl.DataFrame]:
        """What the next run is to know, after the results: of the last ``age`` seconds before ``now``, bounded."""


@dataclass(frozen=True, slots=True)
class RollUp:
    """The second kind: what sees all rows (grouped), not distinct keys. Its records make ``<name>.ndjson``."""

    name: str
    doc: str
    reads: Mapping[str, frozenset[str]]
    start: Callable[[Resources], Accumulator]
    own_file: bool = True
    """False for what goes into ``run.json`` and the closing summary only."""


@dataclass(slots=True)
class Rendered:
    """The text of the rows of a table that grows, by kind of text. One thread at a time may ask for it."""

    _texts: dict[object, pl.Series] = field(default_factory=dict)

    def rows(self, table: pl.DataFrame, kind: object, render: Render) -> pl.Series:
        """The rendered rows of the table as it is now, or was, with those that have come since the last call."""
        have = self._texts.get(kind)
        if have is None:
            have = render(table)
        elif have.len() < table.height:
            have = pl.concat([have, render(table.slice(have.len()))], rechunk=True)
        self._texts[kind] = have
        return have


@dataclass(slots=True)
class Added:
    """Columns to append to a batch: row ``index[i]`` of ``table`` is row ``i``'s (without index, row ``i`` itself).

    ``texts`` is where the table's rendered rows are remembered.
    """

    table: pl.DataFrame
    index: pl.Series | None = None
    texts: Rendered = field(default_factory=Rendered)

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Added:
        """Columns that are known already, as a table of their distinct rows."""
        table = frame.unique(maintain_order=True)
        index = frame.join(
            table.with_row_index(ROW), on=frame.columns, how="left", nulls_equal=True, maintain_order="left"
        )[ROW]
        return cls(table, index)

    def column(self, name: str) -> pl.Series:
        """The column in the batch's own rows."""
        values = self.table[name]
        return values if self.index is None else values.gather(self.index)

    def frame(self) -> pl.DataFrame:
        """All columns in the batch's own rows."""
        return self.table if self.index is None else self.table[self.index]

    def rendered(self, kind: object, render: Render) -> pl.Series:
        """The rendered text of each row of the batch; distinct rows are rendered once a run."""
        text = self.texts.rows(self.table, kind, render)
        return text if self.index is None else text.gather(self.index)


@dataclass(slots=True)
class Memo:
    """Applies one enricher's work to distinct keys only, remembering up to ``limit`` of them."""

    keys: tuple[str, ...]
    names: tuple[str, ...]
    work: Work
    limit: int = 60_000
    known: pl.DataFrame | None = None
    table: pl.DataFrame = field(default_factory=pl.DataFrame)
    texts: Rendered = field(default_factory=Rendered)
    _turn: Lock = field(default_factory=Lock)

    def apply(self, keys: pl.DataFrame) -> Added:
        """Map a batch's keys to rows of the remembered table, working out what is new. Threads take turns."""
        with self._turn:
            return self._apply(keys)

    def _apply(self, keys: pl.DataFrame) -> Added:
        hashes = keys.hash_rows(seed=_SEED).alias(_HASH)
        rows = self._rows(hashes)
        absent = rows.is_null()
        if self.known is None or absent.any():
            new = self._first_of_each(hashes.filter(absent), absent)
            if self.known is not None and self.known.height + new.height > self.limit:
                self.known, self.texts, absent = None, Rendered(), absent | True
                new = self._first_of_each(hashes, None)
            self._learn(keys[new[ROW]], new[_HASH])
            rows = rows.scatter(absent.arg_true(), self._rows(hashes.filter(absent)))
        return Added(self.table, rows, self.texts)

    def _rows(self, hashes: pl.Series) -> pl.Series:
        """The row of the table that belongs to each hash; null where there is none yet."""
        if self.known is None:
            return pl.Series(ROW, [None], pl.UInt32).new_from_index(0, hashes.len())
        return hashes.to_frame().join(self.known, on=_HASH, how="left", maintain_order="left")[ROW]

    @staticmethod
    def _first_of_each(hashes: pl.Series, where: pl.Series | None) -> pl.DataFrame:
        """Each distinct hash and the batch's first row that has it; ``where`` says which rows the hashes are of."""
        at = pl.int_range(len(hashes), dtype=pl.UInt32, eager=True) if where is None else where.arg_true()
        return pl.DataFrame([hashes, at.alias(ROW)]).unique(_HASH, keep="first", maintain_order=True)

    def _learn(self, keys: pl.DataFrame, hashes: pl.Series) -> None:
        """Work out new keys and put them behind those known."""
        found = self._work(keys)
        if self.known is None:
            self.known, self.table = hashes.to_frame().with_row_index(ROW), found
        else:
            numbered = hashes.to_frame().with_row_index(ROW, offset=self.known.height)
            self.known = pl.concat([self.known, numbered], rechunk=True)
            self.table = pl.concat([self.table, found], rechunk=True)

    def _work(self, keys: pl.DataFrame) -> pl.DataFrame:
        out = self.work(keys)
        if out.height != keys.height:
            raise ValueError(f"an enricher returned {out.height} rows for {keys.height} keys")
        return out.rename(dict(zip(out.columns, self.names, strict=True)))


def key_frame(
    frame: pl.DataFrame, use: Use, keys: Mapping[str, pl.DataType | type[pl.DataType]]
) -> pl.DataFrame | None:
    """The key columns of a batch under the enricher's own names; None if the log has none of them."""
    if use.absent is not None and use.absent in frame.columns:
        return None
    if not any(column in frame.columns for column in use.columns):
        return None
    return pl.DataFrame(
        [_key(frame, column, key, kind) for (key, kind), column in zip(keys.items(), use.columns, strict=True)]
    )


def _key(frame: pl.DataFrame, column: str, key: str, kind: pl.DataType | type[pl.DataType]) -> pl.Series:
    if column not in frame.columns:
        return pl.Series(key, [None], kind).new_from_index(0, frame.height)
    values = frame.get_column(column)
    return values.alias(key) if values.dtype == kind else values.cast(kind, strict=False).alias(key)
