#!/usr/bin/env python3
"""How fast and how small: this tool, a zat row loop and a bare Polars copy on the same made-up logs, interleaved.

Ratios are of medians; the smallest and largest ratio of a single round stand beside them. The tool's and the copy's
seconds are those of the whole process; zat's are the loop's alone, on a slice of the rows, as it goes at one pace.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
from generate import generate
from measure import ROOT, Cost, interleaved, ratio, run, summary
from rich.console import Console
from rich.table import Table
from synthetic.formats import ZeekTsv
from synthetic.site import Site

TOOL = (sys.executable, "-c", "from enrich.cli import main; main()")
BENCH = ROOT / "bench"
ZAT_SHARE = 0.25
MANY_NAMES = 0.2
HTTP_ROWS = 1.8
"""So many rows of http.log a connection of the made-up site has, on average."""


@dataclass(frozen=True, slots=True)
class Result:
    """One figure, beside the target that it must not fall below (or, for `at_most`, exceed)."""

    name: str
    value: float
    target: float
    at_most: bool = False
    spread: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        return self.value <= self.target if self.at_most else self.value >= self.target


@dataclass(slots=True)
class Bench:
    """The benchmark: where its logs lie, how large they are, and what has been measured."""

    work: Path
    rows: int
    large: int
    rounds: int
    results: list[Result] = field(default_factory=list)
    costs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def conn(self) -> None:
        """conn.log to NDJSON, and rewritten as TSV with our columns appended."""
        folder, counts = self._logs("conn", Site(self.rows), "conn")
        log, rows = folder / "conn.log", counts["conn"]
        costs = self._compare(
            "conn to ndjson",
            {
                "zeek-enrich": partial(self._tool, log, rows, "ndjson"),
                "zat loop": partial(self._zat, log, rows),
                "polars copy": partial(self._copy, [log], rows, "ndjson"),
            },
        )
        self._ratio(costs, "conn to ndjson: rows/s, times the zat loop", "zat loop", _rows, 8)
        self._ratio(costs, "conn to ndjson: bytes/s, share of the bare copy", "polars copy", _bytes, 0.5)
        costs = self._compare(
            "conn to native",
            {
                "zeek-enrich": partial(self._tool, log, rows, "native"),
                "polars copy": partial(self._copy, [log], rows, "tsv"),
            },
        )
        self._ratio(costs, "conn to native: bytes/s, share of the bare copy", "polars copy", _bytes, 0.5)

    def http(self) -> None:
        """http.log with about as many rows as conn.log has, of which 5% bring a new User-Agent, to NDJSON."""
        flows = max(int(self.rows / HTTP_ROWS), 1)
        folder, counts = self._logs("http", Site(flows, mix={"http": 1.0}), "http")
        log, rows = folder / "http.log", counts["http"]
        costs = self._compare(
            "http to ndjson",
            {
                "zeek-enrich": partial(self._tool, log, rows, "ndjson"),
                "zat loop": partial(self._zat, log, rows),
                "polars copy": partial(self._copy, [log], rows, "ndjson"),
            },
        )
        self._ratio(costs, "http to ndjson: rows/s, times the zat loop", "zat loop", _rows, 8)

    def site(self) -> None:
        """All logs of a site to NDJSON: conn.log with the names that the others give it."""
        folder, counts = self._logs("site", Site(self.rows))
        logs, rows = sorted(folder.glob("*.log")), sum(counts.values())
        costs = self._compare(
            "site to ndjson",
            {
                "zeek-enrich": partial(self._tool, folder, rows, "ndjson"),
                "polars copy": partial(self._copy, logs, rows, "ndjson"),
            },
        )
        self._ratio(costs, "all logs to ndjson: bytes/s, share of the bare copy", "polars copy", _bytes, 0.4)

    def memory(self) -> None:
        """Peak memory for a site's logs and for conn.log alone, at two sizes, with a new name every fifth flow."""
        sizes = (self.rows, self.large)
        peaks: dict[str, list[int]] = {"conn.log": [], "all logs": []}
        for flows in sizes:
            folder, counts = self._logs("memory", Site(flows, names=int(MANY_NAMES * flows)))
            for what, source, rows in (
                ("conn.log", folder / "conn.log", counts["conn"]),
                ("all logs", folder, sum(counts.values())),
            ):
                cost = self._tool(source, rows, "ndjson")
                peaks[what].append(cost.peak)
                self.costs.setdefault("memory", {})[f"zeek-enrich, {what}, {flows:,} flows"] = summary([cost])
            shutil.rmtree(folder)
        small, large = (f"{flows:,}" for flows in sizes)
        for what, (low, high) in peaks.items():
            self._at_most(f"{what}, {large} flows: peak memory in GB", high / 1e9, 1.0)
            self._at_most(f"{what}: peak memory at {large} flows through that at {small}", high / low, 1.15)

    def startup(self) -> None:
        """CPU seconds of `zeek-enrich --help`."""
        runs = [run([*TOOL, "--help"], 0, self.work / "nothing")[0] for _ in range(10)]
        cpu = [cost.cpu for cost in runs]
        self.costs["start-up"] = {"zeek-enrich --help": summary(runs)}
        self._at_most("zeek-enrich --help: CPU seconds", statistics.median(cpu), 0.3, (min(cpu), max(cpu)))

    def _logs(self, name: str, site: Site, *logs: str) -> tuple[Path, dict[str, int]]:
        folder = self.work / name
        _say(f"writing logs of {site.rows:,} flows ...")
        wanted = {"logs": frozenset(logs)} if logs else {}
        return folder, generate(site, ZeekTsv(folder, site.start), **wanted)

    def _compare(self, name: str, runners: dict[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
        _say(f"{name}: {self.rounds} rounds of {', '.join(runners)} ...")
        costs = interleaved(runners, self.rounds)
        self.costs[name] = {runner: summary(runs) for runner, runs in costs.items()}
        return costs

    def _ratio(
        self, costs: dict[str, list[Cost]], name: str, to: str, what: Callable[[Cost], float], target: float
    ) -> None:
        value, low, high = ratio(costs, "zeek-enrich", to, what)
        self.results.append(Result(name, value, target, spread=(low, high)))

    def _at_most(self, name: str, value: float, target: float, spread: tuple[float, float] | None = None) -> None:
        self.results.append(Result(name, value, target, at_most=True, spread=spread))

    def _tool(self, source: Path, rows: int, form: str) -> Cost:
        out = self.work / "out"
        return run([*TOOL, "run", source, "--out", out, "--format", form, "--quiet"], rows, out)[0]

    def _copy(self, logs: Sequence[Path], rows: int, form: str) -> Cost:
        out = self.work / "copy"
        return run([sys.executable, BENCH / "polars_copy.py", form, out, *logs], rows, out)[0]

    def _zat(self, log: Path, rows: int) -> Cost:
        out = self.work / "zat.ndjson"
        wanted = max(int(rows * ZAT_SHARE), min(rows, 1000))
        cost, said = run([sys.executable, BENCH / "zat_loop.py", log, out, str(wanted)], wanted, out)
        loop = json.loads(said.splitlines()[-1])
        return Cost(loop["rows"], loop["seconds"], cost.cpu, cost.peak, loop["bytes"])


def _rows(cost: Cost) -> float:
    return cost.rows_per_second


def _bytes(cost: Cost) -> float:
    return cost.bytes_per_second


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _machine() -> dict[str, Any]:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30),
        "system": platform.system(),
        "python": platform.python_version(),
        "polars": pl.__version__,
    }


def _show(bench: Bench) -> None:
    console = Console() if sys.stdout.isatty() else Console(width=110)
    costs = Table(title="Medians", title_justify="left")
    for column in ("work", "who"):
        costs.add_column(column)
    for column in ("rows/s", "MB/s written", "CPU s", "peak MB"):
        costs.add_column(column, justify="right")
    for work, runners in bench.costs.items():
        for who, cost in runners.items():
            rates = (f"{cost['rows_per_second']:,.0f}", f"{cost['bytes_per_second'] / 1e6:,.0f}")
            costs.add_row(work, who, *rates, f"{cost['cpu']:.2f}", f"{cost['peak'] / 1e6:,.0f}")
    console.print(costs)
    machine = _machine()
    figures = Table(title=f"Figures on {machine['cores']} cores, {machine['memory_gib']} GiB", title_justify="left")
    figures.add_column("what")
    for column in ("measured", "range", "target"):
        figures.add_column(column, justify="right")
    figures.add_column("met")
    for result in bench.results:
        spread = f"{result.spread[0]:.2f}-{result.spread[1]:.2f}" if result.spread else ""
        target = f"{'<=' if result.at_most else '>='} {result.target:g}"
        figures.add_row(result.name, f"{result.value:.2f}", spread, target, "yes" if result.met else "NO")
    console.print(figures)


PARTS: dict[str, Callable[[Bench], None]] = {
    "conn": Bench.conn,
    "http": Bench.http,
    "site": Bench.site,
    "memory": Bench.memory,
    "startup": Bench.startup,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="flows to measure on (1,000,000)")
    parser.add_argument("--large", type=int, help="flows for the larger of the memory runs (ten times the rows)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each comparison (5)")
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)} (all)")
    parser.add_argument("--json", type=Path, help="write everything that was measured there")
    parser.add_argument(
        "--work", type=Path, help="folder for the logs and outputs, needs about 2 KB a flow (temporary)"
    )
    args = parser.parse_args()
    chosen = args.only.split(",")
    if unknown := set(chosen) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    if args.work is not None:
        args.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=args.work, prefix="zeek-enrich-bench-") as work:
        bench = Bench(Path(work), args.rows, args.large or 10 * args.rows, args.rounds)
        try:
            for part in chosen:
                PARTS[part](bench)
        except subprocess.CalledProcessError as error:
            _say(f"{' '.join(error.cmd)}: exit status {error.returncode}\n{error.output}")
            return 1
    _show(bench)
    if args.json:
        results = [{**asdict(result), "met": result.met} for result in bench.results]
        measured = {"machine": _machine(), "rows": args.rows, "figures": results, "costs": bench.costs}
        args.json.write_text(json.dumps(measured, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
