"""What a run learned, kept in one file for the next: evidence across runs (``--state FILE``).

The file is a ZIP archive of Parquet tables, one a store of :class:`enrich.survey.Survey`, with ``state.json`` that says
what it is; ZIP's checksums tell damage. Rows are found by 64-bit keys that Polars makes of uids and addresses. Polars
keeps these keys the same within one version only, so the file holds a few known ones: where they differ, it is of no
use and the run starts afresh, which costs what the earlier runs had learned and nothing else.

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
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import polars as pl

from enrich.errors import ConfigError, OutputError
from enrich.keyed import hashes
from enrich.survey import Survey

KIND, VERSION = "zeek-enrich state", 1
MAX_AGE = 7 * 86400
"""Seconds, in the logs' own time, that something is kept after it was last seen; a DNS answer only until it lapses."""
LIMIT = 2_000_000
"""Rows of a table that are kept: what was seen last stays."""
_ABOUT, _TEXTS = "state.json", "texts"
Rows = dict[str, pl.DataFrame]


class State:
    """The state file of a run: :meth:`load`, then :meth:`exchange` after the first pass, then :meth:`save`."""

    def __init__(self, path: Path, limit: int = LIMIT, max_age: int = MAX_AGE) -> None:
        """``limit``: rows a table; ``max_age`` in seconds."""
        self.path = path
        self.limit, self.max_age = limit, max_age
        self.loaded = self.saved = 0
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self._rows: Rows = {}
        self._found: tuple[int, ...] | None = None

    def load(self, survey: Survey) -> str | None:
        """Read the file, if there is one; what the user has to know about it. Raises ConfigError if it is no state."""
        survey.follow()
        self._found = self._signature()
        if self._found is None:
            if not self.path.parent.is_dir():
                raise ConfigError(f"{self.path}: the state's folder does not exist: {self.path.parent}")
            return None
        seen = pl.Series("seen", dtype=pl.UInt32)
        expected = {name: store.rows().with_columns(seen).schema for name, store in survey.stores().items()}
        expected[_TEXTS] = pl.Schema({"text": pl.String})
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
                if about["probe"] != probe():
                    return (
                        f"{self.path}: written with Polars {about['polars']}, whose keys differ from those of "
                        f"{pl.__version__}: this run starts afresh and replaces it"
                    )
                self._rows = {name: _read(archive, name) for name in expected}
        except OSError as error:
            raise ConfigError(f"{self.path}: {error.strerror or error}") from error
        except _DAMAGE as error:
            raise self._damaged() from error
        for name, schema in expected.items():
            if self._rows[name].schema != schema:
                raise self._damaged()
        self.loaded = sum(rows.height for rows in self._rows.values())
        return None

    def exchange(self, survey: Survey) -> None:
        """Give the survey what earlier runs knew, and write aside what the next one is to know.

        Raises OutputError where the disk is full.
        """
        now = min(survey.newest or time.time(), time.time())  # a record may claim to be from the future
        before, self._rows = self._rows, {}
        if before:
            survey.names.add(before[_TEXTS]["text"])
        kept: Rows = {}
        finished = survey.finished()
        for name, store in survey.stores().items():
            old = before.get(name)
            seen = store.rows().select("key").unique().with_columns(seen=pl.lit(int(now), pl.UInt32))
            if old is not None:
                if name == "answers":  # the same records may come again
                    old = old.join(store.rows(), on=["key", "since", "value"], how="anti")
                store.remember(old)
                seen = pl.concat([seen, old.select("key", "seen")]).group_by("key").agg(pl.col("seen").max())
            rows = store.rows()
            if name == "answers":
                rows = rows.with_columns(seen=pl.col("until")).filter(pl.col("until") >= int(now))
            else:
                rows = rows.join(seen, on="key").filter(pl.col("seen") >= int(now) - self.max_age)
            if name.startswith("flow_"):
                rows = rows.filter(~np.isin(rows["key"].to_numpy(), finished))
            kept[name] = rows.top_k(self.limit, by="seen") if rows.height > self.limit else rows
        kept[_TEXTS] = pl.DataFrame({"text": survey.texts_of(kept)})
        self.saved = sum(rows.height for rows in kept.values())
        self._write(kept)

    def save(self) -> str | None:
        """Put what :meth:`exchange` wrote in the file's place; what the user has to know. Raises OutputError."""
        note = None
        if self._signature() != self._found:
            note = f"{self.path}: another run wrote it in the meantime; what that one had learned is replaced"
        try:
            self._part.replace(self.path.resolve())
        except OSError as error:
            raise OutputError.of(self.path, error) from error
        return note

    def discard(self) -> None:
        """Remove what was written aside and not put in place."""
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _write(self, tables: Mapping[str, pl.DataFrame]) -> None:
        about = {"kind": KIND, "version": VERSION, "polars": pl.__version__, "probe": probe()}
        try:
            with self._part.open("wb") as file:
                with zipfile.ZipFile(file, "w") as archive:
                    archive.writestr(_ABOUT, json.dumps(about))
                    for name, rows in tables.items():
                        buffer = io.BytesIO()
                        rows.write_parquet(buffer)
                        archive.writestr(f"{name}.parquet", buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise OutputError.of(self.path, error) from error

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


def probe() -> list[str]:
    """The keys of a few known values, in every form in which keys are made."""
    texts, others = pl.Series(["C1", "203.0.113.5", "é", None]), pl.Series(["tcp", "2001:db8::1", None, "udp"])
    ports, numbers = pl.Series([443, None, 0, 65535], dtype=pl.UInt16), pl.Series([1, -1, None, 2**53])
    forms = ((texts,), (numbers,), (texts, others), (texts, ports, others))
    return [f"{key:016x}" for form in forms for key in hashes(*form).tolist()]
