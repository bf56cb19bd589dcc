"""What is read, as what, and where its output goes."""

from __future__ import annotations

import gzip
from pathlib import Path, PurePosixPath

import pytest
import zstandard

from enrich.batch import Form
from enrich.errors import ConfigError
from enrich.sources.discover import LogFile, Skipped, discover, sniff

TSV = b"#separator \\x09\n#path\tssh\n#fields\tuid\n#types\tstring\nC1\n"
JSON = b'{"ts":1,"uid":"C1"}\n'
EVE = b'{"timestamp":"2026-11-22T12:00:00+0000","event_type":"flow","flow_id":1}\n'


def found(*inputs: Path | str, out: Path) -> tuple[list[LogFile], list[Skipped]]:
    items = list(discover(map(str, inputs), out, out.with_name("spool")))
    return [i for i in items if isinstance(i, LogFile)], [i for i in items if isinstance(i, Skipped)]


@pytest.mark.parametrize(
    ("first", "form"),
    [
        (TSV, Form.TSV),
        (b"#fields\ta\n", Form.TSV),
        (b"#path conn\n", Form.TSV),
        (b"\r\n#separator |\r\n", Form.TSV),
        (JSON, Form.JSON),
        (b'  {"a":1}', Form.JSON),
        (EVE, Form.EVE),
        (b'junk\n{"ts":1}\n', Form.JSON),
        (b'junk\n{"_path":"conn"}\n', Form.JSON),
        (b"junk\n" + EVE, Form.EVE),
        (b"junk\n" + TSV, Form.TSV),
        (b"", None),
        (b"\n\n", None),
        (b"# a comment\n", None),
        (b"{\n", None),
        (b'junk\n{"other":1}\n', None),
        (b'[{"ts":1}]\n', None),
        (b"ts,uid\n1,C1\n", None),
        (b"\0\0\0", None),
        (b"\x7fELF", None),
    ],
)
def test_sniffing(first: bytes, form: Form | None) -> None:
    assert sniff(first) is form


@pytest.mark.parametrize(
    ("name", "log", "target", "extension"),
    [
        ("conn.log", "conn", "conn", ".log"),
        ("conn.10:00:00-11:00:00.log.gz", "conn", "conn.10:00:00-11:00:00", ".log"),
        ("conn_long.log", "conn_long", "conn_long", ".log"),
        ("conn.json", "conn", "conn", ".json"),
        ("dns.ndjson.zst", "dns", "dns", ".ndjson"),
        ("conn", "conn", "conn", ""),
        ("conn.log.1", "conn", "conn.log.1", ""),
        (".log.gz", None, None, None),
        ("weird name.log", "weird", "weird name", ".log"),
        ("é.log", "unknown", "é", ".log"),
    ],
)
def test_names(tmp_path: Path, name: str, log: str | None, target: str | None, extension: str | None) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / name).write_bytes(TSV)
    files, _ = found(folder, out=tmp_path / "out")
    assert [(file.log, str(file.target), file.extension) for file in files] == (
        [] if log is None else [(log, target, extension)]
    )


def test_a_tree_is_mirrored_in_a_fixed_order(tmp_path: Path) -> None:
    tree = tmp_path / "logs"
    for name, text in {
        "2026-11-21/conn.10:00:00-11:00:00.log.gz": gzip.compress(TSV),
        "2026-11-21/http.10:00:00-11:00:00.log.zst": zstandard.ZstdCompressor().compress(JSON),
        "2026-11-22/eve.json": EVE,
        "current/conn.log": TSV,
        "stats.txt": b"words\n",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(text)
    files, skipped = found(tree, out=tmp_path / "out")
    assert [(str(file.target), file.form) for file in files] == [
        ("2026-11-21/conn.10:00:00-11:00:00", Form.TSV),
        ("2026-11-21/http.10:00:00-11:00:00", Form.JSON),
        ("2026-11-22/eve", Form.EVE),
        ("current/conn", Form.TSV),
    ]
    assert skipped == [Skipped(str(tree / "stats.txt"), "not a Zeek or Suricata log", wrong=False)]


def test_several_trees_are_mirrored_each_under_its_name(tmp_path: Path) -> None:
    for site in ("a", "b"):
        (tmp_path / site).mkdir()
        (tmp_path / site / "conn.log").write_bytes(TSV)
    files, _ = found(tmp_path / "a", tmp_path / "b", out=tmp_path / "out")
    assert [file.target for file in files] == [PurePosixPath("a/conn"), PurePosixPath("b/conn")]


def test_files_of_one_name_get_places_of_their_own(tmp_path: Path) -> None:
    paths = []
    for n, name in enumerate(["a/conn.log", "b/conn.log", "c/conn.log", "d/conn.json"]):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(TSV + b"%d\n" % n)
        paths.append(tmp_path / name)
    files, _ = found(*paths, out=tmp_path / "out")
    assert [str(file.target) for file in files] == ["conn", "conn.log", "conn.log.2", "conn.json"]


def test_a_link_to_a_folder_is_followed_and_a_circle_is_not(tmp_path: Path) -> None:
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / "conn.log").write_bytes(TSV)
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "current").symlink_to("../spool")
    (logs / "up").symlink_to("..")
    files, _ = found(logs, out=tmp_path / "out")
    assert [str(file.target) for file in files] == ["current/conn"]


def test_the_output_is_no_input(tmp_path: Path) -> None:
    out = tmp_path / "logs" / "enriched"
    (out / "deep").mkdir(parents=True)
    (out / "conn.log").write_bytes(TSV)
    (out / "deep" / "conn.log").write_bytes(TSV)
    (tmp_path / "logs" / "link").symlink_to("enriched/deep")
    assert found(tmp_path / "logs", out=out) == ([], [])
    with pytest.raises(ConfigError, match="cannot be the input and the output"):
        found(out, out=out)
    with pytest.raises(ConfigError, match="cannot be the input and the output"):
        found(tmp_path / "logs" / ".." / "logs", out=tmp_path / "logs")
