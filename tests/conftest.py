"""Fixtures for every test: the command as a user calls it, and the real data that lies beside the repository."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from enrich.cli import main

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Outcome:
    """What one call of ``zeek-enrich run`` left behind."""

    status: int
    stdout: str
    stderr: str
    out: Path

    @property
    def run(self) -> dict[str, Any]:
        return json.loads((self.out / "run.json").read_text("utf-8"))

    @property
    def rows(self) -> dict[str, int]:
        return self.run["rows"]

    @property
    def rejects(self) -> list[dict[str, Any]]:
        return self.records("rejects.ndjson")

    def records(self, name: str) -> list[dict[str, Any]]:
        lines = (self.out / name).read_bytes().split(b"\n")
        assert lines.pop() == b"", f"{name} does not end with a newline"
        return [json.loads(line) for line in lines]

    def outputs(self) -> list[str]:
        """Every file of the output but those that each run writes."""
        files = [path.relative_to(self.out).as_posix() for path in self.out.rglob("*") if path.is_file()]
        return sorted(set(files) - {"run.json", "rejects.ndjson", "hosts.ndjson", "findings.ndjson"})


Run = Callable[..., Outcome]


def invoke(*arguments: str | Path, out: Path, stdin: bytes | None = None, quiet: bool = True) -> Outcome:
    """``zeek-enrich run ARGUMENTS --out OUT``. Fails on a traceback, on lost rows and on files half written."""
    options = ["run", *map(str, arguments), "--out", str(out), *(["--quiet"] if quiet else [])]
    done = CliRunner().invoke(main, options, input=stdin)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError(f"a traceback: {done.exception!r}") from done.exception
    outcome = Outcome(done.exit_code, done.stdout, done.stderr, out)
    if (out / "run.json").exists():
        rows = outcome.rows
        if outcome.run["failed"] is None:
            assert rows["in"] == rows["out"] + rows["rejected"] + rows["left_out"]
            assert len(outcome.rejects) == rows["rejected"]
    assert not [*out.rglob("*.part")], "an incomplete file was left behind"
    return outcome


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """The command, each call with an output folder of its own."""
    calls = 0

    def call(*arguments: str | Path, out: Path | None = None, **more: Any) -> Outcome:
        nonlocal calls
        calls += 1
        return invoke(*arguments, out=out or tmp_path / f"out-{calls}", **more)

    return call


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real logs beside the repository; it is not part of it."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the real logs (../shared/data) are not on this machine")
    return path
