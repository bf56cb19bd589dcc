"""Zeek's TSV logs: columns and types come from the header, which may change in mid-file.

Polars' CSV reader does the work on whole chunks. A chunk with a row that has not as many fields as the header names, or
with a value of a wrong type, is sorted row by row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import polars as pl

from enrich.batch import Batch, Damage, Form, Header, Item, Reject
from enrich.columns import Type
from enrich.sources import rows
from enrich.sources.lines import Chunk, holds, newlines
from enrich.sources.zeek_header import Schema, parse, runs
from enrich.sources.zeek_types import column_type, element, scalar
from enrich.sources.zeek_values import ESCAPE, typed

Want = Callable[[str], frozenset[str] | None]


def read(chunks: Iterable[Chunk | list[Reject] | Damage], log: str, want: Want, keep_raw: bool) -> Iterator[Item]:
    """Yield headers, batches and rejects of a TSV log in their order.

    ``log`` is its name where no ``#path`` says better; ``want`` names the columns that are asked for of a log (None:
    all; no name: its rows are passed over); ``keep_raw`` also keeps each record's own text. A first look (some columns,
    no text) checks the values of those columns only; else the same rows are rejected whatever is asked for.
    """
    schema = Schema(log)
    for chunk in chunks:
        if not isinstance(chunk, Chunk):
            yield chunk
            continue
        line = chunk.first_line
        for start, end, is_header in runs(chunk.data, schema.dialect.separator.encode()):
            whole = start == 0 and end == len(chunk.data)
            part = chunk.data if whole else chunk.data[start:end]
            ends = chunk.ends if whole else newlines(part)
            if is_header:
                text = part.decode("utf-8", "backslashreplace").replace("\r\n", "\n").rstrip("\r\n")
                schema = parse(text, schema)
                yield Header(text, _empty(schema))
            else:
                cut = chunk.cut and end == len(chunk.data) and not part.endswith(b"\n")
                yield from _Rows(part, line, ends, schema, cut).items(want(schema.log), keep_raw)
            line += ends


def _empty(schema: Schema) -> Batch:
    types = {} if schema.problem else schema.types
    frame = pl.DataFrame(schema={name: column_type(kind) for name, kind in types.items()})
    return Batch(schema.log, Form.TSV, frame, None, None, schema.dialect, types)


class _Rows:
    """A run of rows under one header, with so many line ends; ``cut`` if the last of them breaks off."""

    def __init__(self, data: bytes, first_line: int, ends: int, schema: Schema, cut: bool) -> None:
        self.data, self.first_line, self.ends, self.schema, self.cut = data, first_line, ends, schema, cut
        self.table, self.separator = data, schema.dialect.separator.encode()

    def items(self, names: frozenset[str] | None, keep_raw: bool) -> Iterator[Item]:
        if names is not None and not names and not keep_raw:
            return
        problem = self.schema.problem or self._single_byte_separator()
        if problem is not None:
            rejects = [Reject(number, problem, line) for number, line in self._numbered() if line.strip()]
            if rejects:
                yield rejects
            return
        numbers: list[int] | None = None
        frame = None if self.cut else self._fast(names, check=names is None or keep_raw)
        if frame is None:
            frame, numbers, rejects = self._slow(names)
            if rejects:
                yield sorted(rejects, key=lambda reject: reject.line)
        if frame.height:
            raw = self._raw(numbers, frame.height) if keep_raw else None
            schema = self.schema
            yield [Batch(schema.log, Form.TSV, frame, raw, None, schema.dialect, schema.types)]

    def _numbered(self) -> Iterator[tuple[int, bytes]]:
        return rows.numbered(self.data, self.first_line)

    def _single_byte_separator(self) -> str | None:
        """Put one byte in place of a separator of several; say what is wrong if none is free."""
        if len(self.separator) > 1:
            stand_in = rows.unused_byte(self.data)
            if stand_in is None:
                return "row holds control characters beside a separator of several characters"
            self.table, self.separator = self.data.replace(self.separator, stand_in), stand_in
        return None

    def _fast(self, names: frozenset[str] | None, check: bool) -> pl.DataFrame | None:
        """All rows at once; None if any needs a closer look. ``check`` also those columns that nobody asked for."""
        types = self.schema.types
        height = self.ends + (not self.table.endswith(b"\n"))
        if not rows.even(self.table, self.separator, len(types)) or not rows.is_utf8(self.table):
            return None
        if len(types) == 1 and (
            self.table.startswith((b"\n", b"\r")) or b"\n\n" in self.table or b"\n\r" in self.table
        ):
            return None  # a blank line is no row, and looks like one here
        # Text cannot be wrong; all else is read, so that the same rows are rejected in every format.
        chosen = [
            at
            for at, (name, kind) in enumerate(types.items())
            if names is None or name in names or (check and _checked(kind))
        ]
        try:
            cells = self._cells(self.table, _column_types(types), chosen or [0])
        except (pl.exceptions.PolarsError, ValueError):
            return None
        if cells.height != height:
            return None
        values, wrong = self._typed(cells, self.table)
        return None if wrong else _asked(values, names)

    def _slow(self, names: frozenset[str] | None) -> tuple[pl.DataFrame, list[int], list[Reject]]:
        """Row by row: the good rows, their line numbers, and the others."""
        numbers, kept, rejects = self._sorted_out()
        types = self.schema.types
        if len(types) == 1:  # the CSV reader takes a row whose only field is empty for no row at all
            (name,) = types
            text = pl.Series(name, kept, pl.String).replace(self.schema.dialect.unset_field, None).to_frame()
            cells = text
        else:
            data = "".join(f"{line}\n" for line in kept).encode()
            text = self._cells(data, dict.fromkeys(types, pl.String))
            cells = self._cells(data, _column_types(types), wrong_as_null=True)
        values, wrong = self._typed(cells, self.table)
        for name in types:
            if cells.schema[name] != pl.String:  # a wrong number came back as null
                lost = cells[name].is_null() & text[name].is_not_null() & (text[name] != "")
                wrong += [(row, name) for row in lost.arg_true()]
        if not wrong:
            return _asked(values, names), numbers, rejects
        lines = dict(self._numbered())
        reasons = {row: f"field {name}: {text[name][row][:80]!r} is no {types[name]}" for row, name in reversed(wrong)}
        rejects += [Reject(numbers[row], reason, lines[numbers[row]]) for row, reason in reasons.items()]
        good = [row for row in range(len(numbers)) if row not in reasons]
        return _asked(values[good], names), [numbers[row] for row in good], rejects

    def _cells(
        self, data: bytes, columns: dict[str, Type], chosen: list[int] | None = None, *, wrong_as_null: bool = False
    ) -> pl.DataFrame:
        if not data:
            return pl.DataFrame(schema=columns)
        unset = self.schema.dialect.unset_field
        return rows.read_columns(data, self.separator, columns, unset, chosen, wrong_as_null=wrong_as_null)

    def _typed(self, cells: pl.DataFrame, data: bytes) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
        """The columns typed, and where (row, field) a value is not of its type."""
        out: list[pl.Series] = []
        wrong: list[tuple[int, str]] = []
        marks = frozenset(mark for mark in (ESCAPE, self.schema.dialect.empty_field) if holds(data, mark.encode()))
        for name in cells.columns:
            values, bad = typed(cells[name], self.schema.types[name], self.schema.dialect, marks)
            out.append(values)
            if bad is not None:
                wrong += [(row, name) for row in bad.arg_true()]
        return pl.DataFrame(out), wrong

    def _sorted_out(self) -> tuple[list[int], list[str], list[Reject]]:
        """Line numbers and text of the rows that have the right shape, and the others."""
        numbers: list[int] = []
        kept: list[str] = []
        rejects: list[Reject] = []
        fields = len(self.schema.types)
        originals = list(self._numbered())
        last = originals[-1][0]
        for (number, original), (_, line) in zip(originals, rows.numbered(self.table, self.first_line), strict=True):
            if not line:
                continue
            found = line.count(self.separator) + 1
            if self.cut and number == last:
                rejects.append(Reject(number, "the row is cut: the file ends in the middle of it", original))
            elif found != fields:
                has = "1 field" if found == 1 else f"{found} fields"
                rejects.append(Reject(number, f"row has {has}, the header names {fields}", original))
            elif not rows.is_utf8(line):
                rejects.append(Reject(number, "row is not valid UTF-8", original))
            else:
                numbers.append(number)
                kept.append(line.decode())
        return numbers, kept, rejects

    def _raw(self, numbers: list[int] | None, height: int) -> pl.Series:
        """The records' own text, without line ends, of the lines that were kept."""
        if numbers is None and b"\r" not in self.data:
            lines = rows.split_lines(self.data, height)
            if lines is not None:
                return lines
        own = dict(self._numbered())
        chosen = numbers if numbers is not None else sorted(number for number, line in own.items() if line)
        return pl.Series("raw", [own[number].decode() for number in chosen], dtype=pl.String)


def _checked(kind: str) -> bool:
    """Whether a value can be wrong for a type."""
    return scalar(element(kind) or kind) != pl.String


def _column_types(types: dict[str, str]) -> dict[str, Type]:
    """The types that the CSV reader is asked for: it knows neither Zeek's bools nor its lists."""
    return {
        name: pl.String if element(kind) is not None or kind == "bool" else scalar(kind) for name, kind in types.items()
    }


def _asked(frame: pl.DataFrame, names: frozenset[str] | None) -> pl.DataFrame:
    """The columns that were asked for, and at least one, so that the frame knows its height."""
    if names is None:
        return frame
    return frame.select([name for name in frame.columns if name in names] or frame.columns[:1])
