"""Findings from what changed or does not fit together: new services, other banners, several systems at one address."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, pairwise
from typing import Any

import polars as pl

from enrich.applications import Catalogue
from enrich.columns import BANNER_LOGS
from enrich.findings.case import REMEMBERED, Case, Cases, Finding, merged
from enrich.flows import Pick, among, pick
from enrich.systems import Systems, compatible
from enrich.tally import Sample, Spans, Tally

_SERVER_LOGS = tuple((log, prefix) for log, prefix in BANNER_LOGS if prefix.endswith("_server."))
_BANNER = ("product", "version", "os", "os_version")


def _seen() -> tuple[Pick, Pick, Pick]:
    """Own hosts as clients and as servers, and their services."""
    dated, answered = pl.col("ts").is_not_null(), pl.col("_resp_own") & pl.col("_open")
    named = pl.col("_observed") | pl.col("app.asserted").is_not_null()
    # A port above those for services that nothing names is an endpoint of the moment, such as FTP's data.
    service = (named | (pl.col("_tcp") & (pl.col("id.resp_p") < 32768))) & pl.col("_oriented")
    data = among(pl.col("app.protocol"), ("ftp_data", "bittorrent", "tftp")).fill_null(False)
    served = {"host": "id.resp_h", "port": "id.resp_p", "transport": "proto", "protocol": "app.protocol"}
    return (
        Pick(pl.col("_orig_own") & dated, "ts", host="id.orig_h"),
        Pick(answered & dated, "ts", host="id.resp_h"),
        Pick(answered & (pl.col("_tcp") | pl.col("_udp")) & service & ~data, "ts", "uid", peer="id.orig_h", **served),
    )


_SEEN = _seen()


_PORT = ("host", "port", "transport")
_SERVICE = (*_PORT, "protocol")


class NewService:
    """A service of a host that was known before without it.

    The next run learns which services there were and, of each host, the first hours in which it was active: as many as
    it takes to be known. A service is judged once, by the run in which it has flows enough; until then its flows and
    clients are handed on with it.
    """

    schemas: Mapping[str, pl.Schema] = {
        "host_services": pl.Schema(
            {
                "host": pl.String(),
                "port": pl.Int64(),
                "transport": pl.String(),
                "protocol": pl.String(),
                "first_seen": pl.Float64(),
                "last_seen": pl.Float64(),
                "flows": pl.Int64(),
                "uids": pl.List(pl.String),
                "peers": pl.List(pl.String),
            }
        ),
        "host_hours": pl.Schema({"host": pl.String(), "hours": pl.List(pl.Int64), "last": pl.Int64()}),
    }

    def __init__(self, table: Mapping[str, Any], catalogue: Catalogue, remembered: int = REMEMBERED) -> None:
        """``remembered``: rows of a table that are handed to the next run."""
        self.table = table["new_service"]
        self.catalogue = catalogue
        self.active = Spans("host", 3600)
        self.services = Cases(_SERVICE, table["limits"])
        self.bounded = (self.services,)
        self.remembered = remembered
        self.forgotten: list[str] = []
        self._before = {name: schema.to_frame() for name, schema in self.schemas.items()}
        self._since = 0.0
        self._cases: list[Case] = []

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Look at one conn batch."""
        if log != "conn":
            return
        client, server, services = pick(frame, *_SEEN)
        self.active.add(client)
        self.active.add(server)
        self.services.add(services)

    def findings(self) -> Iterator[Finding]:
        """One a host and port."""
        new = list(self.services.cases(unnamed=True))  # what they show is known, though it makes no finding
        before = self._seen_before(new)
        self._cases = [self._joined(before.get(_service(case)), case) for case in new]
        active = self._active(pl.DataFrame({"host": [case.keys["host"] for case in new]}, {"host": pl.String}))
        ports: dict[tuple[Any, ...], float] = {}
        for case in (*before.values(), *self._cases):
            key = _service(case)[:-1]
            ports[key] = min(case.first_seen, ports.get(key, case.first_seen))
        for case in self._cases:
            host, port, transport, protocol = _service(case)
            if not case.uids or not self._is_enough(case) or case.first_seen > ports[host, port, transport]:
                continue
            earlier = before.get(_service(case))
            if earlier is not None and self._is_enough(earlier):
                continue
            since = self._known_since(case.first_seen, active.get(host, []))
            if since is None:
                continue
            grave = protocol is not None and self.catalogue.category(protocol, None) in self.table["grave"]
            yield Finding(
                "new_service", self.table["severity"]["grave" if grave else "known_protocol"], host,
                f"new service: {protocol or 'unknown'} on port {port}/{transport}", case.first_seen, case.last_seen,
                case.flows, case.uids, case.peer, port,
                [f"known:{(case.first_seen - since) / 86400:.1f} days without it", case.peers_told("clients")],
            )  # fmt: skip

    def _known_since(self, seen: float, active: list[int]) -> float | None:
        """Since when a host has been known without the service; None if it has not, or not for long enough."""
        if bisect_right(active, seen - 3600) < self.table["hours"]:
            return None
        since = max(active[0], self._since)
        return since if seen - since >= self.table["known"] else None

    def _active(self, hosts: pl.DataFrame) -> dict[str, list[int]]:
        """The hours in which each of these hosts was active, by when they began; of earlier runs the first ones."""
        out: dict[str, list[int]] = defaultdict(list)
        for host, start in self._hours(hosts).sort("start").select("host", "start").iter_rows():
            out[host].append(start)
        return out

    def _hours(self, hosts: pl.DataFrame) -> pl.DataFrame:
        """Each host, the ``start`` of hours in which it was active, and ``last``, the latest that is known."""
        before = self._before["host_hours"].join(hosts, on="host", how="semi")
        hours = before.explode("hours").rename({"hours": "start"})
        frame = self.active.frame()
        if frame is None:
            return hours
        now = frame.join(hosts, on="host", how="semi").select("host", "start", last="start")
        return pl.concat([hours, now]).group_by("host", "start").agg(pl.max("last")) if hours.height else now

    def remember(self, tables: Mapping[str, pl.DataFrame], since: float) -> None:
        """Take in what :meth:`rows` gave in an earlier run."""
        self._before, self._since = dict(tables), since

    def rows(self, now: float, age: float) -> dict[str, pl.DataFrame]:
        """Services seen lately, and the first hours of the hosts that were."""
        services = pl.DataFrame([self._row(case) for case in self._cases], self.schemas["host_services"], orient="row")
        before = self._before["host_services"].join(services, on=_SERVICE, how="anti", nulls_equal=True)
        # A record may claim to be from the future.
        services = pl.concat([before, services]).with_columns(pl.col("first_seen", "last_seen").clip(upper_bound=now))
        services = services.filter(pl.col("last_seen") >= now - age)
        hours = pl.col("start").sort().head(self.table["hours"]).alias("hours")
        frame, hosts = self.active.frame(), self._before["host_hours"]
        if frame is not None:
            seen = self._hours(frame).filter(pl.col("start") <= now).group_by("host").agg(hours, pl.max("last"))
            hosts = pl.concat([hosts.join(seen, on="host", how="anti"), seen])
        hosts = hosts.filter(pl.col("last") >= now - age)
        return dict(zip(self.schemas, self._bounded(services, hosts), strict=True))

    def _bounded(self, services: pl.DataFrame, hosts: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
        """No more than may be handed on. A host of which services are forgotten is a stranger from then on."""
        self.forgotten = []
        if self.services.cut:
            self.forgotten.append(
                "more services of the site's own hosts than a run can follow: all hosts are forgotten"
            )
            hosts = hosts.clear()
        if hosts.height > self.remembered:
            self.forgotten.append(f"more than {self.remembered:,} hosts of the site's own; those known best are kept")
            best = pl.col("hours").list.len()
            hosts = hosts.sort(best, "last", "host", descending=True).head(self.remembered)
        if services.height > self.remembered:
            sizes = services.group_by("host").len().sort("len", "host")
            few = sizes.filter(pl.col("len").cast(pl.Int64).cum_sum() <= self.remembered)
            crowded = sizes.height - few.height
            self.forgotten.append(
                f"more than {self.remembered:,} services of the site's own hosts; the {crowded:,} hosts with most of "
                "them are forgotten"
            )
            hosts = hosts.join(services.join(few, on="host", how="anti"), on="host", how="anti")
            services = services.join(few, on="host", how="semi")
        return services, hosts

    def _row(self, case: Case) -> tuple[Any, ...]:
        uids, peers = ([], []) if self._is_enough(case) else (case.uids, case.peers)
        return *_service(case), case.first_seen, case.last_seen, case.flows, uids, peers

    def _seen_before(self, cases: Sequence[Case]) -> dict[tuple[Any, ...], Case]:
        """What earlier runs knew of services on the ports of these."""
        services = self._before["host_services"]
        if not services.height:
            return {}
        schema = {name: services.schema[name] for name in _PORT}
        ports = pl.DataFrame([_service(case)[:-1] for case in cases], schema, orient="row")
        known = services.join(ports, on=_PORT, how="semi", nulls_equal=True)
        out = {}
        for row in known.iter_rows(named=True):
            keys = {name: row.pop(name) for name in _SERVICE}
            out[tuple(keys.values())] = Case(keys, **row, peer_count=len(row["peers"]))
        return out

    def _joined(self, before: Case | None, now: Case) -> Case:
        """A service as earlier runs and this one know it; a flow that comes again counts once."""
        if before is None:
            return now
        case = merged([before, now], now.keys, [*before.peers, *now.peers], self.services.limits)
        uids = list(dict.fromkeys(case.uids))
        flows = case.flows - (len(case.uids) - len(uids))
        return replace(case, uids=uids, flows=flows, peer_count=max(case.peer_count, now.peer_count))

    def _is_enough(self, case: Case) -> bool:
        return bool(case.flows >= self.table["flows"])


def _service(case: Case) -> tuple[Any, ...]:
    return tuple(case.keys[name] for name in _SERVICE)


class BannerChanged:
    """A service that names other software than it did."""

    READS: Mapping[str, frozenset[str]] = {
        log: frozenset(f"{prefix}{name}" for name in _BANNER) for log, prefix in _SERVER_LOGS
    }

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table["banner_changed"]
        keys = ("host", "port", "service", *_BANNER)
        self.banners = Tally(keys, most=50_000)
        self.flows = Sample(keys, ("uid",), size=table["limits"]["uids"] // 2, most=50_000)
        self.bounded = (self.banners, self.flows)

    def _logs(self) -> list[tuple[str, str]]:
        return [(log, prefix) for log, prefix in _SERVER_LOGS if prefix.rstrip(".") not in self.table["except"]]

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Look at one batch of a log with banners."""
        for name, prefix in self._logs():
            if name == log and f"{prefix}product" in frame.columns:
                named = pl.col("_resp_own") & pl.col(f"{prefix}product").is_not_null()
                banner = {field: f"{prefix}{field}" for field in _BANNER}
                told = Pick(named, "ts", "uid", host="id.resp_h", port="id.resp_p", **banner)(frame)
                told = told.with_columns(pl.lit(prefix.rstrip(".")).alias("service"))
                self.banners.add(told)
                self.flows.add(told)

    def findings(self) -> Iterator[Finding]:
        """One a service, whose banners follow each other in time; several that take turns are several machines."""
        banners, flows = self.banners.frame(), self.flows.frame()
        if banners is None or flows is None:
            return
        uids: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        for uid, *key in flows.select("uid", *self.flows.keys).iter_rows():
            if uid is not None:
                uids[tuple(key)].append(str(uid))
        services: dict[tuple[Any, ...], list[dict[str, Any]]] = defaultdict(list)
        for row in banners.sort("first_seen", *self.flows.keys).iter_rows(named=True):
            if row["rows"] >= self.table["seen"]:
                services[row["host"], row["port"], row["service"]].append(row)
        for (host, port, service), rows in services.items():
            if any(later["first_seen"] <= earlier["last_seen"] for earlier, later in pairwise(rows)):
                continue
            for before, after in pairwise(rows):
                same = before["product"] == after["product"] and before["os"] == after["os"]
                named = uids[tuple(after[name] for name in self.flows.keys)]
                named = uids[tuple(before[name] for name in self.flows.keys)] + named
                if named:
                    yield Finding(
                        "banner_changed", self.table["severity"]["version" if same else "product"], host,
                        f"{service.removesuffix('_server')} on port {port}: {_told(before)}, then {_told(after)}",
                        after["first_seen"], after["last_seen"], before["rows"] + after["rows"], named, None, port,
                        [f"before:{_told(before)}, {before['rows']}×", f"after:{_told(after)}, {after['rows']}×"],
                    )  # fmt: skip


class UserAgentConflict:
    """User-Agents of several systems from one address at the same time."""

    READS: Mapping[str, frozenset[str]] = {"http": frozenset({"ua.family", "ua.os", "ua.kind"})}

    def __init__(self, table: Mapping[str, Any], systems: Systems) -> None:
        self.table = table["user_agent_conflict"]
        self.limits = table["limits"]
        self.systems = systems
        keys = ("host", "os", "agent")
        self.agents = Tally(keys, most=50_000, each=200)
        self.flows = Sample(keys, ("uid",), size=5, most=50_000)
        self.bounded = (self.agents, self.flows)

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Look at one http batch."""
        if log != "http" or not {"ua.os", "ua.kind", "ua.family"} <= {*frame.columns}:
            return
        named = pl.col("_orig_own") & pl.col("ua.os").is_not_null() & pl.col("ua.kind").is_in(self.table["kinds"])
        told = Pick(named, "ts", "uid", host="id.orig_h", os="ua.os", agent="ua.family")(frame)
        self.agents.add(told)
        self.flows.add(told)

    def findings(self) -> Iterator[Finding]:
        """One a host."""
        agents, flows = self.agents.frame(), self.flows.frame()
        if agents is None or flows is None:
            return
        uids: dict[tuple[str, str], list[str]] = defaultdict(list)
        for host, os, uid in flows.select("host", "os", "uid").drop_nulls().iter_rows():
            uids[host, os].append(str(uid))
        hosts: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        for row in agents.sort("first_seen", *self.flows.keys).iter_rows(named=True):
            hosts[row["host"]][row["os"]].append(row)
        for host, told in hosts.items():
            known = {os: rows for os, rows in told.items() if _requests(rows) >= self.table["requests"]}
            pairs = [pair for pair in combinations(known, 2) if self._conflict(known, *pair)]
            apart = {os for pair in pairs for os in pair}
            named = list(dict.fromkeys(uid for os in sorted(apart) for uid in uids[host, os]))
            if not apart or not named:
                continue
            rows = [row for os in sorted(apart) for row in known[os]]
            evidence = []
            for os in sorted(apart):
                programs = list(dict.fromkeys(row["agent"] or "?" for row in known[os]))[: self.limits["peers"]]
                evidence.append(f"{os}:{_requests(known[os])} requests by {', '.join(programs)}")
            yield Finding(
                "user_agent_conflict", self.table["severity"], host,
                f"User-Agents of several systems: {', '.join(sorted(apart))}", min(row["first_seen"] for row in rows),
                max(row["last_seen"] for row in rows), _requests(rows), named[: self.limits["uids"]],
                None, None, evidence,
            )  # fmt: skip

    def _conflict(self, told: Mapping[str, list[dict[str, Any]]], one: str, other: str) -> bool:
        """Whether two systems cannot be one machine and were seen in the same stretch of time."""
        if compatible(self.systems.families(one), self.systems.families(other)):
            return False
        first = {os: min(float(row["first_seen"]) for row in told[os]) for os in (one, other)}
        last = {os: max(float(row["last_seen"]) for row in told[os]) for os in (one, other)}
        return first[one] < last[other] and first[other] < last[one]


def _requests(rows: list[dict[str, Any]]) -> int:
    return sum(row["rows"] for row in rows)


def _told(banner: Mapping[str, Any]) -> str:
    system = " ".join(filter(None, (banner["os"], banner["os_version"])))
    return " ".join(filter(None, (banner["product"], banner["version"], f"({system})" if system else None)))
