"""The documentation's tables, generated from the declarations: ``python -m enrich.docs [--check] [README.md]``.

Each table stands between ``<!-- NAME:begin -->`` and ``<!-- NAME:end -->``. ``--check`` writes nothing and fails on a
difference.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from enrich import registry
from enrich.columns import CARRIERS, COLUMNS, Column
from enrich.model import Enricher, RollUp

_SOFTWARE_PREFIXES = frozenset(carrier.prefix for carrier in CARRIERS)


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def columns() -> str:
    """Every column that is added to records; the columns of banners once for all services."""
    return _table(("log", "column", "type", "meaning"), _column_rows())


def _column_rows() -> Iterator[tuple[str, ...]]:
    software: dict[str, list[Column]] = {}
    for column in COLUMNS:
        prefix, _, name = column.name.partition(".")
        if f"{prefix}." in _SOFTWARE_PREFIXES:
            software.setdefault(name, []).append(column)
        else:
            yield column.logs, f"`{column.name}`", _type(column), column.doc
    for name, same in software.items():
        logs = ", ".join(dict.fromkeys(column.logs for column in same))
        yield logs, f"`<side>.{name}`", _type(same[0]), same[0].doc


def _type(column: Column) -> str:
    return str(column.type).replace("String", "str").replace("List(str)", "list[str]").lower()


def sides() -> str:
    """The prefixes that stand for ``<side>`` in the table of columns."""
    return ", ".join(f"`{prefix.rstrip('.')}`" for prefix in sorted(_SOFTWARE_PREFIXES))


def enrichers() -> str:
    """What is built in: name, what it does, the tables it reads."""
    every: list[Enricher | RollUp] = [*registry.BUILT_IN, *registry.ROLL_UPS]
    rows = (
        (f"`{item.name}`", item.doc, ", ".join(f"`{table}`" for table in getattr(item, "tables", ()))) for item in every
    )
    return _table(("enricher", "what it adds", "tables"), rows)


TABLES = {"columns": columns, "sides": sides, "enrichers": enrichers}


def filled(text: str) -> str:
    """A document with every generated part made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        content = f"{begin}\n{make()}\n{end}"
        text = pattern.sub(lambda _, content=content: content, text)  # type: ignore[misc]
    return text


def main(args: list[str]) -> int:
    """Write the tables, or with ``--check`` say whether they are as they should be."""
    paths = [Path(arg) for arg in args if arg != "--check"] or [Path("README.md")]
    stale = [path for path in paths if filled(text := path.read_text("utf-8")) != text]
    if "--check" in args:
        for path in stale:
            sys.stderr.write(f"{path}: generated tables are out of date; run: python -m enrich.docs {path}\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(filled(path.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
