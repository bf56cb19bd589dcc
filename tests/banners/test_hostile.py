"""Whoever sends a banner chooses every byte: none may raise, cost more than its length, or steer a terminal."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.banners import Banner, Banners
from enrich.banners.grammar import LONGEST

BANNERS = Banners(Path(__file__).parents[2] / "mappings" / "banners")
SERVICES = st.sampled_from(BANNERS.services)
WORDS = (
    "SSH-2.0- OpenSSH_9.2p1 Debian-2+deb12u3 220 220- * OK +OK [CAPABILITY ] ( ) Apache/2.4 Postfix ESMTP Version "
    r"1.2.3 / _ 5.5.5- MariaDB ~ + \r\n {model} login: RFB 003 UPnP/1.0 , ; Linux/ -MariaDB-"
)
PIECES = st.sampled_from([*WORDS.split(), " ", "  ", "\r\n", "\x00", "\x1b[31m", "é", "\ud800"])
MADE = st.lists(PIECES, max_size=30).map("".join)


def printable(banner: Banner) -> bool:
    return all(value is None or (value.isprintable() and value == " ".join(value.split())) for value in fields(banner))


def fields(banner: Banner) -> list[str | None]:
    return [getattr(banner, name) for name in Banner.__dataclass_fields__]


@given(SERVICES, st.text(max_size=200))
def test_any_text_is_read(service: str, value: str) -> None:
    assert printable(BANNERS.parse(service, value))


@given(SERVICES, MADE)
@settings(max_examples=400)
def test_anything_made_of_what_banners_are_made_of_is_read(service: str, value: str) -> None:
    found = BANNERS.parse(service, value)
    assert printable(found)
    assert "" not in fields(found)
    assert found == BANNERS.parse(service, value)


@given(SERVICES, MADE)
def test_the_prefix_changes_nothing_but_the_protocol(service: str, value: str) -> None:
    prefix = {"ssh": "SSH-2.0-", "imap": "* OK ", "pop3": "+OK "}.get(service)
    if prefix is None or value.strip() != value or value.startswith((prefix, "SSH-", "* ", "+OK", "-ERR")):
        return
    bare, prefixed = BANNERS.parse(service, value), BANNERS.parse(service, prefix + value)
    assert (bare.product, bare.version, bare.os) == (prefixed.product, prefixed.version, prefixed.os)


HOSTILE = {
    "one letter": "a",
    "numbers": "1.",
    "open brackets": "(",
    "nested brackets": "(a(b",
    "closed brackets": "()",
    "tokens": "a/1 ",
    "names": "OpenSSH_",
    "escapes": "\\r\\n\\x0d",
    "lines": "220-a\r\n",
    "capabilities": "[CAPABILITY ",
    "spaces": " ",
    "words": "Version ",
    "packages": "-MariaDB-1~",
    "unicode": "\u0130",
    "zero bytes": "\x00",
    "logins": "a login: ",
}


@pytest.mark.parametrize("piece", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("service", BANNERS.services)
def test_a_hostile_banner_costs_no_more_than_its_length(service: str, piece: str) -> None:
    """100 kB cost at most a few milliseconds: what lies beyond a greeting's length is not even looked at."""
    value = (piece * (100_000 // len(piece) + 1))[:100_000]
    BANNERS.parse(service, value)
    best = min(timed(service, value) for _ in range(3))
    assert best < 0.02
    assert printable(BANNERS.parse(service, value))


@pytest.mark.parametrize("piece", ["(a(b", "a/1 ", "-MariaDB-1~", "220-a\r\n", "Version 1 "])
@pytest.mark.parametrize("service", BANNERS.services)
def test_the_cost_grows_with_the_length_at_most(service: str, piece: str) -> None:
    short, long = piece * (LONGEST // 8 // len(piece)), piece * (LONGEST // len(piece))
    BANNERS.parse_many(service, [short, long])
    small = min(timed(service, short, 20) for _ in range(5))
    large = min(timed(service, long, 20) for _ in range(5))
    assert large < 8 * small * 4 + 0.002  # eight times the length, and room for a busy machine


def timed(service: str, value: str, times: int = 1) -> float:
    start = time.process_time()
    for _ in range(times):
        BANNERS.parse(service, value)
    return time.process_time() - start
