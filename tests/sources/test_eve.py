"""Suricata's EVE in Zeek's vocabulary: field by field, and held against Zeek's own logs of the same traffic."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import plain
import polars as pl
import pytest
from conftest import Run
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.batch import Batch, Form, Reject
from enrich.sources import eve
from enrich.sources.eve import Directions
from enrich.sources.lines import Chunk, read_chunks

TIME = "2026-11-22T12:19:50.282401+0000"


def everything(_: str) -> None:
    """Ask for all columns."""


def event(kind: str, **fields: Any) -> dict[str, Any]:
    ends = {"src_ip": "10.0.0.1", "src_port": 50000, "dest_ip": "10.0.0.2", "dest_port": 80, "proto": "TCP"}
    return {"timestamp": TIME, "flow_id": 7, "event_type": kind, **ends, **fields}


def flow(**fields: Any) -> dict[str, Any]:
    counted = {"pkts_toserver": 5, "pkts_toclient": 4, "bytes_toserver": 1070, "bytes_toclient": 856}
    times = {"start": "2026-11-22T12:00:00.000001+0000", "end": "2026-11-22T12:00:02.500001+0000"}
    return event("flow", **{"app_proto": "http", "flow": {**counted, **times}, **fields})


def read(*events: dict[str, Any] | str, directions: Directions | None = None) -> tuple[dict[str, Batch], list[Reject]]:
    text = "".join((item if isinstance(item, str) else json.dumps(item)) + "\n" for item in events)
    if directions is None:
        directions = Directions()
        list(eve.read([Chunk(text.encode(), 1)], directions, everything))
        directions.settled = True
    items = [item for item in eve.read([Chunk(text.encode(), 1)], directions, everything) if isinstance(item, list)]
    batches = {b.log: b for found in items for b in found if isinstance(b, Batch)}
    return batches, [r for found in items for r in found if isinstance(r, Reject)]


def mapped(log: str, *events: dict[str, Any]) -> dict[str, Any]:
    batches, rejects = read(*events)
    assert not rejects
    return batches[log].frame.row(0, named=True)


def test_a_flow_is_a_conn_record() -> None:
    tcp = {"tcp_flags_ts": "1b", "tcp_flags_tc": "1b", "state": "closed"}
    assert mapped("conn", flow(tcp=tcp, community_id="1:x")) == {
        "ts": 1795348800.000001,
        "uid": "7",
        "id.orig_h": "10.0.0.1",
        "id.orig_p": 50000,
        "id.resp_h": "10.0.0.2",
        "id.resp_p": 80,
        "proto": "tcp",
        "community_id": "1:x",
        "service": "http",
        "duration": 2.5,
        "conn_state": "SF",
        "orig_pkts": 5,
        "orig_ip_bytes": 1000,
        "resp_pkts": 4,
        "resp_ip_bytes": 800,
    }


@pytest.mark.parametrize("protocol", ["failed", "unknown"])
def test_a_protocol_that_was_not_recognised_is_no_service(protocol: str) -> None:
    assert "service" not in mapped("conn", flow(app_proto=protocol))


def test_what_detection_made_of_each_side() -> None:
    assert mapped("conn", flow(app_proto="failed"))["_detection"] == "failed"
    assert "_detection" not in mapped("conn", flow(app_proto="unknown"))
    assert "_detection" not in mapped("conn", flow())
    counted = {"pkts_toserver": 3, "pkts_toclient": 2, "bytes_toserver": 3 * 66 + 8, "bytes_toclient": 2 * 66 + 8}
    tcp = {"tcp_flags_ts": "13", "tcp_flags_tc": "13"}
    nothing = flow(app_proto=None, flow=counted, tcp=tcp)
    assert mapped("conn", nothing)["_detection"] == "empty"
    assert "_detection" not in mapped("conn", {**nothing, "flow": {**counted, "bytes_toserver": 3 * 66 + 14}})
    assert "_detection" not in mapped("conn", {**nothing, "tcp": {"tcp_flags_ts": "11", "tcp_flags_tc": "11"}})
    half = mapped("conn", flow(app_proto="ftp", app_proto_tc="failed"))
    assert (half["service"], half["_detection"]) == ("ftp", "half")


def test_what_a_connection_went_over_from_is_told_first() -> None:
    assert mapped("conn", flow(app_proto="tls", app_proto_orig="smtp"))["service"] == "smtp,tls"
    assert "service" not in mapped("conn", flow(app_proto="failed", app_proto_orig="smtp"))


@pytest.mark.parametrize("form", ["ndjson", "parquet"])
def test_what_is_for_the_verdict_only_is_not_written(run: Run, tmp_path: Path, form: str) -> None:
    tcp = {"tcp_flags_ts": "1b", "tcp_flags_tc": "1b"}
    (tmp_path / "eve.json").write_text(json.dumps(flow(app_proto="failed", dest_port=80, tcp=tcp)) + "\n")
    out = run(tmp_path / "eve.json", "--format", form).out
    if form == "parquet":
        record = pl.read_parquet(out / "eve.conn.parquet").row(0, named=True)
    else:
        record = json.loads((out / "eve.conn.ndjson").read_text())
    assert not [name for name in record if name.startswith("_")]
    assert record["app.asserted"] == "http"
    assert record.get("app.protocol") is None  # Suricata knows HTTP when it sees it


@pytest.mark.parametrize(
    ("tls", "expected"),
    [
        ({"server_alpns": ["h2"], "client_alpns": ["h2", "http/1.1"]}, "h2"),
        ({"alpn_tc": "h2", "alpn_ts": ["h2", "http/1.1"]}, "h2"),
        ({"client_alpns": ["h2", "http/1.1"]}, None),
        ({"client_alpns": ["imap"]}, "imap"),
        ({"alpn_ts": ["imap"]}, "imap"),
        ({"server_alpns": [], "client_alpns": []}, None),
    ],
)
def test_what_the_sides_agreed_to_speak_inside_tls(tls: dict[str, Any], expected: str | None) -> None:
    assert mapped("ssl", event("tls", tls={"sni": "a.example", **tls})).get("next_protocol") == expected


def test_what_a_client_offers_in_quic() -> None:
    extensions = [{"name": "server_name", "values": ["a.example"]}, {"name": "alpn", "type": 16, "values": ["h3", "x"]}]
    assert mapped("quic", event("quic", quic={"extensions": extensions}))["client_protocol"] == "h3"


@pytest.mark.parametrize(
    ("sent", "got", "state"),
    [
        ("1b", "1b", "SF"),
        ("02", "00", "S0"),
        ("06", "00", "RSTOS0"),
        ("02", "14", "REJ"),
        ("1a", "1e", "RSTR"),
        ("1e", "1a", "RSTO"),
        ("1a", "12", "S1"),
        ("18", "10", "OTH"),
    ],
)
def test_conn_state_from_the_flags(sent: str, got: str, state: str) -> None:
    assert mapped("conn", flow(tcp={"tcp_flags_ts": sent, "tcp_flags_tc": got}))["conn_state"] == state


def test_bytes_without_the_frame() -> None:
    assert mapped("conn", flow(vlan=[5]))["orig_ip_bytes"] == 1070 - 5 * 18
    assert mapped("conn", flow(vlan=[5, 6]))["orig_ip_bytes"] == 1070 - 5 * 22
    counted = {"pkts_toserver": 5, "bytes_toserver": 200, "pkts_toclient": 0, "bytes_toclient": 0}
    tunnelled = mapped("conn", flow(src_ip="2001:db8::1", flow=counted))
    assert (tunnelled["orig_ip_bytes"], tunnelled["resp_ip_bytes"]) == (200, 0)


def test_addresses_are_written_as_zeek_writes_them() -> None:
    row = mapped("conn", flow(src_ip="fe80:0000:0000:0000:0000:00ff:fe00:100a", dest_ip="FF02:0:0:0:0:0:0:0002"))
    assert (row["id.orig_h"], row["id.resp_h"]) == ("fe80::ff:fe00:100a", "ff02::2")
    row = mapped("conn", flow(src_ip="0000:0000:0000:0000:0000:ffff:c000:0201", dest_ip="not:an:address"))
    assert (row["id.orig_h"], row["id.resp_h"]) == ("::ffff:192.0.2.1", "not:an:address")


@pytest.mark.parametrize(
    ("proto", "kind", "code", "ports"),
    [("ICMP", 8, 0, (8, 0)), ("ICMP", 3, 1, (3, 1)), ("IPv6-ICMP", 128, 0, (128, 129)), ("IPv6-ICMP", 1, 4, (1, 4))],
)
def test_icmp_type_and_code_are_the_ports(proto: str, kind: int, code: int, ports: tuple[int, int]) -> None:
    record = flow(proto=proto, icmp_type=kind, icmp_code=code, src_port=None, dest_port=None)
    row = mapped("conn", record)
    assert (row["id.orig_p"], row["id.resp_p"], row["proto"]) == (*ports, "icmp")


ANSWERS = [
    {"rrname": "a.example", "rrtype": "CNAME", "ttl": 60, "rdata": "b.example"},
    {"rrname": "b.example", "rrtype": "A", "ttl": 5, "rdata": "192.0.2.1"},
]


@pytest.mark.parametrize(
    "dns",
    [
        {"version": 2, "type": "answer", "rrname": "a.example", "rrtype": "A", "rcode": "NOERROR", "answers": ANSWERS},
        {
            "version": 3,
            "type": "response",
            "rcode": "NOERROR",
            "queries": [{"rrname": "a.example", "rrtype": "A"}],
            "answers": ANSWERS,
        },
    ],
    ids=["version 2", "version 3"],
)
def test_dns_of_both_versions(dns: dict[str, Any]) -> None:
    row = mapped("dns", event("dns", dns=dns))
    assert (row["query"], row["qtype_name"], row["rcode_name"]) == ("a.example", "A", "NOERROR")
    assert row["answers"] == ["b.example", "192.0.2.1"]
    assert row["TTLs"] == [60.0, 5.0]


def test_names_and_banners() -> None:
    http = {"hostname": "h.example", "url": "/x", "http_user_agent": "curl/8", "http_method": "GET", "status": 200}
    row = mapped("http", event("http", http=http))
    assert [row[name] for name in ("host", "uri", "user_agent", "method", "status_code")] == list(http.values())
    tls = {"sni": "s.example", "subject": "CN=s", "version": "TLS 1.3", "ja3": {"hash": "abc"}, "session_resumed": True}
    row = mapped("ssl", event("tls", tls=tls))
    assert (row["server_name"], row["version"], row["ja3"], row["resumed"]) == ("s.example", "TLS 1.3", "abc", True)
    side = {"proto_version": "2.0", "software_version": "OpenSSH_9.2p1 Debian-2+deb12u3"}
    row = mapped("ssh", event("ssh", ssh={"client": side, "server": {**side, "software_version": "dropbear_2022.83"}}))
    assert row["client"] == "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3"
    assert row["server"] == "SSH-2.0-dropbear_2022.83"
    row = mapped("rfb", event("rfb", rfb={"server_protocol_version": {"major": "3", "minor": "8"}}))
    assert row["server"] == "RFB 003.008"
    row = mapped("ftp", event("ftp", ftp={"reply": ["ready", "now"], "completion_code": ["220"], "command": "USER"}))
    assert (row["reply_code"], row["reply_msg"], row["command"]) == ("220", "ready\nnow", "USER")


def test_headers_by_themselves_and_among_all() -> None:
    headers = [{"name": "Server", "value": "nginx/1.2"}, {"name": "X-Powered-By", "value": "PHP/8.1"}]
    row = mapped("http", event("http", http={"hostname": "h", "response_headers": headers}))
    assert (row["server"], row["x_powered_by"]) == ("nginx/1.2", "PHP/8.1")
    row = mapped("http", event("http", http={"hostname": "h", "server": "Apache", "via": "1.1 varnish"}))
    assert (row["server"], row["via"]) == ("Apache", "1.1 varnish")
    email = {"x_mailer": "PHPMailer 6.8.0", "received": ["from a", "from b"]}
    row = mapped("smtp", event("smtp", smtp={"helo": "a"}, email=email))
    assert (row["user_agent"], row["first_received"]) == ("PHPMailer 6.8.0", "from a")


def test_events_that_zeek_has_no_log_for_keep_their_names() -> None:
    batches, rejects = read(event("mqtt"), event("stats"), event("../x"), '{"timestamp":"x","event_type":5}', "{}")
    assert not rejects
    assert set(batches) == {"mqtt", "stats", "unknown", "5"}
    assert all(batch.form is Form.EVE for batch in batches.values())
    assert batches["unknown"].rows is not None
    assert batches["unknown"].rows.to_list() == [2, 4]


BACK = {"src_ip": "10.0.0.2", "src_port": 80, "dest_ip": "10.0.0.1", "dest_port": 50000}
FORTH = {"id.orig_h": "10.0.0.1", "id.orig_p": 50000, "id.resp_h": "10.0.0.2", "id.resp_p": 80}


def test_events_of_the_servers_packets_are_turned_round() -> None:
    row = mapped("files", event("fileinfo", **BACK), flow())
    assert {name: row[name] for name in FORTH} == FORTH
    row = mapped("anomaly", event("anomaly"), flow())
    assert {name: row[name] for name in FORTH} == FORTH


def test_events_whose_flow_is_not_known_stay_as_they_are() -> None:
    row = mapped("files", event("fileinfo", **BACK), flow(flow_id=8))
    assert (row["id.orig_h"], row["id.resp_p"]) == ("10.0.0.2", 50000)
    row = mapped("files", event("fileinfo", **{**BACK, "dest_port": 50001}), flow())
    assert row["id.orig_h"] == "10.0.0.2"


def test_a_first_look_does_not_take_a_client_for_a_server() -> None:
    batches, _ = read(event("mqtt", **BACK), flow(), directions=Directions())
    assert batches["mqtt"].frame.columns == ["ts", "uid", "proto"]
    assert "id.resp_h" in batches["conn"].frame.columns


NAMES = st.sampled_from(["timestamp", "flow_id", "event_type", "src_ip", "src_port", "flow", "dns", "tls", "vlan"])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**127), 2**127 - 1)
    | st.text(max_size=4)
    | st.sampled_from(["flow", "dns", TIME])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(NAMES, VALUES), max_size=5))
def test_no_event_is_lost_whatever_it_holds(events: list[dict[str, Any]]) -> None:
    batches, rejects = read(*events)
    assert not rejects
    assert sum(batch.height for batch in batches.values()) == len(events)


@pytest.fixture(scope="module")
def both(shared: Path) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Flows of one capture as Suricata and as Zeek saw them, those whose community id is there once."""
    seen = Counter[str]()
    zeek = {}
    for record in plain.records(shared / "site-a/zeek/conn.log"):
        seen[record["community_id"]] += 1
        zeek[record["community_id"]] = record
    directions = Directions()
    path = shared / "site-a/eve/eve.json"
    for item in eve.read(read_chunks(path, lambda _: None), directions, everything):
        assert isinstance(item, list)
    directions.settled = True
    pairs = []
    for item in eve.read(read_chunks(path, lambda _: None), directions, everything):
        for batch in item if isinstance(item, list) else []:
            if isinstance(batch, Batch) and batch.log == "conn":
                for row in batch.frame.iter_rows(named=True):
                    if seen[row["community_id"]] == 1:
                        pairs.append((row, zeek[row["community_id"]]))
    assert len(pairs) > 2000
    return pairs


def test_ends_are_zeeks(both: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for name in ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto"):
        differ = [(ours, zeeks) for ours, zeeks in both if ours[name] != zeeks[name]]
        # Where only the answer was seen, Zeek goes by the ports.
        assert all(zeeks["conn_state"] in ("SHR", "OTH") for _, zeeks in differ), name
        assert len(differ) < 10


def test_bytes_are_zeeks_wherever_packets_are(both: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    for side in ("orig", "resp"):
        same = [(ours, zeeks) for ours, zeeks in both if ours[f"{side}_pkts"] == zeeks[f"{side}_pkts"]]
        assert len(same) > 2000
        assert all(ours[f"{side}_ip_bytes"] == zeeks[f"{side}_ip_bytes"] for ours, zeeks in same)


def test_states_are_zeeks_as_far_as_flags_tell(both: list[tuple[dict[str, Any], dict[str, Any]]]) -> None:
    states = [(ours["conn_state"], zeeks["conn_state"]) for ours, zeeks in both if ours["conn_state"] is not None]
    assert sum(a == b for a, b in states) > 0.9 * len(states)


def test_a_datagram_that_only_an_error_answered_is_unanswered() -> None:
    probe = {**flow(app_proto="failed", flow={"pkts_toserver": 1, "pkts_toclient": 1, "state": "new"}), "proto": "UDP"}
    assert mapped("conn", probe)["_detection"] == "unanswered"
    answered = {**probe, "flow": {**probe["flow"], "state": "established"}}
    assert mapped("conn", answered)["_detection"] == "failed"


def test_the_dialect_of_smb_is_read() -> None:
    event = {"event_type": "smb", "proto": "TCP", "smb": {"id": 1, "dialect": "NT LM 0.12"}}
    assert mapped("smb", event)["dialect"] == "NT LM 0.12"
