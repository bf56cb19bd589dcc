"""pandas DataFrames in and out: any log as a frame, and the enrichers of a run on a frame that is there already."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl

from enrich import configuration, logs
from enrich.batch import Batch, Damage, Form, Header, Item, Reject
from enrich.columns import Type
from enrich.engine import Engine
from enrich.errors import meant
from enrich.model import Added
from enrich.shapes import own_name
from enrich.shapes.parquet import objects
from enrich.sources import eve, zeek_json, zeek_tsv
from enrich.sources.discover import LogFile, single
from enrich.sources.eve_fields import LOGS
from enrich.sources.json_lines import seconds
from enrich.sources.lines import read_chunks
from enrich.sources.zeek_types import field_type
from enrich.tables import Tables

_BOOLS = {True: True, False: False, "T": True, "F": False, "true": True, "false": False}


def enrich_frame(
    df: pd.DataFrame,
    log: str = "conn",
    *,
    others: Mapping[str, pd.DataFrame] | None = None,
    config: str | Path | None = None,
    only: str | Iterable[str] = (),
) -> pd.DataFrame:
    """Return a frame with this project's columns appended; its rows, index and own columns stay as they are.

    ``df`` holds records of the Zeek log ``log`` under Zeek's field names: as :func:`read` gives them, as zat's
    ``LogToDataFrame`` does (``ts`` as index, categories, timedeltas), or from JSON. ``others`` are frames of other
    logs of the same traffic by their names (``{"ssl": …, "dns": …}``), from which the verdict on a connection draws as
    well. ``config`` is a site's configuration file; ``only`` names the enrichers to run. An added column that has the
    name of one of the frame's own is called ``enrich.<name>``. A name that no log has is told in a warning, as little
    is made of its records. Raises ConfigError and TableError, TypeError for what is no frame, and ValueError for
    columns of one name.
    """
    chosen = (only,) if isinstance(only, str) else tuple(only)
    engine = Engine(_tables(None if config is None else Path(config)), chosen)
    known = logs.load(engine.tables).names.union(*(use.logs for item in engine.enrichers for use in item.uses))
    for name, frame in {**(others or {}), log: df}.items():
        _check(frame, name)
        if name not in known:
            told = f"{name!r}: no log of this name is known; {_nearest(name, known)}little is made of its records"
            warnings.warn(told, stacklevel=2)
        wanted = engine.survey.wanted(name)
        if wanted:
            engine.survey.add(_batch(frame, name, wanted))
    added, _ = engine.enrich(_batch(df, log, engine.reads(log)))
    taken = frozenset(map(str, df.columns))
    columns = {own_name(name, taken): values for item in added for name, values in _columns(item).items()}
    return pd.concat([df, pd.DataFrame(columns, index=df.index)], axis=1)


def _nearest(name: str, known: Collection[str]) -> str:
    """Advice for a name that no log has: what Suricata's event of that name is, or the nearest one."""
    bare = name.removesuffix(".log")
    if bare in known or bare in LOGS:
        return f"do you mean {LOGS.get(bare, bare)}? "
    return meant(name, known).partition("there are: ")[0]


def _check(frame: object, log: str) -> None:
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"{log}: expected a pandas DataFrame, got {type(frame).__name__}")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"{log}: several columns are called {twice!r}; give each a name of its own")


def read(path: str | Path, log: str | None = None) -> pd.DataFrame:
    """Read a log in any form (Zeek TSV or JSON, Suricata EVE; plain, gzip or zstd) into a frame, one row a record.

    Times (``ts``, and Zeek TSV's ``time`` fields) are UTC datetimes, intervals seconds, sets and vectors lists, unset
    fields missing. An EVE event is mapped to Zeek's vocabulary; its own text is in the column ``suricata``. Of an input
    that holds several logs, ``log`` chooses one; without it the column ``_path`` tells them apart. What could not be
    read is told in a warning; records are listed in the frame's ``attrs["rejects"]``. Raises SourceError.
    """
    file = single(Path(path))
    frames: list[pl.DataFrame] = []
    seen: set[str] = set()
    there: set[str] = set()
    rejects: list[dict[str, Any]] = []
    for item in _items(file):
        if isinstance(item, Damage):
            warnings.warn(f"{path}: line {item.line}: {item.told}", stacklevel=2)
            continue
        for part in [item.empty] if isinstance(item, Header) else item:
            if isinstance(part, Reject):
                rejects.append(part.record())
                continue
            there.add(part.log)
            if log in (None, part.log):
                frames.append(_records(part))
                seen.add(part.log)
    if rejects:
        first = f"line {rejects[0]['line']}: {rejects[0]['reason']}"
        warnings.warn(f"{path}: {len(rejects)} of its records could not be read; {first}", stacklevel=2)
    if log is not None and not seen:
        told = meant(log, there) if there else "it is empty"
        warnings.warn(f"{path}: holds no log called {log!r}; {told}", stacklevel=2)
    whole = pl.concat([frame for frame in frames if frame.width] or [pl.DataFrame()], how="diagonal_relaxed")
    if len(seen) == 1 and file.form is not Form.JSON:
        whole = whole.drop("_path", strict=False)
    out = pd.DataFrame({name: _pandas(whole[name]) for name in whole.columns})
    out.attrs["rejects"] = rejects
    return out


@lru_cache(maxsize=4)
def _tables(config: Path | None) -> Tables:
    return configuration.load(config)


# ---- frames to batches


def _batch(df: pd.DataFrame, log: str, wanted: frozenset[str]) -> Batch:
    """The wanted columns of a frame, typed; a named index counts as a column."""
    columns = {}
    for name in sorted(wanted):
        if name in df.columns:
            columns[name] = _polars(df[name], field_type(name))
        elif name in df.index.names:
            columns[name] = _polars(df.index.get_level_values(name).to_series(), field_type(name))
    frame = pl.DataFrame(columns or {"__row__": np.zeros(len(df), np.uint8)})
    return Batch(log, Form.TSV, frame)


def _polars(values: pd.Series, kind: Type) -> pl.Series:
    """A pandas column of any dtype as Zeek's type; values of other types are null."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        known = _polars(values.cat.categories.to_series(), kind)
        codes = pl.Series(values.cat.codes.to_numpy().astype(np.int64))
        return known.gather(codes.set(codes < 0, None))
    if values.dtype == object:
        values = values.infer_objects()  # times that are objects
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        values = values.dt.tz_convert("UTC").dt.tz_localize(None)
    if values.dtype.kind in "mM":
        number = values.to_numpy().astype(f"{values.dtype.kind}8[us]").astype(np.int64) / 1e6
        return pl.Series(number).set(pl.Series(values.isna().to_numpy()), None).cast(kind, strict=False)
    if isinstance(kind, pl.List):
        return pl.Series([_list(value) for value in values], dtype=kind, strict=False)
    return _from_objects([None if _missing(value) else value for value in values.tolist()], kind)


def _from_objects(values: list[Any], kind: Type) -> pl.Series:
    """Values of any type as Zeek's type, by what they look like as text."""
    if kind == pl.Boolean:
        return pl.Series([_BOOLS.get(value) for value in values], dtype=pl.Boolean)
    text = pl.Series([None if value is None else _text(value) for value in values], dtype=pl.String)
    if kind == pl.String:
        return text
    if kind == pl.Float64:
        return text.to_frame("text").select(seconds(pl.col("text"))).to_series()
    return text.str.strip_suffix(".0").cast(kind, strict=False)


def _text(value: object) -> str:
    """A value as text; halves of characters (lone surrogates), which stand for bytes that were not read, as escapes."""
    text = str(value)
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _missing(value: Any) -> bool:
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and np.isnan(value))


def _list(value: Any) -> list[Any] | None:
    """A set or vector: a list, or the text that Zeek writes for one."""
    if isinstance(value, str):
        return [] if value in ("", "(empty)") else value.split(",")
    return list(value) if isinstance(value, (list, tuple, set, frozenset, np.ndarray)) else None


# ---- added columns and logs to frames


def _columns(added: Added) -> dict[str, Any]:
    """Added columns as pandas arrays; each distinct value is made once."""
    rows = slice(None) if added.index is None else added.index.to_numpy()
    return {name: _pandas(added.table[name])[rows] for name in added.table.columns if not name.startswith("_")}


def _pandas(values: pl.Series) -> Any:
    """A column as a pandas array: missing values stay missing, integers integers, lists lists."""
    kind = values.dtype
    if kind == pl.Boolean:
        return pd.array(values.to_list(), dtype="boolean")
    if kind.is_integer() and kind != pl.Int128:
        return pd.array(values.to_list(), dtype=str(kind))  # type: ignore[call-overload]
    if kind.is_float():
        return values.to_numpy()
    if kind == pl.Datetime:
        return pd.DatetimeIndex(values.to_numpy()).tz_localize("UTC").array
    array = np.empty(values.len(), dtype=object)
    for row, value in enumerate(values.to_list()):
        array[row] = value
    return array


def _items(file: LogFile) -> Iterable[Item]:
    chunks = read_chunks(file.path, lambda _: None)
    if file.form is Form.TSV:
        return zeek_tsv.read(chunks, file.log, lambda _: None, keep_raw=False)
    if file.form is Form.JSON:
        return zeek_json.read(
            chunks, file.log, lambda _: frozenset(("ts",)), frozenset(("ts",)), logs.load(_tables(None))
        )
    if file.form is Form.EVE:
        directions = eve.Directions()
        for _ in eve.read(chunks, directions, lambda log: frozenset(("uid",) if log == "conn" else ())):
            pass
        directions.settled = True
        return eve.read(read_chunks(file.path, lambda _: None), directions, lambda _: None)
    return (item for item in chunks if isinstance(item, Damage))


def _records(batch: Batch) -> pl.DataFrame:
    """A batch's records with all their fields, times as datetimes, and their log's name."""
    frame = batch.fields
    if batch.form is Form.JSON and batch.raw is not None:
        frame = objects(batch.raw).with_columns(frame.select(pl.col("^ts$")))
    elif batch.form is Form.EVE and batch.raw is not None:
        frame = frame.with_columns(batch.raw.alias("suricata"))
    times = {"ts"} if batch.form is not Form.TSV else {name for name, kind in batch.types.items() if kind == "time"}
    stamps = [
        (pl.col(name) * 1e6).round().cast(pl.Int64, strict=False).cast(pl.Datetime("us"))
        for name in frame.columns
        if name in times and frame.schema[name] == pl.Float64
    ]
    frame = frame.with_columns(stamps)
    return frame if "_path" in frame.columns else frame.with_columns(pl.lit(batch.log).alias("_path"))
