"""Lines as columns, through Polars' CSV reader: what the readers of all forms share."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from functools import lru_cache

import polars as pl

from enrich.columns import Type

# A byte that stands in no line of a chunk makes each line one CSV field; Zeek and JSON escape control characters.
_UNUSED = (b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x1c", b"\x1d", b"\x1e", b"\x1f")


def read_columns(
    data: bytes,
    separator: bytes,
    columns: Mapping[str, Type],
    unset: str | None = None,
    chosen: list[int] | None = None,
    *,
    wrong_as_null: bool = False,
) -> pl.DataFrame:
    """Rows without quotes or header as columns, all or those at ``chosen``. Raises PolarsError for a wrong value."""
    return pl.read_csv(
        io.BytesIO(data),
        separator=separator.decode("latin-1"),
        has_header=False,
        quote_char=None,
        schema=dict(columns),
        columns=chosen,
        null_values=[unset] if unset else None,
        empty_string_is_null=unset == "",
        ignore_errors=wrong_as_null,
        low_memory=True,
    )


def unused_byte(data: bytes) -> bytes | None:
    """A byte that does not occur in the data and means nothing to a CSV reader; None if all of them occur."""
    return next((byte for byte in _UNUSED if byte not in data), None)


def even(data: bytes, separator: bytes, fields: int) -> bool:
    """Whether every line has so many fields. The CSV reader would fill up and cut off where it does not look."""
    marks = data.translate(None, _others(separator))
    if not data.endswith(b"\n"):
        marks += b"\n"
    line = separator * (fields - 1) + b"\n"
    return len(marks) % len(line) == 0 and marks == line * (len(marks) // len(line))


@lru_cache(maxsize=16)
def _others(separator: bytes) -> bytes:
    return bytes(byte for byte in range(256) if byte not in (*separator, 10))


def split_lines(data: bytes, height: int) -> pl.Series | None:
    """The lines of a chunk as a column; None if that cannot be done at once, or gives another number of them."""
    unused = unused_byte(data)
    if unused is None:
        return None
    lines = read_columns(data, unused, {"raw": pl.String}).to_series()
    return lines if lines.len() == height else None


def numbered(data: bytes, first_line: int) -> Iterator[tuple[int, bytes]]:
    """The lines without their ends, each with its number."""
    for number, line in enumerate(data.split(b"\n"), first_line):
        yield number, line.removesuffix(b"\r")


def is_utf8(data: bytes) -> bool:
    """Whether bytes are valid UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
