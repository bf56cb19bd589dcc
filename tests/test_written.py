"""What a run wrote is read again; what it did not write is named, with its line and what to do."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import ROOT, Run, invoke
from scenario import Site

from enrich.cli import main
from enrich.written import records

UID = "CCgxIp4aDwiwUdlTs"
DAMAGE = [b"not json\n", b'{"ip": "192.0.2.1", \n', b"[1]\n", b"null\n", b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"{}\n"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return invoke(ROOT / "examples/zeek", out=tmp_path_factory.mktemp("made") / "out").out


@pytest.fixture
def services(tmp_path: Path) -> Path:
    path = tmp_path / "services"
    path.write_text("ssh 22/tcp\n")
    return path


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def call(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(main, [*map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError("a traceback") from done.exception
    return done


def refused(place: str, *arguments: str | Path) -> None:
    done = call(*arguments)
    assert done.exit_code == 3
    assert done.stderr.startswith(f"zeek-enrich: {place}: ")
    assert done.stderr.endswith("; run again\n")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("line", DAMAGE)
@pytest.mark.parametrize("name", ["hosts", "findings"])
def test_a_line_that_no_run_wrote(out: Path, name: str, line: bytes) -> None:
    path = out / f"{name}.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], line, *lines[2:]]))
    refused(f"{path}:3", name, out)
    refused(f"{path}:3", name, out, "--json")


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Each member of a JSON value: what holds it, and its name or number there."""
    for key in list(value) if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0):
        yield value, key
        yield from places(value[key])


def test_a_host_is_found_by_any_form_of_its_address(run: Run, tmp_path: Path) -> None:
    flow = json.loads((ROOT / "examples/zeek-json/conn.log").read_text().splitlines()[0])
    flow |= {"id.orig_h": "FD00:0:0::1", "id.resp_h": "FD00::2", "local_orig": True}
    (tmp_path / "conn.log").write_text(json.dumps(flow) + "\n")
    out = run(tmp_path / "conn.log").out
    [known] = {record["ip"] for record in records.read(out, "hosts")} - {"FD00::2"}
    assert known == "FD00:0:0::1"
    for asked in ("fd00::1", "FD00:0:0:0:0:0:0:1"):
        assert json.loads(call("hosts", str(out), asked, "--json").stdout)["ip"] == known


@pytest.mark.parametrize("name", ["hosts", "findings"])
def test_a_record_of_another_version_is_no_traceback(out: Path, name: str) -> None:
    """Every member of the richest record becomes something else, or goes."""
    path = out / f"{name}.ndjson"
    text = max(path.read_text().splitlines(), key=len)
    address = json.loads(text)["ip" if name == "hosts" else "host"]
    for number in range(len(list(places(json.loads(text))))):
        for other in (None, "x", [7], {"x": 1}):
            record = json.loads(text)
            holder, key = list(places(record))[number]
            if other is None and isinstance(holder, dict):
                del holder[key]
            else:
                holder[key] = other
            path.write_text(json.dumps(record) + "\n")
            for arguments in ([out], [out, address]) if name == "hosts" else ([out],):
                done = call(name, *arguments)
                assert done.exit_code in (0, 1, 2, 3)
                assert done.exit_code == 0 or f"{path}:1: " in done.stderr or "no host" in done.stderr


def test_an_output_that_is_cut_off(out: Path, services: Path) -> None:
    path = out / "conn.ndjson"
    path.write_bytes(path.read_bytes()[:20_000])
    cut = path.read_bytes().count(b"\n") + 1
    refused(f"{path}:{cut}", "reconcile", out, "--services", services)
    done = call("explain", out, "C-is-not-there")
    assert done.exit_code == 3
    assert done.stderr == f"zeek-enrich: {path}: cannot be read: its last line is cut off; run again\n"


@pytest.mark.parametrize("line", [*DAMAGE[:3], *DAMAGE[4:6], b'{"id.resp_p": "x"}\n'])
def test_a_damaged_connection(out: Path, services: Path, line: bytes) -> None:
    path = out / "conn.ndjson"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], line, *lines[2:]]))
    refused(f"{path}:3", "reconcile", out, "--services", services)


@pytest.mark.parametrize(
    "line", [f'"{UID}"\n', f'{{"uid": "{UID}", "app.evidence": 7}}\n', f'{{"uid": "{UID}"\n', f'["{UID}"]\n']
)
def test_a_damaged_connection_that_is_asked_for(out: Path, line: str) -> None:
    path = out / "conn.ndjson"
    path.write_text(line)
    refused(str(path), "explain", out, UID)


def test_parquet_that_is_cut_off(tmp_path: Path, services: Path) -> None:
    out = invoke(ROOT / "examples/zeek/conn.log", "--format", "parquet", out=tmp_path / "out").out
    path = out / "conn.parquet"
    path.write_bytes(path.read_bytes()[:5000])
    refused(str(path), "reconcile", out, "--services", services)


def test_an_address_in_another_form_is_the_same(tmp_path: Path) -> None:
    log = tmp_path / "conn.json"
    ends = {"id.orig_h": "fd00::1", "id.orig_p": 50000, "id.resp_h": "fd00::2", "id.resp_p": 22, "proto": "tcp"}
    log.write_text(json.dumps({"ts": 1795305600.0, "uid": "C1", "conn_state": "SF", "resp_pkts": 4} | ends) + "\n")
    out = invoke(log, out=tmp_path / "out").out
    assert call("hosts", out, "fd00::1").exit_code == 0
    assert call("hosts", out, "FD00:0:0::1").exit_code == 0
    assert call("hosts", out, "fd00::3").exit_code == 1


def test_a_flow_without_a_port_is_no_service_and_can_be_shown(tmp_path: Path) -> None:
    site = Site(tmp_path / "logs")
    site.flow("10.0.0.1", "10.0.0.2", 80, 0, "http", **{"id.resp_p": None})
    site.flow("10.0.0.1", "10.0.0.2", 22, 5, "ssh")
    out = invoke(site.write(), out=tmp_path / "out").out
    records = map(json.loads, (out / "hosts.ndjson").read_text().splitlines())
    [server] = [record for record in records if record["ip"] == "10.0.0.2"]
    assert [service["port"] for service in server["services"]] == [22]
    assert "10.0.0.2" in call("hosts", out).stdout


def test_hosts_and_findings_say_what_is_not_to_be_believed(out: Path, tmp_path: Path) -> None:
    assert call("hosts", out).stderr == call("findings", out).stderr == ""
    record = json.loads((out / "run.json").read_text())
    (out / "run.json").write_text(json.dumps(record | {"failed": "interrupted"}))
    for command in ("hosts", "findings"):
        assert "the last run into it failed (interrupted)" in call(command, out).stderr
    alone = invoke(ROOT / "examples/zeek/http.log", out=tmp_path / "alone").out
    for command in ("hosts", "findings"):
        assert "the run read no conn log" in call(command, alone).stderr


def test_times_of_both_forms_are_reconciled(tmp_path: Path, services: Path) -> None:
    site = Site(tmp_path / "logs")
    site.flow("10.0.0.1", "10.0.0.2", 22, 5, "ssh")
    site.flow("10.0.0.1", "10.0.0.3", 22, 5, "ssh", ts="2023-11-14T22:13:20.000000Z")
    path = tmp_path / "conn.log"
    path.write_text("".join(json.dumps(record) + "\n" for record in site.logs["conn"]))
    done = call("reconcile", invoke(path, out=tmp_path / "out").out, "--services", services)
    assert done.exit_code == 0, done.stderr
