"""How a comparison of inventories with what was seen looks in a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from enrich.reconcile import Report
from enrich.terminal import counted, new_table, out, safe

_SHOWN = 50


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
    out().print(f"{counted(report.agreeing, 'service')} seen as declared")
    if report.named:
        out().print(f"{report.named_seen:,} of {counted(report.named, 'port')} that services files name were seen")


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | None]]) -> None:
    every = list(rows)
    if not every:
        return
    table = new_table(*columns, right=("flows", "clients"), title=title)
    for row in every[:_SHOWN]:
        table.add_row(*(safe(cell) for cell in row))
    console = out()
    console.print(table)
    if len(every) > _SHOWN:
        console.print(f"{len(every) - _SHOWN:,} more (--json lists all)")
    console.print()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
