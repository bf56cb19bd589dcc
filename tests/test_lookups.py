"""``zeek-enrich lookup``: what is known, what is not, and what is malformed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from enrich.cli import main
from enrich.lookups import BATCH, KINDS, look_up
from enrich.tables import Tables


def lookup(*arguments: str, stdin: str | bytes | None = None) -> Result:
    done = CliRunner().invoke(main, ["lookup", *arguments], input=stdin)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def one(*arguments: str) -> dict[str, Any]:
    done = lookup(*arguments)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["port", "22/tcp"], {"transport": "tcp", "service": "ssh", "protocol": "ssh"}),
        (["port", "22"], {"transport": "tcp", "service": "ssh"}),
        (["port", " 53/UDP "], {"transport": "udp", "service": "dns"}),
        (["port", "0/udp"], {"transport": "udp"}),
        (["port", "65535"], {"transport": "tcp"}),
        (["ip", "10.1.2.3"], {"scope": "private", "country": None}),
        (["ip", "8.8.8.8"], {"scope": "public", "country": "US"}),
        (["ip", "FE80::1"], {"scope": "link_local"}),
        (["site", "update.eset.com"], {"category": "antivirus", "product": "eset", "registered_domain": "eset.com"}),
        (["site", "UPDATE.eset.com."], {"category": "antivirus"}),
        (["ua", "curl/8.5.0"], {"family": "curl", "version": "8.5.0", "kind": "tool"}),
        (["ua", ""], {"oddity": "empty"}),
        (
            ["banner", "ssh", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3"],
            {"product": "OpenSSH", "version": "9.2p1", "vendor": "OpenBSD", "os": "Debian", "os_version": "12"},
        ),
    ],
)
def test_what_is_known(arguments: list[str], expected: dict[str, Any]) -> None:
    found = one(*arguments)
    assert found["value"] == arguments[-1]
    assert "error" not in found
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("arguments", "empty"),
    [
        (["port", "4/udp"], ["service", "group", "protocol"]),
        (["ip", "192.0.2.1"], ["country", "asn"]),
        (["site", "nothing.example"], ["category", "product", "application"]),
        (["banner", "smtp", "nothing of the kind"], ["product", "version"]),
    ],
)
def test_what_is_well_formed_but_unknown_has_no_values(arguments: list[str], empty: list[str]) -> None:
    found = one(*arguments)
    assert [found[name] for name in empty] == [None] * len(empty)


@pytest.mark.parametrize("value", ["99999/tcp", "65536", "abc", "22/xyz", "22/", "-1", "", "²", "1" * 5000, "22 tcp"])
def test_a_malformed_port_is_wrong_usage(value: str) -> None:
    done = lookup("port", "--", value)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert "expected a port from 0 to 65535, tcp unless it says /tcp, /udp, /sctp, /dccp" in done.stderr


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        *(
            ("ip", value, "an IPv4 or IPv6 address")
            for value in ("not-an-ip", "1.2.3", "1.2.3.4/8", "fe80::1%eth0", "")
        ),
        *(("site", value, "a host name") for value in ("10.0.0.1", "https://x.example/y", "a b", "[::1]")),
    ],
)
def test_a_malformed_address_or_name_is_wrong_usage(kind: str, value: str, expected: str) -> None:
    done = lookup(kind, value)
    assert done.exit_code == 2
    assert f"expected {expected}" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["banner", "nosuch", "x"], "no banner table for 'nosuch'; there are: ftp, "),
        (["banner", "sssh", "x"], "do you mean ssh?"),
        (["foo", "bar"], "expected port VALUE, banner SERVICE VALUE, ua VALUE, site VALUE or ip VALUE"),
        (["port"], "expected port VALUE"),
        (["port", "22", "23"], "expected port VALUE"),
        (["banner", "x"], "expected port VALUE"),
    ],
)
def test_wrong_usage_says_what_is_expected(arguments: list[str], word: str) -> None:
    done = lookup(*arguments)
    assert done.exit_code == 2
    assert word in done.stderr


def test_standard_input_never_stops_and_tells_at_the_end() -> None:
    done = lookup("port", "-", stdin="22/tcp\nabc\n\n4/udp\r\n99999\n53/udp")
    assert done.exit_code == 1
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["value"] for row in rows] == ["22/tcp", "abc", "", "4/udp", "99999", "53/udp"]
    assert [row.get("service") for row in rows] == ["ssh", None, None, None, None, "dns"]
    assert ["error" in row for row in rows] == [False, True, True, False, True, False]
    assert set(rows[1]) == {"value", "error"}
    assert lookup("ip", "-", stdin="10.0.0.1\n").exit_code == 0
    assert lookup("ip", "-", stdin="").exit_code == 0


def test_any_bytes_on_standard_input() -> None:
    text = b"\xff\xfe\n\x00\n\x1b[31m\n" + b"x" * 100_000 + b"\n" + "é\n".encode()
    for kind in ("port", "ip", "site", "ua"):
        done = lookup(kind, "-", stdin=text)
        assert done.exit_code == (0 if kind == "ua" else 1)
        assert len(done.stdout.splitlines()) == 5
        assert not {"\x1b", "\x00"} & {*done.stdout}
    assert lookup("banner", "ssh", "-", stdin=text).exit_code == 0


def test_any_bytes_as_an_argument() -> None:
    for kind in (["ua"], ["banner", "ssh"]):
        done = lookup(*kind, "\udcff\x1b[31m")  # as Python gives what is no UTF-8
        assert done.exit_code == 0
        assert json.loads(done.stdout)["value"] == "\\xff\x1b[31m"
    assert r"port '\\xff\x1b': expected" in lookup("port", "\udcff\x1b").stderr
    assert r"\x1b[31m: expected port VALUE" in lookup("\x1b[31m").stderr


def test_many_values_keep_their_order() -> None:
    values = [str(number) if number % 3 else "bad" for number in range(BATCH + 50)]
    rows = list(look_up("port", (), values, Tables()))
    assert [row["value"] for row in rows] == values
    assert all(("error" in row) == (row["value"] == "bad") for row in rows)
    assert rows[BATCH + 1]["transport"] == "tcp"


def test_every_kind_says_what_it_expects() -> None:
    assert all(kind.expected for kind in KINDS.values())
