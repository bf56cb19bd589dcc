"""How a comparison of inventories with what was seen looks in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from rich.table import Table

from enrich.reconcile import Report
from enrich.terminal import out, safe

_SHOWN = 50
_PIPED = 160
"""Columns of a table that goes to no terminal."""


def reconciliation(report: Report) -> None:
    """Print the report: what nobody declared, what was never seen, what goes by a wrong name."""
    _table(
        "Seen, but declared by nobody",
        ("host", "port", "protocol", "flows", "clients", "last seen", "the port's name"),
        (
            (item.seen.host, f"{item.seen.port}/{item.seen.transport}", item.seen.protocol or "unknown",
             f"{item.seen.flows:,}", f"{item.seen.clients:,}", _time(item.seen.last_seen), item.name)
            for item in report.undeclared
        ),
    )  # fmt: skip
    _table(
        "Names that the observed protocol contradicts",
        ("host", "port", "is called", "by", "but speaks", "flows", "last seen"),
        (
            (item.seen.host, f"{item.seen.port}/{item.seen.transport}", item.declared.name, item.declared.source,
             ", ".join(sorted(item.seen.observed)), f"{item.seen.flows:,}", _time(item.seen.last_seen))
            for item in report.contradicted
        ),
    )  # fmt: skip
    _table(
        "Declared, but never seen",
        ("host", "port", "name", "program", "by"),
        (
            (item.host or "any", f"{item.port}/{item.transport}", item.name, item.program, item.source)
            for item in report.never_seen
        ),
    )
    out().print(f"{report.agreeing:,} services were seen as declared")


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | None]]) -> None:
    every = list(rows)
    if not every:
        return
    table = Table(title=title, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="right" if name in ("flows", "clients") else "left")
    for row in every[:_SHOWN]:
        table.add_row(*(safe(cell) for cell in row))
    console = out()
    if not console.is_terminal:
        console.width = _PIPED
    console.print(table)
    if len(every) > _SHOWN:
        console.print(f"{len(every) - _SHOWN:,} more (--json lists all)")
    console.print()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
