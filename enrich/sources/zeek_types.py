"""Zeek's types as columns: how each is read from TSV, and the types of well-known fields where a log does not say."""

from __future__ import annotations

import re
from collections.abc import Collection

import polars as pl

from enrich.batch import Batch, Form
from enrich.columns import Type

SCALARS: dict[str, Type] = {
    "time": pl.Float64,
    "interval": pl.Float64,
    "double": pl.Float64,
    "count": pl.UInt64,
    "counter": pl.UInt64,
    "int": pl.Int64,
    "port": pl.UInt16,
    "bool": pl.Boolean,
}
_CONTAINER = re.compile(r"(?:set|vector|table|list)\[(\w+)\]")
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|\\)")

# Zeek's own types for the fields that enrichers read, for logs without a header (JSON).
FIELDS: dict[str, Type] = {
    "ts": pl.Float64,
    "duration": pl.Float64,
    "id.orig_p": pl.UInt16,
    "id.resp_p": pl.UInt16,
    "orig_bytes": pl.UInt64,
    "resp_bytes": pl.UInt64,
    "missed_bytes": pl.UInt64,
    "orig_pkts": pl.UInt64,
    "resp_pkts": pl.UInt64,
    "orig_ip_bytes": pl.UInt64,
    "resp_ip_bytes": pl.UInt64,
    "ip_proto": pl.UInt64,
    "local_orig": pl.Boolean,
    "local_resp": pl.Boolean,
    "answers": pl.List(pl.String),
    "TTLs": pl.List(pl.Float64),
    "port_num": pl.UInt16,
    "status_code": pl.UInt64,
    "cert_chain_fuids": pl.List(pl.String),
    "cert_chain_fps": pl.List(pl.String),
    "san.dns": pl.List(pl.String),
    "orig_sizes": pl.List(pl.UInt64),
    "resp_sizes": pl.List(pl.UInt64),
    "rejected": pl.Boolean,
    "qtype": pl.UInt64,
}


def element(zeek_type: str) -> str | None:
    """The element type of a Zeek set, vector or (old) table; None for a scalar."""
    match = _CONTAINER.fullmatch(zeek_type)
    return match[1] if match else None


def scalar(zeek_type: str) -> Type:
    """The column type of a Zeek scalar; what is not a number or bool is text."""
    return SCALARS.get(zeek_type, pl.String)


def column_type(zeek_type: str) -> Type:
    """The column type of any Zeek type: containers are lists."""
    inner = element(zeek_type)
    return scalar(zeek_type) if inner is None else pl.List(scalar(inner))


def field_type(name: str) -> Type:
    """The column type of a well-known Zeek field."""
    return FIELDS.get(name, pl.String)


def unescape(text: bytes) -> str:
    r"""Undo Zeek's ``\xNN`` and ``\\``. Bytes that are no UTF-8 stay escaped, as in Zeek's own JSON."""

    def byte(match: re.Match[bytes]) -> bytes:
        return bytes.fromhex(match[1].decode()) if match[1] else b"\\"

    return _ESCAPE.sub(byte, text).decode("utf-8", "backslashreplace")


def known_types(batch: Batch, names: Collection[str]) -> pl.DataFrame:
    """A batch's frame with these fields of their well-known types, whatever the header of their log says.

    As in JSON, what is of another type is text, or null where no text is expected. Columns that are named as our own
    hidden ones are left out, where it is the log that has them.
    """
    frame = batch.frame
    if batch.form is Form.EVE:
        return frame
    hidden = [name for name in frame.columns if name.startswith("_")]
    if hidden:
        frame = frame.drop(hidden)
    if batch.form is Form.JSON:
        return frame
    other = [name for name in frame.columns if name in names and frame.schema[name] != field_type(name)]
    return frame.with_columns(_as(frame[name], field_type(name)) for name in other) if other else frame


def _as(values: pl.Series, kind: Type) -> pl.Series:
    if isinstance(values.dtype, pl.List):
        texts = values.cast(pl.List(pl.String)).list.join(",")
        return texts if kind == pl.String else _as(texts, kind)
    if isinstance(kind, pl.List):
        return pl.Series(values.name, [None], kind).new_from_index(0, len(values))
    if kind == pl.Boolean and values.dtype == pl.String:
        return values.replace_strict({"T": True, "F": False}, default=None, return_dtype=pl.Boolean)
    return values.cast(kind, strict=False)
