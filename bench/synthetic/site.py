"""Who is at the made-up site, how much of what they do, and which host asks for which name when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from . import values
from .values import Floats, Ints

MIX: Mapping[str, float] = {
    "dns": 0.36,
    "tls": 0.26,
    "http": 0.09,
    "quic": 0.06,
    "internal": 0.06,
    "scan": 0.05,
    "failed": 0.04,
    "midstream": 0.02,
    "peer": 0.03,
    "smtp": 0.015,
    "ssh": 0.01,
    "icmp": 0.005,
}
"""The share of each kind of flow. Web flows (tls, http, quic) go to names that their client asked for."""

WEB = ("tls", "http", "quic")
RESOLVERS = ("10.20.0.53", "10.20.0.54", "8.8.8.8", "1.1.1.1")

# system: share of hosts, lowest and highest ephemeral port, sends TCP time stamps (12 bytes more a segment)
_SYSTEMS = (
    (0.55, 49152, 65535, False),  # Windows
    (0.17, 32768, 60999, True),  # Linux, Android
    (0.20, 49152, 65535, True),  # macOS, iOS
    (0.05, 10000, 65535, True),  # FreeBSD
    (0.03, 1025, 5000, False),  # Windows XP
)


class Hosts:
    """The site's clients; every attribute is an array with one element a host."""

    def __init__(self, count: int) -> None:
        ids = np.arange(count, dtype=np.int64)
        edges = np.cumsum([system[0] for system in _SYSTEMS])
        system = np.minimum(np.searchsorted(edges, values.share(ids, 1)), len(_SYSTEMS) - 1)
        self.count = count
        self.v4 = pl.Series([f"10.20.{16 + i // 250}.{1 + i % 250}" for i in range(count)])
        self.v6 = pl.Series([f"2001:db8:20:1::{i + 16:x}" for i in range(count)])
        self.low = np.array([s[1] for s in _SYSTEMS])[system]
        self.high = np.array([s[2] for s in _SYSTEMS])[system]
        self.stamps = np.array([s[3] for s in _SYSTEMS])[system]
        self.dual_stack = values.share(ids, 2) < 0.4
        self.resolver = np.searchsorted([0.6, 0.9, 0.97], values.share(ids, 3))


@dataclass(frozen=True, slots=True)
class Site:
    """What to generate. `rows` is the number of flows: conn.log's rows.

    `names` is how many different names are asked for (one for every twenty flows unless given; each at least once),
    `new_user_agents` the share of http.log's rows that bring a User-Agent never seen before, `mix` the share of each
    kind of flow, `rate` the flows a second from `start` (seconds since 1970) on.
    """

    rows: int
    seed: int = 1
    names: int | None = None
    new_user_agents: float = 0.05
    mix: Mapping[str, float] = field(default_factory=lambda: MIX)
    rate: float = 120.0
    start: float = 1_795_305_600.0
    chunk: int = 200_000

    def __post_init__(self) -> None:
        if unknown := set(self.mix) - set(MIX):
            raise ValueError(f"unknown kinds of flow: {', '.join(sorted(unknown))}")
        if self.rows < 1 or self.chunk < 1 or self.rate <= 0 or sum(self.mix.values()) <= 0:
            raise ValueError("rows, chunk, rate and the shares of the mix must be positive")
        if self.distinct_names > self.rows * self._asking() / sum(self.mix.values()):
            raise ValueError(f"{self.distinct_names} names cannot all be asked for in {self.rows} flows of this mix")

    def _asking(self) -> float:
        return self.mix.get("dns", 0.0) or sum(self.mix.get(kind, 0.0) for kind in WEB)

    @property
    def distinct_names(self) -> int:
        """How many names are asked for."""
        if self.names is not None:
            return self.names
        return int(min(0.05, 0.5 * self._asking() / sum(self.mix.values())) * self.rows)

    @property
    def host_count(self) -> int:
        """Clients: one for every 2,000 flows, at least 40."""
        return min(40 + self.rows // 2000, 50_000)

    @property
    def address_count(self) -> int:
        """Servers with an address of their own (CDNs' shared ones come on top)."""
        return max(self.distinct_names // 3, 50)

    def counts(self, flows: int) -> dict[str, int]:
        """How many of so many flows are of each kind."""
        edges = np.cumsum([0.0, *(self.mix.get(kind, 0.0) for kind in MIX)])
        bounds = np.rint(edges / edges[-1] * flows).astype(int)
        return {kind: int(n) for kind, n in zip(MIX, np.diff(bounds), strict=True)}


@dataclass(frozen=True, slots=True)
class Lookups:
    """Names asked for, one row a look-up: when, how long it took in seconds, by which host, to use
    over IPv6 or not, and what was learnt."""

    ts: Floats
    took: Floats
    host: Ints
    name: Ints
    v6: npt.NDArray[np.bool_]
    found: npt.NDArray[np.bool_]
    answers: Ints
    address: Ints
    """The number of the first address; the further answers are the numbers after it."""


def zipf(rng: np.random.Generator, size: int, limit: int) -> Ints:
    """Ranks from 0 with probability about 1 / (rank + 1), below `limit`."""
    ranks: Ints = np.exp(rng.random(size) * np.log(limit + 1)).astype(np.int64) - 1
    return np.minimum(ranks, limit - 1)


def busy_hosts(rng: np.random.Generator, hosts: Hosts, size: int) -> Ints:
    """Hosts drawn so that some are busier than others."""
    drawn: Ints = (hosts.count * rng.random(size) ** 1.5).astype(np.int64)
    return drawn


def lookups(
    rng: np.random.Generator, site: Site, hosts: Hosts, count: int, *, flows: tuple[int, int], span: tuple[float, float]
) -> Lookups:
    """`count` look-ups within a span of time, among them the new names that are due with these flows (from, to)."""
    seen, upto = (site.distinct_names * flow // site.rows for flow in flows)
    fresh = np.arange(seen, min(upto, seen + count), dtype=np.int64)
    name = np.concatenate([fresh, zipf(rng, count - len(fresh), max(upto, 1))])
    rng.shuffle(name)
    host = busy_hosts(rng, hosts, count)
    return Lookups(
        ts=np.sort(rng.uniform(*span, count)),
        took=np.where(rng.random(count) < 0.7, 0.0006, 0.025) * np.exp(rng.standard_normal(count)),
        host=host,
        name=name,
        v6=hosts.dual_stack[host] & (rng.random(count) < 0.35),
        found=values.share(name, 71) >= 0.03,
        answers=1 + values.below(name, 72, 3),
        address=values.hosting(name, site.address_count),
    )
