"""The verdict: which protocol and application a flow is, fused from all evidence, explained and calibrated.

An enricher like the others: its keys are the distinct combinations of evidence, its work is a function of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from enrich.applications import Catalogue, load
from enrich.model import Enricher, Resources, Use, Work

TABLE = "evidence.toml"


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence: a protocol or application, the source that says so, its words, and its strength."""

    claim: str
    source: str
    what: str
    strength: float

    def __str__(self) -> str:
        return f"{self.source}:{self.what}"


KEYS = {
    "proto": pl.String,
    "service": pl.String,
    "resp_port": pl.UInt16,
    "port_service": pl.String,
    "resp_asserts": pl.String,
    "orig_asserts": pl.String,
    "state": pl.String,
    "seen": pl.String,
    "server": pl.String,
    "server_address": pl.String,
    "name_source": pl.String,
    "name_app": pl.String,
    "name_by": pl.String,
    "server_app": pl.String,
    "server_by": pl.String,
}
_COLUMNS = (
    "proto",
    "service",
    "id.resp_p",
    "port.service",
    "_resp_asserts",
    "_orig_asserts",
    "_state",
    "_seen",
    "_server",
    "_server_address",
    "resp.name_source",
    "_name_app",
    "_name_by",
    "_server_app",
    "_server_by",
)
ADDS = {
    "protocol": pl.String,
    "name": pl.String,
    "category": pl.String,
    "confidence": pl.Float64,
    "evidence": pl.List(pl.String),
    "asserted": pl.String,
    "contradiction": pl.Boolean,
}


class Judge:
    """Fuses the evidence of one combination of keys into a verdict."""

    def __init__(self, catalogue: Catalogue, strengths: dict[str, dict[str, float]]) -> None:
        self.catalogue = catalogue
        self.protocol = strengths["protocol"]
        self.application = strengths["application"]
        self.fusion = strengths["fusion"]

    def evidence(self, key: dict[str, str | None]) -> tuple[list[Evidence], list[Evidence]]:
        """All evidence of a combination of keys: for protocols, and for applications; strongest first."""
        protocols: list[Evidence] = []
        for name in _split(key["seen"]):
            protocols.append(Evidence(name, "log", name, self.protocol["log"]))
        for alias in _split(key["service"]):
            name = self.catalogue.canonical(alias)
            if name is not None and not alias.startswith("-"):
                protocols.append(Evidence(name, "dpi", name, self.protocol["dpi"]))
        for name in _split(key["server"]):
            what = f"{key['server_address']}:{key['resp_port']}={name}"
            if key["server_address"] is not None:
                protocols.append(Evidence(name, "server", what, self.protocol["server"]))
        asserted = key["resp_asserts"]
        if asserted is not None:
            what = f"{key['resp_port']}/{key['port_service'] or asserted}"
            protocols.append(Evidence(asserted, "port", what, self.protocol[f"port_{key['state']}"]))
        elif key["orig_asserts"] is not None:
            protocols.append(Evidence(key["orig_asserts"], "swapped", key["orig_asserts"], self.protocol["swapped"]))
        applications: list[Evidence] = []
        if key["name_app"] is not None and key["name_source"] is not None:
            source = key["name_source"]
            applications.append(Evidence(key["name_app"], source, str(key["name_by"]), self.application[source]))
        elif key["server_app"] is not None:
            applications.append(
                Evidence(key["server_app"], "server_name", str(key["server_by"]), self.application["server"])
            )
        for found in applications:
            application = self.catalogue.applications.get(found.claim)
            if application is not None and application.protocol is not None:
                protocols.append(
                    Evidence(application.protocol, "application", found.claim, self.protocol["application"])
                )
        order = {id(item): at for at, item in enumerate(protocols)}
        return sorted(protocols, key=lambda item: (-item.strength, order[id(item)])), applications

    def verdict(self, key: dict[str, str | None]) -> tuple[object, ...]:
        """The values of ``app.*`` for one combination of keys, in the order of ADDS."""
        protocols, applications = self.evidence(key)
        asserted = key["resp_asserts"]
        application = applications[0].claim if applications else None
        if not protocols:
            return (None, application, self.catalogue.category(None, application), None,
                    [str(item) for item in applications] or None, asserted, None)  # fmt: skip
        chosen = self._innermost(protocols)
        doubt = 1.0
        for item in protocols:
            if item.claim == chosen:
                doubt *= 1 - item.strength
        best = max(item.strength for item in protocols if item.claim == chosen)
        observed = [item for item in protocols if item.source in ("log", "dpi", "server")]
        contradiction = None if not observed or asserted is None else not self._compatible(asserted, observed)
        rivals = {item.claim for item in protocols if item.claim != chosen and item.strength >= best}
        rivals = {claim for claim in rivals if not self._carries(claim, chosen) and not self._carries(chosen, claim)}
        confidence = 1 - doubt
        if rivals:
            confidence *= self.fusion["contradiction"]
        evidence = [str(item) for item in sorted([*protocols, *applications], key=lambda item: -item.strength)]
        return (
            chosen,
            application,
            self.catalogue.category(chosen, application),
            round(min(confidence, self.fusion["ceiling"]), 3),
            evidence,
            asserted,
            contradiction,
        )

    def _innermost(self, protocols: list[Evidence]) -> str:
        """The strongest claim; between equally strong ones, what is carried rather than its carrier."""
        best = protocols[0].strength
        top = [item.claim for item in protocols if item.strength == best]
        carried = [claim for claim in top if not self._is_carrier(claim)]
        return (carried or top)[0]

    def _is_carrier(self, name: str) -> bool:
        protocol = self.catalogue.protocols.get(name)
        return protocol is not None and protocol.carrier

    def _carries(self, carrier: str, carried: str) -> bool:
        return self._is_carrier(carrier) and carrier != carried

    def _compatible(self, asserted: str, observed: list[Evidence]) -> bool:
        names = {item.claim for item in observed}
        return asserted in names


def _split(names: str | None) -> list[str]:
    return names.split(",") if names else []


def prepare(resources: Resources) -> Work:
    """Load catalogue and strengths; the work judges each combination once."""
    judge = Judge(load(resources), resources.toml(TABLE))

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        rows = [judge.verdict(key) for key in keys.iter_rows(named=True)]
        return pl.DataFrame(rows, schema=ADDS, orient="row")

    return work


ENRICHER = Enricher(
    name="verdict",
    doc="Which protocol and application each flow is, how sure, and on what evidence.",
    keys=KEYS,
    adds=ADDS,
    uses=(Use(("conn",), _COLUMNS, "app."),),
    prepare=prepare,
    tables=(TABLE, "applications"),
)


def strength(resources: Resources, source: str) -> float | None:
    """The strength of a source of evidence, as a person is shown it; None for what only adds an application's name."""
    table = resources.toml(TABLE)
    for part in ("protocol", "application"):
        value = table[part].get(source, table[part].get(f"{source}_open"))
        if value is not None:
            return float(value)
    return None
