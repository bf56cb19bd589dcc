"""Parquet: typed columns, one file a log.

A log's columns may change from batch to batch (late JSON fields, a header that changes), so each batch becomes a small
file first; the last step joins them into one, columns united, without holding it in memory.
"""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl

from enrich.batch import Batch, Form
from enrich.shapes import Enriched


def frame(enriched: Enriched) -> pl.DataFrame:
    """A batch with its added columns, as one typed frame."""
    columns = _own(enriched.batch)
    for added in enriched.added:
        names = enriched.visible(added.table)
        if names:
            columns = columns.hstack(added.frame().select(*names).rename(names))
    return columns


def _own(batch: Batch) -> pl.DataFrame:
    if batch.raw is None or batch.form is Form.TSV:
        return batch.frame
    if batch.form is Form.EVE:
        return batch.frame.with_columns(batch.raw.alias("suricata"))
    text = "\n".join(batch.raw).encode()
    return pl.read_ndjson(io.BytesIO(text), infer_schema_length=None)


def unite(parts: list[Path], target: Path) -> None:
    """Join part files into one Parquet file. A column of several types becomes the widest of them, at last text."""
    scans = [pl.scan_parquet(part) for part in parts]
    schemas = [scan.collect_schema() for scan in scans]
    kinds: dict[str, set[pl.DataType]] = {}
    for schema in schemas:
        for name, dtype in schema.items():
            kinds.setdefault(name, set()).add(dtype)
    as_text = {name for name, found in kinds.items() if _as_text(found)}
    ready = []
    for scan, schema in zip(scans, schemas, strict=True):
        ready.append(scan.with_columns(_text(name, schema[name]) for name in schema if name in as_text))
    pl.concat(ready, how="diagonal_relaxed").sink_parquet(target, compression="zstd")


def _as_text(found: set[pl.DataType]) -> bool:
    known = {dtype for dtype in found if dtype != pl.Null}
    if any(dtype.is_nested() for dtype in known):
        return len(known) > 1
    return len(known) > 1 and not all(dtype.is_numeric() for dtype in known)


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    if not dtype.is_nested():
        return pl.col(name).cast(pl.String)
    member = pl.struct(pl.col(name).alias("v")).struct.json_encode()
    return pl.when(pl.col(name).is_not_null()).then(member.str.slice(5).str.head(-1)).alias(name)
