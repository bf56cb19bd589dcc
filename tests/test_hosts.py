"""Host profiles on small sites of their own, and how they are shown."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from scenario import START, Site

from enrich import hosts as hosts_module
from enrich.banners.knowledge import Knowledge
from enrich.cli import main
from enrich.errors import ConfigError
from enrich.flows import Border
from enrich.hosts import Hosts
from enrich.hosts import profiles as profiles_module
from enrich.systems import load
from enrich.tables import Tables

CLIENT, SERVER, OUTSIDE = "10.0.0.5", "10.0.0.80", "93.184.216.34"
CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
Profiles = Callable[..., dict[str, dict[str, Any]]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture
def profiles(site: Site, run: Callable[..., Any]) -> Profiles:
    """The host records of a run over the site, by address."""

    def call(*options: str) -> dict[str, dict[str, Any]]:
        records = run(site.write(), *options).records("hosts.ndjson")
        assert len({record["ip"] for record in records}) == len(records)
        return {record["ip"]: record for record in records}

    return call


def test_a_client(site: Site, profiles: Profiles) -> None:
    for at in range(6):
        site.web(CLIENT, "update.eset.com", at * 100, OUTSIDE, CHROME)
    record = profiles()[CLIENT]
    assert record["own"] and record["scope"] == "private"
    assert (record["first_seen"], record["last_seen"]) == (START, START + 500)
    assert record["services"] == []
    [application] = record["applications"]
    assert (application["protocol"], application["name"], application["flows"]) == ("http", "eset", 6)
    assert application["bytes"] == 6 * 8800
    assert 0.9 < application["confidence"] <= 1
    [called] = record["sites"]
    assert (called["category"], called["product"], called["contacts"]) == ("antivirus", "eset", 6)
    software = {(item["product"], item["source"]) for item in record["software"]}
    assert software == {("Chrome", "user_agent"), ("eset", "site")}
    assert record["os"]["name"] == "Windows 10"


def test_a_server(site: Site, profiles: Profiles) -> None:
    for at in range(40):
        uid = site.flow(f"10.0.1.{at % 20}", SERVER, 22, at, "ssh")
        site.log("ssh", uid, server="SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", client="SSH-2.0-PuTTY_Release_0.78")
    for port in (80, 443, 25):
        site.flow(CLIENT, SERVER, port, 50, conn_state="REJ", orig_pkts=1, resp_pkts=1)
    record = profiles()[SERVER]
    [service] = record["services"]
    assert service == {
        "port": 22,
        "transport": "tcp",
        "protocol": "ssh",
        "product": "OpenSSH",
        "version": "9.2p1",
        "clients": 20,
        "first_seen": START,
        "last_seen": START + 39,
    }
    assert record["os"]["name"] == "Debian 12"
    assert ("OpenSSH", "9.2p1", "ssh_server") in {(s["product"], s["version"], s["source"]) for s in record["software"]}


def test_software_is_listed_once_whichever_logs_name_it(site: Site, profiles: Profiles) -> None:
    uid = site.flow(CLIENT, SERVER, 80, 0, "http")
    site.log(
        "http", uid, host="www.corp.example", server="Microsoft-IIS/7.5", x_powered_by="PHP/7.2.3", user_agent=CHROME
    )
    named = {"version.major": 7, "version.minor": 5}
    for host, port, kind, text, fields in (
        (SERVER, 80, "HTTP::SERVER", "Microsoft-IIS/7.5", {"name": "Microsoft-IIS", **named}),
        (SERVER, 80, "HTTP::APPSERVER", "PHP/7.2.3", {"name": "PHP", "version.major": 7, "version.minor": 2}),
        (CLIENT, None, "HTTP::BROWSER", CHROME, {"name": "Chrome", "version.major": 126}),
        (CLIENT, None, "HTTP::BROWSER", "Frobnicator/3.1", {"name": "Frobnicator", "version.major": 3}),
    ):
        record = {"ts": START + 1, "host": host, "host_p": port, "software_type": kind, "unparsed_version": text}
        site.logs["software"].append(record | fields)
    found = profiles()
    server = [(s["product"], s["version"], s.get("vendor"), s["source"]) for s in found[SERVER]["software"]]
    assert server == [("IIS", "7.5", "Microsoft", "http_server"), ("PHP", "7.2.3", "PHP", "http_backend")]
    [service] = found[SERVER]["services"]
    assert (service["product"], service["version"]) == ("IIS", "7.5")  # and not what stands behind it
    client = [(s["product"], s["source"]) for s in found[CLIENT]["software"]]
    assert client == [("Chrome", "user_agent"), ("Frobnicator", "software")]


def test_a_banner_in_two_logs_is_one_witness(site: Site, profiles: Profiles) -> None:
    banner = "OpenSSH_9.2p1 Debian-2+deb12u3"
    uid = site.flow(CLIENT, SERVER, 22, 0, "ssh")
    site.log("ssh", uid, server=f"SSH-2.0-{banner}")
    alone = profiles()[SERVER]["os"]
    record = {"ts": START, "host": SERVER, "host_p": 22, "software_type": "SSH::SERVER", "name": "OpenSSH"}
    site.logs["software"].append(record | {"unparsed_version": banner, "version.major": 9, "version.minor": 2})
    assert profiles()[SERVER]["os"] == alone


def test_records_are_the_same_however_many_are_made_at_a_time(
    site: Site, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(4):
        client = f"10.0.0.{at}"
        site.web(client, f"www{at % 2}.example.net", at, OUTSIDE, CHROME)
        uid = site.flow(client, f"93.184.216.{at % 3}" if at % 2 else SERVER, 22, at, "ssh")
        site.log("ssh", uid, server="SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", client='SSH-2.0-"odd"\\_0.78')
    whole = run(site.write()).out / "hosts.ndjson"
    monkeypatch.setattr(profiles_module, "_AT_ONCE", 1)
    apart = run(site.write()).out / "hosts.ndjson"
    assert whole.read_bytes() == apart.read_bytes()
    lines = whole.read_text("utf-8").splitlines()
    assert len(lines) > 7
    assert lines == [json.dumps(json.loads(line), ensure_ascii=False) for line in lines]


def test_a_server_outside_in_few_fields(site: Site, profiles: Profiles) -> None:
    site.web(CLIENT, "www.example.net", 0, OUTSIDE)
    record = profiles()[OUTSIDE]
    assert set(record) == {"ip", "first_seen", "last_seen", "scope", "own", "names", "os", "services"}
    assert not record["own"]
    assert record["names"] == ["www.example.net"]
    assert [service["port"] for service in record["services"]] == [80]


def test_what_never_answered_is_no_host(site: Site, profiles: Profiles) -> None:
    for last in range(1, 50):
        site.flow(CLIENT, f"10.9.9.{last}", 22, last, conn_state="S0", resp_pkts=0)
    assert set(profiles()) == {CLIENT}


def test_names_from_every_log(site: Site, profiles: Profiles) -> None:
    uid = site.flow(CLIENT, SERVER, 445, 0, "smb")
    site.log(
        "ntlm", uid, hostname="WS5", server_nb_computer_name="FILES", server_dns_computer_name="files.corp.example"
    )
    site.logs["dhcp"].append({"ts": START, "assigned_addr": CLIENT, "host_name": "ws5"})
    found = profiles()
    assert found[CLIENT]["names"] == ["ws5"]
    assert set(found[SERVER]["names"]) == {"files", "files.corp.example"}


def test_what_is_behind_a_proxy_is_not_the_proxy(site: Site, profiles: Profiles) -> None:
    uid = site.flow(CLIENT, SERVER, 3128, 0, "http")
    site.log("http", uid, host="www.example.net", uri="http://www.example.net/")
    assert profiles()[SERVER]["names"] == []


def test_client_ports_tell_the_system(site: Site, profiles: Profiles) -> None:
    chance = random.Random(2)
    for at in range(40):
        site.flow(CLIENT, OUTSIDE, 443, at, "ssl", **{"id.orig_p": chance.randint(49152, 65535)})
        site.flow(SERVER, OUTSIDE, 443, at, "ssl", **{"id.orig_p": chance.randint(32768, 60999)})
    found = profiles()
    ports = found[CLIENT]["ephemeral_ports"]
    assert ports["range"] == [49152, 65535] and 49152 <= ports["low"] < ports["high"] <= 65535
    assert "Windows" in ports["system"] and "macOS" in ports["system"]
    assert found[CLIENT]["os"]["name"] is None
    assert found[SERVER]["ephemeral_ports"]["system"] == "Linux"
    assert found[SERVER]["os"]["name"] == "Linux"


def test_hints_of_dhcp_snmp_and_syn(site: Site, profiles: Profiles) -> None:
    site.flow(CLIENT, OUTSIDE, 443, 0, "ssl")
    site.logs["dhcp"].append({"ts": START, "assigned_addr": CLIENT, "vendor_class": "MSFT 5.0"})
    uid = site.flow(CLIENT, SERVER, 161, 1, "snmp", proto="udp")
    site.log("snmp", uid, display_string="SunOS oldbox 5.10 Generic_147148-26 i86pc")
    mac = site.flow("10.0.0.7", OUTSIDE, 443, 2, "ssl")
    site.log(
        "syn",
        mac,
        syn_ttl=64,
        syn_window=65535,
        syn_mss=1460,
        syn_wscale=6,
        syn_options="mss,nop,ws,nop,nop,ts,sok,eol+1",
    )
    found = profiles()
    assert found[CLIENT]["os"]["name"] == "Windows"
    assert found[SERVER]["os"]["name"] == "Solaris"
    assert found["10.0.0.7"]["os"]["name"] == "Darwin"


def test_translation_is_said(site: Site, profiles: Profiles) -> None:
    webkit = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4"
    safari = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit} Safari/605.1.15"
    for at in range(20):
        site.web(CLIENT, "www.example.net", at, OUTSIDE, (CHROME, safari)[at % 2])
    system = profiles()[CLIENT]["os"]
    assert system["name"] is None
    assert len(system["several"]) == 2
    assert len(system["evidence"]) >= 2


def test_networks_of_the_site_itself(site: Site, profiles: Profiles, tmp_path: Path) -> None:
    site.web(CLIENT, "www.example.net", 0, "198.51.100.7")
    site.web("2001:db8:20::11", "www.example.net", 1, "198.51.100.8")
    assert {ip for ip, record in profiles().items() if record["own"]} == {CLIENT}
    config = tmp_path / "site.toml"
    config.write_text('[networks]\nlocal = ["198.51.100.0/25", "2001:db8:20::/48"]\n')
    own = {ip for ip, record in profiles("--config", str(config)).items() if record["own"]}
    assert own == {CLIENT, "198.51.100.7", "198.51.100.8", "2001:db8:20::11"}


class TestBorder:
    def own(self, settings: dict[str, Any], **columns: Any) -> bool:
        frame = pl.DataFrame(
            [{"ts": 1.0, "uid": "C", "id.orig_h": "203.0.113.9", "id.resp_h": CLIENT, "id.resp_p": 1} | columns]
        )
        records = Border(settings).records(frame)
        assert records is not None
        return bool(records["_orig_own"][0])

    def test_zeek_s_word_counts_for_public_addresses_only(self) -> None:
        assert self.own({}, local_orig=True, **{"orig.scope": "public"})
        assert not self.own({}, local_orig=True, **{"orig.scope": "documentation"})
        assert not self.own({}, local_orig=False, **{"orig.scope": "public"})
        assert self.own({}, **{"orig.scope": "private"})
        assert not self.own({}, local_orig=True, **{"orig.scope": "multicast"})

    def test_networks(self) -> None:
        assert self.own({"local": ["203.0.113.0/24"]}, **{"orig.scope": "documentation"})
        assert self.own({"local": "203.0.113.9/32"}, **{"orig.scope": "documentation"})
        assert not self.own({"local": ["203.0.112.0/24"]}, **{"orig.scope": "documentation"})

    @pytest.mark.parametrize("value", ["10.0.0.0/33", ["x"], 5])
    def test_what_is_no_network_is_refused(self, value: object) -> None:
        with pytest.raises(ConfigError, match=r"networks\.local"):
            Border({"local": value})


def test_servers_outside_are_bounded_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts_module, "OTHERS", 100)
    tables = Tables()
    known = Hosts(Border({}), load(tables), lambda: Knowledge(tables.path("banners")))
    flow = {"proto": "tcp", "conn_state": "SF", "orig.scope": "private", "resp.scope": "public", "_state": "open"}
    for at in range(0, 100_000, 5000):
        rows = [
            {
                "ts": START,
                "uid": "C",
                "id.orig_h": CLIENT,
                "id.orig_p": 40000,
                "id.resp_h": f"1.{n >> 8 & 255}.{n & 255}.{n >> 16}",
            }
            | {"id.resp_p": 443, **flow}
            for n in range(at, at + 5000)
        ]
        known.add("conn", pl.DataFrame(rows * 2 if at == 0 else rows))
    records = list(known.results())
    assert len(records) <= 101
    [note] = known.notes
    assert "100 services outside" in note


class TestShown:
    def show(self, *arguments: str) -> str:
        done = CliRunner().invoke(main, list(arguments))
        assert done.exit_code == 0, done.output
        return done.output

    def test_all_hosts_one_host_and_json(self, site: Site, run: Callable[..., Any]) -> None:
        for at in range(6):
            site.web(CLIENT, "update.eset.com", at, OUTSIDE, CHROME)
        out = str(run(site.write()).out)
        every = self.show("hosts", out)
        assert CLIENT in every and "Windows 10" in every and "1 server outside" in every
        assert OUTSIDE in self.show("hosts", out, "--all")
        one = self.show("hosts", out, CLIENT)
        assert "antivirus" in one and "Chrome" in one
        records = [json.loads(line) for line in self.show("hosts", out, "--json").splitlines()]
        assert [record["ip"] for record in records] == [CLIENT, OUTSIDE]
        assert json.loads(self.show("hosts", out, CLIENT, "--json"))["ip"] == CLIENT

    def test_findings(self, site: Site, run: Callable[..., Any]) -> None:
        uid = site.flow(CLIENT, SERVER, 23)
        out = str(run(site.write()).out)
        text = self.show("findings", out)
        assert "obsolete_protocol" in text and uid in text and "high" in text
        assert json.loads(self.show("findings", out, "--json"))["uids"] == [uid]
        assert "no findings" in self.show("findings", out, "--kind", "tftp_across_border")

    def test_no_such_host_and_no_output(self, tmp_path: Path) -> None:
        done = CliRunner().invoke(main, ["hosts", str(tmp_path)])
        assert done.exit_code != 0 and "is it the output of zeek-enrich run?" in done.output
        (tmp_path / "hosts.ndjson").write_text("")
        done = CliRunner().invoke(main, ["hosts", str(tmp_path), "10.0.0.1"])
        assert done.exit_code != 0 and "no host '10.0.0.1'" in done.output
        done = CliRunner().invoke(main, ["hosts", str(tmp_path), "999.1.1.1"])
        assert done.exit_code == 2 and "'999.1.1.1' is no IP address" in done.output

    def test_no_such_kind_of_finding(self, tmp_path: Path) -> None:
        (tmp_path / "findings.ndjson").write_text("")
        done = CliRunner().invoke(main, ["findings", str(tmp_path), "--kind", "torrents"])
        assert done.exit_code == 2 and "there are: port_contradiction, " in done.output

    def test_no_value_of_a_log_drives_the_terminal(self, tmp_path: Path) -> None:
        evil = "\x1b[31m[bold]x[/bold]\u202e\x07"
        seen = {"first_seen": 1.0, "last_seen": 1.0}
        finding = {
            "ts": 1e300, "kind": evil, "severity": evil, "host": evil, "peer": evil, "port": 1, "summary": evil,
            "evidence": [evil], "last_seen": 2.0, "flows": 1, "uids": [evil],
        }  # fmt: skip
        host = {
            "ip": evil, "first_seen": 1.0, "last_seen": 2.0, "scope": evil, "own": True, "names": [evil],
            "os": {"name": evil, "confidence": 0.9, "evidence": [evil]},
            "services": [{"port": 1, "transport": "tcp", "protocol": evil, "product": evil} | seen],
            "applications": [{"name": evil, "protocol": evil, "category": evil, "flows": 1, "bytes": 1}],
            "software": [{"product": evil, "version": evil, "source": evil} | seen],
            "sites": [{"product": evil, "category": evil, "contacts": 1} | seen],
            "ephemeral_ports": {"low": 1, "high": 2, "ports": 2, "system": evil},
        }  # fmt: skip
        (tmp_path / "findings.ndjson").write_text(json.dumps(finding) + "\n")
        (tmp_path / "hosts.ndjson").write_text(json.dumps(host) + "\n")
        for arguments in (["findings"], ["findings", "--json"], ["hosts"], ["hosts", "--json"]):
            text = self.show(arguments[0], str(tmp_path), *arguments[1:])
            assert not set(text) & {"\x1b", "\x07", "\u202e"}
            assert "--json" in arguments or "[bold]x[/bold]" in text.replace("\n", "").replace(" ", "")


def test_profiles_are_the_same_however_many_at_a_time(
    site: Site, profiles: Profiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(40):
        site.web(f"10.0.0.{at % 9}", "update.eset.com", at * 100, f"93.184.216.{at % 5}", CHROME)
        uid = site.flow(f"10.0.1.{at % 20}", SERVER, 22, at, "ssh")
        site.log("ssh", uid, server="SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", client="SSH-2.0-PuTTY_Release_0.78")
    every = profiles()
    monkeypatch.setattr(profiles_module, "_AT_ONCE", 1)
    one = profiles()
    assert list(one.items()) == list(every.items())
    own, others = [ip for ip, row in every.items() if row["own"]], [ip for ip, row in every.items() if not row["own"]]
    assert [*every] == own + others
    assert own == sorted(own, key=lambda ip: [int(part) for part in ip.split(".")])


def test_hosts_are_in_the_order_of_their_addresses() -> None:
    ordered = ["9.0.0.1", "10.0.0.2", "10.0.0.10", "::1", "fe80::1%eth0", "fe80::2", "10.0.0.300", "\x00", "a name"]
    shuffled = ordered[::2] + ordered[1::2]
    assert sorted(shuffled, key=profiles_module._order)[:6] == ordered[:6]
    assert {*sorted(shuffled, key=profiles_module._order)[6:]} == {*ordered[6:]}


def test_the_border_forgets_a_batch_that_is_gone() -> None:
    border = Border({})
    batch = pl.DataFrame({"ts": [1.0], "id.orig_h": ["10.0.0.1"], "id.resp_h": ["10.0.0.2"], "id.resp_p": [80]})
    flows = border.flows(batch)
    assert border.flows(batch) is flows
    del batch
    assert border._last is None


def test_a_flow_without_a_server_s_address_is_nobody_s() -> None:
    tables = Tables()
    hosts = Hosts(Border({}), load(tables), lambda: Knowledge(tables.path("banners")))
    columns = {"ts": 1.0, "id.orig_h": "10.0.0.1", "id.resp_p": 80, "proto": "tcp", "orig.scope": "private"}
    batch = pl.DataFrame({name: [value] * 2 for name, value in columns.items()})
    servers = pl.Series("id.resp_h", [None, "198.51.100.9"])
    hosts.add("conn", batch.with_columns(servers, _state=pl.lit("open"), service=pl.lit("http")))
    assert [record["ip"] for record in hosts.results()] == ["10.0.0.1", "198.51.100.9"]
