"""What became of a run: file by file, and as ``run.json`` tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from enrich.sources.discover import Skipped
from enrich.tables import Tables, tables_used

_SOFTWARE = ("zeek-enrich", "polars", "ua-parser", "publicsuffixlist")


@dataclass(slots=True)
class FileReport:
    """What became of one input file: its rows (left out: by ``--logs``), its outputs, what is wrong with it.

    ``logs`` are those that it holds; ``told`` counts, by log, the records whose log was told from their fields, and
    ``untold`` those whose log nothing tells. ``renamed`` are columns of ours that it has of its own: ours are called
    ``enrich.<name>`` in its outputs.
    """

    name: str
    form: str
    rows: int = 0
    out: int = 0
    rejected: int = 0
    left_out: int = 0
    outputs: list[str] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)
    told: dict[str, int] = field(default_factory=dict)
    untold: int = 0
    renamed: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What became of a run. ``state``: rows of the state file that it read and wrote; ``notes``: what else to know.

    ``absent``: logs that were asked for, which no input holds and nobody knows by that name. ``findings``: how many of
    each severity, the gravest first.
    """

    files: list[FileReport] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0
    bytes_out: int = 0
    applications: list[dict[str, Any]] = field(default_factory=list)
    state: dict[str, int] | None = None
    notes: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)
    findings: Mapping[str, int] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """The exit status: 0 all well, 1 some input was rejected or a log that was asked for is unknown."""
        wrong = any(item.wrong for item in self.skipped) or self.absent
        return 1 if wrong or any(item.rejected or item.problems for item in self.files) else 0


def run_record(
    report: Report, began: float, shape: str, enrichers: Iterable[str], tables: Tables, failed: str | None = None
) -> dict[str, Any]:
    """The content of ``run.json``; ``began`` in epoch seconds, ``shape`` the name of the output's format.

    ``failed`` says why a run ended before its end; rows are then counted as read as far as it came, and as written
    where their output is complete.
    """
    return {
        "started": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 3),
        "failed": failed,
        "config": None if tables.config_path is None else str(tables.config_path.absolute()),
        "format": shape,
        "rows": {
            "in": sum(item.rows for item in report.files),
            "out": sum(item.out for item in report.files),
            "rejected": sum(item.rejected for item in report.files),
            "left_out": sum(item.left_out for item in report.files),
        },
        "applications": report.applications,
        "findings": dict(report.findings),
        "state": report.state,
        "notes": report.notes,
        "files": [asdict(item) for item in report.files],
        "skipped": [{"name": item.name, "reason": item.reason} for item in report.skipped],
        "enrichers": list(enrichers),
        "software": {name: version(name) for name in _SOFTWARE},
        "tables": tables.shared("tables used", lambda: tables_used(tables)),
    }
