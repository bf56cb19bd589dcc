"""Findings from ports and protocols of single flows: contradictions, obsolete protocols, odd client ports, TFTP."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import polars as pl

from enrich.applications import Catalogue
from enrich.batch import standing_alone
from enrich.findings.case import Case, Cases, Finding, merged
from enrich.flows import Pick
from enrich.ports import REGISTRY, expand
from enrich.tally import ENOUGH, Waiting

_DYNAMIC = 49152
_FLOW = ("ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p")
_SUSPECT = (
    *_FLOW, "proto", "app.protocol", "app.asserted", "app.confidence", "app.contradiction", "port.group", "_resp_own",
    "_seen", "_server",
)  # fmt: skip
_TFTP = 69


_CROSSING = pl.col("_udp") & (pl.col("_orig_own") != pl.col("_resp_own"))
_LEAVING = Pick(_CROSSING & pl.col("_orig_own"), *_FLOW)
_REQUESTS = Pick(
    _CROSSING & (pl.col("app.protocol") == "tftp") & (pl.col("app.asserted") == "tftp"),
    *_FLOW, "id.orig_p", "_orig_own", "_resp_own", "_open",
)  # fmt: skip


class PortContradiction:
    """A server that speaks another protocol than its port asserts."""

    def __init__(self, table: Mapping[str, Any], catalogue: Catalogue, registry: pl.DataFrame) -> None:
        self.table = table["port_contradiction"]
        self.catalogue = catalogue
        limits = table["limits"]
        self.cases = Cases(("host", "port", "transport", "protocol", "asserted"), limits, ("confidence",))
        self.bounded = (self.cases,)
        ports = expand(registry.select("port", "last_port", "transport", "name"), REGISTRY)
        names = ports["name"].replace_strict(catalogue.by_alias, default=None, return_dtype=pl.String)
        own = ports.with_columns(names.alias("protocol")).filter(pl.col("protocol").is_in(self.table["own_port_only"]))
        self._own = own.select("port", "transport", "protocol").with_columns(pl.lit(True).alias("_given"))
        self._say(table["alike"]["pairs"])
        self._suspects = Waiting(self._judge, ENOUGH)

    def _say(self, alike: list[list[str]]) -> None:
        """What makes a flow suspect at first sight, and what settles it."""
        t, protocol, asserted = self.table, pl.col("app.protocol"), pl.col("app.asserted")
        well_known = (pl.col("id.resp_p") < 1024) | pl.col("port.group").is_not_null()
        differs = (asserted != protocol).fill_null(True)
        contradicts = (pl.col("app.contradiction") & differs & well_known).fill_null(False)
        may_hide = protocol.is_in(t["own_port_only"])
        may_be_moved = protocol.is_in(t["customary_ports_only"]) & differs & pl.col("_resp_own")
        may_be_moved = may_be_moved & (pl.col("id.resp_p") < _DYNAMIC)
        spoken = pl.col("_observed") & pl.col("_oriented") & pl.col("_open")
        self._suspect = Pick(spoken & (contradicts | may_hide | may_be_moved), *_SUSPECT)
        parsed = _among(protocol, pl.col("_seen"))
        least = pl.when(parsed).then(t["parsed_confidence"]).otherwise(t["confidence"])
        # Where the server does speak what its port asserts, the client is odd, not the server.
        odd_client = _among(asserted, pl.col("_server"))
        possible = (protocol != "tls") | asserted.is_in(t["never_in_tls"])
        hidden = may_hide & pl.col("_given").is_null()
        found = (
            ~protocol.is_in(t["anywhere"])
            & (pl.col("app.confidence") >= least)
            & ~_alike(alike)
            & ((contradicts & ~odd_client & possible.fill_null(True)) | hidden | (may_be_moved & ~odd_client))
        )
        server = {"host": "id.resp_h", "port": "id.resp_p", "transport": "proto", "protocol": "app.protocol"}
        server |= {"confidence": "app.confidence", "peer": "id.orig_h"}
        asserted = pl.when(contradicts).then("app.asserted")
        self._contradiction = Pick(found, "ts", "uid", asserted=asserted, **server)

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Look at one conn batch."""
        if log != "conn":
            return
        self._suspects.add(self._suspect(frame))

    def _judge(self, suspects: pl.DataFrame) -> None:
        given = suspects.join(
            self._own,
            left_on=["id.resp_p", "proto", "app.protocol"],
            right_on=["port", "transport", "protocol"],
            how="left",
        )
        self.cases.add(self._contradiction(given))

    def findings(self) -> Iterator[Finding]:
        """One a server's port and protocol."""
        self._suspects.look()
        groups: dict[tuple[Any, ...], list[Case]] = defaultdict(list)
        for case in self.cases.cases():
            groups[tuple(case.keys[name] for name in ("host", "port", "transport", "protocol"))].append(case)
        for (host, port, transport, protocol), cases in groups.items():
            asserted = next((case.keys["asserted"] for case in cases if case.keys["asserted"]), None)
            peers = [peer for case in cases for peer in case.peers]
            case = merged(cases, {}, peers, self.cases.limits) if len(cases) > 1 else cases[0]
            place = f"{port}/{transport}"
            if asserted is not None and asserted != protocol:
                grave = self.catalogue.category(protocol, None) in self.table["grave"]
                severity = self.table["severity"]["grave" if grave else "contradicted"]
                summary = f"{protocol} on port {place}, which asserts {asserted}"
                evidence = [f"port:{place} asserts {asserted}"]
            else:
                severity, summary, evidence = (
                    self.table["severity"]["moved"],
                    f"{protocol} on port {place}, not its own",
                    [],
                )
            confidence = case.sums["confidence"] / case.flows
            seen = f"observed:{protocol} {case.in_flows}, confidence {confidence:.2f}"
            yield Finding(
                "port_contradiction", severity, host, summary, case.first_seen, case.last_seen, case.flows, case.uids,
                case.peer, port, [seen, *evidence, case.peers_told("clients")],
            )  # fmt: skip


class ObsoleteProtocol:
    """A conversation in a protocol, or a version of one, that is obsolete."""

    READS: Mapping[str, frozenset[str]] = {
        "ssl": frozenset({"version"}),
        "ssh": frozenset({"server"}),
        "smb_mapping": frozenset({"service"}),
        "smb": frozenset({"dialect"}),
    }
    """Where versions stand; the table says which are obsolete."""

    def __init__(self, table: Mapping[str, Any], catalogue: Catalogue) -> None:
        self.table = table["obsolete_protocol"]
        self.limits = table["limits"]
        self.reasons = {
            name: protocol.obsolete
            for name, protocol in catalogue.protocols.items()
            if protocol.obsolete and name not in self.table["except"]
        }
        self.versions: list[dict[str, Any]] = self.table["version"]
        unread = [v for v in self.versions if v["column"] not in self.READS.get(v["log"], ())]
        if unread:
            raise ValueError(f"obsolete_protocol.version: {unread[0]['log']}.{unread[0]['column']} is not read")
        spoken = pl.col("_open") & pl.col("_oriented") & pl.col("app.protocol").is_in(list(self.reasons))
        packets = pl.min_horizontal("orig_pkts", "resp_pkts")
        obsolete = (
            spoken
            & (pl.col("app.confidence") >= self.table["confidence"])
            & (pl.col("orig_pkts") + pl.col("resp_pkts") >= self.table["packets"])
            & (packets > 1)
        )
        self._obsolete = Pick(obsolete, *_FLOW, "app.protocol", "app.asserted")
        self._alike = _alike(table["alike"]["pairs"])
        self._suspects = Waiting(self._judge, ENOUGH)
        keys = ("client", "server", "port", "protocol", "reason")
        self._spoken, self._told = Cases(keys, self.limits), Cases(keys, self.limits, repeated=True)
        self.bounded = (self._spoken, self._told)

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Look at one batch."""
        if log == "conn":
            self._suspects.add(self._obsolete(frame))
        for version in self.versions:
            if version["log"] == log and version["column"] in frame.columns:
                value = pl.col(version["column"]).cast(pl.String)
                begins = pl.any_horizontal(value.str.starts_with(text) for text in version["begins"])
                found = Pick(begins.fill_null(False), *_FLOW)(frame)
                self._found(self._told, found, pl.lit(version["protocol"]), pl.lit(version["reason"]))

    def _judge(self, suspects: pl.DataFrame) -> None:
        reason = pl.col("app.protocol").replace_strict(self.reasons, default=None, return_dtype=pl.String)
        self._found(self._spoken, suspects.filter(~self._alike), pl.col("app.protocol"), reason)

    def _found(self, cases: Cases, flows: pl.DataFrame, protocol: pl.Expr, reason: pl.Expr) -> None:
        sides = {"client": "id.orig_h", "server": "id.resp_h", "port": "id.resp_p", "peer": "id.resp_h"}
        cases.add(flows.select("ts", "uid", protocol=protocol, reason=reason, **sides))

    def findings(self) -> Iterator[Finding]:
        """One a client and server; about the server alone, or the client, where it has many of the other."""
        self._suspects.look()
        groups: dict[tuple[Any, ...], list[Case]] = defaultdict(list)
        for case in chain(self._spoken.cases(), self._told.cases()):
            groups[case.keys["server"], case.keys["port"], case.keys["protocol"]].append(case)
        alone: dict[tuple[Any, ...], list[Case]] = defaultdict(list)
        for (server, _, protocol), cases in groups.items():
            if len(cases) >= self.table["clients"]:
                clients = [case.keys["client"] for case in cases]
                yield self._finding(server, merged(cases, cases[0].keys, clients, self.limits), "clients", "serves")
            else:
                for case in cases:
                    alone[case.keys["client"], protocol].append(case)
        for (client, _), cases in alone.items():
            if len(cases) >= self.table["servers"]:
                servers = [case.keys["server"] for case in cases]
                yield self._finding(client, merged(cases, cases[0].keys, servers, self.limits), "servers", "uses")
            else:
                for case in cases:
                    yield self._finding(client, case, "server", "uses")

    def _finding(self, host: str, case: Case, role: str, does: str) -> Finding:
        protocol, reason = case.keys["protocol"], case.keys["reason"]
        grave = protocol in self.table["grave"]
        return Finding(
            "obsolete_protocol",
            self.table["severity"]["grave" if grave else "other"],
            host,
            f"{does} {protocol} ({reason})",
            case.first_seen,
            case.last_seen,
            case.flows,
            case.uids,
            case.peer,
            case.keys["port"],
            [f"observed:{protocol} {case.in_flows}", case.peers_told(role)],
        )


class PrivilegedClientPort:
    """A client port below 1024 where the protocol's clients have no reason for one."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table["privileged_client_port"]
        ours = pl.col("_orig_own") | (pl.col("_resp_own") & pl.col("_open"))
        odd = (pl.col("orig.port_class") == "privileged") & (pl.col("id.orig_p") > 0) & pl.col("_oriented") & ours
        # A packet from a server's port to a client's is an answer whose question was missed.
        answer = (pl.col("id.resp_p") >= 1024) & pl.col("app.asserted").is_null()
        usual = pl.any_horizontal(_usual(entry["ports"]) for entry in self.table["usual"])
        self._odd = Pick((odd & ~answer).fill_null(False), *_FLOW, "id.orig_p", "proto")
        sides = {"host": "id.orig_h", "client_port": "id.orig_p", "transport": "proto", "port": "id.resp_p"}
        self._unusual = Pick(~usual, "ts", "uid", peer="id.resp_h", **sides)
        self.cases = Cases(("host", "client_port", "transport", "port"), table["limits"])
        self.bounded = (self.cases,)

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Look at one conn batch."""
        if log != "conn":
            return
        self.cases.add(self._unusual(self._odd(frame)))

    def findings(self) -> Iterator[Finding]:
        """One a client and its port."""
        groups: dict[tuple[Any, ...], list[Case]] = defaultdict(list)
        for case in self.cases.cases():
            groups[case.keys["host"], case.keys["client_port"], case.keys["transport"]].append(case)
        for (host, client_port, transport), cases in groups.items():
            peers = [peer for case in cases for peer in case.peers]
            ports = sorted({case.keys["port"] for case in cases})
            case = merged(cases, {}, peers, self.cases.limits) if len(cases) > 1 else cases[0]
            told = ", ".join(map(str, ports[:5])) + (f" and {len(ports) - 5} more" if len(ports) > 5 else "")
            yield Finding(
                "privileged_client_port", self.table["severity"], host,
                f"client port {client_port}/{transport}, to port {told}", case.first_seen, case.last_seen, case.flows,
                case.uids, case.peer, ports[0] if len(ports) == 1 else None,
                [f"port:{client_port}/{transport} {case.in_flows}", case.peers_told("servers")],
            )  # fmt: skip


class TftpAcrossBorder:
    """TFTP between a host of the site and one outside."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self.table = table["tftp_across_border"]
        self.cases = Cases(("host", "other", "direction"), table["limits"])
        self.bounded = (self.cases,)
        self._asked = pl.DataFrame(schema={"client": pl.String, "port": pl.Int64, "server": pl.String})

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Look at one conn batch."""
        if log != "conn":
            return
        requests = _REQUESTS(frame)
        self.cases.add(_tftp(requests.filter("_orig_own"), "orig", "resp", "asks"))
        asked = requests.filter("_resp_own")
        if asked.height or self._asked.height:
            self._answers(asked, _LEAVING(frame))

    def _answers(self, requests: pl.DataFrame, leaving: pl.DataFrame) -> None:
        """Requests from outside count when they were answered: from another port, to the port that asked (RFC 1350)."""
        asked = requests.select(client="id.orig_h", port="id.orig_p", server="id.resp_h")
        self._asked = standing_alone(pl.concat([self._asked, asked]).unique(maintain_order=True).tail(100_000))
        answered = leaving.join(
            self._asked,
            left_on=["id.resp_h", "id.resp_p", "id.orig_h"],
            right_on=["client", "port", "server"],
            how="semi",
        )
        self.cases.add(_tftp(answered, "orig", "resp", "answers"))
        self.cases.add(_tftp(requests.filter("_open"), "resp", "orig", "answers"))

    def findings(self) -> Iterator[Finding]:
        """One a host of the site and its peer."""
        for case in self.cases.cases():
            yield Finding(
                "tftp_across_border", self.table["severity"], case.keys["host"],
                f"{case.keys['direction']} {case.peer} outside by TFTP, which must never cross the border",
                case.first_seen, case.last_seen, case.flows, case.uids, case.peer, _TFTP,
                [f"observed:tftp {case.in_flows}"],
            )  # fmt: skip


def _among(name: pl.Expr, names: pl.Expr) -> pl.Expr:
    """Whether a name is one of several joined by commas; false where either is null."""
    return ("," + names + ",").str.contains("," + name + ",", literal=True).fill_null(False)


def _alike(pairs: list[list[str]]) -> pl.Expr:
    """Whether detection takes a flow's protocol and the asserted one for each other."""
    either = [f"{a} {b}" for pair in pairs for a, b in (pair, pair[::-1])]
    return pl.concat_str("app.protocol", "app.asserted", separator=" ").is_in(either).fill_null(False)


def _tftp(frame: pl.DataFrame, own: str, other: str, direction: str) -> pl.DataFrame:
    return frame.select(
        "ts",
        "uid",
        pl.lit(direction).alias("direction"),
        host=f"id.{own}_h",
        other=f"id.{other}_h",
        peer=f"id.{other}_h",
    )


def _usual(text: str) -> pl.Expr:
    """Whether a flow is as ``tcp 512-1023 111`` says: transport, client ports, server ports."""
    transport, clients, servers = text.split()
    own, other = pl.col("id.orig_p").is_between(*_ports(clients)), pl.col("id.resp_p").is_between(*_ports(servers))
    return ((pl.col("proto") == transport) & own & other).fill_null(False)


def _ports(text: str) -> tuple[int, int]:
    if text == "any":
        return 0, 65535
    first, _, last = text.partition("-")
    return int(first), int(last or first)
