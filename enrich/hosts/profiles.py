"""The records of hosts: all that is counted of each, put together. Some hosts at a time, as there may be very many.

What most hosts have is put together by columns; what few have, or needs thought, host by host.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from functools import partial
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

import polars as pl

from enrich.banners.knowledge import Knowledge
from enrich.hosts.claims import Claims
from enrich.hosts.flows import Flows
from enrich.json_texts import Line, encode, objects, texts
from enrich.names import host_name
from enrich.systems import Clue, PortRange, Systems

Row = dict[str, Any]
Groups = Mapping[str, list[Row]]
_AT_ONCE = 4_000
"""So many hosts are put together at a time."""
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
        others = flows.other_services.frame()
        self.hosts = _hosts(flows.hosts.frame(), others)
        places = self.hosts.select("ip", "own").with_row_index("at")
        own, outside = places.filter("own"), places.filter(~pl.col("own"))
        frames = {
            "services": (flows.services.frame(), own),
            "other_services": (others, outside),
            "clients": (flows.clients.counts(), places),
            "applications": (flows.applications.frame(), own),
            "sites": (flows.sites.frame(), own),
            "names": (_joined(flows.names, flows.other_names, claims.names), places),
            "software": (claims.software.frame(), places),
            "agents": (claims.agents.frame(), places),
            "told": (claims.systems.frame(), places),
            "syns": (claims.syns.frame(), places),
            "client_ports": (flows.client_ports.values(), places),
            "ports_seen": (flows.client_ports.counts(), own),
            "port_extremes": (flows.port_extremes.frame(), own),
        }
        self._frames = {name: _ByHost(frame, at) for name, (frame, at) in frames.items() if frame is not None}

    def records(self) -> Iterator[Line]:
        """One record a host: the site's own by address, then the others."""
        own = int(self.hosts["own"].sum())
        for begin, end in ((0, own), (own, self.hosts.height)):
            for first in range(begin, end, _AT_ONCE):
                yield from map(Line, _About(self, first, min(first + _AT_ONCE, end)).lines())

    def frame(self, name: str, first: int, last: int) -> pl.DataFrame | None:
        """The rows of some hosts, from the first to before the last; None if there are none."""
        rows = self._frames[name].of(first, last) if name in self._frames else None
        return rows if rows is not None and rows.height else None


class _ByHost:
    """A frame whose rows are found by the place of their host."""

    def __init__(self, frame: pl.DataFrame, places: pl.DataFrame) -> None:
        at = frame.select("ip").join(places, on="ip", how="left", maintain_order="left")["at"]
        self._frame, self._order = frame, at.arg_sort(nulls_last=True)
        self._places = at.gather(self._order).drop_nulls().to_numpy()

    def of(self, first: int, last: int) -> pl.DataFrame:
        begin, end = self._places.searchsorted((first, last))
        return self._frame[self._order[begin:end]]


class _About:
    """All that is known of some hosts, either all of them the site's own or none."""

    def __init__(self, profiles: Profiles, first: int, last: int) -> None:
        self.systems, self._knowledge = profiles.systems, profiles.knowledge
        self.hosts = profiles.hosts[first:last]
        self.own = bool(self.hosts["own"].all())
        self._frame = partial(profiles.frame, first=first, last=last)
        software = _sorted(self._frame("software"))
        self.software, self.agents = _by_host(software), _by_host(_sorted(self._frame("agents")))
        self.told, self.syns = _by_host(_sorted(self._frame("told"))), _by_host(_sorted(self._frame("syns")))
        services = self._frame("services" if self.own else "other_services")
        self.services = _ports(services, self._frame("clients"), software)
        self.applications = _busiest(self._frame("applications"), *_APPLICATION)
        self.sites = _busiest(self._frame("sites"), *_SITE)
        antivirus = pl.col("category") == "antivirus"
        self.antivirus = _by_host(None if self.sites is None else self.sites.filter(antivirus))
        values = self._frame("client_ports")
        self.ranges = {} if values is None else self.systems.port_ranges(values)
        self.ports_seen = _by_host(self._frame("ports_seen"))
        self.port_extremes = _by_host(self._frame("port_extremes"))

    def lines(self) -> Iterable[str]:
        """The full profiles of the site's own hosts, or the few fields of servers outside, as JSON."""
        members = {
            "names": self._names(),
            "os": self._each(self._system, {*self.software, *self.agents, *self.told, *self.syns, *self.ranges}),
            "services": self._lists(self.services, nulls=False),
        }
        if self.own:
            members |= {
                "applications": self._lists(_sure(self.applications)),
                "software": self._each(self._software, {*self.software, *self.agents, *self.antivirus}, "[]"),
                "sites": self._lists(self.sites),
                "ephemeral_ports": self._each(self._ephemeral, self.port_extremes),
            }
        return objects(self.hosts, members)

    def _each(self, tell: Callable[[str], Any], known: Container[str], none: str = "null") -> pl.Series:
        """What there is to tell of each host that is known for it."""
        return pl.Series([encode(tell(ip)) if ip in known else none for ip in self.hosts["ip"]], dtype=pl.String)

    def _lists(self, rows: pl.DataFrame | None, *, nulls: bool = True) -> pl.Series:
        """The rows of each host, an object each."""
        if rows is None:
            return self._each(str, (), "[]")
        return self._array(rows["ip"], objects(rows.drop("ip"), nulls=nulls))

    def _array(self, ips: pl.Series, items: pl.Series) -> pl.Series:
        """The items of each host."""
        arrays = pl.DataFrame({"ip": ips, "items": items}).group_by("ip").agg("items")
        found = self.hosts.select("ip").join(arrays, on="ip", how="left", maintain_order="left")
        return found.select("[" + pl.col("items").list.join(", ").fill_null("") + "]").to_series()

    def _names(self) -> pl.Series:
        named = _busiest(self._frame("names"), "name")
        if named is None:
            return self._each(str, (), "[]")
        folded = pl.Series("name", [host_name(name) for name in named["name"]], dtype=pl.String)
        names = named.select("ip", folded).drop_nulls().unique(maintain_order=True)
        return self._array(names["ip"], texts(names[["name"]])["name"])

    def _system(self, ip: str) -> Row | None:
        return self.systems.verdict(self._clues(ip))

    def _software(self, ip: str) -> list[Row]:
        """The inventory: what banners, User-Agents and Zeek name, and security products that call home."""
        named = [_named(row, row["product"], row["vendor"], row["source"]) for row in self.software.get(ip, [])]
        named += [_named(row, row["family"], None, "user_agent") for row in self.agents.get(ip, [])]
        antivirus = [row for row in self.antivirus.get(ip, []) if row["product"]]
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

    def _ephemeral(self, ip: str) -> Row:
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


def _sure(applications: pl.DataFrame | None) -> pl.DataFrame | None:
    """Applications with the mean of their confidence, rounded as Python does.

    Confidences have three decimals, and so has their sum, in whatever order they came.
    """
    if applications is None:
        return None
    means = applications["confidence"].round(3) / applications["flows"]
    return applications.with_columns(pl.Series("confidence", [round(mean, 3) for mean in means]))


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


def _hosts(own: pl.DataFrame | None, services: pl.DataFrame | None) -> pl.DataFrame:
    """All hosts, the site's own first and each in the order of addresses: when they were seen, and where they are."""
    hosts = pl.DataFrame(
        schema={"ip": pl.String, "first_seen": pl.Float64, "last_seen": pl.Float64, "scope": pl.String}
    )
    if own is not None:
        latest = own.sort(own.columns).unique("ip", keep="last", maintain_order=True)
        hosts = pl.concat([hosts, latest.select(hosts.columns)])
    hosts = hosts.with_columns(pl.lit(True).alias("own"))
    if services is not None:
        seen = pl.col("first_seen").min(), pl.col("last_seen").max()
        others = services.sort(services.columns).group_by("ip").agg(*seen, pl.col("scope").first())
        others = others.join(hosts, on="ip", how="anti")
        hosts = pl.concat([hosts, others.with_columns(pl.lit(False).alias("own"))])
    hosts = hosts.filter(pl.col("ip").is_not_null())
    order = pl.Series("order", [_order(ip) for ip in hosts["ip"]], dtype=pl.Binary)
    return hosts.with_columns(order).sort("own", "order", descending=[True, False]).drop("order")


def _ports(
    frame: pl.DataFrame | None, clients: pl.DataFrame | None, software: pl.DataFrame | None
) -> pl.DataFrame | None:
    """One row a port: its most likely protocol, and the software that its banner named last."""
    if frame is None:
        return None
    port = ["ip", "port", "transport"]
    ordered = frame.sort("confidence", pl.col("protocol").fill_null(""), descending=True)
    seen = pl.col("first_seen").min(), pl.col("last_seen").max()
    ports = ordered.group_by(port).agg(pl.col("protocol").first(), *seen)
    missing = pl.lit(None, pl.UInt64).alias("distinct")
    ports = ports.with_columns(missing) if clients is None else ports.join(clients, on=port, how="left")
    if software is None:
        ports = ports.with_columns(pl.lit(None, pl.String).alias(name) for name in ("product", "version"))
    else:
        named = software.filter(pl.col("product") != "").sort("last_seen", "rows", descending=True, maintain_order=True)
        latest = named.unique(["ip", "port"], keep="first", maintain_order=True)
        ports = ports.join(latest.select("ip", "port", "product", "version"), on=["ip", "port"], how="left")
    counted = pl.col("distinct").alias("clients")
    return ports.sort(port).select(*port, "protocol", "product", "version", counted, "first_seen", "last_seen")


def _by_host(frame: pl.DataFrame | None) -> Groups:
    groups: dict[str, list[Row]] = defaultdict(list)
    if frame is not None:
        for row in frame.iter_rows(named=True):
            groups[row["ip"]].append(row)
    return groups


def _joined(*tallies: Any) -> pl.DataFrame | None:
    frames = [frame for tally in tallies if (frame := tally.frame()) is not None]
    return pl.concat(frames, how="vertical_relaxed") if frames else None


def _order(ip: str) -> bytes:
    """What puts addresses in order: version, number, text."""
    address = ip.partition("%")[0]
    try:
        number = b"\6" + inet_pton(AF_INET6, address) if ":" in address else b"\4" + inet_pton(AF_INET, address)
    except (OSError, ValueError):
        number = b"\x09"
    return number + ip.encode()
