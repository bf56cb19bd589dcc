"""A site's own tables over the shipped ones, and what is said of those that fit nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from enrich import configuration, registry
from enrich.cli import main
from enrich.errors import ConfigError, TableError
from enrich.logs import load as load_logs
from enrich.reconcile import Inventory, compare
from enrich.tables import LAID_OVER, MAPPINGS, Tables, provenance

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
    with pytest.raises(ConfigError, match=r"tables.site.csv: no such table to lay over; do you mean sizes.csv"):
        site(tmp_path, "site.csv", "domain\n")


@pytest.mark.parametrize("text", ["[tables]\nsites = 3\n", '[tables]\nsites = "gone.csv"\n'])
def test_an_overlay_that_cannot_be_found_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"tables\.sites: "):
        Tables.load(tmp_path / "site.toml").folder("sites")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[tabels]\n", r"\[tabels\]: there is no such section; do you mean tables\? there are: databases, .*tables"),
        ("[xyzzy]\n", r"\[xyzzy\]: there is no such section; there are: databases, "),
        ('[recog]\ndirectroy = "x"\n', r"recog.directroy: there is no such key; do you mean directory\? there are:"),
        ('[domain_lists]\nfields = "x"\n', r"domain_lists.fields: there is no such key; .*directory, lists"),
        ('[networks]\nlocals = ["10.0.0.0/8"]\n', r"networks.locals: there is no such key; do you mean local\?"),
        ('[recog]\nfirst = "yes"\n', "recog.first: expected true or false"),
        ('[tables]\nsite = "x.csv"\n', r"tables.site: no such table to lay over; do you mean sites\?"),
        ('[tables]\n"sites/antivirus.csv" = "x.csv"\n', "tables.sites/antivirus.csv: no such table to lay over"),
        ('tables = "x.csv"\n', "tables: expected a section such as"),
    ],
)
def test_what_nobody_reads_is_refused_with_the_nearest_known(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    with pytest.raises(ConfigError, match=rf"site\.toml: {reason}"):
        configuration.load(tmp_path / "site.toml")


def test_every_command_that_takes_a_configuration_refuses_it(tmp_path: Path) -> None:
    config = tmp_path / "site.toml"
    config.write_text("[tabels]\n")
    (tmp_path / "hosts.txt").write_text("")
    for arguments in (
        ["run", str(tmp_path), "--out", str(tmp_path / "out")],
        ["lookup", "port", "22/tcp"],
        ["check"],
        ["explain", str(tmp_path), "C1"],
        ["export", "zeek", "--out", str(tmp_path / "out")],
        ["reconcile", str(tmp_path), "--services", str(tmp_path / "hosts.txt")],
    ):
        done = CliRunner().invoke(main, [*arguments, "--config", str(config)])
        assert done.exit_code == 2, arguments
        assert f"{config}: [tabels]: there is no such section; do you mean tables?" in done.stderr
        assert not (tmp_path / "out").exists()


def test_what_may_be_laid_over_is_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[str] = set()
    overlays = Tables.overlays

    def recorded(self: Tables, name: str) -> list[Path]:
        asked.add(name)
        return overlays(self, name)

    monkeypatch.setattr(Tables, "overlays", recorded)
    tables = Tables()
    for enricher in registry.BUILT_IN:
        enricher.prepare(tables)
    for roll_up in registry.ROLL_UPS:
        roll_up.start(tables)
    load_logs(tables)
    compare(Inventory(), {}, tables)
    assert asked == {*LAID_OVER}
