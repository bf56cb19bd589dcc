"""Zeek's JSON logs: one object a line, with or without ``_path``, times as numbers or ISO 8601."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from enrich.batch import Batch, Damage, Form, Item, Reject
from enrich.columns import Type
from enrich.logs import Logs, log_name
from enrich.sources.json_lines import decode, seconds
from enrich.sources.lines import Chunk
from enrich.sources.zeek_tsv import Want
from enrich.sources.zeek_types import field_type

PATH = "_path"


def read(
    chunks: Iterable[Chunk | list[Reject] | Damage],
    log: str,
    want: Want,
    union: frozenset[str],
    logs: Logs | None = None,
) -> Iterator[Item]:
    """Yield batches and rejects of a JSON log in their order; a chunk of several logs gives a batch a log.

    ``log`` is its name where no ``_path`` says better; ``union`` names all columns that any log may be asked for. If
    ``logs`` are given and none has that name, records without ``_path`` go by their fields.
    """
    by_fields = logs if logs is not None and log not in logs.names else None
    for chunk in chunks:
        if not isinstance(chunk, Chunk):
            yield chunk
            continue
        mixed = by_fields is not None or b'"_path"' in chunk.data
        names = union if mixed else want(log) or frozenset()
        if by_fields is not None:
            names |= by_fields.fields
        types = {name: field_type(name) for name in sorted(names)}
        schema: dict[str, Type] = {PATH: pl.String} | {name: _readable(type_) for name, type_ in types.items()}
        frame, raw, rejects = decode(chunk, schema)
        if rejects:
            yield rejects
        if frame.height:
            yield list(_split(_normalised(frame, types), raw, log, want, by_fields))


def _readable(type_: Type) -> Type:
    """The type that the JSON reader is asked for: times and ports may be texts, and it knows few integers."""
    if type_ in (pl.Float64, pl.UInt16):
        return pl.String
    if type_ == pl.UInt64:
        return pl.Int64
    return pl.List(pl.Int64) if type_ == pl.List(pl.UInt64) else type_


def _normalised(frame: pl.DataFrame, types: Mapping[str, Type]) -> pl.DataFrame:
    return frame.with_columns(_value(pl.col(name), type_).alias(name) for name, type_ in types.items())


def _value(value: pl.Expr, type_: Type) -> pl.Expr:
    if type_ == pl.Float64:
        return seconds(value)
    if type_ == pl.UInt16:  # whoever handled the log before may have made a port a text, or 22.0
        number = value.cast(pl.Float64, strict=False)
        return pl.when(number == number.floor()).then(number).cast(type_, strict=False)
    return value.cast(type_, strict=False)


def _split(frame: pl.DataFrame, raw: pl.Series, log: str, want: Want, by_fields: Logs | None) -> Iterator[Batch]:
    """A batch for each log. What a record says of itself goes before its fields, and these before the file's name."""
    paths = frame[PATH]
    given = {path: log_name(path) for path in paths.unique() if path is not None}
    named = paths.replace_strict(given, default=None, return_dtype=pl.String)
    found = by_fields.told(frame) if by_fields is not None else named.clear(frame.height)
    logs = pl.select(pl.coalesce(named, found, pl.lit(log)).alias("log")).to_series()
    told = named.is_null() & found.is_not_null()
    untold = named.is_null() & found.is_null()
    several = logs.unique().sort().to_list()
    rows = pl.int_range(frame.height, eager=True, dtype=pl.UInt32)
    for name in several:
        here = logs == name
        if len(several) == 1:
            batch = _batch(frame, raw, None, name, want)
        else:
            batch = _batch(frame.filter(here), raw.filter(here), rows.filter(here), name, want)
        if by_fields is not None:
            batch.told, batch.untold = int((told & here).sum()), int((untold & here).sum())
        yield batch


def _batch(frame: pl.DataFrame, raw: pl.Series, rows: pl.Series | None, log: str, want: Want) -> Batch:
    names = want(log) or frozenset()
    # A column that no record of the batch has is as good as absent.
    held = [n for n in frame.columns if n in names and frame[n].null_count() < frame.height]
    return Batch(log, Form.JSON, frame.select(held or [PATH]), raw, rows)
