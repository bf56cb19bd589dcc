"""Runs a command and says what it cost: wall-clock and CPU seconds, peak memory, bytes written."""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run cost. Seconds are wall-clock, `cpu` seconds user and system; `peak` is the process's, in bytes."""

    rows: int
    seconds: float
    cpu: float
    peak: int
    written: int

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds

    @property
    def bytes_per_second(self) -> float:
        return self.written / self.seconds


def run(command: Sequence[str | Path], rows: int, out: Path) -> tuple[Cost, str]:
    """Run a command that writes `out` (a file or a folder, removed before and after); its cost and its output.

    Raises CalledProcessError, with the output, when the command fails.
    """
    _remove(out)
    text = out.with_name(out.name + ".txt")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with text.open("w+") as output:
        began = time.perf_counter()
        process = subprocess.Popen([*map(str, command)], stdout=output, stderr=subprocess.STDOUT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
    said = text.read_text()
    text.unlink()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, process.args, said)
    written = sum(path.stat().st_size for path in (out, *out.rglob("*")) if path.is_file())
    _remove(out)
    # Linux counts ru_maxrss in KiB, macOS in bytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(rows, seconds, usage.ru_utime + usage.ru_stime, peak, written), said


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def interleaved(runners: dict[str, Callable[[], Cost]], rounds: int) -> dict[str, list[Cost]]:
    """Run each in turn, round after round, so that a busy spell of the machine hits all of them."""
    costs: dict[str, list[Cost]] = {name: [] for name in runners}
    for _ in range(rounds):
        for name, runner in runners.items():
            costs[name].append(runner())
    return costs


def ratio(costs: dict[str, list[Cost]], of: str, to: str, what: Callable[[Cost], float]) -> tuple[float, float, float]:
    """The median of `of` through the median of `to`, and the smallest and largest ratio of a single round."""
    pairs = [what(a) / what(b) for a, b in zip(costs[of], costs[to], strict=True)]
    medians = [statistics.median(what(cost) for cost in costs[name]) for name in (of, to)]
    return medians[0] / medians[1], min(pairs), max(pairs)


def summary(costs: list[Cost]) -> dict[str, Any]:
    """Medians of a runner's rounds, and the rounds."""
    median = {
        name: statistics.median(getattr(cost, name) for cost in costs)
        for name in ("rows", "seconds", "cpu", "peak", "written", "rows_per_second", "bytes_per_second")
    }
    return {**median, "rounds": [asdict(cost) for cost in costs]}
