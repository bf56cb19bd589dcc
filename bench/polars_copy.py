#!/usr/bin/env python3
"""The practical limit: Polars' streaming engine copies Zeek TSV logs, adding nothing.

    polars_copy.py ndjson|tsv OUT LOG...

To NDJSON with the types that the header names, as they must be decoded for that; to TSV as text, which is faster.
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl

_TYPES = {
    "time": pl.Float64,
    "interval": pl.Float64,
    "double": pl.Float64,
    "count": pl.UInt64,
    "int": pl.Int64,
    "port": pl.UInt16,
}


def header(log: Path) -> dict[str, str]:
    """The fields and their types."""
    lines = {}
    with log.open(encoding="utf-8") as file:
        for line in file:
            if not line.startswith("#"):
                break
            name, *values = line.rstrip("\n").split("\t")
            lines[name] = values
    return dict(zip(lines["#fields"], lines["#types"], strict=True))


def copy(log: Path, folder: Path, form: str) -> None:
    """Copy a log into a folder."""
    typed = form == "ndjson"
    fields = header(log)
    frame = pl.scan_csv(
        log,
        separator="\t",
        has_header=False,
        comment_prefix="#",
        quote_char=None,
        null_values="-" if typed else None,
        schema={name: _TYPES.get(kind, pl.String) if typed else pl.String for name, kind in fields.items()},
    )
    out = folder / f"{log.stem}.{form}"
    if typed:
        flags = [pl.col(name) == "T" for name, kind in fields.items() if kind == "bool"]
        frame.with_columns(flags).sink_ndjson(out)
    else:
        frame.sink_csv(out, separator="\t", include_header=False, quote_style="never")


def main() -> None:
    form, out, *logs = sys.argv[1:]
    Path(out).mkdir()
    for log in logs:
        copy(Path(log), Path(out), form)


if __name__ == "__main__":
    main()
