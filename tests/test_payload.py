"""Payload signatures: their tables, their examples, and what they must not claim."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich import applications
from enrich.enrichers import payload as enricher
from enrich.errors import TableError
from enrich.model import Memo, key_frame
from enrich.payload import CUT, Echo, Found, Length, Payloads, Signature, load, read
from enrich.tables import Tables, provenance, read_csv

ROOT = Path(__file__).parents[1]
TABLES = sorted((ROOT / "mappings" / "payload").glob("*.toml"))
SITE = ROOT / "tests" / "data" / "payloads" / "site-a.csv"
# A site's name for what it runs, and the protocol that its payload shows; where both are called alike, nothing.
SPEAKS = {
    "bittorrent-dht": "bittorrent",
    "bittorrent-lpd": "bittorrent",
    "http-proxy": "http",
    "https": "tls",
    "imaps": "tls",
    "pop3s": "tls",
    "netbios-dgm": "netbios",
    "netbios-ns": "netbios",
    "oracle-tns": "oracle",
    "ftp-data": None,
}


@pytest.fixture(scope="module")
def payloads() -> Payloads:
    return load(Tables())


def signature(**entry: object) -> str:
    """A table of one signature, in TOML."""
    base = {
        "id": "test",
        "protocol": "ssh",
        "about": "a test",
        "source": "none",
        "either": "^SSH-",
        "strength": "certain",
        "examples": "[{ orig = '5353482d' }]",
    }
    lines = [
        f"{key} = {value if key in ('examples', 'ports') else repr(value)}"
        for key, value in {**base, **entry}.items()
        if value is not None
    ]
    return "\n".join(["[[signature]]", *lines])


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "own.toml"
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_example_is_matched_by_its_own_signature(path: Path, payloads: Payloads) -> None:
    signatures = read(path)
    assert payloads.check(signatures) >= len(signatures) > 0


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_every_table_names_its_source(path: Path) -> None:
    assert provenance(path)


def test_ids_and_descriptions_are_unique(payloads: Payloads) -> None:
    names = [signature.id for signature in payloads.signatures]
    about = [signature.about for signature in payloads.signatures]
    assert len(set(names)) == len(names)
    assert len(set(about)) == len(about)


def test_protocols_are_those_of_the_catalogue(payloads: Payloads) -> None:
    known = applications.load(Tables()).protocols
    assert {signature.protocol for signature in payloads.signatures} <= known.keys()


def test_examples_are_no_longer_than_what_logs_keep(payloads: Payloads) -> None:
    examples = [example for signature in payloads.signatures for example in signature.examples]
    assert max(len(payload) for example in examples for payload in (example.orig, example.resp)) <= CUT


def test_certain_signatures_claim_no_other_protocols_examples(payloads: Payloads) -> None:
    """What one protocol's example looks like is claimed by another only where the other is what it is built from."""
    built_from = {
        "nfs": {"sunrpc"},
        "netbios": {"dns"},
        "mdns": {"dns"},
        "llmnr": {"dns"},
        "dnscrypt": {"dns"},
        "daap": {"http"},
        "fasttrack": {"http"},
        "icecast": {"http"},
        "websocket": {"http"},
        "mining": {"json_rpc"},
    }
    for mine in payloads.signatures:
        for example in mine.examples:
            matching = payloads.matches(mine.transport or "udp", example.port, example.orig, example.resp)
            others = {other.protocol for other in matching if other.strength == "certain"} - {mine.protocol}
            assert others <= built_from.get(mine.protocol, set()), mine.id


def test_random_bytes_are_nothing_for_certain(payloads: Payloads) -> None:
    chance = random.Random(1)
    claimed = [
        found
        for _ in range(20_000)
        if (
            found := payloads.identify(
                chance.choice(("tcp", "udp")),
                50_001,
                chance.randbytes(chance.choice((1, 4, 8, 12, 20, 32, 64, 64))),
                chance.randbytes(chance.choice((0, 20, 64))),
            )
        )
    ]
    assert len([found for found in claimed if found.strength == "certain"]) <= 4
    assert len(claimed) <= 40


def test_our_own_site_is_identified(payloads: Payloads) -> None:
    rows = read_csv(SITE).with_columns(pl.col("orig_port", "resp_port").cast(pl.UInt16))
    found = payloads.identify_many(rows)
    trackers = {"tcp": "http", "udp": "bittorrent"}
    for transport, name, got in zip(rows["transport"], rows["application"], found["protocol"], strict=True):
        wanted = trackers[transport] if name == "bittorrent-tracker" else SPEAKS.get(name, name)
        assert got in (wanted, None), name
    # Obfuscated BitTorrent and the data of FTP have no form of their own.
    assert set(rows.filter(found["protocol"].is_null())["application"]) == {"bittorrent", "ftp-data"}


def test_a_silent_side_is_fine(payloads: Payloads) -> None:
    assert payloads.identify("tcp", 22, b"", b"SSH-2.0-OpenSSH_9.6\r\n") == Found(
        "ssh", "certain", "ssh-identification"
    )
    assert payloads.identify("tcp", 22, b"", b"") is None


def test_ports_count_on_either_side(payloads: Payloads) -> None:
    request = bytes.fromhex("000100000006110300 6b0003")
    assert payloads.identify("tcp", 502, request, b"") == Found("modbus", "certain", "modbus-on-its-port")
    assert payloads.identify("tcp", 49_152, request, b"", 502) == Found("modbus", "certain", "modbus-on-its-port")
    elsewhere = payloads.identify("tcp", 49_152, request, b"")
    assert elsewhere is not None
    assert elsewhere.strength == "likely"


def test_transport_counts(payloads: Payloads) -> None:
    answer = b"HTTP/1.1 200 OK\r\n"
    over_tcp, over_udp = payloads.identify("tcp", 1, b"", answer), payloads.identify("udp", 1, b"", answer)
    assert over_tcp is not None
    assert over_udp is not None
    assert (over_tcp.protocol, over_udp.protocol) == ("http", "ssdp")
    assert payloads.identify("sctp", 1, b"", answer) is None


def test_stronger_comes_first_then_the_file_s_order() -> None:
    def one(name: str, strength: str) -> Signature:
        return Signature(name, name, name, "", strength, (("either", "^A"),))

    known = Payloads([one("weak", "likely"), one("first", "certain"), one("second", "certain")])
    assert known.identify("tcp", None, b"A", b"") == Found("first", "certain", "first")


def test_many_at_once_whatever_the_log_holds(payloads: Payloads) -> None:
    frame = pl.DataFrame(
        {
            "transport": ["tcp", "udp", None, "tcp", "tcp"],
            "resp_port": pl.Series([22, None, 1, 2, 3], dtype=pl.UInt16),
            "orig_port": pl.Series([1, 2, None, 4, 5], dtype=pl.UInt16),
            "orig": [None, "64313a6164323a696432303a", "5353482d322e302d", "not hexadecimal", "535"],
            "resp": ["5353482D322E302D4F70656E", "", None, None, "\u00fc"],
        }
    )
    found = payloads.identify_many(frame)
    assert found["protocol"].to_list() == ["ssh", "bittorrent", None, None, None]
    assert found["rule"].to_list() == ["ssh-identification", "dht-message", None, None, None]
    assert payloads.identify_many(frame.clear()).height == 0


@given(
    st.binary(max_size=80), st.binary(max_size=80), st.sampled_from(["tcp", "udp", "icmp", ""]), st.integers(0, 65535)
)
def test_no_payload_breaks_it(orig: bytes, resp: bytes, transport: str, port: int) -> None:
    found = KNOWN.identify(transport, port, orig, resp)
    assert found is None or transport in ("tcp", "udp")


KNOWN = load(Tables())


def test_without_memory_for_the_automaton_the_answers_are_the_same(payloads: Payloads) -> None:
    poor = Payloads(payloads.signatures, set_memory=1 << 12)
    for signature_ in payloads.signatures[::7]:
        for example in signature_.examples:
            arguments = (signature_.transport or "tcp", example.port, example.orig, example.resp)
            assert poor.identify(*arguments) == payloads.identify(*arguments)


@given(st.integers(0, 0xFFFF), st.binary(min_size=0, max_size=40))
def test_length(number: int, rest: bytes) -> None:
    length = Length.parse("u16be@1 * 2 + 3")
    payload = b"x" + number.to_bytes(2, "big") + rest
    assert length.holds(payload) == (number * 2 == len(rest))
    assert not length.holds(payload[:2])


def test_length_of_what_the_log_cut() -> None:
    length = Length.parse("u16le@0 / 8 + 2")
    cut = (8 * 200).to_bytes(2, "little") + bytes(CUT - 2)
    assert length.holds(cut)
    assert not length.holds(cut[:-1])
    assert not length.holds((8 * 10).to_bytes(2, "little") + bytes(CUT - 2))


def test_echo() -> None:
    echo = Echo.parse("orig[4:8] = resp[8:12]")
    assert echo.holds(b"xxxxABCDyy", b"yyyyyyyyABCD")
    assert not echo.holds(b"xxxxABCDyy", b"yyyyyyyyABCX")
    assert not echo.holds(b"xxxxAB", b"yyyyyyyyAB")


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"id": "Not kebab"}, "kebab-case"),
        ({"colour": "blue"}, "unknown key 'colour'"),
        ({"about": None}, "lacks 'about'"),
        ({"either": None}, "needs either"),
        ({"orig": "^S"}, "needs either"),
        ({"either": "SSH-"}, "does not begin with"),
        ({"either": "^(SSH"}, "not an RE2 pattern"),
        ({"either": "^(?<!S)SH"}, "not an RE2 pattern"),
        ({"transport": "sctp"}, "neither tcp nor udp"),
        ({"strength": "maybe"}, "none of: certain, likely"),
        ({"length": "u16@4"}, "not of the form"),
        ({"length": "u8be@4"}, "not of the form"),
        ({"length": "u16be@4 / 0"}, "not of the form"),
        ({"echo": "orig[0:2] = resp[0:2]"}, "needs both"),
        ({"either": None, "orig": "^a", "resp": "^b", "echo": "orig[0:2] = resp[0:3]"}, "different lengths"),
        ({"either": None, "orig": "^a", "resp": "^b", "echo": "same"}, "not of the form"),
        ({"ports": "['http']"}, "invalid literal"),
        ({"examples": "[]"}, "has no examples"),
        ({"examples": "[{ orig = 'xyz' }]"}, "non-hexadecimal"),
        ({"examples": "[{ orig = '47455420' }]"}, "is not matched"),
    ],
)
def test_a_malformed_signature_is_named(entry: dict[str, object], reason: str, tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"test|Not kebab") as raised:
        Payloads(read(table(tmp_path, signature(**entry)))).check()
    assert reason in str(raised.value)


def test_an_example_that_another_signature_takes_is_named(tmp_path: Path) -> None:
    text = signature(id="first") + "\n" + signature(id="second", about="other")
    with pytest.raises(TableError, match="second: example 1: is matched over tcp by first"):
        Payloads(read(table(tmp_path, text))).check()


def test_a_site_s_own_signatures_come_first(tmp_path: Path) -> None:
    text = signature(
        id="own", protocol="ours", either=None, resp="^SSH-2.0-Ours", examples="[{ resp = '5353482d322e302d4f757273' }]"
    )
    own = table(tmp_path, text)
    config = tmp_path / "site.toml"
    config.write_text('[tables]\npayload = "own.toml"\n', "utf-8")
    known = load(Tables.load(config))
    assert known.identify("tcp", 22, b"", b"SSH-2.0-Ours") == Found("ours", "certain", "own")
    assert own.exists()
    assert known.identify("tcp", 22, b"", b"SSH-2.0-Else") == Found("ssh", "certain", "ssh-identification")


def test_the_enricher_reads_payload_logs() -> None:
    frame = pl.DataFrame(
        {
            "uid": ["C1", "C2"],
            "proto": ["tcp", "udp"],
            "id.orig_p": pl.Series([40000, 6881], dtype=pl.UInt16),
            "id.resp_p": pl.Series([443, 6881], dtype=pl.UInt16),
            "orig_payload_hex": ["474554202f20485454502f312e310d0a", "00"],
            "resp_payload_hex": [None, None],
        }
    )
    (use,) = enricher.ENRICHER.uses
    keys = key_frame(frame, use, enricher.ENRICHER.keys)
    assert keys is not None
    names = tuple(use.prefix + name for name in enricher.ENRICHER.adds)
    added = Memo(tuple(enricher.ENRICHER.keys), names, enricher.prepare(Tables())).apply(keys).frame()
    assert added.to_dicts() == [
        {"payload.protocol": "http", "payload.rule": "http-request"},
        {"payload.protocol": None, "payload.rule": None},
    ]
