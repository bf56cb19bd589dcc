"""First payloads out of a capture are those that the Zeek package logged of it."""

from __future__ import annotations

import struct
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import first_payloads

DATA = Path(__file__).parents[1] / "data/zeek-package"


def logged(name: str) -> list[dict[str, str]]:
    lines = (DATA / name).read_text("utf-8").splitlines()
    names = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
    rows = (line.split("\t") for line in lines if not line.startswith("#"))
    return [dict(zip(names, row, strict=True)) for row in rows]


def ends_of(row: dict[str, str]) -> tuple[tuple[str, int], tuple[str, int]]:
    return (row["id.orig_h"], int(row["id.orig_p"])), (row["id.resp_h"], int(row["id.resp_p"]))


def test_they_are_what_zeek_logged() -> None:
    found = first_payloads.first_payloads(DATA / "site-a.pcap")
    times = Counter((row["proto"], frozenset(ends_of(row))) for row in logged("conn.log"))
    rows = [row for row in logged("payload.log") if times[row["proto"], frozenset(ends_of(row))] == 1]
    assert len(rows) > 50
    for row in rows:
        orig, resp = ends_of(row)
        for side, ends in (("orig", (orig, resp)), ("resp", (resp, orig))):
            expected = row[f"{side}_payload_hex"]
            said = found.get((row["proto"], *ends), b"").hex()
            assert said == ("" if expected == "-" else expected), row


def test_a_log_is_made_of_all_unknown_flows_and_one_of_each_known_server(tmp_path: Path) -> None:
    first_payloads.add(DATA, DATA / "site-a.pcap", tmp_path)
    made = first_payloads.records(DATA / "site-a.pcap", DATA / "conn.log")
    uids = {record["uid"] for record in made}
    assert uids and uids <= {row["uid"] for row in logged("conn.log")}
    assert (tmp_path / "payload.log").read_text("utf-8").count("\n") == len(uids)
    assert (tmp_path / "conn.log").is_symlink()


def block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)


@pytest.mark.parametrize("version", [4, 6])
def test_the_other_format_of_captures(tmp_path: Path, version: int) -> None:
    datagram = struct.pack(">HHHH", 5000, 53, 8 + 3, 0) + b"abc"
    if version == 4:
        ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + 11, 0, 0, 64, 17, 0, b"\x0a\0\0\x01", b"\x0a\0\0\x02")
        ends = ("10.0.0.1", 5000), ("10.0.0.2", 53)
    else:
        ip = struct.pack(">IHBB16s16s", 6 << 28, 11, 17, 64, bytes(15) + b"\x01", bytes(15) + b"\x02")
        ends = ("::1", 5000), ("::2", 53)
    frame = bytes(12) + b"\x81\0\0\x05" + (b"\x08\0" if version == 4 else b"\x86\xdd") + ip + datagram
    section = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(1, struct.pack("<HHI", 1, 0, 0))
    packet = block(6, struct.pack("<IIIII", 0, 0, 0, len(frame), len(frame)) + frame)
    (tmp_path / "x.pcapng").write_bytes(section + interface + packet)
    assert first_payloads.first_payloads(tmp_path / "x.pcapng") == {("udp", *ends): b"abc"}
