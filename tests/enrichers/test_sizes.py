"""What datagram sizes say for or against the protocol that a port asserts: each rule of the table at its limits."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from enrich.enrichers.sizes import ENRICHER, TABLE
from enrich.tables import Tables

RULES = Tables().csv(TABLE).to_dicts()


def said(**flow: Any) -> tuple[str | None, str | None]:
    """What fits and what is denied, for one flow."""
    keys = dict.fromkeys(ENRICHER.keys) | flow
    row = ENRICHER.prepare(Tables())(pl.DataFrame([keys], schema=dict(ENRICHER.keys))).row(0, named=True)
    return row["fits"], row["denies"]


def flow(protocol: str | None, transport: str, packets: int, payload: float, **more: Any) -> dict[str, Any]:
    sizes = {"orig_pkts": packets, "orig_bytes": round(packets * payload)}
    return {"proto": transport, "resp_asserts": protocol, **sizes, **more}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['protocol']}-{rule['least']}-{rule['most']}")
def test_a_rule_holds_within_its_limits_and_not_outside(rule: dict[str, str]) -> None:
    says = 0 if rule["says"] == "fits" else 1
    base = {"protocol": rule["asserted"], "transport": rule["transport"]}
    least, most, fewest, packets = (int(rule[name]) for name in ("least", "most", "fewest", "packets"))
    for payload in (least, most):
        assert said(**flow(**base, packets=fewest, payload=payload))[says] == rule["protocol"]
    assert said(**flow(**base, packets=fewest - 1, payload=least))[says] is None
    assert said(**flow(**base, packets=packets + 1, payload=least))[says] is None or packets >= 65535
    assert said(**flow(rule["asserted"], "tcp", fewest, least)) == (None, None)
    assert said(**flow("other", rule["transport"], fewest, least)) == (None, None)


@pytest.mark.parametrize(
    ("protocol", "payload", "expected"),
    [
        ("quic", 1199, (None, "quic")),
        ("quic", 1200, (None, None)),
        ("quic", 1472, (None, None)),
        ("quic", 1473, (None, "quic")),
        ("ntp", 47, (None, None)),
        ("ntp", 48, ("ntp", None)),
        ("ntp", 49, (None, None)),
        ("dhcp", 239, (None, "dhcp")),
        ("dhcp", 240, ("dhcp", None)),
    ],
)
def test_limits_of_the_standards(protocol: str, payload: int, expected: tuple[str | None, str | None]) -> None:
    assert said(**flow(protocol, "udp", 1, payload)) == expected


def test_the_originator_s_port_speaks_where_the_responder_s_does_not() -> None:
    sizes = {"proto": "udp", "orig_pkts": 1, "orig_bytes": 48}
    assert said(**sizes, orig_asserts="ntp") == ("ntp", None)
    assert said(**sizes, orig_asserts="ntp", resp_asserts="dns") == (None, None)


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"orig_bytes": 172 * 50, "resp_pkts": 2, "resp_bytes": 172 * 2}, "rtp"),
        ({"orig_bytes": 172 * 50, "resp_pkts": 0}, "rtp"),
        ({"orig_bytes": 172 * 50}, "rtp"),
        ({"orig_bytes": 172 * 50, "resp_pkts": 2, "resp_bytes": 172 * 2 + 1}, None),
        ({"orig_bytes": 172 * 50 - 1, "resp_pkts": 2, "resp_bytes": 172 * 2}, None),
        ({"orig_bytes": 172 * 50, "orig_asserts": "tuyalp"}, None),
    ],
)
def test_a_telephone_call_is_known_by_the_sizes_of_all_its_datagrams(sizes: dict[str, Any], expected: str) -> None:
    assert said(proto="udp", orig_pkts=50, **sizes) == (expected, None)


def test_dnscrypt_on_quic_s_port() -> None:
    assert said(**flow("quic", "udp", 1, 512)) == ("dnscrypt", "quic")
    assert said(**flow("quic", "udp", 2, 512)) == (None, None)


def test_without_payload_counts_headers_are_taken_off_whole_packets() -> None:
    assert said(proto="udp", resp_asserts="ntp", orig_pkts=2, orig_ip_bytes=2 * (48 + 28)) == ("ntp", None)


def test_no_packets_and_no_counts_say_nothing() -> None:
    assert said(**flow("ntp", "udp", 0, 0)) == (None, None)
    assert said(proto="udp", resp_asserts="ntp") == (None, None)
