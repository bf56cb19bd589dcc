"""Turns the site into log rows, one chunk of flows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from . import transactions, values, words
from .site import RESOLVERS, WEB, Hosts, Lookups, Site, busy_hosts, lookups
from .values import Floats, Ints, join, pick

Bools = npt.NDArray[np.bool_]

# conn_state, history, weight: how TCP connections that worked look, most often first
_WORKED = (
    ("SF", "ShADadFf", 0.62),
    ("SF", "ShADadfF", 0.10),
    ("SF", "ShADadFfR", 0.07),
    ("RSTO", "ShADadR", 0.06),
    ("RSTR", "ShADadFr", 0.03),
    ("S1", "ShADad", 0.06),
    ("SF", "ShADadTtFf", 0.04),
    ("S3", "ShADadf", 0.02),
)
_FAILED = (("S0", "S", 0.6), ("REJ", "Sr", 0.3), ("RSTO", "ShR", 0.05), ("SH", "SF", 0.05))
_SCANNED = (("S0", "S", 0.75), ("REJ", "Sr", 0.2), ("RSTO", "ShR", 0.05))
_MIDSTREAM = (("OTH", "DadA", 0.4), ("OTH", "^dDa", 0.3), ("OTH", "Aa", 0.2), ("SF", "DadAFf", 0.1))

# port, transport, Zeek's service, weight: what clients ask of the site's own servers
_INTERNAL = (
    (445, "tcp", "gssapi,ntlm,smb", 0.22),
    (123, "udp", "ntp", 0.16),
    (88, "tcp", "krb_tcp", 0.12),
    (389, "tcp", "ldap_tcp", 0.10),
    (161, "udp", "snmp", 0.10),
    (443, "tcp", "ssl", 0.08),
    (3306, "tcp", "mysql", 0.05),
    (5432, "tcp", "postgresql", 0.04),
    (514, "udp", "syslog", 0.04),
    (3389, "tcp", "rdp,ssl", 0.03),
    (9100, "tcp", None, 0.02),
    (8080, "tcp", "http", 0.02),
    (22222, "tcp", "http", 0.01),
    (23, "tcp", None, 0.01),
)
_PEER_PORTS = (6881, 51413, 6346, 4662, 27015, 3478, 51820)
_SWEPT_PORTS = (22, 23, 80, 443, 445, 1433, 3306, 3389, 5900, 6379, 8080, 8443)
_IP_PROTO = {"tcp": 6, "udp": 17, "icmp": 1}


@dataclass(frozen=True, slots=True)
class Ends:
    """When who called whom, one element a flow."""

    ts: Floats
    orig: pl.Series
    orig_p: Ints
    resp: pl.Series
    resp_p: Ints
    v6: Bools
    stamps: Bools
    local_orig: Bools
    local_resp: Bools


@dataclass(frozen=True, slots=True)
class Load:
    """What moved, one element a flow; a duration or a size below nought is unset."""

    duration: Floats
    orig_bytes: Ints
    resp_bytes: Ints
    orig_pkts: Ints
    resp_pkts: Ints


class Traffic:
    """All flows of a site, in order."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.hosts = Hosts(site.host_count)
        self._rng = np.random.default_rng(site.seed)
        self._number = 0
        self._user_agents = len(words.USER_AGENTS)

    def chunks(self) -> Iterator[tuple[float, dict[str, pl.DataFrame]]]:
        """Each chunk's end in time and its rows per log.

        A row's `written` says when Zeek would write it, which may lie beyond the chunk's end; `flow_id` is the uid as
        the number that Suricata would give.
        """
        for first in range(0, self.site.rows, self.site.chunk):
            last = min(first + self.site.chunk, self.site.rows)
            span = (self.site.start + first / self.site.rate, self.site.start + last / self.site.rate)
            yield span[1], self._chunk(first, last, span)

    def _chunk(self, first: int, last: int, span: tuple[float, float]) -> dict[str, pl.DataFrame]:
        counts = self.site.counts(last - first)
        asked = lookups(
            self._rng,
            self.site,
            self.hosts,
            counts["dns"] or sum(counts[k] for k in WEB),
            flows=(first, last),
            span=span,
        )
        logs: dict[str, list[pl.DataFrame]] = {"conn": []}
        for kind in ("dns", *WEB):
            if counts[kind]:
                self._named(kind, counts[kind], asked, logs)
        if counts["ssh"]:
            self._ssh(counts["ssh"], span, logs)
        if counts["smtp"]:
            self._smtp(counts["smtp"], span, logs)
        logs["conn"] += [
            self._internal(counts["internal"], span),
            self._scan(counts["scan"], span),
            self._failed(counts["failed"], span),
            self._midstream(counts["midstream"], span),
            self._peer(counts["peer"], span),
            self._icmp(counts["icmp"], span),
        ]
        return {log: pl.concat(frames, how="vertical_relaxed") for log, frames in logs.items()}

    def _named(self, kind: str, count: int, asked: Lookups, logs: dict[str, list[pl.DataFrame]]) -> None:
        rng = self._rng
        if kind == "dns":
            resolver = self.hosts.resolver[asked.host]
            ends = self._ends(asked.ts, asked.host, pick(pl.Series(RESOLVERS), resolver), 53)
            two = 1 + (rng.random(count) < 0.4)
            load = Load(asked.took, 40 * two, (60 + 30 * asked.answers) * two, two, two)
            conn = self._conn(ends, load, "udp", pl.Series(["dns"]), None)
            logs["conn"].append(conn)
            logs["dns"] = [transactions.dns(rng, conn, asked, two)]
            return
        usable = np.flatnonzero(asked.found)
        chosen = usable[rng.integers(0, len(usable), count)]
        host, name, v6 = asked.host[chosen], asked.name[chosen], asked.v6[chosen]
        address = asked.address[chosen] + rng.integers(0, asked.answers[chosen])
        pause = np.where(rng.random(count) < 0.8, rng.exponential(0.05, count), rng.exponential(40.0, count))
        port = {"tls": 443, "http": 80, "quic": 443}[kind]
        ends = self._ends(asked.ts[chosen] + asked.took[chosen] + pause, host, _addresses(address, v6), port, v6=v6)
        service = pl.Series([{"tls": "ssl", "http": "http", "quic": "quic,ssl"}[kind]])
        requests = rng.geometric(0.55, count) if kind == "http" else np.ones(count, dtype=np.int64)
        sizes = {"tls": (1800, 6500), "http": (420, 4000), "quic": (3200, 12000)}[kind]
        load = _tcp_load(rng, requests * _whole(rng, count, sizes[0], 0.6), _whole(rng, count, sizes[1], 1.8), 1.5)
        conn = self._conn(ends, load, "udp" if kind == "quic" else "tcp", service, None if kind == "quic" else _WORKED)
        logs["conn"].append(conn)
        if kind == "http":
            fresh = round(self.site.new_user_agents * int(requests.sum()))
            self._user_agents += fresh
            logs["http"] = [
                transactions.http(rng, conn, name, requests, agents=(self._user_agents - fresh, self._user_agents))
            ]
        else:
            logs.setdefault("ssl", []).append(transactions.ssl(rng, conn, name, quic=kind == "quic"))

    def _ssh(self, count: int, span: tuple[float, float], logs: dict[str, list[pl.DataFrame]]) -> None:
        rng = self._rng
        host = busy_hosts(rng, self.hosts, count)
        server = rng.integers(0, 200, count)
        outside = server >= 120
        resp = _either(outside, values.public_v4(server + 5_000_000), _servers(server))
        port = np.where(values.share(server, 81) < 0.05, 443, 22)
        ends = self._ends(rng.uniform(*span, count), host, resp, port, local=~outside)
        load = _tcp_load(rng, _whole(rng, count, 3500, 0.8), _whole(rng, count, 4500, 1.2), 20.0)
        conn = self._conn(ends, load, "tcp", pl.Series(["ssh"]), _WORKED)
        logs["conn"].append(conn)
        logs["ssh"] = [transactions.ssh(rng, conn, host, server, outside)]

    def _smtp(self, count: int, span: tuple[float, float], logs: dict[str, list[pl.DataFrame]]) -> None:
        rng = self._rng
        host = busy_hosts(rng, self.hosts, count)
        port = np.where(rng.random(count) < 0.3, 587, 25)
        mail_server = pick(pl.Series(["10.20.0.25"]), np.zeros(count, dtype=np.int64))
        ends = self._ends(rng.uniform(*span, count), host, mail_server, port, local=np.ones(count, dtype=bool))
        load = _tcp_load(rng, _whole(rng, count, 9000, 1.5), _whole(rng, count, 600, 0.4), 2.0)
        tls = rng.random(count) < 0.5
        service = pick(pl.Series(["smtp", "smtp,ssl"]), tls.astype(np.int64))
        conn = self._conn(ends, load, "tcp", service, _WORKED)
        logs["conn"].append(conn)
        logs["smtp"] = [transactions.smtp(rng, conn, host, tls)]

    def _internal(self, count: int, span: tuple[float, float]) -> pl.DataFrame:
        rng = self._rng
        kind = _draw(rng, count, [row[3] for row in _INTERNAL])
        udp = np.array([row[1] == "udp" for row in _INTERNAL])[kind]
        port = np.array([row[0] for row in _INTERNAL])[kind]
        resp = _servers(kind * 7 + rng.integers(0, 3, count))
        ends = self._ends(
            rng.uniform(*span, count), busy_hosts(rng, self.hosts, count), resp, port, local=np.ones(count, dtype=bool)
        )
        load = _tcp_load(rng, _whole(rng, count, 500, 1.2), _whole(rng, count, 900, 1.6), 0.4)
        service = pick(pl.Series([row[2] for row in _INTERNAL]), kind)
        worked = _draw(rng, count, [row[2] for row in _WORKED])
        state = np.where(udp, "SF", np.array([row[0] for row in _WORKED])[worked])
        history = np.where(udp, "Dd", np.array([row[1] for row in _WORKED])[worked])
        proto = pick(pl.Series(["tcp", "udp"]), udp.astype(np.int64))
        return self._conn(ends, load, proto, service, (pl.Series(state), pl.Series(history)))

    def _scan(self, count: int, span: tuple[float, float]) -> pl.DataFrame:
        # One outside scanner at a time sweeps the site's addresses, from one port, at a steady pace.
        scanner = values.public_v4(np.full(count, 9_000_000 + self._number // 1_000_000))
        target = np.arange(count) % 5000
        resp = pick(pl.Series([f"10.20.{i // 250}.{1 + i % 250}" for i in range(5000)]), target)
        port = np.array(_SWEPT_PORTS)[(self._number // 5000 + np.arange(count) // 5000) % len(_SWEPT_PORTS)]
        no = np.zeros(count, dtype=bool)
        ts = np.linspace(*span, count, endpoint=False)
        ends = Ends(ts, scanner, np.full(count, 54321), resp, port, no, no, no, ~no)
        ones = np.ones(count, dtype=np.int64)
        return self._conn(
            ends, Load(-ones.astype(np.float64), -ones, -ones, ones, 0 * ones), "tcp", pl.Series([None]), _SCANNED
        )

    def _failed(self, count: int, span: tuple[float, float]) -> pl.DataFrame:
        rng = self._rng
        resp = values.public_v4(rng.integers(0, self.site.address_count, count))
        port = rng.choice([443, 80, 8333, 25, 993], count)
        host = busy_hosts(rng, self.hosts, count)
        ends = self._ends(rng.uniform(*span, count), host, resp, port)
        tries = rng.integers(2, 7, count)
        nothing = np.zeros(count, dtype=np.int64)
        load = Load(3.0 * tries + rng.random(count), nothing, nothing, tries, nothing)
        return self._conn(ends, load, "tcp", pl.Series([None]), _FAILED)

    def _midstream(self, count: int, span: tuple[float, float]) -> pl.DataFrame:
        rng = self._rng
        resp = values.public_v4(rng.integers(0, self.site.address_count, count))
        port = rng.choice([443, 80, 22, 5222], count, p=[0.7, 0.15, 0.1, 0.05])
        host = busy_hosts(rng, self.hosts, count)
        right = self._ends(rng.uniform(*span, count), host, resp, port)
        # Without a SYN Zeek takes the first packet's sender for the originator, often the server.
        swap = rng.random(count) < 0.4
        ends = Ends(
            right.ts,
            _either(swap, right.resp, right.orig),
            np.where(swap, right.resp_p, right.orig_p),
            _either(swap, right.orig, right.resp),
            np.where(swap, right.orig_p, right.resp_p),
            right.v6,
            right.stamps,
            ~swap,
            swap,
        )
        load = _tcp_load(rng, _whole(rng, count, 900, 2.0), _whole(rng, count, 900, 2.0), 30.0)
        return self._conn(ends, load, "tcp", pl.Series([None]), _MIDSTREAM)

    def _peer(self, count: int, span: tuple[float, float]) -> pl.DataFrame:
        rng = self._rng
        peer = rng.integers(0, 5_000 + self.site.rows // 100, count)
        host = rng.integers(0, max(self.hosts.count // 50, 1), count)
        known = np.array(_PEER_PORTS)[values.below(peer, 91, len(_PEER_PORTS))]
        port = np.where(values.share(peer, 92) < 0.3, known, 1024 + values.below(peer, 93, 64000))
        ends = self._ends(rng.uniform(*span, count), host, values.public_v4(peer + 20_000_000), port)
        load = _tcp_load(rng, _whole(rng, count, 300, 2.0), _whole(rng, count, 400, 3.0), 8.0)
        proto = pick(pl.Series(["tcp", "udp"]), rng.integers(0, 2, count))
        udp = (proto == "udp").to_numpy()
        state, history = pl.Series(np.where(udp, "SF", "S1")), pl.Series(np.where(udp, "Dd", "ShADad"))
        return self._conn(ends, load, proto, pl.Series([None]), (state, history))

    def _icmp(self, count: int, span: tuple[float, float]) -> pl.DataFrame:
        rng = self._rng
        host = busy_hosts(rng, self.hosts, count)
        no = np.zeros(count, dtype=bool)
        local = self._ends(rng.uniform(*span, count), host, _servers(host), 0, local=~no)
        echo = np.full(count, 8)
        ends = Ends(local.ts, local.orig, echo, local.resp, echo * 0, no, no, ~no, ~no)
        pings = rng.integers(1, 5, count)
        load = Load(pings.astype(np.float64), 56 * pings, 56 * pings, pings, pings)
        return self._conn(ends, load, "icmp", pl.Series([None]), (pl.Series(["OTH"]), pl.Series([None])))

    def _ends(
        self,
        ts: Floats,
        host: Ints,
        resp: pl.Series,
        resp_p: Ints | int,
        *,
        v6: Bools | None = None,
        local: Bools | None = None,
    ) -> Ends:
        low, high = self.hosts.low[host], self.hosts.high[host]
        no = np.zeros(len(host), dtype=bool)
        v6 = no if v6 is None else v6
        return Ends(
            ts=ts,
            orig=_either(v6, pick(self.hosts.v6, host), pick(self.hosts.v4, host)),
            orig_p=self._rng.integers(low, high + 1),
            resp=resp,
            resp_p=np.broadcast_to(np.asarray(resp_p, dtype=np.int64), host.shape),
            v6=v6,
            stamps=self.hosts.stamps[host],
            local_orig=~no,
            local_resp=no if local is None else local,
        )

    def _conn(
        self,
        ends: Ends,
        load: Load,
        proto: str | pl.Series,
        service: pl.Series,
        ending: tuple[tuple[str, str, float], ...] | tuple[pl.Series, pl.Series] | None,
    ) -> pl.DataFrame:
        count = len(ends.ts)
        numbers = np.arange(self._number, self._number + count, dtype=np.int64)
        self._number += count
        ids = values.mix(numbers, self.site.seed + 1000)
        state, history = _endings(self._rng, count, ending)
        protos = pl.Series([proto]) if isinstance(proto, str) else proto
        tcp = (protos == "tcp").to_numpy()
        header = np.where(tcp, 40 + 12 * ends.stamps, 28) + 20 * ends.v6
        frame = pl.DataFrame(
            {
                "ts": np.round(ends.ts, 6),
                "uid": values.unique_ids("C", ids.astype(np.int64), 100),
                "flow_id": (ids >> np.uint64(11)).astype(np.int64),
                "id.orig_h": ends.orig,
                "id.orig_p": ends.orig_p,
                "id.resp_h": ends.resp,
                "id.resp_p": ends.resp_p,
                "proto": _column(protos, count),
                "service": _column(service, count),
                "duration": np.round(load.duration, 6),
                "orig_bytes": load.orig_bytes,
                "resp_bytes": load.resp_bytes,
                "conn_state": _column(state, count),
                "local_orig": ends.local_orig,
                "local_resp": ends.local_resp,
                "missed_bytes": np.zeros(count, dtype=np.int64),
                "history": _column(history, count),
                "orig_pkts": load.orig_pkts,
                "orig_ip_bytes": np.maximum(load.orig_bytes, 0) + load.orig_pkts * header,
                "resp_pkts": load.resp_pkts,
                "resp_ip_bytes": np.maximum(load.resp_bytes, 0) + load.resp_pkts * header,
                "tunnel_parents": pl.repeat(None, count, dtype=pl.String, eager=True),
            }
        )
        unset = [pl.when(pl.col(c) >= 0).then(pl.col(c)).alias(c) for c in ("duration", "orig_bytes", "resp_bytes")]
        return frame.with_columns(
            *unset,
            pl.col("proto").replace_strict(_IP_PROTO, return_dtype=pl.Int64).alias("ip_proto"),
            (pl.col("ts") + pl.col("duration").clip(0).fill_null(0) + 5).alias("written"),
        )


def _endings(
    rng: np.random.Generator,
    count: int,
    ending: tuple[tuple[str, str, float], ...] | tuple[pl.Series, pl.Series] | None,
) -> tuple[pl.Series, pl.Series]:
    if ending is None:
        return pl.Series(["SF"]), pl.Series(["Dd"])
    if isinstance(ending[0], pl.Series):
        return ending[0], ending[1]
    drawn = _draw(rng, count, [row[2] for row in ending])
    return pick(pl.Series([row[0] for row in ending]), drawn), pick(pl.Series([row[1] for row in ending]), drawn)


def _tcp_load(rng: np.random.Generator, orig_bytes: Ints, resp_bytes: Ints, seconds: float) -> Load:
    return Load(
        duration=np.minimum(_spread(rng, len(orig_bytes), seconds, 1.8), 20_000.0),
        orig_bytes=orig_bytes,
        resp_bytes=resp_bytes,
        orig_pkts=3 + orig_bytes // 1400 + resp_bytes // 2800,
        resp_pkts=3 + resp_bytes // 1400 + orig_bytes // 2800,
    )


def _spread(rng: np.random.Generator, count: int, median: float, sigma: float) -> Floats:
    return median * np.exp(sigma * rng.standard_normal(count))


def _whole(rng: np.random.Generator, count: int, median: float, sigma: float) -> Ints:
    return np.minimum(_spread(rng, count, median, sigma), 4e9).astype(np.int64)


def _draw(rng: np.random.Generator, count: int, weights: list[float]) -> Ints:
    edges = np.cumsum(weights)
    return np.searchsorted(edges[:-1] / edges[-1], rng.random(count), side="right")


def _column(values_: pl.Series, count: int) -> pl.Series:
    return values_ if len(values_) == count else values_.cast(pl.String).new_from_index(0, count)


def _either(condition: Bools, yes: pl.Series, no: pl.Series) -> pl.Series:
    return yes.zip_with(pl.Series(condition), no)


def _addresses(ids: Ints, v6: Bools) -> pl.Series:
    return _either(v6, values.public_v6(ids), values.public_v4(ids))


def _servers(ids: Ints) -> pl.Series:
    return join("10.20.", values.text(ids // 200 % 8), ".", values.text(20 + ids % 200))
