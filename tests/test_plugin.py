"""The third-party enricher under examples/plugin, installed as its users would and found by its entry point."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "examples/plugin"
CLI = (sys.executable, "-c", "from enrich.cli import main; main()")


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package and its metadata, built without the network."""
    pytest.importorskip("hatchling", reason="building the plugin offline needs its build backend, hatchling")
    folder = tmp_path_factory.mktemp("site-packages")
    options = ("--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet")
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", folder, PLUGIN], check=True)
    return folder


def zeek_enrich(*arguments: str | Path, path: Path | None) -> subprocess.CompletedProcess[str]:
    folders = [str(ROOT), *([str(path)] if path else [])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(folders)}
    return subprocess.run([*CLI, *map(str, arguments)], check=False, capture_output=True, text=True, env=environment)


def conn(out: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (out / "conn.ndjson").read_text("utf-8").splitlines()]


def test_it_is_listed_once_it_is_installed(installed: Path) -> None:
    done = zeek_enrich("enrichers", path=installed)
    assert done.returncode == 0, done.stderr
    assert "assets" in done.stdout
    assert "asset.owner" in done.stdout
    assert "asset.owner" not in zeek_enrich("enrichers", path=None).stdout


def test_it_adds_its_columns_to_every_connection_to_a_listed_server(installed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    config = PLUGIN / "site.toml"
    done = zeek_enrich("run", ROOT / "examples/zeek", "--out", out, "--config", config, "--quiet", path=installed)
    assert done.returncode == 0, done.stderr
    expected = {
        "10.20.0.25": ("mail", "high"),
        "10.20.0.33": ("finance", "crown_jewel"),
        "10.20.0.80": ("infrastructure", "medium"),
        "2001:db8:20::80": ("infrastructure", "low"),
        "198.51.100.10": (None, None),
    }
    seen = set()
    for record in conn(out):
        responder = str(record["id.resp_h"])
        if responder in expected:
            seen.add(responder)
            assert (record.get("asset.owner"), record.get("asset.criticality")) == expected[responder]
    assert seen >= expected.keys() - {"2001:db8:20::80"}


def test_without_a_list_it_adds_nothing_and_takes_nothing_away(installed: Path, tmp_path: Path) -> None:
    for name, path in (("with", installed), ("without", None)):
        done = zeek_enrich("run", ROOT / "examples/zeek", "--out", tmp_path / name, "--quiet", path=path)
        assert done.returncode == 0, done.stderr
    with_plugin = [
        {name: value for name, value in record.items() if not name.startswith("asset.")}
        for record in conn(tmp_path / "with")
    ]
    assert with_plugin == conn(tmp_path / "without")
    assert all(record.get("asset.owner") is None for record in conn(tmp_path / "with"))


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("network,owner,criticality\n10.0.0.1/8,ops,low\n", "10.0.0.1/8 has host bits set"),
        ("network,owner,criticality\n10.0.0.1,ops,huge\n", "criticality is one of"),
        ("network,owner\n10.0.0.1,ops\n", "criticality"),
    ],
)
def test_a_wrong_list_is_named_and_no_traceback(installed: Path, tmp_path: Path, table: str, complaint: str) -> None:
    (tmp_path / "mine.csv").write_text(table)
    (tmp_path / "site.toml").write_text('[assets]\nfile = "mine.csv"\n')
    arguments = ("--out", tmp_path / "out", "--config", tmp_path / "site.toml")
    done = zeek_enrich("run", ROOT / "examples/zeek", *arguments, path=installed)
    assert done.returncode == 2
    assert "mine.csv" in done.stderr
    assert complaint in done.stderr
    assert "Traceback" not in done.stderr
