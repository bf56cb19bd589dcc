"""DataFrames in and out: the enrichers on pandas frames, also on those that zat's ``LogToDataFrame`` makes.

zat reads a log its own way: the time is the index, text is categories, intervals are timedeltas, bools are ``T`` and
``F``. Such a column is turned into what our own reader gives before an enricher sees it; the frame that comes back has
the columns and the index that came in, untouched, and ours after them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl

from enrich.batch import Batch, Damage, Form, Reject
from enrich.columns import Type
from enrich.engine import Engine
from enrich.errors import SourceError
from enrich.sources import eve, zeek_json, zeek_tsv
from enrich.sources.discover import sniff
from enrich.sources.lines import head, read_chunks
from enrich.sources.zeek_types import field_type
from enrich.tables import Tables

_ROWS = 100_000
_BOOLS = {"T": True, "F": False}


def enrich_frame(
    df: pd.DataFrame,
    log: str = "conn",
    *,
    others: Mapping[str, pd.DataFrame] | None = None,
    config: str | Path | None = None,
) -> pd.DataFrame:
    """Return the rows of ``df`` with this project's columns appended.

    ``log`` names the Zeek log that the frame holds, under Zeek's column names. ``others`` gives frames of other logs
    of the same traffic (``{"http": http, "dns": dns}``), as evidence for the verdicts on conn. A column that the frame
    has already stays as it is; ours is then called ``enrich.<name>``. Raises ConfigError and TableError.
    """
    engine = Engine(Tables.load(Path(config) if config is not None else None))
    for name, frame in {**(others or {}), log: df}.items():
        for batch in _batches(frame, name, engine):
            engine.survey.add(batch)
    pieces = []
    for batch in _batches(df, log, engine):
        added, _ = engine.enrich(batch)
        columns = [pl.DataFrame(item.frame()) for item in added]
        pieces.append(pl.concat(columns, how="horizontal") if columns else pl.DataFrame())
    if not pieces:
        return df.copy()
    ours = pl.concat(pieces)
    names = [name for name in ours.columns if not name.startswith("_")]
    out = df.copy()
    for name in names:
        written = f"enrich.{name}" if name in df.columns else name
        out[written] = pd.Series(ours[name].to_list(), index=df.index, dtype=_pandas_type(ours.schema[name]))
    return out


def read(path: str | Path) -> pd.DataFrame:
    """Read one log (Zeek TSV or JSON, EVE; plain, gzip or zstd) into a DataFrame, every field under its own name.

    Raises SourceError if the file is no log, and if any of its records cannot be read: naming file, line and reason.
    """
    path = Path(path)
    form = sniff(head(path))
    if form is None:
        raise SourceError(f"{path}: not a Zeek or Suricata log")
    frames = [_whole(batch) for batch in _records(path, form)]
    if not frames:
        return pd.DataFrame()
    whole = pl.concat(frames, how="diagonal_relaxed")
    return pd.DataFrame({name: whole[name].to_list() for name in whole.columns}).astype(
        {name: _pandas_type(dtype) for name, dtype in whole.schema.items()}
    )


def _records(path: Path, form: Form) -> Iterator[Batch]:
    chunks = read_chunks(path, lambda _: None)
    log = path.name.partition(".")[0]
    if form is Form.TSV:
        items = zeek_tsv.read(chunks, log, lambda _: None, keep_raw=False)
    elif form is Form.EVE:
        directions = eve.Directions()
        for _ in eve.read(chunks, directions):
            pass
        directions.settled = True
        items = eve.read(read_chunks(path, lambda _: None), directions)
    else:
        items = zeek_json.read(chunks, log, lambda _: frozenset({"ts"}), frozenset({"ts"}))
    for item in items:
        if isinstance(item, Damage):
            raise SourceError(f"{path}:{item.line}: {item.reason}")
        if isinstance(item, list):
            for part in item:
                if isinstance(part, Reject):
                    raise SourceError(f"{path}:{part.line}: {part.reason}")
                yield part


def _whole(batch: Batch) -> pl.DataFrame:
    if batch.form is Form.JSON and batch.raw is not None:
        return pl.read_ndjson("\n".join(batch.raw).encode(), infer_schema_length=None)
    return batch.frame


def _batches(df: pd.DataFrame, log: str, engine: Engine) -> Iterator[Batch]:
    wanted = engine.reads(log)
    for start in range(0, max(len(df), 1), _ROWS):
        piece = df.iloc[start : start + _ROWS]
        columns = {str(name): piece[name] for name in piece.columns if name in wanted}
        if "ts" in wanted and "ts" not in columns and piece.index.name == "ts":
            columns["ts"] = piece.index.to_series()
        frame = pl.DataFrame([_column(name, values) for name, values in columns.items()])
        if frame.width == 0:
            frame = pl.DataFrame({"uid": pl.Series([None] * len(piece), dtype=pl.String)})
        yield Batch(log, Form.TSV, frame)


def _column(name: str, values: pd.Series[Any]) -> pl.Series:
    """A pandas column as our own reader would give it."""
    kind = field_type(name)
    if isinstance(values.dtype, pd.DatetimeTZDtype) or pd.api.types.is_datetime64_any_dtype(values):
        naive = values.dt.tz_convert("UTC").dt.tz_localize(None) if values.dt.tz is not None else values
        micros = (naive - pd.Timestamp(0)) // pd.Timedelta(microseconds=1)
        return _series(name, [None if pd.isna(x) else int(x) / 1e6 for x in micros], pl.Float64)
    if pd.api.types.is_timedelta64_dtype(values):
        return _series(name, [None if pd.isna(x) else x.total_seconds() for x in values], pl.Float64)
    cells = [None if _absent(x) else x for x in values.astype(object)]
    if kind == pl.Boolean:
        return _series(name, [_BOOLS.get(x, x) if isinstance(x, str) else x for x in cells], pl.Boolean)
    if kind == pl.String:
        return _series(name, [None if x is None else str(x) for x in cells], pl.String)
    if isinstance(kind, pl.List):
        lists = [x.split(",") if isinstance(x, str) else None if x is None else list(x) for x in cells]
        return pl.Series(name, lists, pl.List(pl.String), strict=False).cast(kind, strict=False)
    return pl.Series(name, [None if x is None else str(x) for x in cells], pl.String).cast(kind, strict=False)


def _series(name: str, cells: list[Any], kind: Type) -> pl.Series:
    return pl.Series(name, cells, kind, strict=False)


def _absent(value: Any) -> bool:
    if pd.api.types.is_scalar(value):
        return bool(pd.isna(value)) or value == "-"
    return False


def _pandas_type(dtype: pl.DataType) -> str:
    if dtype == pl.Boolean:
        return "boolean"
    if dtype.is_unsigned_integer():
        return "UInt64"
    if dtype.is_signed_integer():
        return "Int64"
    return "Float64" if dtype == pl.Float64 else "object"
