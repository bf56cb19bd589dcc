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
_AT_ONCE, _MORE = 250, 8
"""So many hosts are put together at a time; of others, of which little is told, eight times as many."""
_UPDATERS = ("updater",)
_APPLICATION: tuple[str | pl.Expr, ...] = (
    "protocol", "name", "category", pl.col("rows").alias("flows"), "bytes", "confidence", "first_seen", "last_seen"
)  # fmt: skip
_SITE: tuple[str | pl.Expr, ...] = ("category", "product", pl.col("rows").alias("contacts"), "first_seen", "last_seen")
_Name = tuple[str | None, str | None, str | None, str]
_NAMED = ("product", "version", "vendor", "source")


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
        for first in range(0, len(self._others), _MORE * _AT_ONCE):
            chosen = self._others[first : first + _MORE * _AT_ONCE]
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

        def frame(name: str) -> pl.DataFrame | None:
            return profiles.frame(name, first, last)

        self.hosts, self.others = _by_host(_sorted(frame("hosts"))), _by_host(_whole(frame("others")))
        clients = frame("clients")
        self.services = _by_host(_ports(frame("services"), clients))
        self.other_services = _by_host(_ports(frame("others"), clients))
        self.applications = _by_host(_busiest(frame("applications"), *_APPLICATION))
        self.sites = _by_host(_busiest(frame("sites"), *_SITE))
        self.names = _by_host(_busiest(frame("names"), "name"))
        self.software, self.agents = _by_host(_sorted(frame("software"))), _by_host(_sorted(frame("agents")))
        self.told, self.syns = _by_host(_sorted(frame("told"))), _by_host(_sorted(frame("syns")))
        values = frame("client_ports")
        self.ranges = {} if values is None else self.systems.port_ranges(values)
        self.ports_seen, self.port_extremes = _by_host(frame("ports_seen")), _by_host(frame("port_extremes"))

    def own(self, ip: str) -> Row:
        """The full profile of one of the site's own hosts."""
        host = self.hosts[ip][-1]
        return {
            "ip": ip,
            "first_seen": host["first_seen"],
            "last_seen": host["last_seen"],
            "scope": host["scope"],
            "own": True,
            "names": self._names(ip),
            "os": self.systems.verdict(self._clues(ip)),
            "services": self._services(ip, self.services),
            "applications": [_application(row) for row in self.applications.get(ip, [])],
            "software": self._software(ip),
            "sites": self.sites.get(ip, []),
            "ephemeral_ports": self._ephemeral(ip),
        }

    def other(self, ip: str) -> Row:
        """The few fields of a server outside."""
        host = self.others[ip][0]
        return {
            "ip": ip,
            "first_seen": host["first_seen"],
            "last_seen": host["last_seen"],
            "scope": host["scope"],
            "own": False,
            "names": self._names(ip),
            "os": self.systems.verdict(self._clues(ip)),
            "services": self._services(ip, self.other_services),
        }

    def _names(self, ip: str) -> list[str]:
        folded = (host_name(row["name"]) for row in self.names.get(ip, []))
        return list(dict.fromkeys(name for name in folded if name is not None))

    def _services(self, ip: str, services: Groups) -> list[Row]:
        """One entry a port, with the software that its banner names."""
        software = [row for row in self.software.get(ip, []) if row["product"]]
        entries = services.get(ip, [])
        for row in entries if software else ():
            here = [found for found in software if found["port"] == row["port"]]
            latest = max(here, key=lambda found: (found["last_seen"], found["rows"]), default={})
            row["product"], row["version"] = latest.get("product"), latest.get("version")
        return [{name: value for name, value in row.items() if value is not None} for row in entries]

    def _software(self, ip: str) -> list[Row]:
        """The inventory: what banners, User-Agents and Zeek name, and security products that call home."""
        named = [_named(row, row["product"], row["vendor"], row["source"]) for row in self.software.get(ip, [])]
        named += [_named(row, row["family"], None, "user_agent") for row in self.agents.get(ip, [])]
        antivirus = [row for row in self.sites.get(ip, []) if row["category"] == "antivirus" and row["product"]]
        for row in sorted(antivirus, key=lambda row: str(row["product"])):
            named.append(_named(row, row["product"], None, "site"))
        elsewhere = [(product, version) for (product, version, _, source), _, _ in named if source != "software"]
        found: dict[_Name, tuple[float, float]] = {}
        for key, first, last in named:
            product, version, _, source = key
            if not product or (source == "software" and any(_same(product, version, *other) for other in elsewhere)):
                continue
            known = found.get(key)
            found[key] = (min(known[0], first), max(known[1], last)) if known else (first, last)
        out = []
        for key in sorted(found, key=lambda key: (str(key[0]).lower(), key[1] or "", key[3])):
            row = {name: value for name, value in zip(_NAMED, key, strict=True) if value is not None}
            row["first_seen"], row["last_seen"] = found[key]
            out.append(row)
        return out

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
    row["confidence"] = round(row["confidence"] / row["flows"], 3)
    return row


def _named(row: Row, product: str | None, vendor: str | None, source: str) -> tuple[_Name, float, float]:
    return (product, row.get("version"), vendor, source), row["first_seen"], row["last_seen"]


def _same(product: str, version: str | None, other: str | None, others: str | None) -> bool:
    """Whether what Zeek's software.log names is known from elsewhere; Zeek keeps the first numbers of a version."""
    if product.lower() != (other or "").lower():
        return False
    return version is None or f"{others}.".startswith(f"{version}.")


def _sorted(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    """The rows in an order of their own: that of groups depends on the number of threads."""
    return None if frame is None else frame.sort(frame.columns)


def _busiest(frame: pl.DataFrame | None, *columns: str | pl.Expr) -> pl.DataFrame | None:
    """Some columns of the rows, those that count most first."""
    if frame is None:
        return None
    others = [name for name in frame.columns if name not in ("rows", "first_seen")]
    descending = [True, *(False for _ in others), False]
    return frame.sort("rows", "first_seen", *others, descending=descending).select("ip", *columns)


def _whole(frame: pl.DataFrame | None) -> pl.DataFrame | None:
    """A host's services as one."""
    if frame is None:
        return None
    seen = pl.col("first_seen").min(), pl.col("last_seen").max()
    return frame.sort(frame.columns).group_by("ip").agg(*seen, pl.col("scope").first())


def _ports(frame: pl.DataFrame | None, clients: pl.DataFrame | None) -> pl.DataFrame | None:
    """One row a port: its most likely protocol."""
    if frame is None:
        return None
    port = ["ip", "port", "transport"]
    ordered = frame.sort("confidence", pl.col("protocol").fill_null(""), descending=True)
    seen = pl.col("first_seen").min(), pl.col("last_seen").max()
    ports = ordered.group_by(port).agg(pl.col("protocol").first(), *seen)
    missing = pl.lit(None, pl.UInt64).alias("distinct")
    ports = ports.with_columns(missing) if clients is None else ports.join(clients, on=port, how="left")
    unnamed = (pl.lit(None, pl.String).alias(name) for name in ("product", "version"))
    counted = pl.col("distinct").alias("clients")
    return ports.sort(port).select(*port, "protocol", *unnamed, counted, "first_seen", "last_seen")


def _by_host(frame: pl.DataFrame | None) -> Groups:
    groups: dict[str, list[Row]] = defaultdict(list)
    if frame is not None:
        for ip, row in zip(frame["ip"], frame.drop("ip").rows(named=True), strict=True):
            groups[ip].append(row)
    return groups


def _joined(*tallies: Any) -> pl.DataFrame | None:
    frames = [frame for tally in tallies if (frame := tally.frame()) is not None]
    return pl.concat(frames, how="vertical_relaxed") if frames else None


def _addresses(frame: pl.DataFrame | None) -> set[str]:
    return set() if frame is None else {*frame["ip"].drop_nulls().unique()}


def _order(ip: str) -> tuple[int, bytes, str]:
    address = ip.partition("%")[0]
    for version, family in ((4, AF_INET), (6, AF_INET6)):
        try:
            return version, inet_pton(family, address), ip
        except (OSError, ValueError):
            continue
    return 9, b"", ip
