"""The port tables hold together: shape, ranges, order, unique keys, and facts that everybody knows."""

import csv
from pathlib import Path

import pytest

PORTS = Path(__file__).parents[2] / "mappings" / "ports"
NAME_TABLES = ["iana.csv", "in_use.csv"]
CARE_GROUPS = {
    "holy trinity",
    "infrastructure and management",
    "file transfer",
    "email",
    "databases",
    "file sharing",
    "web",
    "remote access",
    "tunnels",
    "voice",
    "internet of things",
    "industrial control",
}

Row = dict[str, str]


def read(name: str) -> list[Row]:
    lines = (PORTS / name).read_text("utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def comments(name: str) -> list[str]:
    return [line for line in (PORTS / name).read_text("utf-8").splitlines() if line.startswith("#")]


def lookup(name: str, port: int, transport: str) -> Row | None:
    for row in read(name):
        if int(row["port"]) <= port <= int(row["last_port"]) and transport in row["transport"].split("+"):
            return row
    return None


@pytest.mark.parametrize("name", [*NAME_TABLES, "care.csv"])
def test_says_where_it_is_from(name: str) -> None:
    heads = {line[2:].split(":")[0] for line in comments(name)}
    assert {"source", "licence", "date"} <= heads


@pytest.mark.parametrize("name", [*NAME_TABLES, "care.csv"])
def test_ranges_are_ordered_and_never_overlap(name: str) -> None:
    last: dict[str, int] = {}
    keys = [(int(row["port"]), int(row["last_port"]), row["transport"]) for row in read(name)]
    assert keys == sorted(keys)
    for first, end, transports in keys:
        assert 1 <= first <= end <= 65535
        for transport in transports.split("+"):
            assert first > last.get(transport, 0), f"{name}: {first}-{end}/{transport} overlaps an earlier row"
            last[transport] = end


@pytest.mark.parametrize("name", NAME_TABLES)
def test_name_rows(name: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789" + ("-" if name == "iana.csv" else "_"))
    for row in read(name):
        assert list(row) == ["port", "last_port", "transport", "name", "description"]
        assert row["transport"] in {"tcp", "udp", "sctp", "dccp"}
        assert row["name"] and set(row["name"]) <= allowed, row
        assert row["description"] == row["description"].strip() and len(row["description"]) <= 85, row


def test_care_rows() -> None:
    notes = []
    for row in read("care.csv"):
        assert list(row) == ["port", "last_port", "transport", "service", "group", "note"]
        assert row["transport"] in {"tcp", "udp", "tcp+udp"}
        assert row["group"] in CARE_GROUPS
        assert row["note"].endswith(".") and len(row["note"]) >= 40, row
        notes.append(row["note"])
    assert len(set(notes)) == len(notes), "each port has a reason of its own"
    assert {row["group"] for row in read("care.csv")} == CARE_GROUPS


def test_care_services_are_the_names_in_use() -> None:
    """A care row and the name tables agree on what the port asserts (NetBIOS spans three names)."""
    for row in read("care.csv"):
        if row["service"] == "netbios":
            continue
        transport = row["transport"].split("+")[0]
        port = int(row["port"])
        named = lookup("in_use.csv", port, transport) or lookup("iana.csv", port, transport)
        assert named is not None and named["name"] == row["service"], row


def test_registry_is_complete() -> None:
    rows = read("iana.csv")
    by_transport = {transport: sum(row["transport"] == transport for row in rows) for transport in ("tcp", "udp")}
    assert by_transport["tcp"] > 5800 and by_transport["udp"] > 5400
    assert sum(row["transport"] == "sctp" for row in rows) > 60
    assert sum(row["transport"] == "dccp" for row in rows) >= 9


@pytest.mark.parametrize(
    ("port", "transport", "name"),
    [
        (22, "tcp", "ssh"),
        (80, "tcp", "http"),
        (179, "tcp", "bgp"),
        (443, "tcp", "https"),
        (631, "tcp", "ipp"),
        (2049, "tcp", "nfs"),
        (3478, "udp", "stun"),
        (6000, "tcp", "x11"),
        (6063, "tcp", "x11"),
        (6346, "tcp", "gnutella-svc"),
        (27009, "tcp", "flex-lm"),
        (3868, "sctp", "diameter"),
        (5004, "dccp", "avt-profile-1"),
        (48556, "tcp", "com-bardac-dw"),
    ],
)
def test_registry_facts(port: int, transport: str, name: str) -> None:
    row = lookup("iana.csv", port, transport)
    assert row is not None and row["name"] == name


@pytest.mark.parametrize(("port", "transport"), [(4, "tcp"), (6062, "sctp"), (51820, "udp"), (65535, "tcp")])
def test_unassigned_ports_are_not_in_the_registry(port: int, transport: str) -> None:
    assert lookup("iana.csv", port, transport) is None


@pytest.mark.parametrize(
    ("port", "transport", "name"),
    [
        (80, "tcp", "http"),
        (443, "tcp", "https"),
        (443, "udp", "quic"),
        (445, "tcp", "smb"),
        (502, "tcp", "modbus"),
        (1433, "tcp", "tds"),
        (3389, "tcp", "rdp"),
        (3478, "udp", "stun"),
        (4662, "tcp", "edonkey"),
        (5222, "tcp", "xmpp"),
        (5900, "tcp", "rfb"),
        (6347, "udp", "gnutella"),
        (6885, "tcp", "bittorrent"),
        (8333, "tcp", "bitcoin"),
        (25565, "tcp", "minecraft"),
        (27017, "tcp", "mongodb"),
        (51820, "udp", "wireguard"),
    ],
)
def test_names_in_use(port: int, transport: str, name: str) -> None:
    row = lookup("in_use.csv", port, transport)
    assert row is not None and row["name"] == name


def test_names_in_use_are_many() -> None:
    assert len(read("in_use.csv")) >= 400


@pytest.mark.parametrize(
    ("port", "transport", "group"),
    [
        (25, "tcp", "holy trinity"),
        (53, "udp", "holy trinity"),
        (162, "udp", "infrastructure and management"),
        (23, "tcp", "infrastructure and management"),
        (138, "udp", "file transfer"),
        (69, "udp", "file transfer"),
        (143, "tcp", "email"),
        (1521, "tcp", "databases"),
        (6889, "tcp", "file sharing"),
        (6348, "udp", "file sharing"),
        (4662, "tcp", "file sharing"),
        (5986, "tcp", "remote access"),
        (47808, "udp", "industrial control"),
    ],
)
def test_ports_that_deserve_care(port: int, transport: str, group: str) -> None:
    row = lookup("care.csv", port, transport)
    assert row is not None and row["group"] == group
