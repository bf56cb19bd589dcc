"""What every kind of finding is made of: the record, and the flows that belong to one of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from enrich.tally import Distinct, Sample, Tally

_GROUPS = 50_000
"""So many cases of one kind are followed at once; those with most flows."""
_FLOWS = 4096
"""So many flows of a case that may come several times are told apart; of more, their number is estimated."""
REMEMBERED = 250_000
"""So many rows of a kind are handed to the next run (``--state``)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that deserves a look. ``ts`` and ``last_seen`` are epoch seconds; ``uids`` a sample of ``flows``."""

    kind: str
    severity: str
    host: str
    summary: str
    ts: float
    last_seen: float
    flows: int
    uids: list[str]
    peer: str | None = None
    port: int | None = None
    evidence: list[str] = field(default_factory=list)

    def record(self) -> dict[str, Any]:
        """As it is written."""
        return {
            "ts": self.ts,
            "kind": self.kind,
            "severity": self.severity,
            "host": self.host,
            "peer": self.peer,
            "port": self.port,
            "summary": self.summary,
            "evidence": self.evidence,
            "last_seen": self.last_seen,
            "flows": self.flows,
            "uids": self.uids,
        }


@dataclass(frozen=True, slots=True)
class Case:
    """Flows that belong together: the values of their keys, when, how many, samples of uids and peers, sums."""

    keys: dict[str, Any]
    first_seen: float
    last_seen: float
    flows: int
    uids: list[str]
    peers: list[str]
    peer_count: int
    sums: dict[str, float] = field(default_factory=dict)

    @property
    def peer(self) -> str | None:
        """The peer, if it is only one."""
        return self.peers[0] if self.peer_count == 1 else None

    @property
    def in_flows(self) -> str:
        """How many flows, for people."""
        return f"in {self.flows:,} flow{'s' if self.flows != 1 else ''}"

    def peers_told(self, role: str) -> str:
        """The peers as evidence: ``clients:10.0.0.1, 10.0.0.2 and 5 more``."""
        more = self.peer_count - len(self.peers)
        return f"{role}:{', '.join(self.peers)}" + (f" and {more} more" if more > 0 else "")


class Cases:
    """Gathers the flows of cases, batch by batch, within bounds."""

    def __init__(
        self, keys: Sequence[str], limits: dict[str, int], sums: Sequence[str] = (), *, repeated: bool = False
    ) -> None:
        """``repeated``: a flow may come several times, as records of logs do; it counts once."""
        self.keys, self.limits, self.sums = list(keys), limits, sums
        self._tally = Tally(keys, sums, most=_GROUPS)
        self._uids = Sample(keys, ("uid",), size=limits["uids"], most=_GROUPS)
        self._peers = Distinct(keys, "peer", size=64, most=_GROUPS)
        self._flows = Distinct(keys, "uid", size=_FLOWS, most=_GROUPS, values=False) if repeated else None

    def add(self, frame: pl.DataFrame) -> None:
        """Take in flows: the keys, ``ts``, ``uid`` and ``peer``."""
        if frame.height:
            self._tally.add(frame)
            self._uids.add(frame)
            self._peers.add(frame)
            if self._flows is not None:
                self._flows.add(frame)

    @property
    def cut(self) -> int:
        """How often a case was given up since there were too many."""
        return self._tally.cut + self._uids.cut

    def cases(self, *, unnamed: bool = False) -> Iterator[Case]:
        """All cases, in the order of time; those of no flow with a uid, which make no finding, where asked for."""
        tally, uids, values, counts = (
            self._tally.frame(),
            self._uids.frame(),
            self._peers.values(),
            self._peers.counts(),
        )
        if tally is None or uids is None or values is None or counts is None:
            return
        flows = _lists(uids.filter(pl.col("uid").is_not_null()), self.keys, "uid")
        peers = _lists(values.filter(pl.col("peer").is_not_null()).sort("peer"), self.keys, "peer")
        number = self._numbers(counts)
        once = self._numbers(self._flows.counts()) if self._flows is not None else {}
        for row in tally.sort("first_seen", *self.keys, nulls_last=True).iter_rows(named=True):
            key = tuple(row[name] for name in self.keys)
            if not flows.get(key) and not unnamed:
                continue
            yield Case(
                dict(zip(self.keys, key, strict=True)),
                row["first_seen"],
                row["last_seen"],
                once.get(key, row["rows"]),
                flows.get(key, []),
                peers.get(key, [])[: self.limits["peers"]],
                number[key] if peers.get(key) else 0,
                {name: row[name] for name in self.sums},
            )

    def _numbers(self, counts: pl.DataFrame | None) -> dict[tuple[Any, ...], int]:
        """How many there are of each case."""
        if counts is None:
            return {}
        return {tuple(key): number for *key, number in counts.select(*self.keys, "distinct").iter_rows()}


def merged(cases: Sequence[Case], keys: dict[str, Any], peers: Sequence[str], limits: dict[str, int]) -> Case:
    """Several cases as one, with other keys and peers."""
    every = sorted(cases, key=lambda case: case.first_seen)
    names = sorted(set(peers))
    return Case(
        keys,
        every[0].first_seen,
        max(case.last_seen for case in every),
        sum(case.flows for case in every),
        [uid for case in every for uid in case.uids][: limits["uids"]],
        names[: limits["peers"]],
        len(names),
        {name: sum(case.sums[name] for case in every) for name in every[0].sums},
    )


def _lists(frame: pl.DataFrame, keys: Sequence[str], value: str) -> dict[tuple[Any, ...], list[str]]:
    out: dict[tuple[Any, ...], list[str]] = defaultdict(list)
    for *key, item in frame.select(*keys, value).iter_rows():
        out[tuple(key)].append(str(item))
    return out
