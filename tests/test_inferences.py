"""Network, transport and port together: what they stand for, and what the shipped table says."""

from __future__ import annotations

from pathlib import Path

import pytest

from enrich import applications, inferences, networks
from enrich.errors import TableError
from enrich.inferences import Inference, Inferences
from enrich.tables import Tables, provenance

Row = tuple[str | None, ...]
ROWS: list[Row] = [
    ("calls", "3478", None, "udp", "stun", "call"),
    ("calls", "1024", "65535", "udp", None, "media"),
    (None, "853", "853", "tcp", "tls", "private_dns"),
    (None, "3478", None, "tcp+udp", "stun", None),
]


@pytest.mark.parametrize(
    "network, transport, port, expected",
    [
        ("calls", "udp", 3478, Inference("stun", "call")),
        ("calls", "udp", 3479, Inference(None, "media")),
        ("calls", "udp", 1024, Inference(None, "media")),
        ("calls", "udp", 65535, Inference(None, "media")),
        ("calls", "udp", 1023, None),
        ("calls", "tcp", 3478, Inference("stun", None)),
        ("calls", "tcp", 853, Inference("tls", "private_dns")),
        ("other", "udp", 3478, Inference("stun", None)),
        (None, "udp", 3478, Inference("stun", None)),
        (None, "tcp", 3478, Inference("stun", None)),
        (None, "tcp", 853, Inference("tls", "private_dns")),
        (None, "tcp", 854, None),
        ("calls", None, 3478, None),
        ("calls", "udp", None, None),
        ("calls", "icmp", 8, None),
    ],
)
def test_the_network_s_own_rows_come_first(
    network: str | None, transport: str | None, port: int | None, expected: Inference | None
) -> None:
    assert Inferences(ROWS).find(network, transport, port) == expected


@pytest.mark.parametrize(
    "row, reason",
    [
        (("x", "1", "1", "icmp", "a", None), "transport"),
        (("x", "1", "1", "tcp+icmp", "a", None), "transport"),
        (("x", "1", "1", None, "a", None), "transport"),
        (("x", "2", "1", "udp", "a", None), "range of ports"),
        (("x", "0", None, "udp", "a", None), "range of ports"),
        (("x", "1", "65536", "udp", "a", None), "range of ports"),
        (("x", None, "1", "udp", "a", None), "range of ports"),
        (("x", "1", "1", "udp", None, None), "neither"),
    ],
)
def test_a_bad_row_is_named(row: Row, reason: str) -> None:
    with pytest.raises(TableError, match=f"inferences.csv: .*{reason}"):
        Inferences([row])


def test_the_shipped_table_speaks_of_known_things_and_no_row_hides_behind_another() -> None:
    tables = Tables()
    assert provenance(Path(tables.path(inferences.TABLE))).source
    catalogue = applications.load(tables)
    own_networks = set(tables.folder(networks.FOLDER)["application"])
    known = inferences.load(tables)
    for row in tables.csv(inferences.TABLE).iter_rows(named=True):
        assert row["network"] is None or row["network"] in own_networks, row
        assert row["protocol"] is None or row["protocol"] in catalogue.protocols, row
        # IPP is a protocol of its own, and an application of HTTP.
        named = {None, *catalogue.applications, *catalogue.protocols}
        assert row["application"] in named, row
        assert row["note"], row
        expected = Inference(row["protocol"], row["application"])
        ports = {int(row["port"]), int(row["last_port"] or row["port"])}
        for transport in row["transport"].split("+"):
            assert expected in {known.find(row["network"], transport, port) for port in ports}, row


@pytest.mark.parametrize(
    "network, transport, port, expected",
    [
        ("telegram", "udp", 520, Inference("telegram", "telegramvoip")),
        ("facebook", "udp", 3478, Inference("stun", "whatsappcall")),
        ("teams", "udp", 3481, Inference("stun", "skype_teamscall")),
        ("google", "udp", 19302, Inference("stun", None)),
        ("googleservices", "tcp", 853, Inference("tls", "doh_dot")),
        ("facebook", "tcp", 443, None),
        (None, "udp", 443, None),
        ("threema", "tcp", 5222, Inference("threema", "threema")),
        (None, "udp", 3386, Inference("gtp", "gtp_prime")),
    ],
)
def test_what_organisations_publish(network: str, transport: str, port: int, expected: Inference | None) -> None:
    assert inferences.load(Tables()).find(network, transport, port) == expected


def test_a_site_lays_its_own_rows_over(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("network,port,transport,application\nfacebook,3478,udp,calls\n")
    tables = Tables(config={"tables": {inferences.TABLE: "own.csv"}}, config_path=tmp_path / "site.toml")
    assert inferences.load(tables).find("facebook", "udp", 3478) == Inference(None, "calls")
