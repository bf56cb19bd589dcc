"""``--jobs`` holds a run to so many cores; in a process of its own, as it holds for good."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT

from enrich.tables import MAPPINGS

EXAMPLES = MAPPINGS.parent / "examples"
TOLD = """
import os, sys
from enrich.cli import main
try:
    main(sys.argv[1:])
except SystemExit as done:
    import polars
    print("cores", len(os.sched_getaffinity(0)), "threads", polars.thread_pool_size(), "status", done.code)
"""


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores can be chosen on Linux only")
def test_one_job_is_one_core_and_the_same_output(tmp_path: Path) -> None:
    outputs = []
    for name, jobs in (("one", ["--jobs", "1"]), ("all", [])):
        arguments = ["run", str(EXAMPLES / "zeek"), "--out", str(tmp_path / name), "-q", *jobs]
        done = subprocess.run([sys.executable, "-c", TOLD, *arguments], capture_output=True, text=True, check=True)
        assert "status 0" in done.stdout
        assert jobs == [] or "cores 1 threads 1" in done.stdout
        outputs.append({path.name: path.read_bytes() for path in (tmp_path / name).glob("*.ndjson")})
    assert outputs[0] == outputs[1]


def test_more_jobs_than_cores_are_as_many_as_cores(tmp_path: Path) -> None:
    program = (
        "import os; from enrich.machine import use_cores; use_cores(100_000); print(os.environ['POLARS_MAX_THREADS'])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) <= (os.cpu_count() or 1)


@pytest.mark.parametrize("jobs", ["0", "-1", "many"])
def test_less_than_one_is_refused(tmp_path: Path, jobs: str) -> None:
    arguments = [
        sys.executable,
        "-m",
        "enrich.cli",
        "run",
        str(EXAMPLES / "zeek"),
        "--out",
        str(tmp_path),
        "--jobs",
        jobs,
    ]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "--jobs" in done.stderr
