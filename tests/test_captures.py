"""Packet captures: what is refused, how an analyzer is kept in its place, and the real ones where installed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from enrich import captures
from enrich.captures import analyse, check, find, folder_names
from enrich.cli import main
from enrich.errors import SourceError

ROOT = Path(__file__).parents[1]
SITE = ROOT / "tests" / "data" / "zeek-package" / "site-a.pcap"
CONN = ROOT / "examples" / "zeek" / "conn.log"
EVE = ROOT / "examples" / "suricata" / "eve.json"
HEADER = b"\xd4\xc3\xb2\xa1\x02\x00\x04\x00" + bytes(8) + b"\xff\xff\x00\x00\x01\x00\x00\x00"


def pcap(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(main, ["pcap", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError("a traceback") from done.exception
    return done


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """A capture without a packet."""
    path = tmp_path / "one.pcap"
    path.write_bytes(HEADER)
    return path


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put a shell script on an otherwise empty PATH as the installed ``zeek`` or ``suricata``."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("cp", "sleep", "sh", "touch", "env", "pwd"):
        (folder / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(folder))

    def install(name: str, script: str) -> None:
        program = folder / name
        program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        program.chmod(0o755)

    return install


def test_names_of_captures_never_lead_outside() -> None:
    names = [
        "../../etc/passwd",
        "/tmp/a.pcap",
        "a.pcap",
        "A.PCAP",
        "..",
        "-rf",
        "a b\n\x1b[2J.pcap",
        "",
        "é.pcap",
        ".hidden",
        "x" * 300,
    ]
    found = folder_names(Path(name) for name in names)
    assert len({name.lower() for name in found}) == len(names)
    for name in found:
        assert name
        assert name[0] not in ".-"
        assert len(name) < 120
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert found[:4] == ["passwd", "a.pcap", "a.pcap-2", "A.PCAP-3"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a packet capture"),
        (b"#separator \\x09\n", "is not a packet capture"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"\x28\xb5\x2f\xfd", "zstd"),
    ],
)
def test_other_files_are_refused_with_the_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "x.pcap"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=reason):
        check(path)


@pytest.mark.parametrize("magic", ["a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "0a0d0d0a", "a1b2cd34"])
def test_captures_are_taken(magic: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes.fromhex(magic))
    check(path)


def test_no_file_and_no_ordinary_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        check(tmp_path / "absent.pcap")
    with pytest.raises(SourceError, match="is not a file"):
        check(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SourceError, match="is not a file"):
        check(tmp_path / "pipe")


def test_without_an_analyzer_it_says_what_to_install(pretend, capture: Path, tmp_path: Path) -> None:
    done = pcap(capture, "--out", tmp_path / "out")
    assert done.exit_code == 3
    assert "install Zeek" in done.stderr
    assert "apt-get install suricata" in done.stderr
    named = pcap(capture, "--out", tmp_path / "out", "--with", "suricata")
    assert named.exit_code == 3
    assert "suricata is not on the PATH" in named.stderr
    wrong = pcap(tmp_path / "absent.pcap", "--out", tmp_path / "out")
    assert wrong.exit_code == 3
    assert "absent.pcap: no such file" in wrong.stderr.replace("\n", "")


def test_zeek_comes_first(pretend) -> None:
    pretend("suricata", "exit 0")
    assert find().name == "suricata"
    pretend("zeek", "exit 0")
    assert find().name == "zeek"
    assert find("suricata").name == "suricata"


def test_logs_of_one_capture_are_enriched(pretend, capture: Path, tmp_path: Path) -> None:
    pretend("zeek", f"cp {CONN} conn.log")
    done = pcap(capture, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "out" / "conn.ndjson").read_bytes().count(b"\n") > 100
    assert json.loads((tmp_path / "out" / "run.json").read_text())["rows"]["rejected"] == 0


def test_what_a_capture_taught_the_next_one_knows(pretend, capture: Path, tmp_path: Path) -> None:
    pretend("zeek", f"cp {CONN} conn.log")
    kept = tmp_path / "site.state"
    states = []
    for out in (tmp_path / "first", tmp_path / "second"):
        done = pcap(capture, "--out", out, "--state", kept, "--quiet")
        assert done.exit_code == 0, done.stderr
        states.append(json.loads((out / "run.json").read_text())["state"])
    assert states[0]["saved"] > 0
    assert states[1]["loaded"] == states[0]["saved"]


def test_several_captures_have_a_folder_each(pretend, capture: Path, tmp_path: Path) -> None:
    pretend("zeek", f"cp {CONN} conn.log")
    other = tmp_path / "more" / "one.pcap"
    other.parent.mkdir()
    other.write_bytes(HEADER)
    done = pcap(capture, other, "--out", tmp_path / "out", "--quiet")
    assert done.exit_code == 0, done.stderr
    assert (tmp_path / "out" / "one.pcap" / "conn.ndjson").exists()
    assert (tmp_path / "out" / "one.pcap-2" / "conn.ndjson").exists()
    assert done.output == ""


def test_the_analyzer_works_apart(pretend, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "of the caller")
    monkeypatch.setenv("ZEEKPATH", "/somewhere")
    pretend("zeek", 'env > environment; pwd > where; echo "$@" > arguments')
    folder = tmp_path / "work"
    folder.mkdir()
    assert analyse(find(), capture, folder) is None
    environment = dict(line.split("=", 1) for line in (folder / "environment").read_text().splitlines())
    assert "SECRET" not in environment
    assert environment["ZEEKPATH"] == "/somewhere"
    assert environment["HOME"] == str(folder)
    assert (folder / "where").read_text().strip() == str(folder)
    assert f"-r {capture}" in (folder / "arguments").read_text()


def test_a_capture_named_like_an_option_is_a_file(pretend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("--help.pcap").write_bytes(HEADER)
    pretend("zeek", 'echo "$@" > arguments')
    folder = tmp_path / "work"
    folder.mkdir()
    analyse(find(), Path("--help.pcap"), folder)
    assert f"-r {tmp_path / '--help.pcap'}" in (folder / "arguments").read_text()


def test_what_an_analyzer_wrote_before_it_failed_is_kept(pretend, capture: Path, tmp_path: Path) -> None:
    pretend("zeek", f"cp {CONN} conn.log; echo chatter; echo 'fatal error: truncated dump file' >&2; exit 1")
    done = pcap(capture, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "zeek ended with status 1: fatal error: truncated dump file" in done.stderr.replace("\n", " ")
    assert (tmp_path / "out" / "conn.ndjson").exists()


def test_a_capture_that_breaks_off_is_told(pretend, capture: Path, tmp_path: Path) -> None:
    """Suricata's exit status does not."""
    pretend("suricata", f"cp {EVE} eve.json; echo 'E: pcap: error code -1 truncated dump file' >&2; echo 'i: done'")
    done = pcap(capture, "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "suricata: pcap: error code -1 truncated dump file" in done.stderr.replace("\n", " ")
    [note] = json.loads((tmp_path / "out" / "run.json").read_text())["notes"]
    assert note.endswith("one.pcap: suricata: pcap: error code -1 truncated dump file")


def test_nothing_written_is_an_error(pretend, capture: Path, tmp_path: Path) -> None:
    pretend("zeek", "exit 1")
    done = pcap(capture, "--out", tmp_path / "out")
    assert done.exit_code == 3
    assert "wrote no logs" in done.stderr
    assert "without a word" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_slow_analyzer_is_stopped_with_all_it_started(pretend, capture: Path, tmp_path: Path) -> None:
    pretend("zeek", f"cp {CONN} conn.log; sleep 60 & sleep 60")
    done = pcap(capture, "--out", tmp_path / "out", "--timeout", "0.5")
    assert done.exit_code == 1
    assert "stopped after 0.5 s" in done.stderr.replace("\n", " ")
    assert (tmp_path / "out" / "conn.ndjson").exists()


def test_one_that_does_not_listen_is_killed(
    pretend, capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captures, "_GRACE", 0.2)
    pretend("zeek", "trap '' TERM; while true; do sleep 0.1; done")
    folder = tmp_path / "work"
    folder.mkdir()
    problem = analyse(find(), capture, folder, timeout=0.3)
    assert problem is not None
    assert "stopped" in problem


def test_what_an_analyzer_says_does_not_drive_the_terminal(pretend, capture: Path, tmp_path: Path) -> None:
    pretend("zeek", f"cp {CONN} conn.log; printf 'bad \\033[2J name\\n' >&2; exit 1")
    done = pcap(capture, "--out", tmp_path / "out")
    assert "\x1b[2J" not in done.stderr
    assert "\\x1b[2J" in done.stderr


def real(name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")


def test_with_the_real_zeek(tmp_path: Path) -> None:
    real("zeek")
    done = pcap(SITE, "--out", tmp_path / "out", "--with", "zeek", "--quiet")
    assert done.exit_code == 0, done.output
    assert done.output == ""
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"conn.ndjson", "payload.ndjson", "banner.ndjson", "syn.ndjson", "ssh.ndjson", "http.ndjson"} <= written
    first = json.loads((tmp_path / "out" / "conn.ndjson").read_text().splitlines()[0])
    assert {"community_id", "orig_sizes", "app.protocol"} <= first.keys()


def test_with_the_real_suricata(tmp_path: Path) -> None:
    real("suricata")
    done = pcap(SITE, "--out", tmp_path / "out", "--with", "suricata", "--quiet")
    assert done.exit_code == 0, done.output
    assert done.output == ""
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"eve.conn.ndjson", "eve.http.ndjson", "eve.ssl.ndjson", "eve.ssh.ndjson", "eve.dns.ndjson"} <= written
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".ndjson", ".json"}
    ssh = [json.loads(line) for line in (tmp_path / "out" / "eve.ssh.ndjson").read_text().splitlines()]
    assert all("hassh" in event["ssh"]["client"] for event in ssh if "client" in event.get("ssh", {}))
