"""``zeek-enrich check``: what is shipped passes, and a wrong example of any kind of table is found and named."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from enrich.checks import check_tables
from enrich.cli import main
from enrich.tables import MAPPINGS, Tables


def test_every_shipped_table_passes_and_is_looked_at() -> None:
    results = list(check_tables(Tables()))
    assert [result for result in results if result.problem is not None] == []
    shipped = {
        path.relative_to(MAPPINGS).as_posix() for path in MAPPINGS.rglob("*") if path.suffix in (".csv", ".toml")
    }
    assert {result.table for result in results} == shipped


@pytest.mark.parametrize(
    ("table", "right", "wrong"),
    [
        ("banners/ssh.toml", 'text = "OpenSSH_7.1p1 Microsoft', 'text = "7.1p1 Microsoft'),
        ("user_agents/tools.toml", "text = 'curl/", "text = 'lurc/"),
        ("applications/streaming.toml", 'examples = ["', 'examples = ["x.example.org", "'),
        ("sites/time.csv", ",ntp.ubuntu.com", ",ntp.example.org"),
        ("payload/mail.toml", 'orig = "', 'orig = "ff'),
    ],
)
def test_a_wrong_example_fails(tmp_path: Path, table: str, right: str, wrong: str) -> None:
    root = tmp_path / "mappings"
    shutil.copytree(MAPPINGS, root, ignore=shutil.ignore_patterns("*.mmdb"))
    text = (root / table).read_text("utf-8")
    assert right in text
    (root / table).write_text(text.replace(right, wrong, 1), "utf-8")
    (result,) = check_tables(Tables(root=root), (table,))
    assert result.problem is not None
    assert "example" in result.problem


def test_the_command_says_what_is_no_table() -> None:
    done = CliRunner().invoke(main, ["check", "nonsense"])
    assert done.exit_code == 1
    assert "no such table" in done.output
