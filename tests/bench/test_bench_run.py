"""The benchmark runs and writes what it measured; how fast anything was is not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

BENCH = Path(__file__).parents[2] / "bench"


def test_a_small_run_measures_every_part(tmp_path: Path) -> None:
    command = [sys.executable, BENCH / "run.py", "--rows", "2000", "--large", "4000", "--rounds", "1"]
    done = subprocess.run(
        [*command, "--json", tmp_path / "figures.json", "--work", tmp_path], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads((tmp_path / "figures.json").read_text())
    assert set(measured["costs"]) == {
        "conn to ndjson",
        "conn to native",
        "http to ndjson",
        "site to ndjson",
        "memory",
        "start-up",
    }
    conn = measured["costs"]["conn to ndjson"]
    assert set(conn) == {"zeek-enrich", "zat loop", "polars copy"}
    assert conn["zeek-enrich"]["rows"] == conn["polars copy"]["rows"] == 2000
    assert conn["zat loop"]["rows"] == 1000
    for runners in measured["costs"].values():
        for cost in runners.values():
            assert cost["seconds"] > 0
            assert cost["peak"] > 5_000_000
    # We add columns to what the copy writes, and zat to half of the rows.
    assert conn["zeek-enrich"]["written"] > conn["polars copy"]["written"] > 0
    assert all(figure["name"] in done.stdout for figure in measured["figures"])
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]


def test_an_unknown_part_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, BENCH / "run.py", "--only", "speed"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown parts: speed" in done.stderr
