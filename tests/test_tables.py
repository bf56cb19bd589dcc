"""Mapping tables are read strictly, and a mistake is named with its file."""

from __future__ import annotations

from pathlib import Path

import mmdb
import pytest

from enrich.errors import ConfigError, TableError
from enrich.tables import MAPPINGS, Source, Tables, provenance, read_csv, read_toml, tables_used


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return tmp_path / "table.csv"


def test_a_csv_table(table: Path) -> None:
    table.write_bytes(
        b"# source: us\n# licence: BSD-3-Clause\n# date: 2026-11-22\n# a free remark, with commas\n"
        b'name,note\r\na,"one, two"\r\n\r\nb,\r\n# c,left out\nd,"x ""y"" \xe2\x80\xa8z"\n'
    )
    assert read_csv(table).rows() == [("a", "one, two"), ("b", None), ("d", 'x "y" \u2028z')]
    assert provenance(table) == Source("us", "BSD-3-Clause", "2026-11-22")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "no header row"),
        (b"# only\n# remarks\n", "no header row"),
        (b"a,b\n1,2,3\n", "found more fields"),
        (b"a\n\xff\n", "cannot be read"),
    ],
)
def test_a_csv_table_that_cannot_be_read_is_named(table: Path, data: bytes, reason: str) -> None:
    table.write_bytes(data)
    with pytest.raises(TableError, match=rf"table\.csv: {reason}"):
        read_csv(table)


def test_a_table_that_is_not_there(tmp_path: Path) -> None:
    for read in (read_csv, read_toml, provenance):
        with pytest.raises(TableError, match=r"gone\.csv: cannot be read: .*No such file"):
            read(tmp_path / "gone.csv")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("x.csv", "# source: us\n# date: 2026-11-22\na\n1\n", "does not name its licence"),
        ("x.csv", "a\n1\n", "does not name its date, licence, source"),
        ("x.toml", '[table]\nsource = "us"\nlicence = "x"\n[more]\ndate = "2026-11-22"\n', "does not name its date"),
        ("x.toml", "[table]\nsource = \n", r"\[table\]: Invalid value"),
        ("x.toml", "[[x]]\ny = 1\n", "does not name its date, licence, source"),
    ],
)
def test_a_table_has_to_say_where_it_comes_from(tmp_path: Path, name: str, text: str, reason: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(TableError, match=reason):
        provenance(path)


def test_a_toml_table_is_read_whole_and_its_head_alone_for_its_source(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('# a remark\n[table]\nsource = "[us]"\nlicence = "x"\ndate = "2026-11-22"\n[[entry]]\nname = "a"\n')
    assert provenance(path) == Source("[us]", "x", "2026-11-22")
    assert read_toml(path)["entry"] == [{"name": "a"}]
    path.write_text("[table]\nx = 1\nx = 2\n")
    with pytest.raises(TableError, match=r"x\.toml: cannot be read: "):
        read_toml(path)


def test_a_run_names_its_tables_and_the_site_s(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("port,last_port,transport,name,description\n1,,tcp,x,\n")
    mmdb.write(tmp_path / "own.db", {"8.8.8.0/24": {"country": "US"}})
    (tmp_path / "site.toml").write_text('[tables]\n"ports/in_use.csv" = "mine.csv"\n[databases]\nown = "own.db"\n')
    used = tables_used(Tables.load(tmp_path / "site.toml"))
    shipped = [path for pattern in ("*.csv", "*.toml") for path in MAPPINGS.rglob(pattern)]
    assert len(used) == len(shipped) + 2
    assert all(len(row["date"]) == 10 for row in used[:-2])
    assert used[-2:] == [{"table": "mine.csv", "date": "the site's own"}, {"table": "own.db", "date": "1970-01-01"}]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[databases]\ncity = 5\n", "databases.city: expected a path in quotes"),
        ('[databases]\ncity = "gone.mmdb"\n', r"databases.city: no such file or folder: gone\.mmdb"),
    ],
)
def test_a_path_in_the_configuration_has_to_exist(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    tables = Tables.load(tmp_path / "site.toml")
    with pytest.raises(ConfigError, match=reason):
        tables.setting_path("databases", "city")
    assert tables.setting_path("databases", "other") is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [("tables = 3\n", "tables: expected a section"), ("[tables\n", "not valid TOML"), ("\xff", "not valid TOML")],
)
def test_a_configuration_that_cannot_be_read(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "site.toml").write_bytes(text.encode("latin-1"))
    with pytest.raises(ConfigError, match=rf"site\.toml: {reason}"):
        Tables.load(tmp_path / "site.toml")
    with pytest.raises(ConfigError, match=r"gone\.toml: No such file"):
        Tables.load(tmp_path / "gone.toml")
