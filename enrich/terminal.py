"""What people see in a terminal: progress, summaries, tables. Nothing from a log reaches the terminal raw."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from enrich import pipeline

if TYPE_CHECKING:
    from enrich.checks import Result
    from enrich.model import Enricher, RollUp

_SHOWN = 15


def printable(text: str) -> str:
    """Text with control characters (C1 and bidirectional ones too) as escapes: no log value drives a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def safe(text: object) -> str:
    """Text for a rich table: printable, markup escaped."""
    return escape(printable("" if text is None else str(text)))


def out() -> Console:
    """The console for results."""
    return Console(highlight=False, soft_wrap=not sys.stdout.isatty())


class Bar(pipeline.Progress):
    """Progress with rows a second and an estimate, on a terminal; problems as lines on standard error."""

    def __init__(self, quiet: bool) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
            transient=True,
        )
        self.task: Any = None
        self.rows = 0
        self.began = time.monotonic()

    def __enter__(self) -> Bar:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.bar.stop()

    def start(self, phase: str, total: int) -> None:
        """Begin a phase."""
        if self.task is not None:
            self.bar.remove_task(self.task)
        self.task = self.bar.add_task(phase, total=max(total, 1), rate="")
        self.rows, self.began = 0, time.monotonic()

    def advance(self, read: int, rows: int) -> None:
        """Show so many more bytes and rows."""
        self.rows += rows
        rate = self.rows / max(time.monotonic() - self.began, 0.001)
        self.bar.update(self.task, advance=read, rate=f"{rate:,.0f} rows/s" if self.rows else "")

    def problem(self, text: str) -> None:
        """Say what is wrong, above the bar."""
        self.console.print(safe(text), style="yellow", soft_wrap=True)


def size(number: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def summary(report: pipeline.Report, folder: Path) -> None:
    """The end of a run: applications by flows and bytes, and what was rejected."""
    console = out()
    rows = sum(item.rows for item in report.files)
    flows = sum(item["flows"] for item in report.applications)
    if flows:
        table = Table(title="Applications", title_justify="left", header_style="bold", box=None, pad_edge=False)
        for name in ("protocol", "application", "category"):
            table.add_column(name)
        for name in ("flows", "%", "bytes", "contradicts port"):
            table.add_column(name, justify="right")
        for item in report.applications[:_SHOWN]:
            table.add_row(
                safe(item["protocol"] or "unknown"),
                safe(item["name"] or ""),
                safe(item["category"] or ""),
                f"{item['flows']:,}",
                f"{100 * item['flows'] / flows:.1f}",
                size(item["bytes"]),
                f"{item['contradictions']:,}" if item["contradictions"] else "",
            )
        rest = report.applications[_SHOWN:]
        if rest:
            others = sum(item["flows"] for item in rest)
            share = f"{100 * others / flows:.1f}"
            table.add_row(
                f"{len(rest)} more", "", "", f"{others:,}", share, size(sum(item["bytes"] for item in rest)), ""
            )
        console.print(table)
        console.print()
    rejected = sum(item.rejected for item in report.files)
    rate = rows / max(report.seconds, 0.001)
    line = f"{rows:,} records of {len(report.files)} files in {report.seconds:.1f} s ({rate:,.0f} rows/s), "
    line += f"{size(report.bytes_out)} written to {safe(folder)}"
    console.print(line)
    if rejected:
        worst = [item for item in report.files if item.rejected]
        console.print(
            f"[red]{rejected:,} records rejected[/red] in {len(worst)} files: see {safe(folder / 'rejects.ndjson')}"
        )
        for file in worst[:_SHOWN]:
            console.print(f"  {safe(file.name)}: {file.rejected:,} of {file.rows:,}")
    for file in report.files:
        for problem in file.problems:
            console.print(f"[red]damaged:[/red] {safe(problem)}")
    unread = [item for item in report.skipped if not item.wrong]
    if unread:
        console.print(f"{len(unread)} files are no logs and were left alone (listed in run.json)")


def record(found: Mapping[str, Any]) -> None:
    """One looked-up thing as lines of name and value; JSON when not on a terminal."""
    if not sys.stdout.isatty():
        import json

        print(json.dumps(found, ensure_ascii=True))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, value in found.items():
        if value is not None:
            table.add_row(f"[bold]{safe(name)}[/bold]", safe(value))
    out().print(table)


def list_enrichers(every: Sequence[Enricher], roll_ups: Sequence[RollUp]) -> None:
    """What is installed, one paragraph an enricher."""
    console = out()
    for item in every:
        console.print(f"[bold]{safe(item.name)}[/bold]  {safe(item.doc)}")
        reads = sorted({f"{log}: {', '.join(use.columns)}" for use in item.uses for log in use.logs})
        console.print(f"  reads   {safe('; '.join(reads))}")
        console.print(
            f"  adds    {safe(', '.join(name for name in item.columns() if not name.startswith('_')) or '(evidence)')}"
        )
        if item.tables:
            console.print(f"  tables  {safe(', '.join(item.tables))}")
    for roll_up in roll_ups:
        console.print(
            f"[bold]{safe(roll_up.name)}[/bold]  {safe(roll_up.doc)}  (roll-up of {', '.join(sorted(roll_up.reads))})"
        )


def list_checks(results: Iterable[Result]) -> int:
    """Print one line a table; return the exit status."""
    console, failed = out(), 0
    for result in results:
        mark = "[green]ok[/green]  " if result.problem is None else "[red]FAIL[/red]"
        console.print(
            f"{mark} {safe(result.table):36} {safe(result.found if result.problem is None else result.problem)}"
        )
        failed += result.problem is not None
    return 1 if failed else 0


def explanation(found: Mapping[str, Any]) -> None:
    """A verdict with its evidence and weights."""
    console = out()
    for name, value in found["flow"].items():
        if value is not None:
            console.print(f"[bold]{safe(name)}[/bold] {safe(value)}")
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("evidence", "says", "strength", "meaning"):
        table.add_column(name, justify="right" if name == "strength" else "left")
    for row in found["evidence"]:
        strength = "" if row["strength"] is None else f"{row['strength']:.3f}"
        table.add_row(safe(row["source"]), safe(row["what"]), strength, safe(row["meaning"]))
    console.print(table)
