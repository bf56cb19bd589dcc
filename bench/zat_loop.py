#!/usr/bin/env python3
"""What people write today: a loop over zat's rows that adds our columns with cached look-ups and writes JSON lines.

    zat_loop.py LOG OUT ROWS

It reads the same mapping tables as the product, caches every look-up, and leaves out what is null. The last line that
it prints is a JSON object with the rows, the bytes written and the seconds between opening the log and closing OUT
(imports and tables are not counted).
"""

from __future__ import annotations

import csv
import hashlib
import ipaddress
import json
import socket
import struct
import sys
import time
import tomllib
from base64 import b64encode
from collections.abc import Iterator
from functools import cache, lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import maxminddb
import ua_parser
from publicsuffixlist import PublicSuffixList
from zat.zeek_log_reader import ZeekLogReader

MAPPINGS = Path(__file__).parents[1] / "mappings"
Columns = dict[str, Any]

_COUNTRIES = maxminddb.open_database(str(MAPPINGS / "countries/country.mmdb"))
_SUFFIXES = PublicSuffixList()
_KINDS = (("bot", "bot"), ("spider", "bot"), ("update", "updater"), ("Mobile", "mobile"), ("Mozilla", "browser"))
_FAILED = frozenset({"S0", "REJ", "RSTOS0", "RSTRH", "SH", "SHR"})
_PROTOCOL_NUMBERS = {"tcp": 6, "udp": 17, "icmp": 1}


def rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a mapping table."""
    with path.open(encoding="utf-8") as file:
        yield from csv.DictReader(line for line in file if not line.startswith("#"))


def ports(*tables: str) -> dict[tuple[int, str], dict[str, str]]:
    """Rows by port and transport; earlier tables win."""
    found: dict[tuple[int, str], dict[str, str]] = {}
    for table in tables:
        for row in rows(MAPPINGS / "ports" / table):
            for port in range(int(row["port"]), int(row["last_port"] or row["port"]) + 1):
                for transport in row["transport"].split("+"):
                    found.setdefault((port, transport), row)
    return found


def protocols() -> tuple[dict[str, str], dict[str, str]]:
    """Canonical name by alias, and category by canonical name."""
    names, categories = {}, {}
    for path in sorted((MAPPINGS / "applications").glob("*.toml")):
        for protocol in tomllib.loads(path.read_text("utf-8")).get("protocol", []):
            categories[protocol["name"]] = protocol["category"]
            names.update(dict.fromkeys([protocol["name"], *protocol.get("aliases", [])], protocol["name"]))
    return names, categories


_SERVICES = ports("in_use.csv", "iana.csv")
_CARE = ports("care.csv")
_NAMES, _CATEGORIES = protocols()
_SITES = {row["domain"]: row for path in (MAPPINGS / "sites").glob("*.csv") for row in rows(path)}


@cache
def address(ip: str) -> Columns:
    """Scope and country of an address."""
    parsed = ipaddress.ip_address(ip)
    if parsed.is_multicast:
        return {"scope": "multicast"}
    if parsed.is_loopback or parsed.is_link_local:
        return {"scope": "loopback" if parsed.is_loopback else "link_local"}
    if not parsed.is_global:
        return {"scope": "private"}
    record = _COUNTRIES.get(ip)
    return {"scope": "public", "country": record.get("country_code") if isinstance(record, dict) else None}


@cache
def port(number: int, transport: str) -> Columns:
    """What a responder port asserts."""
    service, care = _SERVICES.get((number, transport), {}), _CARE.get((number, transport), {})
    return {
        "port.service": service.get("name"),
        "port.group": care.get("group"),
        "port.note": care.get("note"),
        "app.asserted": _NAMES.get(service.get("name", "")),
    }


def behavior(row: Columns) -> Columns:
    """Mean packet sizes and the class of behaviour."""
    orig = round(row["orig_ip_bytes"] / row["orig_pkts"], 1) if row["orig_pkts"] else None
    resp = round(row["resp_ip_bytes"] / row["resp_pkts"], 1) if row["resp_pkts"] else None
    kind = None
    if row["proto"] == "tcp" and row["conn_state"] in _FAILED:
        kind = "scan"
    elif orig and resp:
        big, small, packets = max(orig, resp), min(orig, resp), row["orig_pkts"] + row["resp_pkts"]
        if big > 1000 and small < 120 and packets > 10:
            kind = "file_transfer"
        elif packets < 8 and big < 200:
            kind = "control"
        elif small > 40:
            kind = "chatter"
    return {"behavior.class": kind, "behavior.orig_mean": orig, "behavior.resp_mean": resp}


@cache
def verdict(service: str, number: int, transport: str) -> Columns:
    """What the flow speaks: what Zeek saw, or else what the port asserts."""
    asserted = port(number, transport)["app.asserted"]
    seen = [_NAMES.get(part, part) for part in service.split(",")] if service != "-" else []
    protocol = seen[-1] if seen else asserted
    evidence = [f"dpi:{name}" for name in seen] + ([f"port:{number}/{asserted}"] if asserted else [])
    return {
        "app.protocol": protocol,
        "app.category": _CATEGORIES.get(protocol or ""),
        "app.confidence": (0.97 if seen else 0.6) if protocol else None,
        "app.evidence": evidence or None,
        "app.contradiction": bool(seen and asserted and asserted not in seen),
    }


def community_id(row: Columns) -> str:
    """Community id version 1."""
    family = socket.AF_INET6 if ":" in row["id.orig_h"] else socket.AF_INET
    ends = [(socket.inet_pton(family, row[f"id.{side}_h"]), row[f"id.{side}_p"]) for side in ("orig", "resp")]
    (low, low_port), (high, high_port) = sorted(ends)
    number = _PROTOCOL_NUMBERS.get(row["proto"], 0)
    packed = struct.pack("!H", 0) + low + high + struct.pack("!BBHH", number, 0, low_port, high_port)
    return "1:" + b64encode(hashlib.sha1(packed, usedforsecurity=False).digest()).decode()


@lru_cache(500_000)
def user_agent(text: str) -> Columns:
    """What a User-Agent says of the client."""
    parsed = ua_parser.parse(text)
    browser, system, device = parsed.user_agent, parsed.os, parsed.device
    return {
        "ua.family": browser and browser.family,
        "ua.version": browser and ".".join(part for part in (browser.major, browser.minor, browser.patch) if part),
        "ua.os": system and system.family,
        "ua.os_version": system and system.major,
        "ua.device": device and device.family,
        "ua.kind": next((kind for word, kind in _KINDS if word in text), "other"),
    }


@lru_cache(500_000)
def site(name: str) -> Columns:
    """The subsidiary site that a name belongs to, and its registered domain."""
    labels = name.lower().split(".")
    suffixes = (".".join(labels[i:]) for i in range(len(labels)))
    found = next((_SITES[suffix] for suffix in suffixes if suffix in _SITES), {})
    return {
        "site.category": found.get("category"),
        "site.product": found.get("product"),
        "name.registered_domain": None if labels[-1].isdigit() else _SUFFIXES.privatesuffix(name),
    }


@cache
def banner(prefix: str, text: str) -> Columns:
    """Product, version and system from an SSH identification string."""
    _, _, software = text.removeprefix("SSH-").partition("-")
    program, _, comment = software.partition(" ")
    product, _, version = program.partition("_")
    return {
        f"{prefix}.product": product,
        f"{prefix}.version": version,
        f"{prefix}.os": comment.partition("-")[0] or None,
    }


def enrich(log: str, row: Columns) -> Columns:
    """The columns to add to one row."""
    added: Columns = {}
    for side in ("orig", "resp"):
        for name, value in address(row[f"id.{side}_h"]).items():
            added[f"{side}.{name}"] = value
    if log == "conn":
        added |= port(row["id.resp_p"], row["proto"])
        client = row["id.orig_p"]
        added["orig.port_class"] = "privileged" if client < 1024 else "registered" if client < 49152 else "ephemeral"
        added |= behavior(row)
        added |= verdict(row["service"], row["id.resp_p"], row["proto"])
        added["community_id"] = community_id(row)
    elif log == "http":
        added |= user_agent(row["user_agent"]) | site(row["host"])
    elif log == "dns":
        added |= site(row["query"])
    elif log == "ssl":
        added |= site(row["server_name"])
    elif log == "ssh":
        added |= banner("ssh_client", row["client"]) | banner("ssh_server", row["server"])
    return {name: value for name, value in added.items() if value is not None}


def main() -> None:
    log, out, count = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    done = 0
    began = time.perf_counter()
    with out.open("w", encoding="utf-8") as file:
        for row in islice(ZeekLogReader(str(log)).readrows(), count):
            row.update(enrich(log.stem, row))
            file.write(json.dumps(row, default=str) + "\n")
            done += 1
    seconds = time.perf_counter() - began
    print(json.dumps({"rows": done, "bytes": out.stat().st_size, "seconds": seconds}))


if __name__ == "__main__":
    main()
