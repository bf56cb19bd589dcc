"""Each kind of finding on a small site of its own: that it fires, and that its nearest innocents do not."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from scenario import DAY, START, Site

from enrich import applications
from enrich.findings.ports import ObsoleteProtocol
from enrich.flows import Border
from enrich.tables import Tables

CLIENT, SERVER, OUTSIDE = "10.0.0.5", "10.0.0.80", "198.51.100.9"
Findings = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path / "site")


@pytest.fixture
def findings(site: Site, run: Callable[..., Any]) -> Findings:
    """The findings of a run over the site; every one of them has uids of the site's flows."""

    def call() -> list[dict[str, Any]]:
        found = run(site.write()).records("findings.ndjson")
        uids = {record["uid"] for record in site.logs["conn"]}
        for finding in found:
            assert finding["uids"] and set(finding["uids"]) <= uids
            assert len(finding["uids"]) == len(set(finding["uids"])) <= 20
            assert finding["severity"] in ("high", "medium", "low")
            assert finding["ts"] <= finding["last_seen"]
        return found

    return call


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [finding["kind"] for finding in found]


def ssh(site: Site, client: str, server: str, port: int, at: float = 0.0) -> str:
    uid = site.flow(client, server, port, at, "ssh")
    site.log("ssh", uid, client="SSH-2.0-OpenSSH_9.2p1", server="SSH-2.0-OpenSSH_9.2p1", version=2)
    return uid


class TestPortContradiction:
    def test_ssh_on_the_port_of_tls(self, site: Site, findings: Findings) -> None:
        uids = [ssh(site, CLIENT, SERVER, 443, at) for at in range(3)]
        [found] = findings()
        assert (found["kind"], found["severity"]) == ("port_contradiction", "high")
        assert (found["host"], found["peer"], found["port"]) == (SERVER, CLIENT, 443)
        assert found["uids"] == uids
        assert found["summary"] == "ssh on port 443/tcp, which asserts tls"

    def test_many_flows_are_one_finding(self, site: Site, findings: Findings) -> None:
        for at in range(300):
            ssh(site, f"10.0.0.{at % 9 + 10}", SERVER, 80, at)
        [found] = findings()
        assert found["flows"] == 300
        assert found["peer"] is None
        assert any("and 4 more" in item for item in found["evidence"])

    def test_ssh_moved_to_another_port_even_a_customary_one(self, site: Site, findings: Findings) -> None:
        ssh(site, CLIENT, OUTSIDE, 2222)
        [found] = findings()
        assert (found["kind"], found["severity"], found["port"]) == ("port_contradiction", "low", 2222)

    def test_http_where_nobody_serves_it(self, site: Site, findings: Findings) -> None:
        uid = site.flow(CLIENT, SERVER, 22222, 0, "http")
        site.log("http", uid, host="intranet", uri="/")
        [found] = findings()
        assert (found["severity"], found["host"], found["port"]) == ("low", SERVER, 22222)

    @pytest.mark.parametrize("port", [80, 8080, 8000, 3000, 3128, 9200, 50000, 631])
    def test_http_where_people_serve_it(self, site: Site, findings: Findings, port: int) -> None:
        uid = site.flow(CLIENT, SERVER, port, 0, "http")
        site.log("http", uid, host="intranet", uri="/")
        assert findings() == []

    def test_http_outside_on_a_port_of_its_own_choice(self, site: Site, findings: Findings) -> None:
        uid = site.flow(CLIENT, OUTSIDE, 22222, 0, "http")
        site.log("http", uid, host="radio.example", uri="/")
        assert findings() == []

    def test_an_odd_client_of_an_honest_server(self, site: Site, findings: Findings) -> None:
        uid = site.flow(CLIENT, SERVER, 25, 0, "smtp")
        site.log("smtp", uid, helo="client.example")
        uid = site.flow("10.0.0.66", SERVER, 25, 5, "http")
        site.log("http", uid, host=SERVER, uri="/")
        assert findings() == []

    def test_tls_may_protect_what_the_port_asserts(self, site: Site, findings: Findings) -> None:
        for port in (25, 143, 389, 3306, 5432):
            uid = site.flow(CLIENT, SERVER, port, port, "ssl")
            site.log("ssl", uid, version="TLSv13")
        assert findings() == []

    def test_flows_met_in_mid_stream_prove_nothing(self, site: Site, findings: Findings) -> None:
        site.flow(SERVER, CLIENT, 443, 0, "ssh", conn_state="OTH")
        assert findings() == []

    def test_a_port_scan_is_no_contradiction(self, site: Site, findings: Findings) -> None:
        for port in range(1, 1025):
            site.flow(CLIENT, SERVER, port, port / 100, conn_state="REJ", orig_pkts=1, resp_pkts=1)
        assert findings() == []


class TestObsoleteProtocol:
    def test_telnet(self, site: Site, findings: Findings) -> None:
        site.flow(CLIENT, SERVER, 23)
        [found] = findings()
        assert (found["kind"], found["severity"]) == ("obsolete_protocol", "high")
        assert (found["host"], found["peer"], found["port"]) == (CLIENT, SERVER, 23)
        assert "SSH" in found["summary"]

    def test_a_probe_is_no_conversation(self, site: Site, findings: Findings) -> None:
        site.flow(CLIENT, SERVER, 23, orig_pkts=3, resp_pkts=2)
        site.flow(CLIENT, SERVER, 23, conn_state="S0", orig_pkts=20, resp_pkts=0)
        assert findings() == []

    def test_a_server_of_many_clients_is_one_finding(self, site: Site, findings: Findings) -> None:
        for at in range(30):
            site.flow(f"10.0.0.{at + 100}", SERVER, 21, at, "ftp")
        [found] = findings()
        assert (found["host"], found["peer"], found["flows"]) == (SERVER, None, 30)
        assert "serves ftp" in found["summary"]

    def test_a_client_of_many_servers_is_one_finding(self, site: Site, findings: Findings) -> None:
        for at in range(30):
            site.flow(CLIENT, f"198.51.100.{at + 100}", 21, at, "ftp")
        [found] = findings()
        assert (found["host"], found["peer"], found["flows"]) == (CLIENT, None, 30)

    def test_versions(self, site: Site, findings: Findings) -> None:
        uid = site.flow(CLIENT, SERVER, 22, 0, "ssh")
        site.log("ssh", uid, server="SSH-1.5-Cisco-1.25", client="SSH-1.5-PuTTY")
        old = site.flow(CLIENT, "10.0.0.81", 443, 1, "ssl")
        site.log("ssl", old, version="SSLv3")
        shares = site.flow(CLIENT, "10.0.0.82", 445, 2, "smb")
        for path in ("IPC$", "share"):
            site.log("smb_mapping", shares, path=path, service="A:", native_file_system="NTFS")
        found = {finding["peer"]: finding for finding in findings()}
        assert set(found) == {SERVER, "10.0.0.81", "10.0.0.82"}
        assert found["10.0.0.82"]["uids"] == [shares]
        assert found["10.0.0.82"]["flows"] == 1

    def test_a_flow_counts_once_whatever_the_order_of_its_records_and_their_batches(self) -> None:
        tables = Tables()
        detector = ObsoleteProtocol(tables.toml("findings.toml"), applications.load(tables))
        for times in ([9.0, 8.0], [7.0, 6.0, 6.5]):
            batch = pl.DataFrame({"uid": ["C1", "C2", "C1"][: len(times)], "service": "A:", "ts": times})
            sides = {"id.orig_h": CLIENT, "id.resp_h": SERVER, "id.resp_p": 445}
            records = Border({}).records(batch.with_columns(pl.lit(value).alias(name) for name, value in sides.items()))
            assert records is not None
            detector.add("smb_mapping", records)
        [finding] = detector.findings()
        assert (finding.ts, finding.last_seen, finding.flows, sorted(finding.uids)) == (6.0, 9.0, 2, ["C1", "C2"])

    def test_several_versions_of_one_log(self) -> None:
        tables = Tables()
        table = deepcopy(tables.toml("findings.toml"))
        one, other = {"begins": ["SSH-1."], "reason": "one"}, {"begins": ["SSH-2.0-Old"], "reason": "other"}
        common = {"log": "ssh", "column": "server", "protocol": "ssh"}
        table["obsolete_protocol"]["version"] = [{**common, **one}, {**common, **other}]
        detector = ObsoleteProtocol(table, applications.load(tables))
        batch = pl.DataFrame({"uid": ["C1", "C2"], "server": ["SSH-1.5-Cisco", "SSH-2.0-Old"], "ts": [1.0, 2.0]})
        sides = {"id.orig_h": CLIENT, "id.resp_h": SERVER, "id.resp_p": 22}
        records = Border({}).records(batch.with_columns(pl.lit(value).alias(name) for name, value in sides.items()))
        assert records is not None
        detector.add("ssh", records)
        assert [finding.uids for finding in detector.findings()] == [["C1"], ["C2"]]

    def test_versions_of_today(self, site: Site, findings: Findings) -> None:
        for at, banner in enumerate(("SSH-2.0-OpenSSH_9.2p1", "SSH-1.99-Cisco-1.25")):
            uid = site.flow(CLIENT, f"10.0.0.{90 + at}", 22, at, "ssh")
            site.log("ssh", uid, server=banner, client="SSH-2.0-x")
        uid = site.flow(CLIENT, "10.0.0.92", 443, 1, "ssl")
        site.log("ssl", uid, version="TLSv12")
        uid = site.flow(CLIENT, "10.0.0.93", 445, 2, "smb")
        site.log("smb_mapping", uid, path="share", share_type="DISK")
        assert findings() == []


class TestPrivilegedClientPort:
    def test_a_client_below_1024(self, site: Site, findings: Findings) -> None:
        uid = site.flow(CLIENT, SERVER, 445, **{"id.orig_p": 700})
        [found] = findings()
        assert (found["kind"], found["host"], found["peer"], found["port"]) == (
            "privileged_client_port",
            CLIENT,
            SERVER,
            445,
        )
        assert found["uids"] == [uid]

    def test_a_scan_from_port_53_is_one_finding(self, site: Site, findings: Findings) -> None:
        for port in (22, 80, 135, 139, 443, 445, 3389):
            site.flow(CLIENT, SERVER, port, port, conn_state="REJ", **{"id.orig_p": 53})
        [found] = findings()
        assert (found["kind"], found["flows"], found["port"]) == ("privileged_client_port", 7, None)

    @pytest.mark.parametrize(
        ("proto", "client", "server"),
        [
            ("udp", 123, 123),
            ("udp", 53, 53),
            ("tcp", 20, 50123),
            ("tcp", 900, 2049),
            ("udp", 500, 500),
            ("udp", 68, 67),
        ],
    )
    def test_protocols_whose_clients_do_so(
        self, site: Site, findings: Findings, proto: str, client: int, server: int
    ) -> None:
        site.flow(CLIENT, SERVER, server, proto=proto, **{"id.orig_p": client})
        assert findings() == []

    def test_answers_without_their_question(self, site: Site, findings: Findings) -> None:
        site.flow(SERVER, CLIENT, 53123, proto="udp", **{"id.orig_p": 53})
        site.flow(OUTSIDE, CLIENT, 63386, conn_state="SF", **{"id.orig_p": 443})
        assert findings() == []

    def test_noise_from_outside(self, site: Site, findings: Findings) -> None:
        site.flow(OUTSIDE, CLIENT, 445, conn_state="S0", resp_pkts=0, **{"id.orig_p": 80})
        assert findings() == []


class TestTftpAcrossBorder:
    def test_a_host_asks_outside(self, site: Site, findings: Findings) -> None:
        site.flow(CLIENT, OUTSIDE, 69, proto="udp", conn_state="S0", orig_pkts=1, resp_pkts=0)
        [found] = findings()
        assert (found["kind"], found["severity"]) == ("tftp_across_border", "high")
        assert (found["host"], found["peer"], found["port"]) == (CLIENT, OUTSIDE, 69)

    def test_inside_it_may_be(self, site: Site, findings: Findings) -> None:
        site.flow(CLIENT, SERVER, 69, proto="udp", conn_state="S0", orig_pkts=1, resp_pkts=0)
        assert findings() == []

    def test_from_outside_only_if_answered(self, site: Site, findings: Findings) -> None:
        udp = {"proto": "udp", "conn_state": "S0", "orig_pkts": 1, "resp_pkts": 0}
        site.flow(OUTSIDE, CLIENT, 69, 0, **udp)
        site.flow(OUTSIDE, SERVER, 69, 1, **udp, **{"id.orig_p": 5123})
        answer = site.flow(SERVER, OUTSIDE, 5123, 1.1, proto="udp", **{"id.orig_p": 40123})
        [found] = findings()
        assert (found["host"], found["peer"], found["uids"]) == (SERVER, OUTSIDE, [answer])


class TestAntivirusSilent:
    def contacts(self, site: Site, host: str, name: str, number: int, every: float = 3600) -> None:
        for at in range(number):
            site.web(host, name, at * every)

    def active(self, site: Site, host: str, until: float) -> None:
        for at in range(0, int(until), 600):
            site.web(host, "www.example.net", at + 30, OUTSIDE)

    def test_it_stops_while_the_host_goes_on(self, site: Site, findings: Findings) -> None:
        self.contacts(site, CLIENT, "update.eset.com", 8)
        self.active(site, CLIENT, 20 * 3600)
        [found] = findings()
        assert (found["kind"], found["severity"], found["host"]) == ("antivirus_silent", "high", CLIENT)
        assert found["summary"].startswith("eset fell silent: no contact for 12")
        assert found["ts"] == START + 7 * 3600

    def test_it_goes_on(self, site: Site, findings: Findings) -> None:
        self.contacts(site, CLIENT, "update.eset.com", 20)
        self.active(site, CLIENT, 20 * 3600)
        assert findings() == []

    def test_the_host_went_home_too(self, site: Site, findings: Findings) -> None:
        self.contacts(site, CLIENT, "update.eset.com", 8)
        self.active(site, CLIENT, 8 * 3600)
        self.active(site, "10.0.0.6", 20 * 3600)
        assert findings() == []

    def test_nights_are_no_silence(self, site: Site, findings: Findings) -> None:
        for day in range(4):
            for hour in range(8):
                site.web(CLIENT, "update.eset.com", day * DAY + hour * 3600)
                for minute in range(0, 60, 5):
                    site.web(CLIENT, "www.example.net", day * DAY + hour * 3600 + minute * 60, OUTSIDE)
        assert findings() == []

    def test_it_may_have_been_replaced(self, site: Site, findings: Findings) -> None:
        self.contacts(site, CLIENT, "update.eset.com", 8)
        for at in range(8, 20):
            site.web(CLIENT, "liveupdate.symantec.com", at * 3600)
        self.active(site, CLIENT, 20 * 3600)
        [found] = findings()
        assert found["severity"] == "low"
        assert "since:symantec" in found["evidence"]

    def test_no_steady_pace(self, site: Site, findings: Findings) -> None:
        for at in (0, 60, 4000, 4100, 30000, 30100):
            site.web(CLIENT, "update.eset.com", at)
        self.active(site, CLIENT, 80 * 3600)
        assert findings() == []


class TestTorrentUser:
    def peers(self, site: Site, size: int, number: int = 6) -> None:
        for at in range(number):
            site.flow(CLIENT, f"203.0.113.{at + 1}", 20000 + 7 * at, 100 + at, resp_ip_bytes=size)

    def test_a_tracker_then_bulk_on_odd_ports(self, site: Site, findings: Findings) -> None:
        site.web(CLIENT, "tracker.opentrackr.org", 0)
        self.peers(site, 100_000)
        [found] = findings()
        assert (found["kind"], found["severity"], found["host"]) == ("torrent_user", "medium", CLIENT)
        assert any(item.startswith("tracker:") for item in found["evidence"])

    def test_an_index_then_much_more(self, site: Site, findings: Findings) -> None:
        site.web(CLIENT, "thepiratebay.org", 0)
        self.peers(site, 2_000_000)
        assert kinds(findings()) == ["torrent_user"]

    def test_an_index_only(self, site: Site, findings: Findings) -> None:
        site.web(CLIENT, "thepiratebay.org", 0)
        self.peers(site, 10_000)
        assert findings() == []

    def test_bulk_only(self, site: Site, findings: Findings) -> None:
        self.peers(site, 2_000_000)
        assert findings() == []

    def test_bulk_before_the_contact(self, site: Site, findings: Findings) -> None:
        self.peers(site, 2_000_000)
        site.web(CLIENT, "thepiratebay.org", 2 * DAY)
        assert findings() == []

    def test_bulk_from_known_services(self, site: Site, findings: Findings) -> None:
        site.web(CLIENT, "tracker.opentrackr.org", 0)
        for at in range(6):
            uid = site.flow(CLIENT, f"203.0.113.{at + 1}", 443, 10 + at, "ssl", resp_ip_bytes=9_000_000)
            site.log("ssl", uid, version="TLSv13", server_name="www.example.net")
        assert findings() == []


class TestNewService:
    def hours(self, site: Site, number: int, port: int = 80, start: float = 0.0) -> None:
        for hour in range(number):
            uid = site.flow(CLIENT, SERVER, port, start + hour * 3600, "http" if port == 80 else "ssh")
            site.log("http" if port == 80 else "ssh", uid)

    def test_late_in_a_long_run(self, site: Site, findings: Findings) -> None:
        self.hours(site, 72)
        self.hours(site, 5, 22, 60 * 3600)
        [found] = findings()
        assert (found["kind"], found["host"], found["port"]) == ("new_service", SERVER, 22)
        assert found["severity"] == "medium"
        assert found["evidence"][0] == "known:2.5 days without it"

    def test_too_early_to_tell(self, site: Site, findings: Findings) -> None:
        self.hours(site, 20)
        self.hours(site, 5, 22, 15 * 3600)
        assert findings() == []

    def test_a_host_that_was_not_there_before(self, site: Site, findings: Findings) -> None:
        for hour in range(72):
            site.web(CLIENT, "www.example.net", hour * 3600)
        self.hours(site, 5, 22, 60 * 3600)
        assert findings() == []


class TestBannerChanged:
    def greet(self, site: Site, banner: str, at: float) -> str:
        uid = site.flow(CLIENT, SERVER, 22, at, "ssh")
        site.log("ssh", uid, server=banner, client="SSH-2.0-PuTTY_Release_0.78")
        return uid

    def test_another_product(self, site: Site, findings: Findings) -> None:
        uids = [self.greet(site, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", at) for at in range(3)]
        uids += [self.greet(site, "SSH-2.0-dropbear_2022.83", at) for at in range(10, 13)]
        [found] = findings()
        assert (found["kind"], found["severity"], found["host"], found["port"]) == (
            "banner_changed",
            "high",
            SERVER,
            22,
        )
        assert found["uids"] == uids
        assert "OpenSSH" in found["summary"] and "Dropbear" in found["summary"]

    def test_an_upgrade(self, site: Site, findings: Findings) -> None:
        for at in range(3):
            self.greet(site, "SSH-2.0-OpenSSH_9.2p1", at)
            self.greet(site, "SSH-2.0-OpenSSH_9.6p1", 10 + at)
        assert [finding["severity"] for finding in findings()] == ["low"]

    def test_machines_that_take_turns(self, site: Site, findings: Findings) -> None:
        for at in range(6):
            self.greet(site, ("SSH-2.0-OpenSSH_9.2p1", "SSH-2.0-dropbear_2022.83")[at % 2], at)
        assert findings() == []

    def test_one_that_never_changes(self, site: Site, findings: Findings) -> None:
        for at in range(6):
            self.greet(site, "SSH-2.0-OpenSSH_9.2p1", at)
        assert findings() == []


WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36"
)
WEBKIT = "AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4"
MACOS = f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {WEBKIT} Safari/605.1.15"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) {WEBKIT} Mobile/15E148 Safari/604.1"


class TestUserAgentConflict:
    def browse(self, site: Site, *agents: str, every: float = 60.0) -> None:
        for at in range(24):
            site.web(CLIENT, "www.example.net", at * every, agent=agents[at % len(agents)])

    def test_two_systems_at_once(self, site: Site, findings: Findings) -> None:
        self.browse(site, WINDOWS, MACOS)
        [found] = findings()
        assert (found["kind"], found["severity"], found["host"]) == ("user_agent_conflict", "low", CLIENT)
        assert "Windows" in found["summary"] and "Mac" in found["summary"]

    def test_one_after_the_other(self, site: Site, findings: Findings) -> None:
        for at in range(24):
            site.web(CLIENT, "www.example.net", at * 60, agent=WINDOWS if at < 12 else MACOS)
        assert findings() == []

    def test_what_one_maker_s_devices_say(self, site: Site, findings: Findings) -> None:
        self.browse(site, IPHONE, MACOS)
        assert findings() == []

    def test_programs_that_say_anything(self, site: Site, findings: Findings) -> None:
        self.browse(site, WINDOWS, "curl/8.5.0 (x86_64-pc-linux-gnu) libcurl/8.5.0", "Wget/1.21 (linux-gnu)")
        assert findings() == []


def test_the_gravest_come_first(site: Site, findings: Findings) -> None:
    ssh(site, CLIENT, OUTSIDE, 2222)
    site.flow(CLIENT, SERVER, 21, 1, "ftp")
    ssh(site, CLIENT, SERVER, 443, 2)
    assert [finding["severity"] for finding in findings()] == ["high", "medium", "low"]


def test_every_kind_is_documented() -> None:
    table = Tables().toml("findings.toml")
    documented = {name for name, entry in table.items() if "severity" in entry}
    assert documented == {
        "port_contradiction", "obsolete_protocol", "privileged_client_port", "tftp_across_border", "antivirus_silent",
        "torrent_user", "new_service", "banner_changed", "user_agent_conflict",
    }  # fmt: skip
    assert all(table[name]["doc"].endswith(".") for name in documented)


def test_logs_without_the_usual_columns(tmp_path: Path, run: Callable[..., Any]) -> None:
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "conn.log").write_text('{"ts": "soon", "uid": 5, "id.orig_h": "x", "id.resp_h": ["y"], "service": {}}\n')
    (folder / "http.log").write_text('{"ts": 1, "user_agent": 7}\n{"uid": "C1"}\n')
    assert run(folder).records("findings.ndjson") == []
