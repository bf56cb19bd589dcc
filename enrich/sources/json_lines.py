"""What Zeek's JSON and Suricata's EVE have in common: a record is a line that holds one JSON object.

Only the columns that somebody reads are decoded; the record's own text goes through as it is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import polars as pl

from enrich.batch import Reject
from enrich.columns import Type
from enrich.sources.lines import Chunk
from enrich.sources.zeek_tsv import split_lines

# RFC 8259 knows no NaN or Infinity; Python's reader would take them.
_JSON = json.JSONDecoder(parse_constant=lambda name: (_ for _ in ()).throw(ValueError(f"{name} is not JSON")))


def decode(chunk: Chunk, schema: Mapping[str, Type]) -> tuple[pl.DataFrame, pl.Series, list[Reject]]:
    """Decode the named fields of each line: the frame (wrong types read as null), the lines, and what is no record."""
    data = chunk.data
    whole = not (chunk.cut and not data.endswith(b"\n"))
    if whole and b"\r" not in data:
        height = data.count(b"\n") + (not data.endswith(b"\n"))
        lines = split_lines(data, height)
        if lines is not None and lines.str.starts_with("{").all():
            try:
                frame = _decode(data, schema)
                if frame.height == height:
                    return frame, lines, []
            except pl.exceptions.PolarsError:
                pass
    kept, rejects = _sort(chunk, whole)
    if not kept:
        return pl.DataFrame(schema=dict(schema)), pl.Series("raw", [], pl.String), rejects
    return _decode("\n".join(kept).encode(), schema), pl.Series("raw", kept, pl.String), rejects


def _decode(data: bytes, schema: Mapping[str, Type]) -> pl.DataFrame:
    return pl.read_ndjson(io.BytesIO(data), schema=dict(schema), ignore_errors=True)


def _sort(chunk: Chunk, whole: bool) -> tuple[list[str], list[Reject]]:
    """Look at each line by itself."""
    kept: list[str] = []
    rejects: list[Reject] = []
    lines = chunk.data.split(b"\n")
    for number, line in enumerate(lines, chunk.first_line):
        text = line.strip(b" \t\r")
        if not text:
            continue
        if not whole and number == chunk.first_line + len(lines) - 1:
            rejects.append(Reject(number, "the record is cut: the file ends in the middle of it", line))
            continue
        try:
            record = _JSON.decode(text.decode("utf-8"))
            if not isinstance(record, dict):
                rejects.append(Reject(number, "line is JSON, but not an object", line))
                continue
            # Python reads some texts that the column reader does not (very deep nesting, lone surrogates, …).
            _decode(text, {"__none__": pl.String})
            kept.append(text.decode("utf-8"))
        except UnicodeDecodeError:
            rejects.append(Reject(number, "line is not valid UTF-8", line))
        except (ValueError, RecursionError, pl.exceptions.PolarsError) as error:
            why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error).splitlines()[0]
            rejects.append(Reject(number, f"line is not valid JSON: {why}", line))
    return kept, rejects


def seconds(values: pl.Expr) -> pl.Expr:
    """Epoch seconds of a time written as a number or in ISO 8601, microseconds kept."""
    number = values.cast(pl.Float64, strict=False)
    utc = values.str.replace(r"([+-]\d\d):?(\d\d)$", "$1$2").str.replace("Z$", "+0000")
    stamp = utc.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", time_unit="us", strict=False)
    plain = values.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", time_unit="us", strict=False)
    return pl.coalesce(number, *((time.dt.epoch("us") / 1e6).round(6) for time in (stamp, plain)))
