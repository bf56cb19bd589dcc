"""Zeek's TSV logs: columns and types come from the header, which may change in mid-file.

Polars' CSV reader does the work on whole chunks, and only after two counts have shown that every row has as many fields
as the header names; a chunk that fails them, or holds a value of a wrong type, is sorted row by row.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import polars as pl

from enrich.batch import Batch, Damage, Dialect, Form, Header, Item, Reject
from enrich.sources.lines import Chunk
from enrich.sources.zeek_types import element, scalar

Want = Callable[[str], frozenset[str] | None]

# A byte that stands in no line of a chunk makes each line one CSV field; Zeek escapes control characters.
_UNUSED = (b"\x01", b"\x02", b"\x03", b"\x04", b"\x05", b"\x06", b"\x1c", b"\x1d", b"\x1e", b"\x1f")
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|\\)")
_BOOL = {"T": True, "F": False}


@dataclass(slots=True)
class Schema:
    """What a header says: the log's name, its fields in order (made unique) and their Zeek types."""

    log: str = "unknown"
    dialect: Dialect = field(default_factory=Dialect)
    fields: list[str] = field(default_factory=list)
    types: list[str] = field(default_factory=list)
    problem: str | None = "no #fields header before this row"

    def zeek_types(self) -> dict[str, str]:
        """Zeek types by field name."""
        return dict(zip(self.fields, self.types, strict=True))


def read(chunks: Iterable[Chunk | Reject | Damage], log: str, want: Want, keep_raw: bool) -> Iterator[Item]:
    """Yield headers, batches and rejects of a TSV log in their order.

    ``log`` is its name where no ``#path`` says better; ``want`` names the columns to decode of a log (None: all);
    ``keep_raw`` also keeps each record's own text.
    """
    schema = Schema(log=log)
    for chunk in chunks:
        if isinstance(chunk, Reject):
            yield [chunk]
        elif isinstance(chunk, Damage):
            yield chunk
        else:
            for segment, first_line, is_header in _segments(chunk):
                if is_header:
                    text = segment.decode("utf-8", "backslashreplace").rstrip("\r\n")
                    schema = _parse_header(text, schema)
                    yield Header(text.replace("\r", ""), _empty(schema))
                else:
                    yield from _rows(segment, first_line, schema, want, keep_raw, chunk.cut)


def _segments(chunk: Chunk) -> Iterator[tuple[bytes, int, bool]]:
    """Split a chunk into runs of header lines and runs of rows, each with the number of its first line."""
    data, line, at = chunk.data, chunk.first_line, 0
    while at < len(data):
        if data[at : at + 1] == b"#":
            end = at
            while data[end : end + 1] == b"#":
                newline = data.find(b"\n", end)
                end = len(data) if newline < 0 else newline + 1
            yield data[at:end], line, True
        else:
            # Looking for one byte is much faster than for two, and most chunks have no # at all.
            mark = data.find(b"\n#", at) if b"#" in data else -1
            end = len(data) if mark < 0 else mark + 1
            yield data[at:end], line, False
        line += data.count(b"\n", at, end)
        at = end


def _unescape_setting(text: str) -> str:
    return unescape(text.encode()) if "\\x" in text else text


def _parse_header(text: str, old: Schema) -> Schema:
    lines = text.split("\n")
    settings = {
        "separator": old.dialect.separator,
        "set_separator": old.dialect.set_separator,
        "empty_field": old.dialect.empty_field,
        "unset_field": old.dialect.unset_field,
    }
    log, fields, types = old.log, old.fields, old.types
    fresh = False
    for raw in lines:
        line = raw.rstrip("\r")
        if line.startswith("#separator "):
            settings["separator"] = _unescape_setting(line[len("#separator ") :])
            continue
        name, _, value = line[1:].partition(settings["separator"])
        if name in settings:
            settings[name] = _unescape_setting(value)
        elif name == "path":
            log = log_name(value)
        elif name == "fields":
            fields, types, fresh = _unique(value.split(settings["separator"])), [], True
        elif name == "types":
            types, fresh = value.split(settings["separator"]), True
    if not fresh:
        return Schema(log, Dialect(**settings), old.fields, old.types, old.problem)
    if not types:
        types = ["string"] * len(fields)
    problem = None
    if len(types) != len(fields):
        problem = f"the header names {len(fields)} fields but {len(types)} types"
    return Schema(log, Dialect(**settings), fields, types, problem)


def log_name(path: str) -> str:
    """A log's name from a header or a ``_path`` field, which an attacker may have written: only plain names pass."""
    return path if re.fullmatch(r"[A-Za-z0-9_-]{1,64}", path) else "unknown"


def _unique(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return out


def _rows(data: bytes, first_line: int, schema: Schema, want: Want, keep_raw: bool, cut: bool) -> Iterator[Item]:
    if schema.problem is not None:
        rejected = [Reject(n, schema.problem, line) for n, line in _numbered(data, first_line) if line.strip()]
        if rejected:
            yield rejected
        return
    separator = schema.dialect.separator.encode()
    if len(separator) > 1:
        stand_in = next((byte for byte in _UNUSED if byte not in data), None)
        if stand_in is None:
            yield [
                Reject(n, "row holds control characters beside a separator of several characters", line)
                for n, line in _numbered(data, first_line)
            ]
            return
        table, separator = data.replace(separator, stand_in), stand_in
    else:
        table = data
    names = want(schema.log)
    rejects: list[Reject] = []
    numbers: list[int] | None = None
    broken_end = cut and not data.endswith(b"\n")
    frame = None if broken_end else _read_fast(table, separator, schema, names)
    if frame is None:
        numbers, kept, rejects = _sort_rows(table, separator, schema, first_line, broken_end)
        frame, bad = _read_checked(kept, separator, schema, names)
        originals = dict(_numbered(data, first_line)) if bad or rejects else {}
        rejects = [Reject(r.line, r.reason, originals[r.line]) for r in rejects]
        rejects += [Reject(numbers[row], reason, originals[numbers[row]]) for row, reason in bad.items()]
        numbers = [number for row, number in enumerate(numbers) if row not in bad]
        if bad:
            frame = frame.with_row_index("__n__").filter(~pl.col("__n__").is_in(list(bad))).drop("__n__")
    if rejects:
        yield sorted(rejects, key=lambda reject: reject.line)
    if frame.height:
        raw = _raw_lines(data, first_line, numbers, frame.height) if keep_raw else None
        yield [Batch(schema.log, Form.TSV, frame, raw, None, schema.dialect, schema.zeek_types())]


def _empty(schema: Schema) -> Batch:
    types = {} if schema.problem else schema.zeek_types()
    columns = {name: pl.List(pl.String) if element(kind) else scalar(kind) for name, kind in types.items()}
    frame = pl.DataFrame(schema=columns)
    return Batch(schema.log, Form.TSV, frame, pl.Series("raw", [], pl.String), None, schema.dialect, types)


def _numbered(data: bytes, first_line: int) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(data.split(b"\n"), first_line):
        yield number, line.removesuffix(b"\r")


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _read_fast(data: bytes, separator: bytes, schema: Schema, names: frozenset[str] | None) -> pl.DataFrame | None:
    """Read a run of rows at once; None if any of them needs a closer look."""
    rows = data.count(b"\n") + (not data.endswith(b"\n"))
    if data.count(separator) != rows * (len(schema.fields) - 1) or not _is_utf8(data):
        return None
    columns = {
        name: pl.String if element(kind) or kind == "bool" else scalar(kind)
        for name, kind in zip(schema.fields, schema.types, strict=True)
    }
    # At least one column, so that the frame knows its height.
    chosen = [at for at, name in enumerate(schema.fields) if names is None or name in names] or [0]
    try:
        frame = _read_csv(data, separator, columns, schema.dialect.unset_field, chosen)
        if frame.height != rows:
            return None
        return _typed(frame, data, schema)
    except (pl.exceptions.PolarsError, ValueError):
        return None


def _read_csv(
    data: bytes, separator: bytes, columns: dict[str, object], unset: str | None, chosen: list[int] | None = None
) -> pl.DataFrame:
    return pl.read_csv(
        io.BytesIO(data),
        separator=separator.decode("latin-1"),
        has_header=False,
        quote_char=None,
        schema=columns,  # type: ignore[arg-type]
        columns=chosen,
        null_values=None if unset is None else [unset],
        empty_string_is_null=False,
        low_memory=True,
    )


def _sort_rows(
    data: bytes, separator: bytes, schema: Schema, first_line: int, broken_end: bool
) -> tuple[list[int], bytes, list[Reject]]:
    """Look at each row by itself: line numbers and text of those that have the right shape, and the others."""
    numbers: list[int] = []
    kept: list[bytes] = []
    rejects: list[Reject] = []
    lines = list(_numbered(data, first_line))
    last = lines[-1][0]
    for number, line in lines:
        if not line.strip(b"\r"):
            continue
        found = line.count(separator) + 1
        if broken_end and number == last:
            rejects.append(Reject(number, "the row is cut: the file ends in the middle of it", line))
        elif found != len(schema.fields):
            rejects.append(Reject(number, f"row has {found} fields, the header names {len(schema.fields)}", line))
        elif not _is_utf8(line):
            rejects.append(Reject(number, "row is not valid UTF-8", line))
        else:
            numbers.append(number)
            kept.append(line + b"\n")
    return numbers, b"".join(kept), rejects


def _read_checked(
    data: bytes, separator: bytes, schema: Schema, names: frozenset[str] | None
) -> tuple[pl.DataFrame, dict[int, str]]:
    """Read rows of the right shape, each value checked against its type: the frame, and what is wrong in which row."""
    columns: dict[str, object] = dict.fromkeys(schema.fields, pl.String)
    if not data:
        text = pl.DataFrame(schema=columns)  # type: ignore[arg-type]
    elif len(columns) == 1:
        # Polars takes a row whose only field is empty for no row at all.
        lines = [line.decode() for line in data.split(b"\n")[:-1]]
        only = pl.Series(schema.fields[0], lines, pl.String)
        text = only.replace(schema.dialect.unset_field, None).to_frame()
    else:
        text = _read_csv(data, separator, columns, schema.dialect.unset_field)
    bad: dict[int, str] = {}
    out: list[pl.Series] = []
    for name, kind in schema.zeek_types().items():
        values = text[name]
        if element(kind) or scalar(kind) == pl.String:
            out.append(values)
            continue
        if kind == "bool":
            wrong = values.is_not_null() & ~values.is_in(["T", "F"])
            out.append(values.set(wrong, None) if wrong.any() else values)
        else:
            present = values.set(values == "", None)
            cast = present.cast(scalar(kind), strict=False)
            wrong = present.is_not_null() & cast.is_null()
            out.append(cast.alias(name))
        for row in wrong.arg_true():
            bad.setdefault(row, f"field {name}: {values[row][:80]!r} is not a {kind}")
    frame = pl.DataFrame(out)
    if names is not None:
        frame = frame.select([name for name in frame.columns if name in names] or frame.columns[:1])
    return _typed(frame, data, schema), bad


def _typed(frame: pl.DataFrame, data: bytes, schema: Schema) -> pl.DataFrame:
    """Make bools, lists, empty strings and escapes of what the CSV reader left as text."""
    kinds = schema.zeek_types()
    empty = schema.dialect.empty_field
    has_empty = empty.encode() in data
    has_escape = b"\\" in data
    out = []
    for name in frame.columns:
        values, kind = frame[name], kinds[name]
        inner = element(kind)
        if kind == "bool":
            bools = values.replace_strict(_BOOL, default=None, return_dtype=pl.Boolean)
            if bools.null_count() != values.null_count():
                raise ValueError(f"{name}: not a bool")
            out.append(bools)
        elif inner is not None:
            out.append(_lists(values, inner, schema.dialect, has_escape))
        elif values.dtype == pl.String:
            out.append(_strings(values, empty if has_empty else None, has_escape))
        else:
            out.append(values)
    return pl.DataFrame(out)


def _strings(values: pl.Series, empty: str | None, has_escape: bool) -> pl.Series:
    escaped = values.str.contains("\\", literal=True) if has_escape else None
    if empty is not None:
        values = values.replace(empty, "")
    if escaped is not None and escaped.any():
        distinct = values.filter(escaped).unique()
        values = values.replace(distinct, pl.Series([unescape(text.encode()) for text in distinct], dtype=pl.String))
    return values


def _lists(values: pl.Series, inner: str, dialect: Dialect, has_escape: bool) -> pl.Series:
    name = values.name
    lists = values.str.split(dialect.set_separator)
    elements = lists.explode(empty_as_null=False, keep_nulls=False) if lists.len() else pl.Series([], dtype=pl.String)
    elements = elements.replace(dialect.unset_field, None)
    if inner == "bool":
        typed = elements.replace_strict(_BOOL, default=None, return_dtype=pl.Boolean)
    elif scalar(inner) == pl.String:
        typed = _strings(elements, dialect.empty_field, has_escape)
    else:
        typed = elements.cast(scalar(inner), strict=False)
    empty = values == dialect.empty_field
    lengths = pl.DataFrame({"n": lists.list.len(), "empty": empty})
    rows = pl.DataFrame({"row": pl.int_range(lists.len(), eager=True, dtype=pl.UInt32), "n": lengths["n"]})
    owner = rows.select(pl.col("row").repeat_by(pl.col("n").fill_null(0))).to_series().explode(empty_as_null=False)
    grouped = (
        pl.DataFrame({"row": owner.cast(pl.UInt32), "value": typed})
        .group_by("row", maintain_order=True)
        .agg(pl.col("value"))
    )
    joined = rows.join(grouped, on="row", how="left", maintain_order="left")["value"]
    none = pl.Series([[]], dtype=pl.List(typed.dtype))
    return pl.select(
        pl.when(empty).then(pl.lit(none).first()).when(values.is_null()).then(None).otherwise(joined).alias(name)
    ).to_series()


def unescape(text: bytes) -> str:
    r"""Undo Zeek's ``\xNN`` and ``\\``. Bytes that are no UTF-8 stay escaped, as in Zeek's own JSON."""

    def byte(match: re.Match[bytes]) -> bytes:
        return bytes.fromhex(match[1].decode()) if match[1] else b"\\"

    return _ESCAPE.sub(byte, text).decode("utf-8", "backslashreplace")


def _raw_lines(data: bytes, first_line: int, numbers: list[int] | None, height: int) -> pl.Series:
    """The records' own text, without line ends, of the lines that were kept."""
    if numbers is None and b"\r" not in data:
        lines = split_lines(data, height)
        if lines is not None:
            return lines
    own = dict(_numbered(data, first_line))
    chosen = numbers if numbers is not None else sorted(number for number, line in own.items() if line)
    return pl.Series("raw", [own[number].decode() for number in chosen], dtype=pl.String)


def split_lines(data: bytes, height: int) -> pl.Series | None:
    """The lines of a chunk as a column, through the CSV reader where a byte is free to separate nothing."""
    unused = next((byte for byte in _UNUSED if byte not in data), None)
    if unused is None:
        return None
    lines = _read_csv(data, unused, {"raw": pl.String}, None).to_series()
    return lines if lines.len() == height else None
