"""A site's own tables over the shipped ones, and what is said of those that fit nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from enrich.errors import ConfigError, TableError
from enrich.tables import MAPPINGS, Tables, provenance

EVERY = sorted(path for pattern in ("*.csv", "*.toml") for path in MAPPINGS.rglob(pattern))


def site(folder: Path, name: str, own: str) -> Tables:
    (folder / f"own{Path(name).suffix}").write_text(own)
    (folder / "site.toml").write_text(f'[tables]\n"{name}" = "own{Path(name).suffix}"\n')
    return Tables.load(folder / "site.toml")


@pytest.mark.parametrize("path", EVERY, ids=lambda path: path.relative_to(MAPPINGS).as_posix())
def test_every_table_says_where_it_comes_from(path: Path) -> None:
    source = provenance(path)
    assert source.source
    assert source.licence
    assert len(source.date) == len("2026-01-01")


def test_a_site_s_thresholds_take_the_place_of_ours(tmp_path: Path) -> None:
    shipped = Tables().toml("behavior.toml")["thresholds"]
    laid = site(tmp_path, "behavior.toml", "[thresholds]\nscan_max_packets = 99\n").toml("behavior.toml")["thresholds"]
    assert laid == {**shipped, "scan_max_packets": 99}
    assert shipped["scan_max_packets"] != 99


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        ("[threshold]\nscan_max_packets = 9\n", "threshold: no such section; there are: table, thresholds"),
        ("[thresholds]\nscan_max = 9\n", "thresholds.scan_max: no such key; there are: .*scan_max_packets"),
        ("thresholds = 9\n", "thresholds: no such section"),
        ("[thresholds\n", "cannot be read"),
    ],
)
def test_a_toml_overlay_with_something_unknown_is_refused(tmp_path: Path, own: str, reason: str) -> None:
    with pytest.raises(TableError, match=f"own.toml: {reason}"):
        site(tmp_path, "behavior.toml", own).toml("behavior.toml")


def test_a_csv_overlay_with_an_unknown_column_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"own\.csv: unknown column 'colour'; expected some of: port,"):
        site(tmp_path, "ports/in_use.csv", "port,colour\n1,red\n").csv("ports/in_use.csv")


def test_a_table_that_is_not_there_cannot_be_laid_over(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tables.site.csv: there is no such table to lay over; .*sites/"):
        site(tmp_path, "site.csv", "domain\n")


@pytest.mark.parametrize("text", ["[tables]\nsites = 3\n", '[tables]\nsites = "gone.csv"\n'])
def test_an_overlay_that_cannot_be_found_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"tables\.sites: "):
        Tables.load(tmp_path / "site.toml").folder("sites")
