"""What Zeek's JSON and Suricata's EVE have in common: a record is a line that holds one JSON object.

Only the columns that somebody reads are decoded; the record's own text goes through as it is.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping

import polars as pl

from enrich.batch import Reject
from enrich.columns import Type
from enrich.sources import rows
from enrich.sources.lines import Chunk

Line = tuple[int, bytes]

# RFC 8259 knows no NaN or Infinity; Python's reader would take them.
_JSON = json.JSONDecoder(parse_constant=lambda name: (_ for _ in ()).throw(ValueError(f"{name} is not JSON")))


def decode(chunk: Chunk, schema: Mapping[str, Type]) -> tuple[pl.DataFrame, pl.Series, list[Reject]]:
    """Decode the named fields of each line: the frame (wrong types read as null), the lines, and what is no record."""
    data = chunk.data
    cut = chunk.cut and not data.endswith(b"\n")
    if not cut and b"\r" not in data:
        lines = rows.split_lines(data, chunk.ends + (not data.endswith(b"\n"))) if rows.is_utf8(data) else None
        if lines is not None and lines.str.starts_with("{").all():
            frame = objects(data, lines.len(), schema)
            if frame is not None:
                return frame, lines, []
    numbered = [(number, line.strip(b" \t\r")) for number, line in rows.numbered(data, chunk.first_line)]
    rejects = []
    number, line = numbered[-1]
    if cut and line:
        numbered.pop()
        rejects.append(Reject(number, "the record is cut: the file ends in the middle of it", line))
    frames, kept = [pl.DataFrame(schema=dict(schema))], []
    for found in _sorted_out([(number, line) for number, line in numbered if line], schema):
        if isinstance(found, Reject):
            rejects.append(found)
        else:
            frames.append(found[0])
            kept += [line.decode() for _, line in found[1]]
    return pl.concat(frames), pl.Series("raw", kept, pl.String), sorted(rejects, key=lambda reject: reject.line)


def objects(data: bytes, height: int, schema: Mapping[str, Type]) -> pl.DataFrame | None:
    """The named fields of so many lines; None if not every line is a JSON object."""
    try:
        frame = pl.read_ndjson(io.BytesIO(data), schema=dict(schema), ignore_errors=True)
    except pl.exceptions.PolarsError:
        return None
    return frame if frame.height == height else None


def _sorted_out(lines: list[Line], schema: Mapping[str, Type]) -> Iterator[tuple[pl.DataFrame, list[Line]] | Reject]:
    """Runs of lines that are objects, and rejects: what cannot be read at once is halved until it can."""
    if not lines:
        return
    data = b"\n".join(line for _, line in lines)
    if all(line.startswith(b"{") for _, line in lines) and rows.is_utf8(data):
        frame = objects(data, len(lines), schema)
        if frame is not None:
            yield frame, lines
            return
    if len(lines) == 1:
        yield Reject(lines[0][0], _reason(lines[0][1]), lines[0][1])
        return
    middle = len(lines) // 2
    yield from _sorted_out(lines[:middle], schema)
    yield from _sorted_out(lines[middle:], schema)


def _reason(line: bytes) -> str:
    """What is wrong with a line that is no record."""
    try:
        found = _JSON.decode(line.decode("utf-8"))
    except UnicodeDecodeError:
        return "line is not valid UTF-8"
    except RecursionError:
        return "line is not valid JSON: it is nested too deeply"
    except ValueError as error:
        return f"line is not valid JSON: {error}"
    if not isinstance(found, dict):
        return "line is JSON, but not an object"
    return "line is JSON that cannot be read: it is nested too deeply, or holds a number out of range"


def seconds(values: pl.Expr) -> pl.Expr:
    """Epoch seconds of a time written as a number or in ISO 8601, microseconds kept; null for anything else.

    Between date and time may be a blank (RFC 3339 section 5.6).
    """
    return values.map_batches(_seconds, return_dtype=pl.Float64)


_FORMATS = ("%Y-%m-%dT%H:%M:%S%.f%z", "%Y-%m-%dT%H:%M:%S%.fZ", "%Y-%m-%dT%H:%M:%S%.f")


def _seconds(values: pl.Series) -> pl.Series:
    out = values.cast(pl.Float64, strict=False)
    if out.null_count() > values.null_count():
        values = values.str.replace("^([0-9]{4}-[0-9]{2}-[0-9]{2}) ", "${1}T")
    for form in _FORMATS:  # each is tried on what is left
        left = (out.is_null() & values.is_not_null()).arg_true()
        if not left.len():
            break
        times = values.gather(left).str.to_datetime(form, time_unit="us", strict=False)
        out = out.scatter(left, (times.dt.epoch("us") / 1e6).round(6))
    return out
