"""The verdict: which protocol and application a flow is, fused from all evidence, explained and calibrated.

An enricher like the others: its keys are the distinct combinations of evidence, its work is a function of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from enrich import inferences
from enrich.applications import Catalogue, load
from enrich.columns import Type
from enrich.flows import NO_SYN
from enrich.inferences import Inference, Inferences
from enrich.model import Resources
from enrich.payload import STRENGTHS

TABLE, REFINEMENTS = "evidence.toml", "refinements.csv"
# States that are no kinds of evidence: what an analyzer's silence means depends on the port.
_TOLD = {"empty": "failed", "unrecognised": "open", "undetected": "open", "half": "open"}
OBSERVED = frozenset({"ip", "log", "log_alone", "dpi", "payload", "alpn"})
SYSTEM = 1024  # ports below it are the system's (RFC 6335 section 6)
DYNAMIC = 32768  # ports from it on are what systems give to clients; the standard's own begin at 49152
CALL_BACK = ("ftp_data",)  # an FTP server opens the connection for data (RFC 959 section 3.2)
Key = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One piece of evidence: a protocol or application, the source that says so, its words, and its kind.

    ``kind`` is the source as the table of weights knows it, e.g. ``port.system.open``.
    """

    claim: str
    source: str
    what: str
    kind: str

    def __str__(self) -> str:
        return f"{self.source}:{self.what}"


# What a verdict is a function of: the key, the column it is read from, its type.
_READ: dict[str, tuple[str, Type]] = {
    "proto": ("proto", pl.String),
    "ip_protocol": ("_ip_protocol", pl.UInt8),
    "service": ("service", pl.String),
    "resp_port": ("id.resp_p", pl.UInt16),
    "port_service": ("port.service", pl.String),
    "resp_asserts": ("_resp_asserts", pl.String),
    "orig_port": ("id.orig_p", pl.UInt16),
    "orig_asserts": ("_orig_asserts", pl.String),
    "conn_state": ("conn_state", pl.String),
    "state": ("_state", pl.String),
    "size": ("_size_fits", pl.String),
    "size_denies": ("_size_denies", pl.String),
    "seen": ("_seen", pl.String),
    "negotiated": ("_negotiated", pl.String),
    "payload_certain": ("_payload_certain", pl.String),
    "payload_likely": ("_payload_likely", pl.String),
    "name_source": ("resp.name_source", pl.String),
    "name_app": ("_name_app", pl.String),
    "name_by": ("_name_by", pl.String),
    "certificate_app": ("_certificate_app", pl.String),
    "agent_app": ("_agent_app", pl.String),
    "server_app": ("_server_app", pl.String),
    "server_by": ("_server_by", pl.String),
    "resp_network": ("_resp_network_app", pl.String),
    "orig_network": ("_orig_network_app", pl.String),
}
# What is said of the flow's server, and where that is: the last of the keys.
_SERVER: dict[str, tuple[str, Type]] = {
    "server": ("_server", pl.String),
    "server_address": ("_server_address", pl.String),
    "swapped": ("_swapped", pl.String),
}
_READ |= _SERVER
KEYS: dict[str, Type] = {key: kind for key, (_, kind) in _READ.items()}
COLUMNS = tuple(column for column, _ in _READ.values())
ADDS: dict[str, Type] = {
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

    def __init__(
        self, catalogue: Catalogue, tables: Mapping[str, Any], refinements: pl.DataFrame, inferences: Inferences
    ) -> None:
        self.catalogue = catalogue
        self.inferences = inferences
        self.weights: dict[str, float] = tables["protocol"]
        self.shares: dict[str, float] = tables["application"]
        self.ceiling: float = tables["fusion"]["ceiling"]
        self.yields: list[str] = tables["fusion"]["yields"]
        self.recognised: dict[str, list[str]] = tables["recognised"]
        rows = refinements.select("observed", "port", "transport", "protocol").iter_rows()
        self.refined = {(observed, port, transport): name for observed, port, transport, name in rows}

    def evidence(self, key: Key) -> tuple[list[Evidence], list[Evidence]]:
        """All evidence of a combination of keys: for protocols, and for applications; strongest first."""
        protocols = [*self._observed(key), *self._circumstantial(key)]
        applications = [*self._by_name(key), *self._by_network(key)]
        applications.sort(key=lambda item: -self.shares[item.kind])
        inferred = self._inferred(key)
        if inferred is not None and inferred.protocol is not None and key["resp_network"] is not None:
            what = f"{key['resp_network']}:{key['resp_port']}"
            protocols.append(Evidence(inferred.protocol, "network", what, "network"))
        for found in applications:
            application = self.catalogue.applications.get(found.claim)
            if application is not None and application.protocol is not None:
                protocols.append(Evidence(application.protocol, "application", found.claim, "application"))
        return sorted(protocols, key=lambda item: -self.weights[item.kind]), applications

    def _by_name(self, key: Key) -> Iterator[Evidence]:
        """Which application the flow's own name speaks for; only where it has none, what else its sides say of it."""
        if key["name_app"] is not None and key["name_source"] is not None:
            yield Evidence(key["name_app"], key["name_source"], str(key["name_by"]), key["name_source"])
            return
        said = {"certificate": key["certificate_app"], "agent": key["agent_app"]}
        for source, name in said.items():
            if name is not None and "," not in name:  # of several, none is the flow's
                yield Evidence(name, source, name, source)
        for alpn in _split(key["negotiated"]):
            spoken = self.catalogue.by_alpn.get(alpn)
            if spoken is not None and spoken.application is not None:
                yield Evidence(spoken.application, "alpn", alpn, "alpn")
        if key["server_app"] is not None:
            yield Evidence(key["server_app"], "server_name", str(key["server_by"]), "server_name")

    def _inferred(self, key: Key) -> Inference | None:
        """What the responder port stands for in the network where the responder lies."""
        return self.inferences.find(key["resp_network"], key["proto"], key["resp_port"])

    def _by_network(self, key: Key) -> Iterator[Evidence]:
        """Which application the responder's network, and the port in it, speak for."""
        if key["proto"] not in ("tcp", "udp"):
            return
        network = key["resp_network"] or key["orig_network"]
        inferred = self._inferred(key)
        if inferred is not None and inferred.application is not None:
            source = "port" if key["resp_network"] is None else "network"
            what = "/".join(str(part) for part in (network, key["resp_port"]) if part)
            yield Evidence(inferred.application, source, what, f"{source}_use")
        elif network is not None:
            yield Evidence(network, "network", network, "network")

    def _observed(self, key: Key) -> Iterator[Evidence]:
        """What was seen in the flow's own payload; the outermost of it as it is called on this port.

        TLS on IMAP's port is IMAP, unless what was seen inside is something else.
        """
        found = [*self._seen(key)]
        outermost = self.outermost({item.claim for item in found})
        for item in found:
            yield self._refine(item, key) if item.claim in outermost else item

    def _seen(self, key: Key) -> Iterator[Evidence]:
        by_ip = self.catalogue.by_ip.get(key["ip_protocol"])
        if by_ip is not None:
            yield Evidence(by_ip, "ip", f"{key['ip_protocol']}/{by_ip}", "ip")
        denied = _denied(key["seen"])
        detected = [name for name in self._called(_split(key["service"])) if name not in denied]
        for name in _split(key["seen"]):
            if name in denied:
                continue
            source = "log" if name in detected else "log_alone"
            yield Evidence(name, source, name, source)
        for strength in STRENGTHS:
            for name in _split(key[f"payload_{strength}"]):
                yield Evidence(name, "payload", name, f"payload.{strength}")
        for alpn in _split(key["negotiated"]):
            spoken = self.catalogue.by_alpn.get(alpn)
            if spoken is not None and spoken.protocol is not None:
                yield Evidence(spoken.protocol, "alpn", alpn, "alpn")
        for name in detected:
            yield Evidence(name, "dpi", name, "dpi.half" if key["state"] == "half" else "dpi")

    def _called(self, aliases: Iterable[str]) -> list[str]:
        return [name for name in map(self.catalogue.canonical, aliases) if name is not None]

    def _refine(self, item: Evidence, key: Key) -> Evidence:
        name = self.refined.get((item.claim, str(key["resp_port"]), key["proto"]))
        return item if name is None else replace(item, claim=name)

    def _circumstantial(self, key: Key) -> Iterator[Evidence]:
        """What the server, the ports and the sizes say."""
        state = answered = _TOLD.get(key["state"], key["state"])
        refuted = self._called(_denied(key["service"]))
        if key["resp_asserts"] in (*self.recognised.get(key["state"], ()), *refuted):
            state = "unrecognised"
        if key["server"] is not None:
            for name in sorted(self.outermost(set(_split(key["server"])) - _denied(key["server"]))):
                what = f"{key['server_address']}:{key['resp_port']}={name}"
                yield self._refine(Evidence(name, "server", what, f"server.{answered}"), key)
        elif key["swapped"] is not None and state != "failed":
            server, _, names = key["swapped"].rpartition("=")
            for name in sorted(self.outermost(set(_split(names)) - _denied(names))):
                yield Evidence(name, "server", f"{server}={name}", "server.swapped")
        rival = self._rival(key)
        if key["size"] is not None:
            expected = key["size"] in (key["resp_asserts"], rival)
            yield Evidence(key["size"], "size", key["size"], "size" if expected else "size.alone")
        if key["size_denies"] is not None:
            yield Evidence(key["size_denies"], "size", f"not {key['size_denies']}", "size_denies")
        asserted = key["resp_asserts"]
        inferred = self._inferred(key) if key["resp_network"] is not None else None
        if inferred is not None and inferred.protocol not in (None, asserted):
            return  # what the port stands for in general is not what it stands for in this network
        system = int(key["resp_port"] or 0) < SYSTEM
        if asserted is not None and (system or rival is None or int(key["orig_port"] or SYSTEM) >= SYSTEM):
            what = f"{key['resp_port']}/{key['port_service'] or asserted}"
            yield Evidence(asserted, "port", what, f"port.{'system' if system else 'user'}.{state}")
        if rival is not None:
            yield Evidence(rival, "swapped", rival, "swapped.failed" if state == "failed" else "swapped")

    def _rival(self, key: Key) -> str | None:
        """What the originator's port asserts, where the originator may be the server.

        Who sent the SYN is the client, unless it is a server that calls back. So is who sends datagrams from a port
        that systems give to clients, unless it is a peer. Where the responder's port asserts something, too, the
        originator's must be a system's: the other is rather a client's by chance. Datagrams that nobody answered may be
        answers that somebody else asked for.
        """
        rival, asserted, port = key["orig_asserts"], key["resp_asserts"], int(key["orig_port"] or SYSTEM)
        if key["proto"] == "udp":
            may_serve = port < DYNAMIC or self._are_peers(rival)
            turned = may_serve if asserted is None else key["state"] == "one_way" or port < SYSTEM
        elif asserted is None:
            turned = key["conn_state"] in (None, *NO_SYN) or rival in CALL_BACK
        else:
            turned = key["conn_state"] in NO_SYN and port < SYSTEM
        return rival if turned and rival != asserted else None

    def _are_peers(self, name: str | None) -> bool:
        """Whether either side of a protocol sends from its port."""
        protocol = self.catalogue.protocols.get(name or "")
        return protocol is not None and protocol.peers

    def verdict(self, key: Key) -> tuple[object, ...]:
        """The values of ``app.*`` for one combination of keys, in the order of ADDS."""
        protocols, applications = self.evidence(key)
        asserted = key["resp_asserts"]
        chosen, confidence = self.fuse(protocols)
        if chosen is not None and not self._carries_any(chosen):
            applications = [item for item in applications if item.source != "network" or item.what != item.claim]
        application = applications[0].claim if applications else None
        evidence = [str(item) for item in (*protocols, *applications)] or None
        observed = _observed_of(protocols)
        contradiction = not self.catalogue.agree(asserted, observed) if observed and asserted is not None else None
        category = self.catalogue.category(chosen, application)
        return chosen, application, category, confidence, evidence, asserted, contradiction

    def _carries_any(self, name: str) -> bool:
        """Whether a protocol carries many applications, so that whose network it runs to tells which."""
        protocol = self.catalogue.protocols.get(name)
        return protocol is not None and (protocol.carrier or protocol.category in ("stun", "voice"))

    def claims(self, protocols: list[Evidence]) -> dict[str, list[str]]:
        """The kinds of evidence for each protocol that may be the answer.

        What was observed in one flow is layered, not contradictory; and what is only asserted is no rival to it: an
        assertion that observation contradicts lowers the confidence in what was observed.
        """
        observed = _observed_of(protocols)
        outermost = self.outermost(observed)
        claims: dict[str, list[str]] = {}
        for item in protocols:
            if not observed or item.claim in outermost:
                claims.setdefault(item.claim, []).append(item.kind)
        asserted = [item.claim for item in protocols if item.source == "port"]
        if observed and not all(self.catalogue.agree(claim, observed) for claim in asserted):
            for kinds in claims.values():
                kinds.append("contradicted")
        return claims

    def fuse(self, protocols: list[Evidence]) -> tuple[str | None, float | None]:
        """The protocol with the highest score, and its confidence; (None, None) where none is likely."""
        claims = self.claims(protocols)
        scores = {claim: sum(self.weights[kind] for kind in kinds) for claim, kinds in claims.items()}
        if not scores:
            return None, None
        chosen = max(scores, key=lambda name: scores[name])
        if scores[chosen] <= 0:  # more likely none of them
            return None, None
        confidence = math.exp(scores[chosen]) / (1 + sum(math.exp(score) for score in scores.values()))
        return chosen, round(min(confidence, self.ceiling), 3)

    def outermost(self, names: set[str]) -> set[str]:
        """Those protocols of a flow or server that do not merely carry, protect or authenticate another of them."""
        left = set(names)
        for name in self.yields:
            if len(left) > 1:
                left.discard(name)
        return left


def _observed_of(protocols: list[Evidence]) -> set[str]:
    """The protocols that were observed: of both sides, and such that these sizes can be theirs."""
    denied = {item.claim for item in protocols if item.kind == "size_denies"}
    return {item.claim for item in protocols if item.source in OBSERVED and item.kind != "dpi.half"} - denied


def _split(names: str | None) -> list[str]:
    return [name for name in names.split(",") if not name.startswith("-")] if names else []


def _denied(names: str | None) -> set[str]:
    """The names that are ruled out: those that have a minus."""
    return {name[1:] for name in names.split(",") if name.startswith("-")} if names else set()


def judge_of(resources: Resources) -> Judge:
    """The judge of a run, with its tables."""
    return Judge(load(resources), resources.toml(TABLE), resources.csv(REFINEMENTS), inferences.load(resources))
