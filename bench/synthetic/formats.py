"""Log rows as text: Zeek's TSV, Zeek's JSON and Suricata's EVE."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

import polars as pl

from . import eve
from .schema import LOGS

_EMPTY = "(empty)"


class Writer(Protocol):
    """Takes the rows of all logs, a chunk at a time, and writes them to files of its own."""

    def write(self, logs: Mapping[str, pl.DataFrame]) -> None:
        """Append rows, which are in the order in which Zeek would write them."""

    def close(self) -> None:
        """Finish the files."""


class _Files:
    """One open file a log, with room for what stands before and after the rows."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, BinaryIO] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def file(self, log: str) -> BinaryIO:
        """The log's file, begun if this is its first use."""
        if log not in self._open:
            self._open[log] = (self._folder / f"{log}.log").open("wb")
            self.begin(log, self._open[log])
        return self._open[log]

    def begin(self, log: str, file: BinaryIO) -> None:
        """Write what stands before the rows."""

    def end(self, log: str, file: BinaryIO) -> None:
        """Write what stands after them."""

    def close(self) -> None:
        """End and close all files."""
        for log, file in self._open.items():
            self.end(log, file)
            file.close()


class ZeekTsv(_Files):
    """Zeek's own format, with its header and its #close."""

    def __init__(self, folder: Path, opened: float) -> None:
        super().__init__(folder)
        self._opened = f"{datetime.fromtimestamp(opened, UTC):%Y-%m-%d-%H-%M-%S}"

    def begin(self, log: str, file: BinaryIO) -> None:
        fields = LOGS[log]
        lines = (
            "#separator \\x09",
            "#set_separator\t,",
            f"#empty_field\t{_EMPTY}",
            "#unset_field\t-",
            f"#path\t{log}",
            f"#open\t{self._opened}",
            "\t".join(["#fields", *fields]),
            "\t".join(["#types", *fields.values()]),
        )
        file.write(("\n".join(lines) + "\n").encode())

    def end(self, log: str, file: BinaryIO) -> None:
        file.write(f"#close\t{self._opened}\n".encode())

    def write(self, logs: Mapping[str, pl.DataFrame]) -> None:
        for log, rows in logs.items():
            columns = [
                pl.when(pl.col(name)).then(pl.lit("T")).when(~pl.col(name)).then(pl.lit("F")).alias(name)
                if kind == "bool"
                else pl.col(name)
                for name, kind in LOGS[log].items()
            ]
            rows.select(columns).write_csv(
                self.file(log),
                include_header=False,
                separator="\t",
                null_value="-",
                quote_style="never",
                float_precision=6,
            )


class ZeekJson(_Files):
    """Zeek's JSON: one object a line, unset fields left out."""

    def write(self, logs: Mapping[str, pl.DataFrame]) -> None:
        for log, rows in logs.items():
            parts = [_json_field(name, kind) for name, kind in LOGS[log].items()]
            lines = rows.select(pl.concat_str([pl.lit("{"), *parts, pl.lit("}")]).str.replace("{,", "{", literal=True))
            write_lines(self.file(log), lines)


class Eve:
    """Suricata's eve.json: every log's rows as events in one file."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._file = (folder / "eve.json").open("wb")

    def write(self, logs: Mapping[str, pl.DataFrame]) -> None:
        write_lines(self._file, eve.events(logs))

    def close(self) -> None:
        self._file.close()


def write_lines(file: BinaryIO, lines: pl.DataFrame) -> None:
    """Write a frame of one string column, a value a line."""
    lines.write_csv(file, include_header=False, quote_style="never")


def _json_field(name: str, kind: str) -> pl.Expr:
    column = pl.col(name)
    if kind in {"count", "port", "time", "interval", "bool"}:
        value = column.cast(pl.String)
    elif kind.startswith(("set[", "vector[")):
        quote = "" if kind == "vector[interval]" else '"'
        items = column.str.replace_all(",", f"{quote},{quote}", literal=True).str.replace_all(
            ".000000", ".0", literal=True
        )
        value = (
            pl.when(column == _EMPTY)
            .then(pl.lit("[]"))
            .otherwise(pl.concat_str(pl.lit(f"[{quote}"), items, pl.lit(f"{quote}]")))
        )
    else:
        value = pl.concat_str(pl.lit('"'), column, pl.lit('"'))
    return pl.concat_str(pl.lit(f',"{name}":'), value).fill_null("")
