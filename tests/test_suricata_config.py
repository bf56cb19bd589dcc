"""The include file for Suricata: real Suricata 7 takes it without a complaint and logs what the enrichers read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
INCLUDE = ROOT / "examples" / "suricata" / "eve-log.yaml"
SITE = ROOT / "tests" / "data" / "zeek-package" / "site-a.pcap"
TYPES = (
    *("flow", "http", "dns", "tls", "quic", "ssh", "smtp", "ftp", "tftp", "nfs", "smb", "dcerpc", "krb5", "rdp", "rfb"),
    *("sip", "mqtt", "snmp", "ike", "modbus", "dnp3", "bittorrent-dht", "pgsql", "dhcp", "files", "http2"),
)


def suricata(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    if shutil.which("suricata") is None:
        pytest.skip("suricata is not installed")
    command = ["suricata", "-k", "none", "--runmode", "single", "-S", os.devnull, "--include", str(INCLUDE)]
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, check=False, timeout=120)


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """What Suricata logs of the site's capture, by type."""
    folder = tmp_path_factory.mktemp("eve")
    done = suricata("-r", SITE, "-l", folder)
    assert done.returncode == 0, done.stderr
    found = defaultdict(list)
    for line in (folder / "eve.json").read_text("utf-8").splitlines():
        event = json.loads(line)
        found[event["event_type"]].append(event)
    return found


@pytest.mark.parametrize("name", TYPES)
def test_every_type_that_says_something_of_flows_is_on(name: str) -> None:
    assert re.search(rf"^        - {name}:?$", INCLUDE.read_text("utf-8"), re.MULTILINE)


def test_suricata_takes_the_file(tmp_path: Path) -> None:
    done = suricata("-T", "-l", tmp_path)
    assert done.returncode == 0, done.stderr
    complaints = [line for line in done.stderr.splitlines() if re.match(r"E:|W:|Error|Warning", line)]
    # Without rules there is nothing to load, and Suricata says so.
    assert [line for line in complaints if "no rules were loaded" not in line] == []


def test_every_event_of_a_flow_has_its_community_id(events: dict[str, list[dict[str, Any]]]) -> None:
    for name, found in events.items():
        assert all("community_id" in event for event in found if "src_port" in event), name


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("flow", "app_proto"),
        ("flow", "flow.bytes_toserver"),
        ("http", "http.http_user_agent"),
        ("http", "http.status"),
        ("http", "http.response_headers"),
        ("dns", "dns.answers"),
        ("dns", "dns.grouped"),
        ("tls", "tls.sni"),
        ("tls", "tls.ja3.hash"),
        ("tls", "tls.ja3s.hash"),
        ("tls", "tls.ja4"),
        ("ssh", "ssh.client.hassh.hash"),
        ("ssh", "ssh.server.software_version"),
        ("smtp", "smtp.helo"),
        ("ftp", "ftp.reply"),
        ("mqtt", "mqtt"),
        ("snmp", "snmp.version"),
        ("dhcp", "dhcp.client_mac"),
    ],
)
def test_what_the_enrichers_read_is_there(name: str, path: str, events: dict[str, list[dict[str, Any]]]) -> None:
    def at(event: dict[str, Any]) -> object:
        value: Any = event
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value

    assert name in events
    assert any(at(event) is not None for event in events[name]), path


def test_the_server_header_is_logged(events: dict[str, list[dict[str, Any]]]) -> None:
    headers = {
        header["name"].lower(): header["value"]
        for event in events["http"]
        for header in event["http"].get("response_headers", [])
    }
    assert headers["server"]
