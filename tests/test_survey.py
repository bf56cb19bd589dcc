"""The first pass remembers the same whatever part of it memory holds."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from scenario import Site

from enrich import applications, payload
from enrich.options import Options
from enrich.pipeline import Run
from enrich.state import State
from enrich.survey import Survey


def run(source: Path, out: Path, most: int | None = None, state: Path | None = None) -> dict[str, str]:
    """What a run writes, by name; ``most`` rows of each of the survey's tables are in memory."""
    run = Run(Options((str(source),), out, state=state))
    if most is not None:
        catalogue = applications.load(run.tables)
        states = run.engine.survey.failed_states
        run.engine.survey = Survey(catalogue, lambda: payload.load(run.tables), states, most=most)
    run()
    names = [path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()]
    assert not [name for name in names if "part" in name or "tmp" in name]
    return {name: (out / name).read_text() for name in names if name != "run.json"}


@pytest.mark.parametrize("most", [1, 5, 100])
@pytest.mark.parametrize("source", ["zeek", "suricata"])
def test_a_bound_of_memory_changes_nothing(tmp_path: Path, source: str, most: int) -> None:
    logs = ROOT / "examples" / source
    assert run(logs, tmp_path / "bounded", most) == run(logs, tmp_path / "plain")


@pytest.mark.parametrize("most", [1, 7])
def test_a_bound_of_memory_changes_nothing_of_a_state(tmp_path: Path, most: int) -> None:
    logs = ROOT / "examples" / "zeek"
    for folder in ("bounded", "plain"):
        for hour in ("first", "second"):
            bound = most if folder == "bounded" else None
            run(logs, tmp_path / folder / hour, bound, tmp_path / f"{folder}.state")
    bounded, plain = (State(tmp_path / f"{folder}.state") for folder in ("bounded", "plain"))
    for state in (bounded, plain):
        engine = Run(Options((), tmp_path / "none")).engine
        assert state.load(engine.survey, engine.remembering()) is None
    assert bounded.loaded == plain.loaded > 50
    for name, rows in plain._rows.items():
        columns = [column for column in rows.columns if column != "seen"]
        assert bounded._rows[name].select(columns).sort(columns).equals(rows.select(columns).sort(columns)), name


LIMITED = """
import sys
from pathlib import Path
import test_survey
from enrich.errors import OutputError
try:
    test_survey.run(Path(sys.argv[1]), Path(sys.argv[2]), 100)
except OutputError as error:
    sys.exit(str(error))
"""


def test_a_disk_that_is_full_while_the_logs_are_surveyed(tmp_path: Path) -> None:
    """A limit on the size of files fails as a full disk does."""
    site, out = Site(tmp_path / "logs"), tmp_path / "out"
    for number in range(5000):
        uid = site.flow("10.0.0.1", f"192.0.2.{number % 250}", 22, number, "ssh")
        site.log("ssh", uid, client="SSH-2.0-a", server="SSH-2.0-b")

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    arguments = [sys.executable, "-c", LIMITED, str(site.write()), str(out)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, preexec_fn=limit, cwd=ROOT / "tests")
    word = f"{out}: File too large; make room there, or name another place with --out"
    assert (done.returncode, done.stderr) == (1, f"{word}\n")
    assert [path.name for path in out.iterdir()] == ["run.json"]
    assert json.loads((out / "run.json").read_text())["failed"] == word


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk needs root")
def test_a_disk_that_scratch_files_filled_has_room_for_the_reason(tmp_path: Path) -> None:
    site, disk = Site(tmp_path / "logs"), tmp_path / "disk"
    for number in range(5000):
        uid = site.flow("10.0.0.1", f"192.0.2.{number % 250}", 22, number, "ssh")
        site.log("ssh", uid, client="SSH-2.0-a", server="SSH-2.0-b")
    logs, out = site.write(), disk / "out"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        arguments = [sys.executable, "-c", LIMITED, str(logs), str(out)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, cwd=ROOT / "tests")
        word = f"{out}: No space left on device; make room there, or name another place with --out"
        assert (done.returncode, done.stderr) == (1, f"{word}\n")
        assert [path.name for path in out.iterdir()] == ["run.json"]
        assert json.loads((out / "run.json").read_text())["failed"] == word
    finally:
        subprocess.run(["umount", disk], check=True)


def test_a_certificate_without_a_name_of_its_own_is_nobody_s(tmp_path: Path) -> None:
    end = {"id.orig_h": "10.0.0.1", "id.orig_p": 50000, "id.resp_h": "10.0.0.2", "proto": "tcp", "ts": 1795305600.0}
    records = [
        {"_path": "x509", "ts": 1795305600.0, "fingerprint": "aa", "san.dns": ["www.good.example"]},
        {"_path": "x509", "ts": 1795305600.0, "san.dns": ["evil.example.com"]},
        {"_path": "ssl", **end, "uid": "C1", "id.resp_p": 443, "cert_chain_fps": ["aa"]},
        {"_path": "conn", **end, "uid": "C1", "id.resp_p": 443},
        {"_path": "conn", **end, "uid": "C2", "id.resp_p": 22},
    ]
    source = tmp_path / "logs.json"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    run(source, tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out/logs.ndjson").read_text().splitlines()]
    assert [row.get("resp.name") for row in rows] == ["www.good.example", None]


def test_a_zone_transfer_names_no_address(tmp_path: Path) -> None:
    ends = {"id.orig_h": "10.0.0.1", "id.orig_p": 50000, "id.resp_h": "10.0.0.53", "id.resp_p": 53, "proto": "tcp"}
    asked = {"_path": "dns", "ts": 1795305600.0, **ends, "TTLs": [600.0]}
    records = [
        asked | {"uid": "C1", "query": "corp.example", "qtype_name": "AXFR", "answers": ["10.0.0.7", "10.0.0.8"]},
        asked | {"uid": "C2", "query": "www.corp.example", "qtype_name": "A", "answers": ["10.0.0.8"]},
        {"_path": "conn", "ts": 1795305601.0, **ends, "uid": "C3", "id.resp_h": "10.0.0.7", "id.resp_p": 443},
        {"_path": "conn", "ts": 1795305601.0, **ends, "uid": "C4", "id.resp_h": "10.0.0.8", "id.resp_p": 443},
    ]
    source = tmp_path / "logs.json"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    run(source, tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out/logs.ndjson").read_text().splitlines()]
    assert [row.get("resp.name") for row in rows] == [None, "www.corp.example"]


@pytest.mark.parametrize("ts", ["nan", "inf", "-1", "1e300", "-"])
def test_times_that_no_clock_shows(tmp_path: Path, ts: str) -> None:
    types = {"ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr"}
    types |= {"id.resp_p": "port", "proto": "enum"}
    ends = ["C1", "10.0.0.1", "50000", "10.0.0.2", "53", "udp"]
    of_log = {
        "conn": ({"service": "string", "conn_state": "string"}, [["dns", "SF"]]),
        "dns": ({"query": "string", "answers": "vector[string]", "TTLs": "vector[interval]"},
                [["a.example", "192.0.2.1", ts], ["b.example", "192.0.2.1", "60"]]),
        "http": ({"host": "string", "user_agent": "string"}, [["a.example", "curl/8.0"]]),
    }  # fmt: skip
    for log, (more, rows) in of_log.items():
        fields = types | more
        names, kinds = "\t".join(fields), "\t".join(fields.values())
        text = f"#separator \\x09\n#path\t{log}\n#fields\t{names}\n#types\t{kinds}"
        for when in (ts, "1795305600.0"):
            text += "".join("\n" + "\t".join([when, *ends, *row]) for row in rows)
        (tmp_path / f"{log}.log").write_text(text + "\n")
    state = tmp_path / "site.state"
    for _ in range(2):
        report = Run(Options((str(tmp_path),), tmp_path / "out", state=state))()
        assert report.status == 0
        assert sum(file.out for file in report.files) == 8
    hosts = [json.loads(line) for line in (tmp_path / "out/hosts.ndjson").read_text().splitlines()]
    assert {host["first_seen"] for host in hosts} == {1795305600.0}


def test_a_server_of_datagrams_is_none_of_connections(tmp_path: Path) -> None:
    """quic.log, as Zeek's of ntp, snmp and others, tells no transport."""
    site = Site(tmp_path / "site")
    quic = site.flow("10.0.0.5", "203.0.113.5", 443, proto="udp", service="quic")
    site.log("quic", quic, version="1", server_name="www.youtube.com")
    tcp = site.flow("10.0.0.6", "203.0.113.5", 443, 9, history="ShADadFf")
    udp = site.flow("10.0.0.7", "203.0.113.5", 443, 9, proto="udp", conn_state="SF")
    out = run(site.write(), tmp_path / "out")
    verdicts = {flow["uid"]: flow for flow in map(json.loads, out["conn.ndjson"].splitlines())}
    assert verdicts[tcp]["app.evidence"] == ["port:443/https"]
    assert verdicts[udp]["app.protocol"] == "quic"
    assert "server:203.0.113.5:443=quic" in verdicts[udp]["app.evidence"]
