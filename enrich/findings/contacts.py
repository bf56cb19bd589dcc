"""Findings from the company a host keeps: an antivirus that fell silent, BitTorrent."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from statistics import median
from typing import Any, NamedTuple

import polars as pl

from enrich.findings.case import REMEMBERED, Finding
from enrich.flows import Pick, pick
from enrich.tally import Distinct, Sample, Spans, Tally

_HOUR = 3600
# A name as logs carry it, without a port.
_NAME = pl.col("resp.name").str.extract(r"^([^:]+)")
_COARSEST = 7 * 86400
"""Stretches of activity are made no longer than that many seconds, or twice as many."""
_CONTACTS = 24
"""So many contacts of a host with a product are remembered, the latest."""


def _calls() -> tuple[Pick, Pick]:
    """Contacts of own hosts with the vendors of antivirus, and whatever else they did."""
    dated = pl.col("_orig_own") & pl.col("ts").is_not_null()
    calls = (pl.col("site.category") == "antivirus").fill_null(False)
    contact: dict[str, str | pl.Expr] = {
        "host": "id.orig_h",
        "server": "id.resp_h",
        "product": pl.coalesce("site.product", _NAME),
        "name": _NAME,
    }
    return (
        Pick(dated & calls & pl.col("_open"), "ts", "uid", **contact),
        Pick(dated & ~calls, "ts", host="id.orig_h"),
    )


def _torrents() -> tuple[Pick, Pick]:
    """Contacts with torrent indexes and trackers, and flows such as those of BitTorrent."""
    category = pl.col("site.category")
    tracker = (category == "torrent_tracker") | (pl.col("app.asserted") == "bittorrent_tracker")
    index = category == "torrent_index"
    kinds = pl.when(index).then(pl.lit("index")).when(tracker).then(pl.lit("tracker"))
    contact: dict[str, str | pl.Expr] = {
        "host": "id.orig_h",
        "category": kinds,
        "name": pl.coalesce(_NAME, "id.resp_h"),
    }
    bittorrent = pl.col("app.protocol") == "bittorrent"
    odd = (
        pl.col("_open")
        & (bittorrent.fill_null(False) | (~pl.col("_observed") & pl.col("port.group").is_null()))
        & (pl.col("_tcp") | pl.col("_udp"))
        & (pl.col("id.resp_p") >= 1024)
        & (pl.col("id.orig_p") >= 1024)
    )
    seen = bittorrent & pl.col("_observed") & pl.col("_open")
    hour = (pl.col("ts") // _HOUR).cast(pl.Int64)
    flow = ("ts", "uid", "id.orig_h", "id.resp_h", "bytes", "_orig_own", "_resp_own")
    return (
        Pick(pl.col("_orig_own") & (tracker | index), "ts", "uid", **contact),
        Pick((odd | seen).fill_null(False), *flow, hour=hour, odd=odd, seen=seen),
    )


_CONTACT, _ACTIVE = _calls()
_SITE, _MOVING = _torrents()


class _Call(NamedTuple):
    """One contact of a host with its vendor."""

    ts: float
    uid: str | None
    name: str | None
    server: str


_PRODUCT = ("host", "product")


class AntivirusSilent:
    """A host whose security product called home at a steady pace and stopped, while the host stayed active.

    The next run learns the contacts, when their hosts were active since the first of them, and of which last contacts
    it was told that they were the last.
    """

    schemas: Mapping[str, pl.Schema] = {
        "antivirus_contacts": pl.Schema(
            {
                "host": pl.String,
                "product": pl.String,
                "ts": pl.Float64,
                "uid": pl.String,
                "name": pl.String,
                "server": pl.String,
            }
        ),
        "antivirus_active": pl.Schema({"host": pl.String, "start": pl.Int64, "seconds": pl.Int64}),
        "antivirus_told": pl.Schema({"host": pl.String, "product": pl.String, "ts": pl.Float64}),
    }

    def __init__(self, table: Mapping[str, Any], remembered: int = REMEMBERED) -> None:
        """``remembered``: rows of a table that are handed to the next run."""
        self.table = table["antivirus_silent"]
        self.limits = table["limits"]
        self.contacts = Sample(_PRODUCT, ("uid", "name", "server"), size=_CONTACTS, descending=True, most=50_000)
        self.bounded = (self.contacts,)
        self.active = Spans("host", self.table["span"])
        self.remembered = remembered
        self.forgotten: list[str] = []
        self._active_before = self.schemas["antivirus_active"].to_frame()
        self._told: dict[tuple[str, str], float] = {}

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Look at one conn batch."""
        if log != "conn":
            return
        contacts, active = pick(frame, _CONTACT, _ACTIVE)
        self.contacts.add(contacts)
        self.active.add(active)

    def findings(self) -> Iterator[Finding]:
        """One a host and product."""
        contacts = self.contacts.frame()
        if contacts is None:
            return
        hosts: dict[str, dict[str, list[_Call]]] = defaultdict(lambda: defaultdict(list))
        columns = self.schemas["antivirus_contacts"].names()
        for host, product, *call in contacts.sort("ts").select(columns).iter_rows():
            hosts[host][product].append(_Call(*call))
        active: dict[str, list[int]] = defaultdict(list)
        seconds: dict[str, int] = {}
        for host, start, length in self._active(contacts).sort("start").iter_rows():
            active[host].append(start)
            seconds[host] = length
        for host in sorted(hosts):
            for product, calls in sorted(hosts[host].items()):
                if self._told.get((host, product)) == calls[-1].ts:
                    continue
                found = self._judge([call.ts for call in calls], active[host], seconds.get(host, 0))
                if found is not None and any(call.uid is not None for call in calls):
                    self._told[host, product] = calls[-1].ts
                    rivals = [other for other, theirs in hosts[host].items() if theirs[-1].ts > calls[-1].ts]
                    yield self._finding(host, product, calls, found, rivals)

    def _active(self, contacts: pl.DataFrame) -> pl.DataFrame:
        """The stretches in which the hosts of contacts were active, of one length a host."""
        return _stretches(self._spans(contacts).with_columns(pl.col("seconds").max().over("host")))

    def _spans(self, contacts: pl.DataFrame) -> pl.DataFrame:
        """The same as they were seen: ``host``, ``start`` and ``seconds``."""
        spans, now = self._active_before, self.active.frame()
        if now is not None:
            spans = pl.concat([spans, now.with_columns(seconds=pl.lit(self.active.seconds, pl.Int64))])
        return spans.join(contacts, on="host", how="semi")

    def remember(self, tables: Mapping[str, pl.DataFrame], since: float) -> None:
        """Take in what :meth:`rows` gave in an earlier run."""
        contacts, self._active_before, told = (tables[name] for name in self.schemas)
        self.contacts.add(contacts)
        self._told = {(host, product): ts for host, product, ts in told.iter_rows()}

    def rows(self, now: float, age: float) -> dict[str, pl.DataFrame]:
        """Contacts with products that were called lately, and what goes with them."""
        contacts = self._contacts(now, age)
        told = pl.DataFrame(
            [(*key, last) for key, last in self._told.items()], self.schemas["antivirus_told"], orient="row"
        )
        told = told.join(contacts, on=told.columns, how="semi")
        return dict(zip(self.schemas, (contacts, self._activity(contacts, now), told), strict=True))

    def _contacts(self, now: float, age: float) -> pl.DataFrame:
        """Those no earlier than ``age`` before the last one with their product, until that is as old itself."""
        schema = self.schemas["antivirus_contacts"]
        frame = self.contacts.frame()
        contacts = schema.to_frame() if frame is None else frame.select(schema.names()).filter(pl.col("ts") <= now)
        last = pl.col("ts").max().over(_PRODUCT)
        contacts = contacts.filter((last >= now - age) & (pl.col("ts") >= last - age))
        contacts = contacts.sort(last, *_PRODUCT, "ts", descending=True)
        self.forgotten = []
        if contacts.height > self.remembered:
            self.forgotten.append(f"more than {self.remembered:,} contacts with antivirus vendors; the latest are kept")
        return contacts.head(self.remembered)

    def _activity(self, contacts: pl.DataFrame, now: float) -> pl.DataFrame:
        """When their hosts were active since their first contact; where that is too much, in longer stretches."""
        first = contacts.group_by("host").agg(first=pl.col("ts").min())
        spans = self._spans(contacts).join(first, on="host")
        start, seconds = pl.col("start"), pl.col("seconds")
        spans = spans.filter((start + seconds > pl.col("first")) & (start <= now)).drop("first").unique()
        if spans.height > self.remembered:
            self.forgotten.append(
                f"more than {self.remembered:,} stretches of activity of hosts with antivirus: longer ones are kept"
            )
        while spans.height > self.remembered and spans.filter(seconds < _COARSEST).height:
            longer = pl.when(seconds == seconds.min()).then(seconds * 2).otherwise(seconds)
            spans = _stretches(spans.with_columns(seconds=longer))
        return spans

    def _judge(self, calls: Sequence[float], active: Sequence[int], length: int) -> dict[str, Any] | None:
        """What shows that a product fell silent; None if it did not. Both lists are sorted epoch seconds.

        ``length``: seconds of a stretch in which the host was active.
        """
        t = self.table
        times = _merged(calls, t["merge"])
        if len(times) < t["contacts"] or not active:
            return None
        pairs = list(pairwise(times))
        gaps = [later - earlier for earlier, later in pairs]
        busy = [bisect_right(active, later) - bisect_right(active, earlier) for earlier, later in pairs]
        silence = active[-1] - times[-1]
        since = len(active) - bisect_right(active, times[-1])
        if self._steady(gaps):
            longest = t["intervals"] * max(gaps)
        elif min(busy) > 1 and self._steady(busy):
            longest = max(gaps)  # a pace of the host's own hours, not of the clock's
        else:
            return None
        if silence < max(longest, t["seconds"]) or since < t["intervals"] * max(*busy, 1):
            return None
        active_for = f"{'at most ' if length > t['span'] else ''}{_lasting(since * length)}"
        return {"contacts": len(times), "pace": median(gaps), "silence": silence, "active": active_for}

    def _steady(self, intervals: Sequence[float]) -> bool:
        return bool(max(intervals) <= self.table["steadiness"] * median(intervals))

    def _finding(
        self, host: str, product: str, calls: Sequence[_Call], found: Mapping[str, Any], rivals: list[str]
    ) -> Finding:
        last = calls[-1]
        uids = [str(call.uid) for call in calls if call.uid is not None]
        silence, pace = _lasting(found["silence"]), _lasting(found["pace"])
        summary = f"{product} fell silent: no contact for {silence}, after one every {pace}"
        names = sorted({call.name for call in calls if call.name})
        evidence = [
            f"contacts:{found['contacts']:.0f} with {', '.join(names[: self.limits['peers']])}",
            f"active:{found['active']} since the last contact",
            *(f"since:{other}" for other in rivals),
        ]
        return Finding(
            "antivirus_silent", self.table["severity"]["replaced" if rivals else "silent"], host, summary, last.ts,
            last.ts + found["silence"], len(calls), uids[-self.limits["uids"] :], last.server, None, evidence,
        )  # fmt: skip


class TorrentUser:
    """A host that contacts torrent indexes or trackers and moves much data on odd ports."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table["torrent_user"]
        self.limits = table["limits"]
        size = self.limits["uids"] // 2
        self.contacts = Tally(("host", "category", "name"), most=50_000)
        self.contact_flows = Sample(("host",), ("uid",), size=size, most=50_000)
        self.bulk = Tally(("host", "hour"), ("bytes",), most=300_000)
        self.bulk_flows = Sample(("host",), ("uid", "bytes"), by="bytes", descending=True, size=size, most=50_000)
        self.bulk_peers = Distinct(("host",), "peer", size=64, values=False)
        self.observed = Tally(("host",), most=50_000)
        self.observed_flows = Sample(("host",), ("uid",), size=size, most=50_000)
        self.bounded = (
            *(self.contacts, self.bulk, self.observed),
            *(self.contact_flows, self.bulk_flows, self.observed_flows),
        )

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Look at one conn batch."""
        if log != "conn":
            return
        sites, moving = pick(frame, _SITE, _MOVING)
        self.contacts.add(sites)
        self.contact_flows.add(sites)
        for own, other in (("orig", "resp"), ("resp", "orig")):
            there = moving.filter(pl.col(f"_{own}_own")).rename({f"id.{own}_h": "host", f"id.{other}_h": "peer"})
            bulk, observed = there.filter("odd"), there.filter("seen")
            self.bulk.add(bulk)
            self.bulk_flows.add(bulk)
            self.bulk_peers.add(bulk)
            self.observed.add(observed)
            self.observed_flows.add(observed)

    def findings(self) -> Iterator[Finding]:
        """One a host."""
        contacts = _by_host(self.contacts.frame())
        observed = {row["host"]: row for rows in _by_host(self.observed.frame()).values() for row in rows}
        if not contacts and not observed:
            return
        bulk, peers = _by_host(self.bulk.frame()), self.bulk_peers.counts()
        peer_count = {} if peers is None else dict(peers.select("host", "distinct").iter_rows())
        samples = [_uids(sample.frame()) for sample in (self.contact_flows, self.observed_flows, self.bulk_flows)]
        for host in sorted({*contacts, *observed}):
            found = self._judge(contacts.get(host, []), observed.get(host), bulk.get(host, []), peer_count.get(host, 0))
            if found is None:
                continue
            evidence, first, last, flows = found
            uids = list(dict.fromkeys(uid for sample in samples for uid in sample.get(host, [])))
            if not uids:
                continue
            yield Finding(
                "torrent_user", self.table["severity"], host, "a BitTorrent client runs here", first, last, flows,
                uids[: self.limits["uids"]], None, None, evidence,
            )  # fmt: skip

    def _judge(
        self, contacts: list[dict[str, Any]], observed: dict[str, Any] | None, bulk: list[dict[str, Any]], peers: int
    ) -> tuple[list[str], float, float, int] | None:
        t = self.table
        by_kind = {kind: [row for row in contacts if row["category"] == kind] for kind in ("tracker", "index")}
        first = min((row["first_seen"] for row in contacts), default=float("inf"))
        moved = [row for row in bulk if row["hour"] >= first // _HOUR]
        total = sum(row["bytes"] for row in moved)
        seen = observed["rows"] if observed else 0
        enough = (
            seen >= t["observed"]
            or (by_kind["tracker"] and total >= t["tracker_bytes"])
            or (by_kind["index"] and total >= t["index_bytes"] and peers >= t["index_peers"])
        )
        if not enough:
            return None
        evidence = [
            f"{kind}:{', '.join(row['name'] for row in rows[: self.limits['peers']])}"
            for kind, rows in by_kind.items()
            if rows
        ]
        if seen:
            evidence.append(f"observed:bittorrent in {seen} flows")
        if moved:
            evidence.append(f"bulk:{total:,} bytes on odd ports with {peers} peers")
        rows = [*contacts, *moved, *([observed] if observed else [])]
        flows = sum(row["rows"] for row in (*contacts, *moved))
        return evidence, min(row["first_seen"] for row in rows), max(row["last_seen"] for row in rows), max(flows, seen)


def _stretches(spans: pl.DataFrame) -> pl.DataFrame:
    """Stretches of time where their ``seconds`` have grown."""
    return spans.with_columns(start=pl.col("start") // pl.col("seconds") * pl.col("seconds")).unique()


def _merged(times: Sequence[float], within: float) -> list[float]:
    """The times, those closer than ``within`` to the one before as one; the last of each."""
    out: list[float] = []
    for at, time in enumerate(times):
        if at and time - times[at - 1] < within:
            out[-1] = time
        else:
            out.append(time)
    return out


def _lasting(seconds: float) -> str:
    """A time for people: 50 s, 14 min, 6.0 h, 12 days."""
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.0f} s"


def _by_host(frame: pl.DataFrame | None) -> dict[str, list[dict[str, Any]]]:
    out: dict[str, list[dict[str, Any]]] = defaultdict(list)
    if frame is not None:
        for row in frame.sort("first_seen", *frame.columns[:3]).iter_rows(named=True):
            out[row["host"]].append(row)
    return out


def _uids(frame: pl.DataFrame | None) -> dict[str, list[str]]:
    out: dict[str, list[str]] = defaultdict(list)
    if frame is not None:
        for host, uid in frame.select("host", "uid").drop_nulls().iter_rows():
            out[host].append(str(uid))
    return out
