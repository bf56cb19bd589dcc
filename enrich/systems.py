"""Which operating system a host runs: every clue about it, fused into one answer with its confidence and evidence.

Clues are names that banners and User-Agents give, the range from which a host's client ports come (RFC 6056 explains
why ranges differ) and the shape of its SYN segments. Several systems behind one address (address translation) are said,
not averaged.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl

from enrich.errors import TableError
from enrich.model import Resources

TABLE = "systems.toml"
LOWEST, HIGHEST = 1024, 65535
_COMBINATIONS = 4096
"""So many combinations of claims are remembered with what follows from them: hosts repeat few of them."""
Claim = tuple[str, frozenset[str]]
"""A kind of source, and the systems that it speaks for."""
# What a machine itself says, even where others are behind its address.
_OF_THE_MACHINE = frozenset({"server", "dhcp", "snmp"})
# Systems that one machine may well claim both of.
_COMPATIBLE = (frozenset({"Linux", "Android"}), frozenset({"Linux", "ChromeOS"}), frozenset({"macOS", "iOS"}))


@dataclass(frozen=True, slots=True)
class Clue:
    """One thing that speaks for some systems: which kind of source, its words, the most exact name that it gives."""

    source: str
    what: str
    systems: frozenset[str]
    name: str | None = None

    def __str__(self) -> str:
        """As evidence is written."""
        return f"{self.source}:{self.what}"


@dataclass(frozen=True, slots=True)
class PortRange:
    """The range that a host's client ports come from, as a system's habit; of ``draws`` independent draws."""

    low: int
    high: int
    label: str
    systems: frozenset[str]
    draws: int
    chance: float
    """The probability that so many draws from the next likely range would all lie within this one."""


class Systems:
    """The table of systems, and what follows from it."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        try:
            self.belief: dict[str, float] = table["belief"]
            self.share: dict[str, float] = table["share"]
            self.fusion: dict[str, float] = table["fusion"]
            self.ports: dict[str, float] = table["ports"]
            self.ranges: list[dict[str, Any]] = table["range"]
            self.syns: list[dict[str, Any]] = table["syn"]
            families = table["family"]
            self._families = {name: family["name"] for family in families for name in family.get("names", ())}
            self._families |= {family["name"]: family["name"] for family in families}
            self._prefixes = tuple((family["prefix"], family["name"]) for family in families if "prefix" in family)
            self._kernels = {family["name"]: family.get("kernel", family["name"]) for family in families}
            self._either = {name: frozenset(systems) for name, systems in table["either"].items()}
        except (KeyError, TypeError) as error:
            raise TableError(f"{TABLE}: {error!r} is missing or malformed") from error
        self._hypotheses = self._lay_out()
        self._bounds = sorted({bound for entry in self.ranges for bound in (entry["low"], entry["high"] + 1)})
        self._likely = np.array([self._logs(port) for port in (0, *self._bounds)])
        places = range(len(self.ranges))
        self._alike = [[at for at in places if self._overlap(at, one) >= self.ports["alike"]] for one in places]
        self._fused = lru_cache(_COMBINATIONS)(self._fuse)

    # ---- Names

    def families(self, name: str) -> frozenset[str]:
        """The families of systems that a name may mean: one, as a rule."""
        if name in self._either:
            return self._either[name]
        family = self._families.get(name)
        if family is None:
            family = next((family for prefix, family in self._prefixes if name.startswith(prefix)), name)
        return frozenset({family})

    def named(self, source: str, what: str, name: str, version: str | None = None) -> Clue:
        """The clue that a name of a system is; ``what`` says where it stood."""
        exact = f"{name} {version}" if version and version not in name.split() else name
        return Clue(source, f"{exact} {what}", self.families(name), exact)

    # ---- Client ports

    def _lay_out(self) -> list[tuple[tuple[int, ...], float]]:
        """Every hypothesis about where client ports come from: one range, or two at once; with its prior."""
        single = [((at,), float(entry["share"])) for at, entry in enumerate(self.ranges)]
        named = [at for at, entry in enumerate(self.ranges) if entry["systems"]]
        pairs = [(a, b) for a in named for b in named if a < b and self._overlap(a, b) < self.ports["alike"]]
        each = self.ports["two_at_once"] / max(len(pairs), 1)
        return single + [(pair, each) for pair in pairs]

    def _logs(self, port: int) -> list[float]:
        """How likely a port is, by each hypothesis; all ports from one bound of ranges to the next are equally so."""
        inside = [(entry["low"] <= port <= entry["high"]) / (entry["high"] - entry["low"] + 1) for entry in self.ranges]
        outside = self.ports["outside"]
        everywhere = outside / (HIGHEST - LOWEST + 1)
        densities = [sum(inside[at] for at in members) / len(members) for members, _ in self._hypotheses]
        return [math.log((1 - outside) * density + everywhere) for density in densities]

    def _overlap(self, a: int, b: int) -> float:
        """The share of ports that two ranges have in common."""
        one, other = self.ranges[a], self.ranges[b]
        common = min(one["high"], other["high"]) - max(one["low"], other["low"]) + 1
        either = max(one["high"], other["high"]) - min(one["low"], other["low"]) + 1
        return float(max(common, 0) / either)

    def port_ranges(self, ports: pl.DataFrame) -> dict[str, PortRange | None]:
        """For each host (columns ``ip`` and ``port``: distinct client ports), the range they come from.

        Hosts with too few draws are left out; None means that no single range explains a host's ports.
        """
        ordered = ports.filter(pl.col("port") >= LOWEST).sort("ip")
        if not ordered.height:
            return {}
        values = ordered["port"].cast(pl.Int64).to_numpy()
        begins = np.concatenate([[True], (ordered["ip"][1:] != ordered["ip"][:-1]).to_numpy()])
        cells = (np.cumsum(begins) - 1) * len(self._likely) + np.searchsorted(self._bounds, values, "right")
        counts = np.bincount(cells, minlength=begins.sum() * len(self._likely)).reshape(-1, len(self._likely))
        blocks = ordered.with_columns(pl.col("port").cast(pl.Int64) // int(self.ports["block"]))
        draws = blocks.group_by("ip", maintain_order=True).agg(pl.col("port").n_unique().alias("draws"))["draws"]
        priors = [math.log(prior) for _, prior in self._hypotheses]
        shares = draws.to_numpy() / counts.sum(axis=1)
        scores = counts @ self._likely * shares[:, np.newaxis] + priors
        every = zip(ordered["ip"].filter(begins), scores.tolist(), draws, strict=True)
        return {ip: self._judge(its, drawn) for ip, its, drawn in every if drawn >= self.ports["draws"]}

    def _judge(self, scores: Sequence[float], draws: int) -> PortRange | None:
        highest = max(scores)
        weights = [math.exp(score - highest) for score in scores]
        best = max(range(len(self.ranges)), key=lambda at: weights[at])
        alike = self._alike[best]
        certainty = sum(weights[at] for at in alike) / sum(weights)
        systems = frozenset(system for at in alike for system in self.ranges[at]["systems"])
        if certainty < self.ports["certainty"]:
            return None
        entry = self.ranges[best]
        rivals = [at for at in range(len(self.ranges)) if at not in alike]
        rival = self.ranges[max(rivals, key=lambda at: weights[at])]
        common = min(entry["high"], rival["high"]) - max(entry["low"], rival["low"]) + 1
        chance = max(common, 0) / (rival["high"] - rival["low"] + 1)
        label = "; ".join(dict.fromkeys(self.ranges[at]["label"] for at in alike))
        return PortRange(entry["low"], entry["high"], label, systems, draws, float(chance**draws))

    # ---- SYN segments

    def syn(self, ttl: int, window: int, mss: int | None, scale: int | None, options: str) -> Clue | None:
        """The clue that a SYN's shape is; None for a shape that no rule describes."""
        initial = next((first for first in (32, 64, 128, 255) if ttl <= first), 255)
        for rule in self.syns:
            if rule["ttl"] != initial or rule["options"] != options:
                continue
            if "scale" in rule and scale not in rule["scale"]:
                continue
            if "window" not in rule or any(_fits(window, text, mss, options) for text in rule["window"]):
                return Clue("syn", str(rule["label"]), frozenset(rule["systems"]), str(rule["label"]))
        return None

    def check(self) -> int:
        """Run the examples of the SYN rules: each must match its own rule first. Returns how many there are."""
        for rule in self.syns:
            example = rule["example"]
            got = self.syn(example["ttl"], example["window"], example["mss"], example.get("scale"), rule["options"])
            if got is None or got.name != rule["label"]:
                raise TableError(f"{TABLE}: syn {rule['label']!r}: its example gives {got and got.name!r}")
        return len(self.syns)

    # ---- Fusion

    def verdict(self, clues: Iterable[Clue]) -> dict[str, Any] | None:
        """The answer of all clues: ``name`` (null if several systems or no certain one), ``confidence``, ``evidence``.

        ``several`` lists the systems where there are several behind the address. None without clues.
        """
        every = list({(clue.source, clue.systems, clue.name): clue for clue in clues if clue.systems}.values())
        if not every:
            return None
        every.sort(key=lambda clue: -self.belief[clue.source])
        evidence = [str(clue) for clue in every]
        several = self._several(every)
        decisive = [clue for clue in every if clue.source in _OF_THE_MACHINE] if several else every
        family, confidence = self._fused(_claims(decisive)) if decisive else (None, 0.0)
        answer: dict[str, Any] = {"name": None, "confidence": None, "evidence": evidence}
        if family is not None:
            answer["name"] = self._exact(family, every)
            answer["confidence"] = round(min(confidence, self.fusion["ceiling"]), 3)
        if several:
            answer["several"] = several
        return answer

    def _fuse(self, claims: tuple[Claim, ...]) -> tuple[str | None, float]:
        """The system, or at least kernel, that the claims make likely enough, and its probability."""
        names = {*self.share, *(system for _, systems in claims for system in systems)}
        scores = {name: math.log(self._share(name)) for name in names}
        for source, systems in claims:
            belief = self.belief[source]
            # A wrong answer names a system as often as that is met anyway.
            wrong = (1 - belief) * min(sum(self._share(system) for system in systems), 1.0)
            for name in names:
                scores[name] += math.log(belief if name in systems else wrong)
        highest = max(scores.values())
        weights = {name: math.exp(score - highest) for name, score in scores.items()}
        total = sum(weights.values())
        kernels: dict[str, float] = {}
        for name, weight in weights.items():
            kernel = self._kernels.get(name, name)
            kernels[kernel] = kernels.get(kernel, 0.0) + weight
        for candidates in (weights, kernels):
            best = max(sorted(candidates), key=lambda name: candidates[name])
            if candidates[best] >= self.fusion["least"] * total and best != "other":
                return best, candidates[best] / total
        return None, 0.0

    def _share(self, system: str) -> float:
        return self.share.get(system, self.share["other"])

    def _several(self, clues: Sequence[Clue]) -> list[str]:
        """The systems behind one address, where what User-Agents and updaters say cannot all be one machine."""
        systems: list[frozenset[str]] = []
        names = []
        for clue in clues:
            if clue.source in ("user_agent", "updater") and not any(compatible(clue.systems, one) for one in systems):
                systems.append(clue.systems)
                names.append(clue.name or clue.what)
        return names if len(names) > 1 else []

    def _exact(self, family: str, clues: Sequence[Clue]) -> str:
        """The most exact name that the clues for a family give: with a release, of the most trusted source."""
        named = [clue.name for clue in clues if clue.name and clue.systems == {family} and clue.source != "syn"]
        released = [name for name in named if any(char.isdigit() for char in name)]
        distributions = [name for name in named if name != family]
        return next(iter([*released, *distributions]), family)


def compatible(one: frozenset[str], other: frozenset[str]) -> bool:
    """Whether two claims about a system may both be made by one machine."""
    return bool(one & other) or any(one <= pair and other <= pair for pair in _COMPATIBLE)


def _claims(clues: Iterable[Clue]) -> tuple[Claim, ...]:
    """What clues claim, however many times over."""
    return tuple(dict.fromkeys((clue.source, clue.systems) for clue in clues))


def _fits(window: int, text: str, mss: int | None, options: str) -> bool:
    if not text.startswith("mss*"):
        return window == int(text)
    times = int(text.removeprefix("mss*"))
    return mss is not None and window in (times * mss, times * (mss - 12 if "ts" in options else mss))


def load(resources: Resources) -> Systems:
    """The table of systems, read once a run."""
    return resources.shared("systems", lambda: Systems(resources.toml(TABLE)))
