"""The records of hosts: all that is counted of each, put together. A few hosts at a time, as there may be very many."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

import polars as pl

from enrich.banners.knowledge import Knowledge
from enrich.hosts.claims import Claims
from enrich.hosts.flows import Flows
from enrich.names import host_name
from enrich.systems import Clue, PortRange, Systems

Row = dict[str, Any]
Groups = Mapping[str, list[Row]]
_AT_ONCE = 2_000
"""So many hosts are put together at a time."""
_UPDATERS = ("updater",)


class Profiles:
    """All tallies of hosts, ready to be made into records."""

    def __init__(self, flows: Flows, claims: Claims, systems: Systems, knowledge: Callable[[], Knowledge]) -> None:
        self.systems, self.knowledge = systems, knowledge
        hosts, others = flows.hosts.frame(), flows.other_services.frame()
        self._own = sorted(_addresses(hosts), key=_order)
        self._others = sorted(_addresses(others) - {*self._own}, key=_order)
        places = pl.DataFrame({"ip": [*self._own, *self._others]}, schema={"ip": pl.String}).with_row_index("at")
        frames = {
            "hosts": hosts,
            "others": others,
            "services": flows.services.frame(),
            "clients": flows.clients.counts(),
            "applications": flows.applications.frame(),
            "sites": flows.sites.frame(),
            "names": _joined(flows.names, flows.other_names, claims.names),
            "software": claims.software.frame(),
            "agents": claims.agents.frame(),
            "told": claims.systems.frame(),
            "syns": claims.syns.frame(),
            "client_ports": flows.client_ports.values(),
            "ports_seen": flows.client_ports.counts(),
            "port_extremes": flows.port_extremes.frame(),
        }
        self._frames = {name: _ByHost(frame, places) for name, frame in frames.items() if frame is not None}

    def records(self) -> Iterator[Row]:
        """One record a host: the site's own by address, then the others."""
        for first in range(0, len(self._own), _AT_ONCE):
            chosen = self._own[first : first + _AT_ONCE]
            about = _About(self, first, first + len(chosen))
            for ip in chosen:
                yield about.own(ip)
        for first in range(0, len(self._others), _AT_ONCE):
            chosen = self._others[first : first + _AT_ONCE]
            about = _About(self, len(self._own) + first, len(self._own) + first + len(chosen))
            for ip in chosen:
                yield about.other(ip)

    def frame(self, name: str, first: int, last: int) -> pl.DataFrame | None:
        """The rows of some hosts, from the first to before the last."""
        return self._frames[name].of(first, last) if name in self._frames else None


class _ByHost:
    """A frame whose rows are found by the place of their host."""

    def __init__(self, frame: pl.DataFrame, places: pl.DataFrame) -> None:
        at = frame.select("ip").join(places, on="ip", how="left", maintain_order="left")["at"]
        self._frame, self._order = frame, at.arg_sort(nulls_last=True)
        self._places = at.gather(self._order).drop_nulls()

    def of(self, first: int, last: int) -> pl.DataFrame:
        begin, end = (self._places.search_sorted(place) for place in (first, last))
        return self._frame[self._order[begin:end]]


class _About:
    """All that is known of some hosts."""

    def __init__(self, profiles: Profiles, first: int, last: int) -> None:
        self.systems, self._knowledge = profiles.systems, profiles.knowledge

        def rows(name: str) -> Groups:
            return _by_host(profiles.frame(name, first, last))

        self.hosts, self.others, self.services = rows("hosts"), rows("others"), rows("services")
        self.applications, self.sites, self.names = rows("applications"), rows("sites"), rows("names")
        self.software, self.agents = rows("software"), rows("agents")
        self.told, self.syns = rows("told"), rows("syns")
        counts, values = profiles.frame("clients", first, last), profiles.frame("client_ports", first, last)
        keyed = [] if counts is None else counts.select("ip", "port", "transport", "distinct").iter_rows()
        self.clients = {(ip, port, transport): distinct for ip, port, transport, distinct in keyed}
        self.ranges = {} if values is None else self.systems.port_ranges(values)
        self.ports_seen, self.port_extremes = rows("ports_seen"), rows("port_extremes")

    def own(self, ip: str) -> Row:
        """The full profile of one of the site's own hosts."""
        host = self.hosts[ip][-1]
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

    def other(self, ip: str) -> Row:
        """The few fields of a server outside."""
        services = self.others[ip]
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
        extremes, seen = self.port_extremes[ip][0], self.ports_seen.get(ip, [])
        found = self.ranges.get(ip)
        answer: Row = {"low": extremes["low"], "high": extremes["high"], "ports": 0, "system": None}
        if seen:
            answer["ports"] = seen[0]["distinct"]
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
    return [] if frame is None else frame.sort(frame.columns).rows(named=True)


def _by_host(frame: pl.DataFrame | None) -> Groups:
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in _rows(frame):
        groups[row["ip"]].append(row)
    return groups


def _joined(*tallies: Any) -> pl.DataFrame | None:
    frames = [frame for tally in tallies if (frame := tally.frame()) is not None]
    return pl.concat(frames, how="vertical_relaxed") if frames else None


def _addresses(frame: pl.DataFrame | None) -> set[str]:
    return set() if frame is None else {*frame["ip"].unique()}


def _order(ip: str) -> tuple[int, bytes, str]:
    address = ip.partition("%")[0]
    for version, family in ((4, AF_INET), (6, AF_INET6)):
        try:
            return version, inet_pton(family, address), ip
        except (OSError, ValueError):
            continue
    return 9, b"", ip
