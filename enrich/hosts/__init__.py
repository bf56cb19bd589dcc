"""Host profiles: what each host runs, serves and is. The roll-up behind ``hosts.ndjson`` and ``zeek-enrich hosts``.

The site's own hosts are profiled in full; others, as far as they serve, in a few fields. Memory is bounded by hosts.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from enrich.banners.knowledge import Knowledge
from enrich.flows import CONN, Border, border
from enrich.hosts.claims import Claims, reads
from enrich.hosts.flows import Flows
from enrich.model import Accumulator, Resources, RollUp
from enrich.names import host_name
from enrich.systems import Clue, PortRange, Systems
from enrich.systems import load as load_systems

OWN, OTHERS = 100_000, 20_000
"""So many of the site's own hosts, and so many services of others, are kept; of what is listed of hosts, twice OWN."""
Row = dict[str, Any]
Groups = Mapping[str, list[Row]]
_UPDATERS = ("updater",)


class Hosts:
    """What is known of hosts so far."""

    def __init__(self, border: Border, systems: Systems, knowledge: Callable[[], Knowledge]) -> None:
        self.flows = Flows(border, OWN, OTHERS)
        self.claims = Claims(2 * OWN)
        self.systems = systems
        self.knowledge = knowledge

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Take in one batch of any log."""
        if log == "conn":
            self.flows.add(frame)
        else:
            self.claims.add(log, frame)

    @property
    def notes(self) -> list[str]:
        """What the bounds on memory left out."""
        flows = self.flows
        told = [
            (
                flows.hosts.cut,
                f"hosts: more than {OWN:,} hosts of the site's own; those with fewest flows were left out",
            ),
            (flows.other_services.cut, f"hosts: more than {OTHERS:,} services outside; the least used were left out"),
        ]
        return [text for cut, text in told if cut]

    def results(self) -> Iterable[Mapping[str, Any]]:
        """One record a host: the site's own by address, then the others."""
        about = _About(self)
        own = {row["ip"]: row for row in _rows(self.flows.hosts.frame())}
        for ip in sorted(own, key=_order):
            yield about.own(own[ip])
        others = {ip: rows for ip, rows in _by_host(self.flows.other_services.frame()).items() if ip not in own}
        for ip in sorted(others, key=_order):
            yield about.other(ip, others[ip])


class _About:
    """All tallies by host, ready to be made into records."""

    def __init__(self, hosts: Hosts) -> None:
        flows, claims = hosts.flows, hosts.claims
        self.systems, self._knowledge = hosts.systems, hosts.knowledge
        self.services = _by_host(flows.services.frame())
        self.clients = {
            (row["ip"], row["port"], row["transport"]): row["distinct"] for row in _rows(flows.clients.counts())
        }
        self.applications = _by_host(flows.applications.frame())
        self.sites = _by_host(flows.sites.frame())
        self.names = _by_host(_joined(flows.names, flows.other_names, claims.names))
        self.software = _by_host(claims.software.frame())
        self.agents = _by_host(claims.agents.frame())
        self.told = _by_host(claims.systems.frame())
        self.syns = _by_host(claims.syns.frame())
        values = flows.client_ports.values()
        self.ranges = {} if values is None else hosts.systems.port_ranges(values)
        self.ports_seen = {row["ip"]: row["distinct"] for row in _rows(flows.client_ports.counts())}
        self.port_extremes = {row["ip"]: (row["low"], row["high"]) for row in _rows(flows.port_extremes.frame())}

    def own(self, host: Row) -> Row:
        """The full profile of one of the site's own hosts."""
        ip = host["ip"]
        return {
            **_seen(host, ip=ip),
            "scope": host["scope"],
            "own": True,
            "names": self._names(ip),
            "os": self.systems.verdict(self._clues(ip)),
            "services": self._services(self.services.get(ip, [])),
            "applications": [_application(row) for row in _busiest(self.applications.get(ip, []))],
            "software": self._software(ip),
            "sites": [
                _seen(row, category=row["category"], product=row["product"], contacts=row["rows"])
                for row in _busiest(self.sites.get(ip, []))
            ],
            "ephemeral_ports": self._ephemeral(ip),
        }

    def other(self, ip: str, services: list[Row]) -> Row:
        """The few fields of a server outside."""
        return {
            "ip": ip,
            "first_seen": min(row["first_seen"] for row in services),
            "last_seen": max(row["last_seen"] for row in services),
            "scope": services[0]["scope"],
            "own": False,
            "names": self._names(ip),
            "os": self.systems.verdict(self._clues(ip)),
            "services": self._services(services),
        }

    def _names(self, ip: str) -> list[str]:
        folded = (host_name(row["name"]) for row in _busiest(self.names.get(ip, [])))
        return list(dict.fromkeys(name for name in folded if name is not None))

    def _services(self, rows: list[Row]) -> list[Row]:
        """One entry a port: its most likely protocol, and the software that its banner names."""
        ports: dict[tuple[int, str], list[Row]] = defaultdict(list)
        for row in rows:
            ports[row["port"], row["transport"]].append(row)
        out = []
        for (port, transport), found in sorted(ports.items()):
            ip = found[0]["ip"]
            best = max(found, key=lambda row: (row["confidence"], row["protocol"] or ""))
            software = [row for row in self.software.get(ip, []) if row["port"] == port and row["product"]]
            latest = max(software, key=lambda row: (row["last_seen"], row["rows"]), default={})
            out.append(
                {
                    "port": port,
                    "transport": transport,
                    "protocol": best["protocol"],
                    "product": latest.get("product"),
                    "version": latest.get("version"),
                    "clients": self.clients.get((ip, port, transport)),
                    "first_seen": min(row["first_seen"] for row in found),
                    "last_seen": max(row["last_seen"] for row in found),
                }
            )
        return [{name: value for name, value in row.items() if value is not None} for row in out]

    def _software(self, ip: str) -> list[Row]:
        """The inventory: what banners, User-Agents and Zeek name, and security products that call home."""
        found: dict[tuple[Any, ...], Row] = {}
        rows = [*self.software.get(ip, [])]
        rows += [
            {**row, "product": row["family"], "vendor": None, "source": "user_agent"} for row in self.agents.get(ip, [])
        ]
        for row in self.sites.get(ip, []):
            if row["category"] == "antivirus" and row["product"]:
                rows.append({**row, "version": None, "vendor": None, "source": "site"})
        elsewhere = [row for row in rows if row["source"] != "software"]
        for row in rows:
            if not row["product"] or (row["source"] == "software" and any(_same(row, other) for other in elsewhere)):
                continue
            key = (row["product"], row["version"], row["vendor"], row["source"])
            known = found.setdefault(
                key, _seen(row, **dict(zip(("product", "version", "vendor", "source"), key, strict=True)))
            )
            known["first_seen"] = min(known["first_seen"], row["first_seen"])
            known["last_seen"] = max(known["last_seen"], row["last_seen"])
        kept = sorted(found.values(), key=lambda row: (row["product"].lower(), row["version"] or "", row["source"]))
        return [{name: value for name, value in row.items() if value is not None} for row in kept]

    def _ephemeral(self, ip: str) -> Row | None:
        if ip not in self.port_extremes:
            return None
        low, high = self.port_extremes[ip]
        found = self.ranges.get(ip)
        answer: Row = {"low": low, "high": high, "ports": self.ports_seen.get(ip, 0), "system": None}
        if found is not None:
            answer |= {"system": found.label, "range": [found.low, found.high]}
        return answer

    def _clues(self, ip: str) -> Iterator[Clue]:
        systems = self.systems
        for row in self.software.get(ip, []):
            if row["os"]:
                source = "client" if row["source"].endswith("_client") else "server"
                if row["source"] != "smtp_client":
                    yield systems.named(source, f"in {row['source']}", row["os"], row["os_version"])
        agents: dict[tuple[str, str | None, str], int] = defaultdict(int)
        for row in self.agents.get(ip, []):
            if row["os"]:
                kind = "updater" if row["kind"] in _UPDATERS else "user_agent"
                agents[row["os"], row["os_version"], kind] += row["rows"]
        for (os, version, kind), requests in agents.items():
            if requests >= systems.fusion["requests"]:
                yield systems.named(kind, f"in {requests} requests", os, version)
        for row in self.told.get(ip, []):
            yield from self._told(row)
        for row in self.syns.get(ip, []):
            clue = systems.syn(row["ttl"], row["window"], row["mss"], row["scale"], row["options"] or "")
            if clue is not None:
                yield clue
        found = self.ranges.get(ip)
        if found is not None:
            yield _port_clue(found)

    def _told(self, row: Row) -> Iterator[Clue]:
        text = row["text"]
        if row["source"] == "dhcp" and text.startswith("MSFT"):
            yield self.systems.named("dhcp", f"in vendor class {text}", "Windows")
            return
        name = self._knowledge().systems.find(text.encode())
        system = self._knowledge().system(name[0]) if name is not None else None
        if system is not None:
            yield self.systems.named(row["source"], f"in {text[:80]}", system.name)


def _port_clue(found: PortRange) -> Clue:
    what = f"{found.low}-{found.high} ({found.label}) in {found.draws} draws"
    if found.chance < 1:
        what += f"; {found.chance:.1g} by chance in the next likely range"
    return Clue("ports", what, found.systems)


def _application(row: Row) -> Row:
    return {
        "protocol": row["protocol"],
        "name": row["name"],
        "category": row["category"],
        "flows": row["rows"],
        "bytes": row["bytes"],
        "confidence": round(row["confidence"] / row["rows"], 3),
        "first_seen": row["first_seen"],
        "last_seen": row["last_seen"],
    }


def _seen(row: Row, **fields: Any) -> Row:
    return {**fields, "first_seen": row["first_seen"], "last_seen": row["last_seen"]}


def _same(logged: Row, other: Row) -> bool:
    """Whether what Zeek's software.log names is known from elsewhere; Zeek keeps the first numbers of a version."""
    if logged["product"].lower() != (other["product"] or "").lower():
        return False
    return logged["version"] is None or f"{other['version']}.".startswith(f"{logged['version']}.")


def _busiest(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (-row["rows"], row["first_seen"]))


def _rows(frame: pl.DataFrame | None) -> list[Row]:
    """The rows in an order of their own: that of groups depends on the number of threads."""
    return [] if frame is None else list(frame.sort(frame.columns).iter_rows(named=True))


def _by_host(frame: pl.DataFrame | None) -> Groups:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in _rows(frame):
        groups[row["ip"]].append(row)
    return groups


def _joined(*tallies: Any) -> pl.DataFrame | None:
    frames = [frame for tally in tallies if (frame := tally.frame()) is not None]
    return pl.concat(frames, how="vertical_relaxed") if frames else None


def _order(ip: str) -> tuple[int, int, str]:
    try:
        address = ipaddress.ip_address(ip.partition("%")[0])
    except ValueError:
        return 9, 0, ip
    return address.version, int(address), ip


def _start(resources: Resources) -> Accumulator:
    def knowledge() -> Knowledge:
        return resources.shared("banner knowledge", lambda: Knowledge(resources.path("banners")))

    return Hosts(border(resources), load_systems(resources), knowledge)


ROLL_UP = RollUp(
    name="hosts",
    doc="What each host is, runs, serves and uses: system, services, applications, software, sites, client ports.",
    reads={"conn": CONN, **reads()},
    start=_start,
)
