"""Runs a command and says what it cost: wall-clock and CPU seconds, peak memory, bytes written."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
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


# Linux counts the memory of the process that forks towards its child's peak, so a small one does it.
_LAUNCHER = """
import json, os, sys, time
began = time.perf_counter()
pid = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(pid, 0)
cost = [time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]
print(json.dumps([os.waitstatus_to_exitcode(status), *cost]))
"""


def run(command: Sequence[str | Path], rows: int, out: Path) -> tuple[Cost, str]:
    """Run a command that writes `out` (a file or a folder, removed before and after); its cost and its output.

    Raises CalledProcessError, with the output, when the command fails.
    """
    _remove(out)
    launcher = [sys.executable, "-I", "-S", "-c", _LAUNCHER, *map(str, command)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed program is compiled once
    done = subprocess.run(
        launcher, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )
    *said, figures = done.stdout.splitlines()
    status, seconds, cpu, peak = json.loads(figures)
    if status:
        raise subprocess.CalledProcessError(status, launcher[5:], "\n".join(said))
    written = sum(path.stat().st_size for path in (out, *out.rglob("*")) if path.is_file())
    _remove(out)
    # Linux gives the peak in KiB, macOS in bytes.
    return Cost(rows, seconds, cpu, peak * (1 if sys.platform == "darwin" else 1024), written), "\n".join(said)


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
