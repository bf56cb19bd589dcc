"""What people see in a terminal: progress, summaries, tables. Nothing from a log reaches the terminal raw."""

from __future__ import annotations

import os
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

from enrich import progress
from enrich.report import FileReport, Report

if TYPE_CHECKING:
    from enrich.checks import Result
    from enrich.model import Enricher, RollUp

_SHOWN = 15
_ENDLESS = 1 << 20
"""The width of what goes to no terminal."""
_BESIDE_THE_BAR = len("enriching  100% 9,999 rows/s 0:00:00 ")


def printable(text: str) -> str:
    """Text with control characters (C1 and bidirectional ones too) as escapes: no log value drives a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def safe(text: object) -> str:
    """Text for a rich table: printable, markup escaped."""
    return escape(printable("" if text is None else str(text)))


def out() -> Console:
    """The console for results. Where they go to no terminal, nothing is cut or wrapped."""
    return _console(sys.stdout.isatty(), stderr=False)


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the command line end, which knows the exit status."""
        raise BrokenPipeError


def _console(terminal: bool, stderr: bool) -> Console:
    # NO_COLOR (no-color.org) takes bold and italics along.
    plain = bool(os.environ.get("NO_COLOR"))
    return _Console(
        stderr=stderr,
        highlight=False,
        soft_wrap=not terminal,
        width=None if terminal else _ENDLESS,
        color_system=None if plain else "auto",
    )


def new_table(*columns: str, right: Sequence[str] = (), title: str | None = None) -> Table:
    """A table without lines; what is too long for a terminal goes on in the next line of its cell."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False)
    for name in columns:
        made.add_column(name, justify="right" if name in right else "left", overflow="fold")
    return made


def counted(number: int, what: str) -> str:
    """So many of something, e.g. ``1 file``, ``2 files``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _short(number: float) -> str:
    """A number in at most five characters, so that the line fits a narrow terminal: 8,564 or 12k."""
    return f"{number:,.0f}" if number < 9_999.5 else f"{number / 1000:.0f}k"


class Bar(progress.Progress):
    """Progress with rows a second and an estimate, on a terminal; problems as lines on standard error."""

    def __init__(self, quiet: bool) -> None:
        self.console = _console(sys.stderr.isatty(), stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(max(4, min(40, self.console.width - _BESIDE_THE_BAR))),
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
        if rows:  # which one thread counts, while another reads
            self.rows += rows
        rate = self.rows / max(time.monotonic() - self.began, 0.001)
        self.bar.update(self.task, advance=read, rate=f"{_short(rate)} rows/s" if self.rows else "")

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


def summary(report: Report, folder: Path) -> None:
    """The end of a run: applications by flows and bytes, what was rejected, and what was read as what."""
    console = out()
    _applications(report, console)
    rows = sum(item.rows for item in report.files)
    rate = rows / max(report.seconds, 0.001)
    left = sum(item.left_out for item in report.files)
    console.print(
        f"{counted(rows, 'record')} of {counted(len(report.files), 'file')} in {report.seconds:.1f} s "
        f"({rate:,.0f} rows/s){f', {left:,} left out' if left else ''}, {size(report.bytes_out)} written to "
        f"{safe(folder)}"
    )
    if report.findings:
        graver = ", ".join(f"{number:,} {severity}" for severity, number in report.findings.items())
        console.print(
            f"{counted(sum(report.findings.values()), 'finding')} ({graver}): zeek-enrich findings {safe(folder)}"
        )
    _files(
        [(item, f"{item.rejected:,} of {item.rows:,}") for item in report.files if item.rejected],
        f"[red]{counted(sum(item.rejected for item in report.files), 'record')} rejected[/red] "
        f"(they are in {safe(folder / 'rejects.ndjson')}):",
    )
    _files(
        [(item, ", ".join(f"{rows:,} {log}" for log, rows in item.told.items())) for item in report.files if item.told],
        "Neither a name nor _path told the log, so the fields did:",
    )
    damaged = sum(bool(item.problems) for item in report.files)
    unread = sum(item.wrong for item in report.skipped)
    again = sum(item.again for item in report.skipped)
    others = len(report.skipped) - unread - again
    for number, what in (
        (damaged, f"[red]{counted(damaged, 'file')} damaged[/red]"),
        (unread, f"[red]{counted(unread, 'input')} could not be read[/red]"),
        (again, f"{counted(again, 'file')} named more than once, read once"),
        (others, f"{counted(others, 'file')} left alone: no logs, or an earlier run's"),
    ):
        if number:
            console.print(f"{what} (see run.json)")


def _files(every: Sequence[tuple[FileReport, str]], head: str) -> None:
    """Some files with a word on each, the first of them by name."""
    if not every:
        return
    console = out()
    console.print(head)
    for item, text in every[:_SHOWN]:
        console.print(f"  {safe(item.name)}: {safe(text)}")
    if len(every) > _SHOWN:
        console.print(f"  and {len(every) - _SHOWN:,} more files (see run.json)")


def _applications(report: Report, console: Console) -> None:
    """What the flows are, those of most flows first."""
    flows = sum(item["flows"] for item in report.applications)
    if not flows:
        return
    numbers = ("flows", "%", "bytes", "wrong port")
    columns = ["protocol", "application", "category", *numbers]
    if not any(item["contradictions"] for item in report.applications):
        columns.pop()
    shown = new_table(*columns, right=numbers, title="Applications")

    def add(names: Sequence[str | None], items: Sequence[Mapping[str, Any]]) -> None:
        total, wrong = (sum(item[name] for item in items) for name in ("flows", "contradictions"))
        share = f"{100 * total / flows:.1f}"
        cells = (*map(safe, names), f"{total:,}", share, size(sum(item["bytes"] for item in items)))
        shown.add_row(*cells, *([f"{wrong:,}" if wrong else ""] if len(columns) > len(cells) else []))

    for item in report.applications[:_SHOWN]:
        unknown = "no conversation" if item["silent"] else "unknown"
        add((item["protocol"] or unknown, item["name"], item["category"]), [item])
    rest = report.applications[_SHOWN:]
    if rest:
        add((f"{len(rest)} more", None, None), rest)
    console.print(shown)
    console.print()


def record(found: Mapping[str, Any]) -> None:
    """One looked-up thing as lines of name and value; JSON when not on a terminal."""
    if not sys.stdout.isatty():
        import json

        print(json.dumps(found, ensure_ascii=True))
        return
    shown = new_table("name", "value")
    shown.show_header = False
    for name, value in found.items():
        if value is not None:
            shown.add_row(f"[bold]{safe(name)}[/bold]", safe(value))
    out().print(shown)


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
    shown = new_table("evidence", "says", "strength", "meaning", right=("strength",))
    for row in found["evidence"]:
        strength = "" if row["strength"] is None else f"{row['strength']:.3f}"
        shown.add_row(safe(row["source"]), safe(row["what"]), strength, safe(row["meaning"]))
    if found["evidence"]:
        console.print(shown)
    if found["note"] is not None:
        console.print(safe(found["note"]), style="yellow")
