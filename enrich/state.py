"""What a run learned, kept in one file for the next: evidence across runs (``--state FILE``).

The file is a ZIP archive of Parquet tables, one a store of :class:`enrich.survey.Survey` and those of the roll-ups that
remember (:class:`enrich.model.Remembering`), with ``state.json`` that says what it is; ZIP's checksums tell damage. The
survey's rows are found by 64-bit keys that Polars makes of uids and addresses. Polars keeps these keys the same within
one version only, so the file holds a few known ones: where they differ, the survey starts afresh, which costs what the
earlier runs had taught it and nothing else.

A run reads the file before it begins and replaces it, in one step, after it has succeeded. Of two runs that share a
file at the same time, the one that ends last wins, and says so.
"""

from __future__ import annotations

import io
import json
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl

from enrich.dns_answers import Answers
from enrich.errors import ConfigError, OutputError
from enrich.keyed import Keys, hashes
from enrich.model import Remembering
from enrich.survey import Survey

KIND, VERSION = "zeek-enrich state", 4
MAX_AGE = 7 * 86400
"""Seconds, in the logs' own time, that something is kept after it was last seen; a DNS answer only until it lapses."""
LIMIT = 2_000_000
"""Rows of a table that are kept: what was seen last stays."""
_AHEAD = 86400
"""Seconds by which a sensor's clock may be ahead of ours."""
_ABOUT, _TEXTS = "state.json", "texts"
Rows = dict[str, pl.DataFrame]


class State:
    """The state file of a run: :meth:`load`, :meth:`exchange` after the first pass, :meth:`save` after the second."""

    def __init__(self, path: Path, limit: int = LIMIT, max_age: int = MAX_AGE) -> None:
        """``limit``: rows a table; ``max_age`` in seconds."""
        self.path = path
        self.limit, self.max_age = limit, max_age
        self.loaded = self.saved = 0
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._rows: Rows = {}
        self._remembering: Sequence[Remembering] = ()
        self._newest = 0.0
        self._found: tuple[int, ...] | None = None

    def load(self, survey: Survey, remembering: Sequence[Remembering]) -> str | None:
        """Read the file, if there is one; what the user has to know about it. Raises ConfigError if it is no state.

        The roll-ups that remember learn at once what earlier runs saw, the survey by :meth:`exchange`.
        """
        survey.follow()
        self._remembering = remembering
        self._found = self._signature()
        if self._found is None:
            if not self.path.parent.is_dir():
                raise ConfigError(f"{self.path}: the state's folder does not exist: {self.path.parent}")
            return None
        note, seen = None, pl.Series("seen", dtype=pl.UInt32)
        expected = {name: next(store.rows()).with_columns(seen).schema for name, store in survey.stores().items()}
        expected[_TEXTS] = pl.Schema({"text": pl.String})
        for part in remembering:
            expected |= part.schemas
        try:
            with self.path.open("rb") as file, zipfile.ZipFile(file) as archive:
                about = json.loads(archive.read(_ABOUT))
                if not isinstance(about, dict) or about.get("kind") != KIND:
                    raise self._damaged()
                if about["version"] != VERSION:
                    raise ConfigError(
                        f"{self.path}: a state of version {about['version']}; this zeek-enrich reads version "
                        f"{VERSION}: use the zeek-enrich that wrote it, or name another file"
                    )
                if about["probe"] != probe():  # of use is only what has no such keys
                    expected = {name: schema for part in remembering for name, schema in part.schemas.items()}
                    note = (
                        f"{self.path}: written with Polars {about['polars']}, whose keys differ from those of "
                        f"{pl.__version__}: of servers, names and flows this run starts afresh"
                    )
                newest = about["newest"]
                if not isinstance(newest, int | float) or not 0 <= newest < 2**32:
                    raise self._damaged()
                self._rows = {name: _read(archive, name) for name in expected}
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror or error}") from error
        except _DAMAGE as error:
            raise self._damaged() from error
        for name, schema in expected.items():
            if self._rows[name].schema != schema:
                raise self._damaged()
        self.loaded = sum(rows.height for rows in self._rows.values())
        self._newest = float(newest)
        for part in remembering:
            part.remember({name: self._rows.pop(name) for name in part.schemas}, self._newest - self.max_age)
        return note

    def exchange(self, survey: Survey) -> None:
        """Give the survey what earlier runs knew, and write aside what the next one is to know.

        Raises OutputError where the disk is full.
        """
        today = time.time()  # a record may claim to be from the future
        now = int(min(survey.newest or today, today))
        self._newest = max(self._newest, min(survey.newest, today + _AHEAD))
        before, self._rows = self._rows, {}
        if before:
            survey.names.add(before.pop(_TEXTS)["text"])
        about = {
            "kind": KIND,
            "version": VERSION,
            "polars": pl.__version__,
            "probe": probe(),
            "newest": self._newest,
        }
        self.saved = 0
        named: Keys = np.zeros(0, np.uint64)
        try:
            with zipfile.ZipFile(self._part, "w") as archive:
                archive.writestr(_ABOUT, json.dumps(about))
                for name in survey.stores():
                    kept = self._kept(survey, name, before.pop(name, None), now)
                    named = np.union1d(named, survey.texts_in(name, kept))
                    self._write(archive, name, kept)
                self._write(archive, _TEXTS, pl.DataFrame({"text": survey.names.get(named).drop_nulls()}))
        except OSError as error:
            raise OutputError.of(self.path, error, "--state") from error

    def _kept(self, survey: Survey, name: str, old: pl.DataFrame | None, now: int) -> pl.DataFrame:
        """Give a store what it held before (``old``), and choose what it is to hold the next time."""
        store = survey.stores()[name]
        seen = None
        if isinstance(store, Answers):
            old = None if old is None else _not_in(old, store)
        elif old is not None:
            again = pl.Series(store.knows(old["key"].to_numpy()))
            latest = pl.max_horizontal("seen", pl.lit(now, pl.UInt32))
            seen = old.select("key", seen=pl.when(again).then(latest).otherwise("seen")).sort("key")
        if old is not None:
            store.remember(old)
        kept: list[pl.DataFrame] = []
        for rows in store.rows():
            if isinstance(store, Answers):
                fresh = rows.with_columns(seen=pl.col("until")).filter(pl.col("seen") >= now)
            else:
                fresh = _with_seen(rows, seen, now).filter(pl.col("seen") >= now - self.max_age)
            if name.startswith("flow_"):
                fresh = fresh.filter(~survey.finished(fresh["key"].to_numpy()))
            kept.append(fresh)
            if sum(part.height for part in kept) > 2 * self.limit:
                kept = [pl.concat(kept).top_k(self.limit, by="seen")]
        every = pl.concat(kept)
        return every.top_k(self.limit, by="seen") if every.height > self.limit else every

    def save(self) -> list[str]:
        """Put what :meth:`exchange` wrote, and what roll-ups remember, in the file's place; what the user has to know.

        Raises OutputError.
        """
        notes = []
        try:
            with self._part.open("r+b") as file:
                with zipfile.ZipFile(file, "a") as archive:
                    for part in self._remembering:
                        for name, rows in part.rows(self._newest, self.max_age).items():
                            self._write(archive, name, rows)
                        notes += [f"{self.path}: {note}" for note in part.forgotten]
                file.flush()
                os.fsync(file.fileno())
            if self._signature() != self._found:
                notes.append(
                    f"{self.path}: another run wrote it in the meantime; what that one had learned is replaced"
                )
            self._part.replace(self.path.resolve())
        except OSError as error:
            raise OutputError.of(self.path, error, "--state") from error
        return notes

    def discard(self) -> None:
        """Remove what was written aside and not put in place."""
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _write(self, archive: zipfile.ZipFile, name: str, rows: pl.DataFrame) -> None:
        buffer = io.BytesIO()
        rows.write_parquet(buffer)
        archive.writestr(f"{name}.parquet", buffer.getbuffer())
        self.saved += rows.height

    def _damaged(self) -> ConfigError:
        return ConfigError(
            f"{self.path}: is no state of zeek-enrich, or is damaged: name another file, or remove it to start afresh"
        )

    def _signature(self) -> tuple[int, ...] | None:
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror or error}") from error
        if not self.path.is_file():
            raise ConfigError(f"{self.path}: a state is a file, and this is none")
        return status.st_ino, status.st_size, status.st_mtime_ns


# What Python's archive and JSON readers, and Polars, raise at bytes that are not what they should be.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError,
    pl.exceptions.PolarsError, pl.exceptions.PanicException,
)  # fmt: skip


def _read(archive: zipfile.ZipFile, name: str) -> pl.DataFrame:
    return pl.read_parquet(io.BytesIO(archive.read(f"{name}.parquet")))


def _among(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    """Those of the rows whose keys are in the range of others' keys; both are in the order of their keys."""
    if not others.height:
        return rows[:0]
    return rows[rows["key"].search_sorted(others["key"][0]) : rows["key"].search_sorted(others["key"][-1], "right")]


def _with_seen(rows: pl.DataFrame, seen: pl.DataFrame | None, now: int) -> pl.DataFrame:
    """The rows, and when each was last seen: what earlier runs did not know, now."""
    if seen is None:
        return rows.with_columns(seen=pl.lit(now, pl.UInt32))
    known = rows.join(_among(seen, rows), on="key", how="left", maintain_order="left")
    return known.with_columns(pl.col("seen").fill_null(pl.lit(now, pl.UInt32)))


def _not_in(old: pl.DataFrame, store: Answers) -> pl.DataFrame:
    """Answers without those that a store has already: the same records may come again."""
    old = old.sort("key").with_row_index("row")
    same = ["key", "since", "value"]
    again = [_among(old, rows).join(rows, on=same, how="semi")["row"] for rows in store.rows()]
    return old.filter(~pl.col("row").is_in(pl.concat(again).implode())).drop("row")


def probe() -> list[str]:
    """The keys of a few known values, in every form in which keys are made."""
    texts, others = pl.Series(["C1", "203.0.113.5", "é", None]), pl.Series(["tcp", "2001:db8::1", None, "udp"])
    ports, numbers = pl.Series([443, None, 0, 65535], dtype=pl.UInt16), pl.Series([1, -1, None, 2**53])
    forms = ((texts,), (numbers,), (texts, others), (texts, ports, others))
    return [f"{key:016x}" for form in forms for key in hashes(*form).tolist()]
