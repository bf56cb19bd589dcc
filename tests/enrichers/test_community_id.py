"""Community ids, held against a plain reading of the specification (version 1, seed 0) and against Zeek's own."""

from __future__ import annotations

import base64
import hashlib
import random
from ipaddress import ip_address
from pathlib import Path

import plain
import polars as pl
import pytest
from conftest import ROOT

from enrich.enrichers.community_id import ENRICHER
from enrich.icmp import ANSWERS, ANSWERS6
from enrich.tables import Tables

Flow = tuple[str, str, int, str, int]
NUMBERS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1}


def ids(*flows: Flow | tuple[object, ...]) -> list[str | None]:
    rows = [flow if len(flow) == len(ENRICHER.keys) else (*flow, None) for flow in flows]
    keys = pl.DataFrame(rows, schema=dict(ENRICHER.keys), orient="row")
    return ENRICHER.prepare(Tables())(keys).to_series().to_list()


def expected(proto: str, orig: str, orig_port: int, resp: str, resp_port: int) -> str:
    """As the specification's pseudo code has it."""
    first, second = ip_address(orig), ip_address(resp)
    number, one_way = NUMBERS[proto], False
    if proto == "icmp":
        answers = ANSWERS if first.version == 4 else ANSWERS6
        number = 1 if first.version == 4 else 58
        one_way = orig_port not in answers
        resp_port = answers.get(orig_port, resp_port)
    a, b = (first.packed, orig_port), (second.packed, resp_port)
    if b < a and not one_way:
        a, b = b, a
    message = bytes(2) + a[0] + b[0] + bytes([number, 0]) + a[1].to_bytes(2) + b[1].to_bytes(2)
    return "1:" + base64.b64encode(hashlib.sha1(message).digest()).decode()


@pytest.mark.parametrize(
    ("flow", "known"),
    [  # the ids that the specification's reference data give these flows
        (("tcp", "128.232.110.120", 34855, "66.35.250.204", 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
        (("udp", "192.168.1.52", 54585, "8.8.8.8", 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
        (("sctp", "192.168.170.8", 7, "192.168.170.56", 80), "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="),
        (("icmp", "192.168.0.89", 8, "192.168.0.1", 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
        (("icmp", "192.168.0.89", 20, "192.168.0.1", 1), "1:tz/fHIDUHs19NkixVVoOZywde+I="),
        (("icmp", "fe80::200:86ff:fe05:80da", 135, "fe80::260:97ff:fe07:69ea", 0), "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="),
        (
            ("icmp", "3ffe:507:0:1:200:86ff:fe05:80da", 3, "3ffe:507:0:1:260:97ff:fe07:69ea", 0),
            "1:/OGBt9BN1ofenrmSPWYicpij2Vc=",
        ),
    ],
)
def test_published_ids(flow: Flow, known: str) -> None:
    assert ids(flow) == [known]
    assert expected(*flow) == known


def test_any_flow_both_ways() -> None:
    rng = random.Random(7)
    flows: list[Flow] = []
    for _ in range(500):
        proto = rng.choice(["tcp", "udp", "sctp"])
        make = rng.choice([lambda: f"10.0.0.{rng.randrange(4)}", lambda: f"2001:db8::{rng.randrange(4):x}"])
        # Equal addresses are left out: there the ports decide, and Zeek compares them by their low byte first.
        orig, resp = make(), make()
        if orig != resp:
            flows.append((proto, orig, rng.randrange(65536), resp, rng.randrange(65536)))
    assert ids(*flows) == [expected(*flow) for flow in flows]
    back: list[Flow] = [(proto, resp, resp_port, orig, orig_port) for proto, orig, orig_port, resp, resp_port in flows]
    assert ids(*back) == ids(*flows)


@pytest.mark.parametrize(("answers", "ends"), [(ANSWERS, ("10.0.0.1", "10.0.0.2")), (ANSWERS6, ("fe80::1", "fe80::2"))])
def test_a_message_and_its_answer_are_one_flow(answers: dict[int, int], ends: tuple[str, str]) -> None:
    assert all(answers[answers[message]] == message for message in answers)
    for message, answer in answers.items():
        there, back = ids(("icmp", ends[0], message, ends[1], 0), ("icmp", ends[1], answer, ends[0], 0))
        assert there == back == expected("icmp", ends[0], message, ends[1], 0)


def test_what_has_no_id() -> None:
    flows = [
        ("tcp", None, 1, "10.0.0.1", 2),
        ("tcp", "10.0.0.1", None, "10.0.0.1", 2),
        ("tcp", "nonsense", 1, "10.0.0.1", 2),
        ("tcp", "10.0.0.1", 1, "fe80::1", 2),
        ("gre", "10.0.0.1", 1, "10.0.0.2", 2),
        (None, "10.0.0.1", 1, "10.0.0.2", 2),
        ("tcp", "10.0.0.1\0", 1, "10.0.0.2", 2),
    ]
    assert ids(*flows) == [None] * len(flows)
    assert ids() == []


def test_zeeks_own_ids_on_the_examples() -> None:
    records = [record for record in plain.records(ROOT / "examples/zeek/conn.log") if record["proto"] in NUMBERS]
    flows = [(r["proto"], r["id.orig_h"], int(r["id.orig_p"]), r["id.resp_h"], int(r["id.resp_p"])) for r in records]
    assert ids(*flows) == [record["community_id"] for record in records]
    assert len(flows) > 800


def test_what_has_no_ports_has_an_id_of_addresses_and_protocol() -> None:
    there, back = ("unknown_transport", "192.0.2.9", 0, "192.0.2.1", 0), ("esp", "192.0.2.1", 7, "192.0.2.9", None)
    message = bytes(2) + ip_address("192.0.2.1").packed + ip_address("192.0.2.9").packed + bytes([50, 0])
    plain_id = "1:" + base64.b64encode(hashlib.sha1(message).digest()).decode()
    assert ids((*there, 50), (*back, 50), (*there, None)) == [plain_id, plain_id, None]
    six = ("unknown_transport", "2001:db8::9", 0, "2001:db8::1", 0, 47)
    message = bytes(2) + ip_address("2001:db8::1").packed + ip_address("2001:db8::9").packed + bytes([47, 0])
    assert ids(six) == ["1:" + base64.b64encode(hashlib.sha1(message).digest()).decode()]


def test_as_zeek_has_it_of_what_has_no_ports(shared: Path) -> None:
    logs = [path for path in (shared / "flows/zeek").glob("*/conn.log") if b"unknown_transport" in path.read_bytes()]
    records = [r for log in logs for r in plain.records(log) if r["proto"] == "unknown_transport"]
    flows = [
        (r["proto"], r["id.orig_h"], int(r["id.orig_p"]), r["id.resp_h"], int(r["id.resp_p"]), int(r["ip_proto"]))
        for r in records
    ]
    assert ids(*flows) == [record["community_id"] for record in records]
    assert {flow[-1] for flow in flows} >= {50, 51, 103, 112, 132}
