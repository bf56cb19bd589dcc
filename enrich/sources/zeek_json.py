"""Zeek's JSON logs: one object a line, with or without ``_path``, times as numbers or ISO 8601."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import polars as pl

from enrich.batch import Batch, Damage, Form, Item, Reject
from enrich.columns import Type
from enrich.sources.json_lines import decode, seconds
from enrich.sources.lines import Chunk
from enrich.sources.zeek_header import log_name
from enrich.sources.zeek_tsv import Want
from enrich.sources.zeek_types import field_type

PATH = "_path"
_UNREAD = (pl.UInt16, pl.UInt64)


def read(chunks: Iterable[Chunk | Reject | Damage], log: str, want: Want, union: frozenset[str]) -> Iterator[Item]:
    """Yield batches and rejects of a JSON log in their order; a chunk of several logs gives a batch a log.

    ``log`` is its name where no ``_path`` says better; ``union`` names all columns that any log may be asked for.
    """
    for chunk in chunks:
        if isinstance(chunk, Reject):
            yield [chunk]
            continue
        if isinstance(chunk, Damage):
            yield chunk
            continue
        mixed = b'"_path"' in chunk.data
        names = sorted(union if mixed else want(log) or frozenset())
        types = {name: field_type(name) for name in names}
        schema: dict[str, Type] = {PATH: pl.String} | {name: _readable(type_) for name, type_ in types.items()}
        frame, raw, rejects = decode(chunk, schema)
        if rejects:
            yield rejects
        if frame.height:
            yield list(_split(_normalised(frame, types), raw, log, want))


def _readable(type_: Type) -> Type:
    """The type that the JSON reader is asked for: times may be texts, and it knows few integers."""
    if type_ == pl.Float64:
        return pl.String
    if type_ in _UNREAD:
        return pl.Int64
    return pl.List(pl.Int64) if type_ == pl.List(pl.UInt64) else type_


def _normalised(frame: pl.DataFrame, types: Mapping[str, Type]) -> pl.DataFrame:
    return frame.with_columns(
        (seconds(pl.col(name)) if type_ == pl.Float64 else pl.col(name).cast(type_, strict=False)).alias(name)
        for name, type_ in types.items()
    )


def _split(frame: pl.DataFrame, raw: pl.Series, log: str, want: Want) -> Iterator[Batch]:
    paths = frame[PATH].unique()
    if paths.len() == 1:
        path = paths[0]
        yield _batch(frame, raw, None, log if path is None else log_name(path), want)
        return
    logs = pl.Series([log if path is None else log_name(path) for path in frame[PATH]])
    rows = pl.int_range(frame.height, eager=True, dtype=pl.UInt32)
    for name in sorted(logs.unique()):
        here = logs == name
        yield _batch(frame.filter(here), raw.filter(here), rows.filter(here), name, want)


def _batch(frame: pl.DataFrame, raw: pl.Series, rows: pl.Series | None, log: str, want: Want) -> Batch:
    names = want(log) or frozenset()
    # A column that no record of the batch has is as good as absent.
    held = [n for n in frame.columns if n in names and frame[n].null_count() < frame.height]
    return Batch(log, Form.JSON, frame.select(held or [PATH]), raw, rows)
