"""Given these pieces of evidence, this verdict: the judge alone, with the shipped tables, key by key."""

from __future__ import annotations

import tomllib
from typing import Any, NamedTuple

import polars as pl
import pytest
from conftest import ROOT

from enrich.batch import Batch, Form
from enrich.enrichers.verdict import ENRICHER, narrow
from enrich.survey import Survey
from enrich.tables import Tables
from enrich.verdict import ADDS, KEYS, Evidence, Judge, judge_of


class Verdict(NamedTuple):
    protocol: str | None
    name: str | None
    category: str | None
    confidence: float | None
    evidence: list[str] | None
    asserted: str | None
    contradiction: bool | None


@pytest.fixture(scope="module")
def judge() -> Judge:
    return judge_of(Tables())


def key(**known: Any) -> dict[str, Any]:
    """A flow over TCP that both sides took part in, of which this is known."""
    flow = dict.fromkeys(KEYS) | {"proto": "tcp", "state": "open", "server_address": "192.0.2.1"} | known
    assert flow.keys() == KEYS.keys()
    return flow


def verdict(judge: Judge, **known: Any) -> Verdict:
    return Verdict(*judge.verdict(key(**known)))  # type: ignore[arg-type]


def port(number: int, protocol: str, **known: Any) -> dict[str, Any]:
    return {"resp_port": number, "resp_asserts": protocol, "port_service": protocol} | known


def test_nothing_known_is_no_verdict(judge: Judge) -> None:
    assert verdict(judge) == Verdict(None, None, None, None, None, None, None)


def test_a_port_alone_is_believed_and_not_much(judge: Judge) -> None:
    found = verdict(judge, **port(3306, "mysql"))
    assert (found.protocol, found.evidence, found.asserted) == ("mysql", ["port:3306/mysql"], "mysql")
    assert found.confidence is not None and 0.7 < found.confidence < 0.9
    assert found.contradiction is None  # nothing was observed


def test_the_ip_header_names_what_is_no_transport(judge: Judge) -> None:
    found = verdict(judge, proto="unknown_transport", ip_protocol=47, resp_port=0)
    assert found[:5] == ("gre", None, "tunnel", judge.ceiling, ["ip:47/gre"])
    assert verdict(judge, proto="unknown_transport", ip_protocol=253) == verdict(judge)  # for experiments (RFC 3692)


def test_each_further_piece_makes_surer(judge: Judge) -> None:
    steps = [
        verdict(judge, **port(22, "ssh")),
        verdict(judge, **port(22, "ssh", service="ssh")),
        verdict(judge, **port(22, "ssh", service="ssh", seen="ssh")),
    ]
    sure = [step.confidence or 0.0 for step in steps]
    assert sure == sorted(sure) and sure[0] < sure[1] < sure[2]
    assert steps[2].evidence is not None and set(steps[2].evidence) == {"log:ssh", "dpi:ssh", "port:22/ssh"}
    assert steps[2].contradiction is False


def test_nothing_makes_quite_sure(judge: Judge) -> None:
    found = verdict(judge, **port(22, "ssh", service="ssh", seen="ssh", payload_certain="ssh"))
    assert found.confidence == judge.ceiling < 1


def test_what_was_seen_beats_what_the_port_says(judge: Judge) -> None:
    found = verdict(judge, **port(443, "tls", service="ssh", seen="ssh"))
    plain = verdict(judge, resp_port=443, service="ssh", seen="ssh")
    assert (found.protocol, found.asserted, found.contradiction) == ("ssh", "tls", True)
    assert (found.confidence or 0) < (plain.confidence or 0)


def test_a_log_that_the_service_does_not_confirm_is_weaker(judge: Judge) -> None:
    alone, confirmed = verdict(judge, seen="ssh"), verdict(judge, seen="ssh", service="ssh")
    assert alone.evidence == ["log_alone:ssh"]
    assert (alone.confidence or 0) < (confirmed.confidence or 0)


@pytest.mark.parametrize(
    "service, protocol",
    [
        ("ssl", "tls"),
        ("ssl,http", "http"),
        ("gssapi,smb,krb,dce_rpc", "smb"),
        ("gssapi,ntlm", "ntlm"),
        ("ssl,smtp", "smtp"),
        ("http,websocket", "websocket"),
        ("-ssl,http", "http"),
        ("stun,dtls", "dtls"),
    ],
)
def test_what_carries_and_protects_gives_way_to_what_is_carried(judge: Judge, service: str, protocol: str) -> None:
    assert verdict(judge, service=service).protocol == protocol


def test_a_general_name_is_made_precise_by_the_port(judge: Judge) -> None:
    assert verdict(judge, **port(993, "imap", service="ssl")).protocol == "imap"
    assert verdict(judge, **port(5353, "mdns", service="dns", proto="udp")).protocol == "mdns"
    assert verdict(judge, **port(853, "tls", service="ssl")).protocol == "tls"


def test_tls_on_imap_s_port_that_carries_http_is_no_imap(judge: Judge) -> None:
    found = verdict(judge, **port(993, "imap", service="ssl,http", seen="http,tls"))
    assert (found.protocol, found.contradiction) == ("http", True)


def test_alpn_names_what_is_inside(judge: Judge) -> None:
    found = verdict(judge, **port(4443, "tls", service="ssl", seen="tls", negotiated="imap"))
    assert found.protocol == "imap"
    assert "alpn:imap" in (found.evidence or ())
    dot = verdict(judge, service="ssl", negotiated="dot")
    assert (dot.protocol, dot.name) == ("tls", "doh_dot")


def test_a_connection_that_never_opened_is_not_what_its_port_says(judge: Judge) -> None:
    assert verdict(judge, **port(22, "ssh", state="failed")).protocol is None


def test_an_analyzer_s_silence_speaks_against_the_port(judge: Judge) -> None:
    assert verdict(judge, **port(80, "http", state="unrecognised")).protocol is None
    assert verdict(judge, **port(5222, "xmpp", state="unrecognised")).protocol is None


def test_the_silence_of_an_analyzer_that_there_is_not_says_nothing(judge: Judge) -> None:
    assert verdict(judge, **port(873, "rsync", state="unrecognised")) == verdict(judge, **port(873, "rsync"))


def test_the_company_a_server_keeps(judge: Judge) -> None:
    found = verdict(judge, resp_port=4444, server="ssh")
    assert (found.protocol, found.evidence) == ("ssh", ["server:192.0.2.1:4444=ssh"])
    observed = verdict(judge, resp_port=4444, service="ssh")
    assert (found.confidence or 0) < (observed.confidence or 0)


def test_a_server_of_contradictory_protocols_makes_nobody_sure(judge: Judge) -> None:
    one, two = verdict(judge, resp_port=4444, server="ssh"), verdict(judge, resp_port=4444, server="mysql,ssh")
    assert (two.confidence or 0) < (one.confidence or 0) and (two.confidence or 0) < 0.5


def test_client_and_server_swapped(judge: Judge) -> None:
    found = verdict(judge, resp_port=51000, orig_asserts="dns", proto="udp")
    assert (found.protocol, found.evidence) == ("dns", ["swapped:dns"])
    assert found.asserted is None
    assert verdict(judge, **port(443, "tls", orig_asserts="dns")).protocol == "tls"


def test_sizes_may_deny_the_port(judge: Judge) -> None:
    assert verdict(judge, **port(443, "quic", proto="udp", size_denies="quic")).protocol is None


def test_a_name_gives_the_application_and_its_category(judge: Judge) -> None:
    found = verdict(
        judge, **port(443, "tls", service="ssl", name_app="youtube", name_by="youtube.com", name_source="sni")
    )
    assert (found.protocol, found.name, found.category) == ("tls", "youtube", "streaming")
    assert "sni:youtube.com" in (found.evidence or ())


def test_what_else_the_sides_say_counts_only_where_the_name_says_nothing(judge: Judge) -> None:
    other = {"agent_app": "whatsapp", "certificate_app": "tor", "server_app": "spotify", "server_by": "spotify.com"}
    named = verdict(judge, name_app="youtube", name_by="youtube.com", name_source="host", **other)
    assert named.name == "youtube"
    assert named.evidence == ["host:youtube.com"]
    assert verdict(judge, service="ssl", **other).name == "tor"
    assert verdict(judge, service="http", agent_app="whatsapp").evidence == ["dpi:http", "agent:whatsapp"]
    assert verdict(judge, service="http", agent_app="viber,whatsapp").name is None


def test_an_application_s_own_protocol_is_a_hint(judge: Judge) -> None:
    own = next(app for app in judge.catalogue.applications.values() if app.protocol not in (None, "http", "tls"))
    found = verdict(judge, name_app=own.name, name_by=own.domains[0], name_source="dns")
    assert found.protocol == own.protocol
    assert f"application:{own.name}" in (found.evidence or ())


def test_a_network_tells_the_application_of_what_carries_many(judge: Judge) -> None:
    assert verdict(judge, service="ssl", resp_network="telegram").name == "telegram"
    assert verdict(judge, service="ssh", resp_network="google").name is None


def test_a_port_means_in_a_network_what_is_inferred_there(judge: Judge) -> None:
    found = verdict(judge, **port(5222, "xmpp", resp_network="telegram"))
    assert (found.protocol, found.name) == ("telegram", "telegram")
    assert "port:5222/xmpp" not in (found.evidence or ())


def test_what_an_analyzer_s_silence_says_depends_on_the_analyzer(judge: Judge) -> None:
    ssh, xmpp = port(22, "ssh"), port(5222, "xmpp")
    assert verdict(judge, **ssh, state="undetected").protocol is None  # Suricata knows SSH by its banner
    assert verdict(judge, **xmpp, state="undetected") == verdict(judge, **xmpp)  # and has no parser for XMPP


def test_what_an_analyzer_gave_up_is_not_what_the_port_asserts(judge: Judge) -> None:
    assert verdict(judge, **port(443, "tls", service="-ssl")).protocol is None
    assert verdict(judge, **port(22, "ssh", service="-ssl")) == verdict(judge, **port(22, "ssh"))


def test_half_a_detection_is_weak(judge: Judge) -> None:
    whole, half = verdict(judge, service="ftp"), verdict(judge, service="ftp", state="half")
    assert (half.protocol, half.evidence) == ("ftp", ["dpi:ftp"])
    assert (half.confidence or 1) < 0.7 < (whole.confidence or 0)
    pop3 = verdict(judge, **port(110, "pop3", service="ftp", state="half"))
    assert (pop3.protocol, pop3.contradiction) == ("pop3", None)


def test_a_server_that_stands_in_the_client_s_place_is_known_by_its_company(judge: Judge) -> None:
    found = verdict(judge, resp_port=50000, swapped="2001:db8::1:2222=ssh")
    assert (found.protocol, found.evidence) == ("ssh", ["server:2001:db8::1:2222=ssh"])
    assert found.confidence is not None and found.confidence < 0.9
    assert verdict(judge, resp_port=50000, swapped="192.0.2.1:443=http,tls").protocol == "http"
    failed = verdict(judge, resp_port=50000, swapped="192.0.2.1:2222=ssh", state="failed")
    assert failed.protocol is None


def test_sizes_alone_are_never_quite_sure(judge: Judge) -> None:
    call = verdict(judge, proto="udp", size="rtp")
    assert (call.protocol, call.evidence) == ("rtp", ["size:rtp"])
    assert call.confidence is not None and call.confidence < 0.9
    probe = verdict(judge, **port(443, "quic", proto="udp", size="dnscrypt", size_denies="quic"))
    assert probe.protocol == "dnscrypt"


def test_a_detection_that_sizes_rule_out_is_none(judge: Judge) -> None:
    probe = port(443, "quic", proto="udp", service="quic", size="dnscrypt", size_denies="quic")
    found = verdict(judge, **probe)
    assert (found.protocol, found.contradiction) == ("dnscrypt", None)


@pytest.mark.parametrize(
    ("proto", "conn_state", "state", "expected"),
    [
        ("tcp", "OTH", "open", ["swapped:tls"]),
        ("tcp", "SF", "open", ["port:50000/drda"]),
        ("tcp", None, "open", ["port:50000/drda"]),
        ("udp", None, "open", ["swapped:tls"]),
    ],
)
def test_a_system_s_port_is_rather_the_server_s(
    judge: Judge, proto: str, conn_state: str, state: str, expected: list[str]
) -> None:
    ends = port(50000, "drda", proto=proto, conn_state=conn_state, state=state, orig_port=443, orig_asserts="tls")
    found = verdict(judge, **ends)
    assert (found.evidence, found.asserted) == (expected, "drda")


@pytest.mark.parametrize(
    ("proto", "conn_state", "orig_port", "asserts", "turned"),
    [
        ("tcp", "SF", 50075, "hdfs", False),
        ("tcp", "S0", 1433, "tds", False),
        ("tcp", "SF", 20, "ftp_data", True),
        ("tcp", "OTH", 1433, "tds", True),
        ("tcp", None, 1433, "tds", True),
        ("udp", None, 60005, "mosh", False),
        ("udp", "SF", 51413, "bittorrent", True),
        ("udp", "SF", 3074, "xbox", True),
        ("udp", None, 53, "dns", True),
    ],
)
def test_who_sent_the_syn_or_has_a_client_s_port_is_no_server(
    judge: Judge, proto: str, conn_state: str | None, orig_port: int, asserts: str, turned: bool
) -> None:
    flow = {"resp_port": 61234, "proto": proto, "conn_state": conn_state, "orig_port": orig_port}
    found = verdict(judge, **flow, orig_asserts=asserts)
    assert found.evidence == ([f"swapped:{asserts}"] if turned else None)
    assert (found.protocol is None) is not turned


def test_datagrams_that_nobody_asked_for_are_not_surely_what_their_port_says(judge: Judge) -> None:
    reflected = port(443, "quic", proto="udp", state="one_way", orig_port=11211, orig_asserts="memcached")
    found = verdict(judge, **reflected)
    assert set(found.evidence or ()) == {"port:443/quic", "swapped:memcached"}
    assert found.confidence is not None and found.confidence < 0.75


def test_what_never_got_going_is_nothing_the_other_way_round_either(judge: Judge) -> None:
    assert verdict(judge, resp_port=50000, orig_port=80, orig_asserts="http", state="empty").protocol is None


def test_a_protocol_inside_another_contradicts_no_port(judge: Judge) -> None:
    smb = verdict(judge, **port(139, "netbios", service="smb"))
    assert (smb.protocol, smb.contradiction) == ("smb", False)
    assert verdict(judge, **port(9001, "tor", service="ssl")).contradiction is False
    assert verdict(judge, **port(9001, "tor", service="ssh")).contradiction is True
    assert (smb.confidence or 0) == verdict(judge, resp_port=4139, service="smb").confidence


def test_an_answer_that_did_not_come_makes_a_user_s_port_no_surer(judge: Judge) -> None:
    game = verdict(judge, **port(27015, "source_engine", proto="udp", state="one_way"))
    assert game.confidence is not None and game.confidence < 0.9


def test_evidence_is_told_strongest_first(judge: Judge) -> None:
    protocols, _ = judge.evidence(key(**port(22, "ssh", service="ssh", seen="ssh", payload_certain="ssh")))
    weights = [judge.weights[item.kind] for item in protocols]
    assert weights == sorted(weights, reverse=True)


def test_claims_of_what_is_only_asserted_are_no_rivals_of_what_was_seen(judge: Judge) -> None:
    seen, said = Evidence("ssh", "dpi", "ssh", "dpi"), Evidence("tls", "port", "443/https", "port.system.open")
    assert judge.claims([seen, said]) == {"ssh": ["dpi", "contradicted"]}
    assert judge.claims([said]) == {"tls": ["port.system.open"]}
    assert judge.claims([]) == {}


def test_of_two_claims_the_stronger_wins_and_the_weaker_costs_it_confidence(judge: Judge) -> None:
    strong = Evidence("ssh", "payload", "ssh", "payload.certain")
    weak = Evidence("telnet", "payload", "telnet", "payload.likely")
    alone, both = judge.fuse([strong]), judge.fuse([strong, weak])
    assert alone[0] == both[0] == "ssh"
    assert (both[1] or 0) < (alone[1] or 0)


def test_more_likely_none_of_them_is_no_answer(judge: Judge) -> None:
    assert judge.fuse([Evidence("ssh", "port", "22/ssh", "port.system.failed")]) == (None, None)


def test_every_kind_of_evidence_has_a_weight_and_every_source_a_meaning() -> None:
    table = tomllib.loads((ROOT / "mappings/evidence.toml").read_text("utf-8"))
    assert set(table["recognised"]) == {"unrecognised", "undetected"}
    penalties = {"contradicted", "size_denies"}
    sources = {kind.partition(".")[0] for kind in table["protocol"]} - penalties | table["application"].keys()
    assert sources - {"network_use", "port_use"} <= table["meaning"].keys()
    states = {"open", "failed", "one_way", "group"}
    for prefix in ("server", "port.system", "port.user"):
        missing = {f"{prefix}.{state}" for state in states} - table["protocol"].keys()
        assert not missing
    assert {"port.system.unrecognised", "port.user.unrecognised"} <= table["protocol"].keys()


def test_keys_that_are_judged_alike_are_one(judge: Judge) -> None:
    """What cannot matter is blanked, and blanking it changes no verdict."""
    flows = [
        key(**port(22, "ssh", service="ssh", orig_asserts="dns")),
        key(resp_port=4444, server="ssh", orig_network="google"),
        key(resp_port=50000, orig_asserts="dns", proto="udp"),
        key(resp_port=50000, orig_asserts="mosh", proto="udp", orig_port=60005),
        key(resp_port=50000, orig_asserts="mosh", proto="udp", orig_port=60005, size="mosh"),
        key(resp_port=50000, orig_asserts="bittorrent", proto="udp", orig_port=51413),
        key(resp_port=50000, orig_asserts="tds", conn_state="SF", orig_port=1433),
        key(resp_port=50000, orig_asserts="tds", conn_state="OTH", orig_port=1433),
        key(resp_port=50000, orig_asserts="ftp_data", conn_state="SF", orig_port=20),
        key(**port(443, "tls", negotiated="imap", agent_app="whatsapp")),
        key(**port(80, "http", name_app="youtube", name_source="host", name_by="y", server_app="spotify")),
        key(**port(80, "http", state="unrecognised")),
        key(**port(80, "http", state="undetected")),
        key(resp_port=50000, swapped="192.0.2.1:22=ssh"),
        key(**port(50000, "drda", conn_state="OTH", orig_port=443, orig_asserts="tls")),
        key(**port(50000, "drda", conn_state="SF", orig_port=443, orig_asserts="tls")),
        key(**port(443, "quic", proto="udp", state="one_way", orig_port=11211, orig_asserts="memcached")),
        key(**port(443, "quic", proto="udp", orig_port=11211, orig_asserts="memcached")),
        key(resp_port=40001, service="-ssl", server="http"),
        key(resp_port=40001, service="-ssl", swapped="192.0.2.1:22=ssh"),
    ]
    frame = pl.DataFrame(flows, schema=KEYS)
    for before, after in zip(flows, narrow(frame).iter_rows(named=True), strict=True):
        assert judge.verdict(before) == judge.verdict(after)
    company = [{"server": "ssh"}, {"server": "tls"}, {"swapped": "192.0.2.1:22=ssh"}, {}]
    own = pl.DataFrame([key(service="ssh", **other) for other in company], schema=KEYS)
    assert narrow(own).unique().height == 1  # what was seen in the flow itself needs no company
    alike = pl.DataFrame([key(resp_port=50000 + number) for number in range(3)], schema=KEYS)
    assert narrow(alike).unique().height == 1


def test_where_a_server_is_changes_words_only(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    """Combinations that differ in nothing else are judged once, and each is told with its own server."""
    addresses = ["192.0.2.1", "2001:db8::1", "server:a=b,c:\n=", ""]
    company: list[dict[str, Any]] = [
        port(4444, "krb524", server="mysql,ssh"),
        port(993, "imap", server="tls", server_app="spotify", server_by="spotify.com"),
    ]
    flows = [key(**known, server_address=address) for known in company for address in addresses]
    flows += [key(resp_port=50000, swapped=f"{address}:443=http,tls") for address in addresses]
    flows += [key(server_app="spotify", server_by="spotify.com"), key()]
    told, verdict_of, judged = [judge.verdict(flow) for flow in flows], Judge.verdict, []
    monkeypatch.setattr(Judge, "verdict", lambda self, of: judged.append(of) or verdict_of(self, of))
    work = ENRICHER.prepare(Tables())
    assert work(pl.DataFrame(flows, schema=KEYS)).rows() == told
    assert len({str(evidence) for *_, evidence, _, _ in told}) == len(flows) and len(judged) == 5
    assert work(pl.DataFrame(schema=KEYS)).schema == ADDS


# ---- how far a flow got


TYPES = {"resp_pkts": pl.UInt64, "orig_pkts": pl.UInt64, "orig_ip_bytes": pl.UInt64}


def states(judge: Judge, **columns: list[Any]) -> list[str]:
    survey = Survey(judge.catalogue, lambda: pytest.fail("no payloads here"), ["S0", "REJ"])
    frame = pl.DataFrame(
        {
            name.replace("__", "."): pl.Series(values, dtype=TYPES.get(name, pl.String))
            for name, values in columns.items()
        }
    )
    return survey.about(frame)["_state"].to_list()


def test_how_far_a_connection_got(judge: Judge) -> None:
    assert states(
        judge,
        proto=["tcp"] * 7,
        conn_state=["S0", "REJ", "SF", "SF", "SF", "OTH", "SF"],
        resp_pkts=[0, 1, 5, 5, 5, 0, 5],
        service=[None, None, None, "ssh", None, None, None],
        history=["S", "Sr", "ShADadFf", "ShADadFf", "ShAgDad", "D", "ShADaFf"],
    ) == ["failed", "failed", "unrecognised", "open", "open", "one_way", "open"]


def test_connections_that_carried_nothing(judge: Judge) -> None:
    histories = ["ShR", "ShAFf", "^h", "^r", "Aa", "ShADaR", "ShAG", "ShAd", None]
    expected = ["empty", "empty", "empty", "empty", "open", "open", "open", "open", "open"]
    columns = {"proto": ["tcp"] * 9, "resp_pkts": [3] * 9, "history": histories}
    assert states(judge, **columns, conn_state=["RSTO"] * 9, service=[None] * 9) == expected
    assert states(judge, **columns) == expected
    empty = verdict(judge, **port(443, "tls", state="empty"))
    assert empty.protocol is None


def test_what_suricata_looked_for_in_vain(judge: Judge) -> None:
    assert states(
        judge,
        proto=["tcp"] * 5 + ["udp"],
        conn_state=["SF", "SF", "S0", None, "SF", None],
        resp_pkts=[5, 5, 0, 0, 5, 5],
        service=[None, "ftp", None, None, None, None],
        _detection=["failed", "half", "failed", "failed", "empty", "half"],
    ) == ["undetected", "half", "failed", "one_way", "empty", "half"]


def test_a_server_in_the_client_s_place(judge: Judge) -> None:
    survey = Survey(judge.catalogue, lambda: pytest.fail("no payloads here"), [])
    ends = {"id.orig_h": ["10.0.0.9"], "id.orig_p": [4000], "id.resp_h": ["192.0.2.1"], "id.resp_p": [2222]}
    survey.add(Batch("conn", Form.TSV, pl.DataFrame({"uid": ["C1"], **ends, "proto": ["tcp"], "service": ["ssh"]})))
    survey.settle()
    turned = {
        name.replace("orig" if "orig" in name else "resp", "resp" if "orig" in name else "orig"): values
        for name, values in ends.items()
    }
    frame = pl.DataFrame({"uid": ["C2", "C3", "C4"], **{name: values * 3 for name, values in turned.items()}})
    frame = frame.with_columns(proto=pl.Series(["tcp", "udp", "tcp"]), **{"id.orig_p": pl.Series([2222, 2222, 2223])})
    assert survey.about(frame)["_swapped"].to_list() == ["192.0.2.1:2222=ssh", None, None]
    assert survey.about(frame.drop("id.orig_p"))["_swapped"].to_list() == [None] * 3


def test_how_far_datagrams_got(judge: Judge) -> None:
    assert states(
        judge,
        proto=["udp"] * 6,
        id__resp_h=["192.0.2.1", "239.255.255.250", "192.0.2.255", "ff02::fb", "192.0.2.1", "192.0.2.1"],
        resp_pkts=[0, 0, 0, 0, 0, 3],
        orig_pkts=[1, 1, 1, 1, 2, 1],
        orig_ip_bytes=[60, 60, 60, 60, 56, 28],
    ) == ["one_way", "group", "group", "group", "failed", "open"]


def test_logs_that_say_less(judge: Judge) -> None:
    assert states(judge, uid=["C1"]) == ["open"]
    assert states(judge, proto=[None], resp_pkts=[None], conn_state=[None]) == ["open"]
