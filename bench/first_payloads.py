"""The first payloads of a capture's flows, as the Zeek package logs them, taken from the packets themselves.

It serves :mod:`fit_evidence`, which needs them where no Zeek is installed: fragments, tunnels and lost packets are not
looked into.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

SIZE = 64  # bytes that the package logs of each side
End = tuple[str, int]
Ends = tuple[str, End, End]

# Where a packet's network layer begins, by link type (tcpdump.org/linktypes.html), and where its type stands.
_LINKS = {1: (14, 12), 113: (16, 14), 276: (20, 0), 0: (4, None), 108: (4, None), 101: (0, None), 12: (0, None)}
_VLAN = (0x8100, 0x88A8, 0x9100)
_MAGIC = {b"\xd4\xc3\xb2\xa1": "<", b"\x4d\x3c\xb2\xa1": "<", b"\xa1\xb2\xc3\xd4": ">", b"\xa1\xb2\x3c\x4d": ">"}


def packets(path: Path) -> Iterator[tuple[int, bytes]]:
    """The packets of a pcap or pcapng file, each with its link type."""
    data = path.read_bytes()
    order = _MAGIC.get(data[:4])
    if order is None:
        yield from _blocks(data)
        return
    (link,) = struct.unpack_from(order + "I", data, 20)
    at = 24
    while at + 16 <= len(data):
        (length,) = struct.unpack_from(order + "I", data, at + 8)
        yield link & 0xFFFF, data[at + 16 : at + 16 + length]
        at += 16 + length


def _blocks(data: bytes) -> Iterator[tuple[int, bytes]]:
    order, at = "<", 0
    links: list[int] = []
    while at + 12 <= len(data):
        if data[at : at + 4] == b"\n\r\r\n":
            order, links = "<" if data[at + 8 : at + 12] == b"\x4d\x3c\x2b\x1a" else ">", []
        kind, length = struct.unpack_from(order + "II", data, at)
        if kind == 1:
            links.append(struct.unpack_from(order + "H", data, at + 8)[0])
        elif kind == 6:
            interface, _, _, held = struct.unpack_from(order + "IIII", data, at + 8)
            yield links[interface], data[at + 28 : at + 28 + held]
        elif kind == 3 and links:
            yield links[0], data[at + 12 : at + length - 4]
        at += max(length, 12)


def _network(link: int, packet: bytes) -> bytes:
    """A packet from its IP header on; empty if it has none."""
    start, kind_at = _LINKS.get(link, (len(packet), None))
    if kind_at is not None:
        while len(packet) >= start and int.from_bytes(packet[kind_at : kind_at + 2], "big") in _VLAN:
            start, kind_at = start + 4, kind_at + 4
        if int.from_bytes(packet[kind_at : kind_at + 2], "big") not in (0x0800, 0x86DD):
            return b""
    return packet[start:]


def _segment(ip: bytes) -> tuple[str, End, End, bytes] | None:
    """Transport, both ends and payload of an IP packet; None for what is neither TCP nor UDP."""
    if len(ip) < 20:
        return None
    if ip[0] >> 4 == 4:
        header, protocol = (ip[0] & 15) * 4, ip[9]
        if int.from_bytes(ip[6:8], "big") & 0x1FFF:
            return None
        source, target, end = ip[12:16], ip[16:20], int.from_bytes(ip[2:4], "big") or len(ip)
    elif ip[0] >> 4 == 6 and len(ip) >= 40:
        header, protocol = 40, ip[6]
        source, target, end = ip[8:24], ip[24:40], 40 + int.from_bytes(ip[4:6], "big")
    else:
        return None
    body = ip[header:end]
    if protocol == 6 and len(body) >= 20:
        payload = body[(body[12] >> 4) * 4 :]
    elif protocol == 17 and len(body) >= 8:
        payload = body[8:]
    else:
        return None
    ports = struct.unpack_from(">HH", body)
    ends = ((str(ip_address(source)), ports[0]), (str(ip_address(target)), ports[1]))
    return ("tcp" if protocol == 6 else "udp", *ends, payload)


def first_payloads(path: Path) -> dict[Ends, bytes]:
    """The first payload that was sent in each direction: by transport, sender and receiver."""
    found: dict[Ends, bytes] = {}
    for link, packet in packets(path):
        segment = _segment(_network(link, packet))
        if segment is not None and segment[3]:
            found.setdefault(segment[:3], segment[3][:SIZE])
    return found


def records(capture: Path, conn: Path) -> Iterator[dict[str, Any]]:
    """Records of payload.log for those of a conn.log (TSV): all whose service is unknown, one of each server's port."""
    found, known = first_payloads(capture), set()
    for flow in _rows(conn):
        ends = [(flow[f"id.{side}_h"], int(flow[f"id.{side}_p"])) for side in ("orig", "resp")]
        sides = [found.get((flow["proto"], ends[0], ends[1])), found.get((flow["proto"], ends[1], ends[0]))]
        server = flow["proto"], ends[1]
        if not any(sides) or (flow["service"] != "-" and server in known):
            continue
        known.add(server)
        out: dict[str, Any] = {name: flow[name] for name in ("uid", "proto", "id.orig_h", "id.resp_h")}
        out |= {"_path": "payload", "ts": float(flow["ts"]), "id.orig_p": ends[0][1], "id.resp_p": ends[1][1]}
        said = zip(("orig_payload_hex", "resp_payload_hex"), sides, strict=True)
        yield out | {name: text.hex() for name, text in said if text}


def _rows(log: Path) -> Iterator[dict[str, str]]:
    names: list[str] = []
    for line in log.read_text("utf-8").splitlines():
        if line.startswith("#fields\t"):
            names = line.split("\t")[1:]
        elif not line.startswith("#"):
            yield dict(zip(names, line.split("\t"), strict=True))


def add(logs: Path, capture: Path, folder: Path) -> None:
    """Put a capture's logs into an empty folder, and a payload.log of our own beside them."""
    for log in logs.iterdir():
        if log.name != "payload.log":
            (folder / log.name).symlink_to(log.resolve())
    if (logs / "conn.log").exists():
        lines = [json.dumps(record) + "\n" for record in records(capture, logs / "conn.log")]
        (folder / "payload.log").write_text("".join(lines), "utf-8")
