"""The README never lies: every command and every Python block in it runs, on what ships with the project."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, Run

README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = ("README.md", "examples/README.md")
CAPTURE = ROOT / "tests/data/zeek-package/site-a.pcap"
OF_A_CHECKOUT = ("python3 -m venv .venv && .venv/bin/pip install ", ".venv/bin/python -m pytest")
"""What sets a checkout up and runs these tests."""


def blocks(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / document).read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands(document: str) -> list[str]:
    """The commands of all blocks in their order, less those that install."""
    found = []
    for line in "".join(blocks(document, "sh")).splitlines():
        command = line
        if line.startswith(OF_A_CHECKOUT):
            command = line.split(" && ")[-1].removeprefix(".venv/bin/") if " && " in line else ""
        if command.strip() and not command.startswith("#"):
            found.append(command)
    return found


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the examples, a capture, and the command as it is installed."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "zeek-enrich"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m enrich.cli "$@"\n')
    program.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    (work / "examples").symlink_to(ROOT / "examples")
    shutil.copy(CAPTURE, work / "capture.pcap")
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return work


def missing(command: str) -> bool:
    """Whether a command needs what this machine has not."""
    analyzer = shutil.which("zeek") or shutil.which("suricata")
    return (" pcap " in command and analyzer is None) or (
        "/etc/services" in command and not Path("/etc/services").exists()
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_command_runs(document: str, desk: Path) -> None:
    every = commands(document)
    assert len(every) >= 4
    for command in every:
        assert "zeek-enrich " in command, f"{command}: this test cannot tell what it should do"
        if missing(command):
            continue
        done = subprocess.run(["bash", "-eo", "pipefail", "-c", command], cwd=desk, capture_output=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
        assert done.stdout.strip(), f"{command} says nothing"
        assert b"Traceback" not in done.stderr


def test_every_command_of_the_program_is_in_the_readme() -> None:
    from enrich.cli import main

    shown = {line.split("zeek-enrich ")[-1].split()[0] for line in commands("README.md")}
    assert shown == set(main.commands)


def test_the_python_block_runs(desk: Path) -> None:
    (block,) = blocks("README.md", "python")
    done = subprocess.run([sys.executable, "-c", block], cwd=desk, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "app.protocol" in done.stdout


def test_the_record_at_the_top_is_what_comes_out(run: Run) -> None:
    (text,) = re.findall(r"```text\n(.*?)```", README, re.DOTALL)
    members = dict(re.findall(r'("[\w.]+"):("[^"]*"|\[[^]]*\]|[\d.]+)', text))
    shown = {json.loads(name): json.loads(value) for name, value in members.items()}
    assert len(shown) >= 10
    records = run(ROOT / "examples/zeek").records("conn.ndjson")
    (record,) = [record for record in records if record["uid"] == shown["uid"]]
    assert {name: record[name] for name in shown} == shown


def test_the_configuration_shown_is_one_that_is_taken(tmp_path: Path) -> None:
    from enrich import configuration

    (block,) = [block for block in blocks("README.md", "toml") if "[tables]" in block]
    (tmp_path / "site.toml").write_text(block)
    tables = configuration.load(tmp_path / "site.toml")
    assert {"tables", "databases", "domain_lists", "recog"} <= tables.config.keys()


def test_paths_that_the_readme_names_are_there() -> None:
    named = set(re.findall(r"`((?:enrich|mappings|examples|bench|zeek-scripts|tests)/[\w./-]*)`", README))
    assert named
    assert [path for path in sorted(named) if "X" not in path and not (ROOT / path).exists()] == []
