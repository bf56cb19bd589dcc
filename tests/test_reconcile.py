"""What hosts declare, listen on and were seen to serve."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import ROOT, invoke

from enrich.cli import main
from enrich.errors import SourceError
from enrich.reconcile import Comparison
from enrich.tables import Tables
from enrich.written.services import services

ROW = {
    "ts": 1795349998.5,
    "id.orig_h": "192.0.2.50",
    "id.resp_h": "192.0.2.10",
    "id.resp_p": 22,
    "proto": "tcp",
    "conn_state": "SF",
    "resp_pkts": 5,
    "resp.scope": "private",
    "app.protocol": "ssh",
    "app.evidence": ["log:ssh", "dpi:ssh", "port:22/ssh"],
}


def output(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    """A run's output with these conn records, each a variation of ROW."""
    folder = tmp_path / "enriched"
    folder.mkdir(exist_ok=True)
    (folder / "conn.ndjson").write_text("".join(json.dumps({**ROW, **row}) + "\n" for row in rows))
    return folder


def reconcile(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(main, ["reconcile", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError("a traceback") from done.exception
    return done


def report(*arguments: str | Path) -> dict[str, Any]:
    done = reconcile(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def written(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.fixture
def listening(tmp_path: Path) -> Path:
    return written(
        tmp_path,
        "ss.txt",
        "Netid State Recv-Q Send-Q Local Address:Port Peer Address:Port Process\n"
        'tcp LISTEN 0 128 0.0.0.0:22 0.0.0.0:* users:(("sshd",pid=1,fd=3))\n'
        'tcp LISTEN 0 128 192.0.2.10:5432 0.0.0.0:* users:(("postgres",pid=2,fd=3))\n'
        'tcp LISTEN 0 128 127.0.0.1:25 0.0.0.0:* users:(("master",pid=3,fd=3))\n',
    )


def test_a_service_that_nobody_declared(tmp_path: Path, listening: Path) -> None:
    out = output(
        tmp_path,
        {},
        {"id.resp_p": 4444, "app.protocol": None, "app.evidence": None},
        {"id.resp_p": 4444, "ts": 1795350000.0},
    )
    found = report(out, "--listening", listening)
    (undeclared,) = found["undeclared"]
    assert undeclared == {
        "host": "192.0.2.10",
        "transport": "tcp",
        "port": 4444,
        "protocol": "ssh",
        "observed": ["ssh"],
        "flows": 2,
        "clients": 1,
        "first_seen": 1795349998.5,
        "last_seen": 1795350000.0,
        "name": None,
    }
    assert found["agreeing"] == 1
    assert found["contradicted"] == []


def test_a_declared_service_that_was_never_seen(tmp_path: Path, listening: Path) -> None:
    found = report(output(tmp_path, {}), "--listening", listening)
    assert found["never_seen"] == [
        {
            "host": "192.0.2.10",
            "transport": "tcp",
            "port": 5432,
            "name": None,
            "program": "postgres",
            "source": "listening",
        }
    ]


def test_a_name_that_the_observed_protocol_contradicts(tmp_path: Path) -> None:
    names = written(tmp_path, "services", "https 443/tcp\nssh 22/tcp\nhttp-alt 8080/tcp\n")
    out = output(
        tmp_path,
        {"id.resp_p": 443},
        {"id.resp_p": 8080, "app.protocol": "tls", "app.evidence": ["log:tls"]},
        {},
    )
    found = report(out, "--services", names)
    (contradicted,) = found["contradicted"]
    assert contradicted["name"] == "https"
    assert contradicted["expected"] == "tls"
    assert contradicted["observed"] == ["ssh"]
    assert contradicted["source"] == "services"
    assert found["undeclared"] == found["never_seen"] == []
    assert found["agreeing"] == 2


@pytest.mark.parametrize("evidence", ["log:ssh", "log_alone:ssh", "dpi:ssh", "payload:ssh"])
def test_whatever_is_observed_in_the_payload_can_contradict(tmp_path: Path, evidence: str) -> None:
    names = written(tmp_path, "services", "smtp 2222/tcp\n")
    found = report(output(tmp_path, {"id.resp_p": 2222, "app.evidence": [evidence]}), "--services", names)
    assert [item["observed"] for item in found["contradicted"]] == [["ssh"]]


def test_what_only_the_port_says_contradicts_nothing(tmp_path: Path) -> None:
    names = written(tmp_path, "services", "myname 22/tcp\nsmtp 2222/tcp\n")
    found = report(output(tmp_path, {"id.resp_p": 2222, "app.evidence": ["port:2222/ssh"]}), "--services", names)
    assert found["contradicted"] == []


def test_a_scan_s_names_and_hosts(tmp_path: Path) -> None:
    scan = written(
        tmp_path,
        "scan.xml",
        '<nmaprun><host><status state="up"/><address addr="192.0.2.10" addrtype="ipv4"/><ports>'
        '<port protocol="tcp" portid="22"><state state="open"/><service name="smtp" method="probed"/></port>'
        '<port protocol="tcp" portid="80"><state state="open"/><service name="http" method="table"/></port>'
        "</ports></host></nmaprun>",
    )
    found = report(output(tmp_path, {}, {"id.resp_h": "192.0.2.99"}), "--scan", scan)
    assert [(item["name"], item["source"]) for item in found["contradicted"]] == [("smtp", "scan")]
    assert [item["port"] for item in found["never_seen"]] == [80]
    # Of hosts that no inventory is about, nothing is said.
    assert found["undeclared"] == []


def test_without_a_host_s_inventory_private_hosts_count(tmp_path: Path) -> None:
    names = written(tmp_path, "services", "ssh 22/tcp\ntelnet 23/tcp\n")
    out = output(
        tmp_path,
        {},
        {"id.resp_p": 9999},
        {"id.resp_p": 9998, "resp.scope": "public"},
        {"id.resp_p": 9997, "conn_state": "REJ"},
        {"id.resp_p": 9996, "resp_pkts": 0, "proto": "udp"},
        {"id.resp_p": 9995, "resp.scope": "multicast"},
        {"id.resp_p": 40001, "app.protocol": "ftp_data", "app.evidence": ["log:ftp_data"]},
    )
    found = report(out, "--services", names)
    assert [item["port"] for item in found["undeclared"]] == [9999]


def test_a_services_file_names_ports_and_declares_nothing_to_run(tmp_path: Path, listening: Path) -> None:
    names = written(tmp_path, "services", "ssh 22/tcp\ntelnet 23/tcp\nssh-alias 22/tcp\npostgresql 5432/tcp\n")
    found = report(output(tmp_path, {}), "--services", names)
    assert found["never_seen"] == []
    assert (found["named"], found["named_seen"]) == (3, 1)
    done = reconcile(tmp_path / "enriched", "--services", names)
    assert done.stdout == "1 service seen as declared\n1 of 3 ports that services files name were seen\n"
    # What a host's own list says is missed.
    found = report(tmp_path / "enriched", "--services", names, "--listening", listening)
    assert [item["port"] for item in found["never_seen"]] == [5432]
    assert "services files" not in reconcile(tmp_path / "enriched", "--listening", listening).stdout


def test_the_host_of_a_list(tmp_path: Path) -> None:
    anonymous = written(tmp_path, "netstat.txt", "tcp 0 0 0.0.0.0:23 0.0.0.0:* LISTEN\n")
    out = output(tmp_path, {})
    done = reconcile(out, "--listening", anonymous)
    assert done.exit_code == 3
    assert f"write ADDRESS={anonymous}" in done.stderr.replace("\n", "")
    found = report(out, "--listening", f"192.0.2.10={anonymous}")
    assert [item["port"] for item in found["undeclared"]] == [22]
    assert [item["port"] for item in found["never_seen"]] == [23]
    assert reconcile(out, "--listening", f"localhost={anonymous}").exit_code == 3


def test_addresses_are_compared_as_addresses(tmp_path: Path) -> None:
    listed = written(tmp_path, "ss.txt", "tcp LISTEN 0 0 [2001:DB8:0:0::10]:22 [::]:*\n")
    found = report(output(tmp_path, {"id.resp_h": "2001:db8::0010"}), "--listening", listed)
    assert found["agreeing"] == 1
    assert found["never_seen"] == []


@pytest.mark.parametrize(
    ("option", "text", "reason"),
    [
        ("--services", "nothing here\n", "names no service"),
        ("--listening", "nothing here\n", "lists no listening socket"),
        ("--listening", "tcp 0 0 *:odd-name *:* LISTEN\n", "odd-name; add -n"),
        ("--scan", "nothing here\n", "is not nmap's XML"),
    ],
)
def test_a_wrong_file_is_named_with_the_reason(option: str, text: str, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path, "odd.txt", text)
    done = reconcile(output(tmp_path, {}), option, path)
    assert done.exit_code == 3
    assert reason in done.stderr
    assert "odd.txt" in done.stderr


def test_something_to_compare_with_is_needed(tmp_path: Path) -> None:
    assert reconcile(output(tmp_path, {})).exit_code == 2
    for arguments in (["--services", ""], ["--scan", ""], ["--listening", "192.0.2.10="]):
        done = reconcile(output(tmp_path, {}), *arguments)
        assert done.exit_code == 2
        assert "the name of a file is empty" in done.stderr


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a device that never ends")
def test_a_list_without_an_end(tmp_path: Path) -> None:
    done = reconcile(output(tmp_path, {}), "--services", "/dev/zero")
    assert done.exit_code == 3
    assert "/dev/zero: is too large for a list" in done.stderr


def test_a_folder_without_conn_records(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="holds no conn records"):
        services(tmp_path)


def test_what_powershell_writes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "netstat.txt"
    path.write_bytes("  TCP    192.0.2.10:22   0.0.0.0:0   LISTENING   4\r\n".encode("utf-16"))
    assert report(output(tmp_path, {}), "--listening", path)["agreeing"] == 1


def test_tables_for_people_hold_no_control_characters(tmp_path: Path) -> None:
    names = written(tmp_path, "services", "https 443/tcp\n")
    out = output(tmp_path, {"id.resp_p": 443, "app.protocol": "\x1b[2Jssh", "app.evidence": ["log:\x1b[31mssh"]})
    done = reconcile(out, "--services", names)
    assert done.exit_code == 0
    assert "Names that the observed protocol contradicts" in done.stdout
    assert "\x1b[2J" not in done.stdout
    assert "\x1b[31m" not in done.stdout


@pytest.mark.parametrize(
    ("expected", "seen", "contradicts"),
    [
        ("http", {"ssh"}, True),
        ("ssh", {"http"}, True),
        ("tls", {"http"}, True),
        ("http", {"tls"}, False),
        ("smb", {"netbios", "dce_rpc"}, False),
        ("ldap", {"kerberos", "gssapi"}, False),
        ("http", {"http", "websocket"}, False),
        ("http", set(), False),
        ("nfs", {"sunrpc"}, False),
        ("telnet", {"ssh", "ntlm"}, True),
    ],
)
def test_what_contradicts_a_name(expected: str, seen: set[str], contradicts: bool) -> None:
    assert Comparison(Tables()).contradicts(expected, seen) is contradicts


@pytest.mark.parametrize(
    "name", ["ssh", "https", "microsoft-ds", "ms-wbt-server", "domain", "msrpc", "ajp13", "postgresql"]
)
def test_names_of_services_files_and_scans_are_understood(name: str) -> None:
    assert Comparison(Tables()).expected(name) is not None


@pytest.mark.parametrize(
    "form",
    [
        ("--format", "ndjson"),
        ("--format", "ndjson", "--compress", "gzip"),
        ("--format", "ndjson", "--compress", "zstd"),
        ("--format", "parquet"),
    ],
)
@pytest.mark.parametrize("example", ["zeek", "zeek-json", "suricata"])
def test_every_form_of_output_is_read_alike(form: tuple[str, ...], example: str, tmp_path: Path) -> None:
    invoke(ROOT / "examples" / example, *form, out=tmp_path / "one")
    invoke(ROOT / "examples" / example, out=tmp_path / "other")
    assert services(tmp_path / "one") == services(tmp_path / "other")
    assert len(services(tmp_path / "one")) > 5


def test_a_scan_that_breaks_off_is_told(tmp_path: Path) -> None:
    whole = (
        '<nmaprun><host><status state="up"/><address addr="192.0.2.10" addrtype="ipv4"/><ports>'
        '<port protocol="tcp" portid="22"><state state="open"/></port></ports></host></nmaprun>'
    )
    out = output(tmp_path, {})
    told = reconcile(out, "--scan", written(tmp_path, "cut.xml", whole.removesuffix("</nmaprun>")))
    assert told.exit_code == 0
    assert "cut.xml: the scan breaks off" in told.stderr
    told = reconcile(out, "--scan", written(tmp_path, "none.xml", whole[: whole.index("</ports>")]))
    assert told.exit_code == 3
    assert "no host of the scan was up, as far as it goes: it breaks off" in told.stderr
