"""The first pass of a run: what every log says about the flows of every other.

What is said of a flow's uid, of its server and of the names that clients looked up is remembered in tables by key
(:mod:`enrich.keyed`), a few bytes each, so that the second pass can judge each flow by evidence from all logs, in the
order in which the records stand in their files. Memory holds a bounded part of the tables, scratch files the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich import flow_states, ftp_replies, ip_protocols
from enrich.applications import Catalogue
from enrich.batch import Batch, possible_times
from enrich.dns_answers import Answers
from enrich.keyed import CONFLICT, Keyed, Keys, Sought, hashes
from enrich.machine import release_memory
from enrich.names import host_names
from enrich.payload import STRENGTHS, Payloads
from enrich.protocol_sets import ProtocolSets
from enrich.runs import MOST
from enrich.scratch import Scratch
from enrich.sources.zeek_types import known_types
from enrich.texts import Texts

_NAMED = {"ssl": ("server_name", "sni"), "quic": ("server_name", "sni"), "http": ("host", "host")}
_NEGOTIATED = {"ssl": "next_protocol", "quic": "client_protocol"}
_HOST_BIT = np.uint64(1 << 63)
Rows = npt.NDArray[np.intp]
SOURCES = ("sni", "host", "cert", "dns", "dns_any")

_SERVER = frozenset({"id.resp_h", "id.resp_p", "proto"})
_FLOW = _SERVER | {"uid"}
_CERTIFICATE = {"cert_chain_fps", "cert_chain_fuids", "subject", "issuer"}
_READ: dict[str, frozenset[str]] = {
    "conn": _SERVER | {"service", "_detection"},
    "http": _FLOW | {"host", "user_agent"},
    "ssl": _FLOW | {"version", "server_name", "next_protocol"} | _CERTIFICATE,
    "quic": _FLOW | {"version", "server_name", "client_protocol"},
    "dns": _FLOW | {"ts", "id.orig_h", "query", "qtype_name", "answers", "TTLs"},
    "ftp": _FLOW | ftp_replies.COLUMNS,
    "payload": _FLOW | {"id.orig_p", "orig_payload_hex", "resp_payload_hex"},
    "x509": frozenset({"fingerprint", "id", "certificate.subject", "certificate.issuer", "san.dns"}),
}
# What :meth:`Survey.about` reads of a conn batch.
ABOUT = _READ["conn"] | _FLOW | flow_states.READS | ip_protocols.READS | {"ts", "id.orig_h", "id.orig_p"}
_ADDRESS_TYPES = ("A", "AAAA", "A6")
# So many different values of service are remembered.
_SERVICES = 100_000


class Survey:
    """What all logs of a run say about its flows. Fill it with :meth:`add`, then ask :meth:`about`."""

    def __init__(
        self,
        catalogue: Catalogue,
        payloads: Callable[[], Payloads],
        failed_states: Iterable[str],
        *,
        most: int = MOST,
    ) -> None:
        """``payloads`` loads the payload signatures, should there be payloads.

        ``failed_states`` are the values of conn_state of a TCP connection that never opened; ``most`` is how many rows
        of each table memory holds.
        """
        self.catalogue = catalogue
        self.signatures = payloads
        self.failed_states = list(failed_states)
        self.logs = frozenset(_READ) | frozenset(catalogue.by_log)
        self.scratch = Scratch()
        sets, keyed = partial(ProtocolSets, self.scratch, most), partial(Keyed, scratch=self.scratch, most=most)
        # By server: its address, port and transport.
        self.servers = sets()
        self.server_names = keyed("same")
        # By flow: its uid.
        self.protocols = sets()
        self.negotiated = sets()
        self.agents = sets()
        self.payloads = {strength: sets() for strength in STRENGTHS}
        self.named = keyed("least")
        self.certificates = keyed("least")
        # By certificate, address, or client and address.
        self.certificate_names = keyed("least")
        self.certificate_applications = sets()
        self.asked_by_any = keyed("same")
        self.asked = Answers(scratch=self.scratch, most=most)
        self.names = Texts(self.scratch, most)
        self._services: dict[str, str | None] = {}
        self.following = False
        self.newest = 0.0
        self._finished = keyed("least")

    def follow(self) -> None:
        """From now on also remember which flows have come to their end and when that was, for :mod:`enrich.state`."""
        self.following = True

    def wanted(self, log: str) -> frozenset[str]:
        """The columns of a log that the survey reads; empty if the log says nothing about flows."""
        read = _READ.get(log, _FLOW if log in self.catalogue.by_log else frozenset())
        return read | {"ts", "uid"} if self.following and read else read

    def stores(self) -> dict[str, Keyed | ProtocolSets | Answers]:
        """All that is remembered but the texts, by what it is called; ``flow_`` are those by uid."""
        return {
            "servers": self.servers,
            "server_names": self.server_names,
            "certificate_names": self.certificate_names,
            "certificate_applications": self.certificate_applications,
            "asked_by_any": self.asked_by_any,
            "answers": self.asked,
            "flow_protocols": self.protocols,
            "flow_negotiated": self.negotiated,
            "flow_agents": self.agents,
            **{f"flow_payload_{strength}": store for strength, store in self.payloads.items()},
            "flow_names": self.named,
            "flow_certificates": self.certificates,
        }

    def add(self, batch: Batch) -> None:
        """Take in one batch of any log."""
        log = batch.log
        frame = possible_times(known_types(batch, self.wanted(log)))
        if self.following:
            self._follow(frame, log)
        if log == "x509":
            self._add_certificates(frame)
            return
        if log == "conn":
            self._add_services(frame)
            return
        if log == "payload":
            self._add_payloads(frame)
            return
        protocol = self.catalogue.by_log.get(log)
        if protocol is None or "uid" not in frame.columns:
            return
        uids = hashes(frame["uid"])
        spoken = pl.Series([protocol]).new_from_index(0, len(uids))
        if log == "ssl" and "version" in frame.columns:
            datagram = frame["version"].str.starts_with("DTLS").fill_null(False)
            spoken = spoken.set(datagram, "dtls")
        if "version" in frame.columns:
            spoken = spoken.set(self.catalogue.unheard_of(protocol, frame["version"]).fill_null(False), f"-{protocol}")
        if log == "ftp":
            spoken = ftp_replies.corrected(frame, spoken, self.signatures)
        self.protocols.add(uids, spoken)
        transport = spoken.str.strip_prefix("-").replace_strict(self.catalogue.usual_transport, default="tcp")
        servers = _server_keys(frame, transport)
        if servers is not None:
            self.servers.add(servers, spoken)
        if log in _NAMED and _NAMED[log][0] in frame.columns:
            column, source = _NAMED[log]
            names = self.names.add(host_names(frame[column]))
            # The smaller value stays: a name from SNI before one from HTTP.
            self.named.add(uids, np.where(names == 0, names, names | _HOST_BIT * (source == "host")))
            if servers is not None:
                self.server_names.add(servers, names)
        if log in _NEGOTIATED and _NEGOTIATED[log] in frame.columns:
            self.negotiated.add(uids, self.catalogue.telling_alpn(frame[_NEGOTIATED[log]]))
        if log == "http" and "user_agent" in frame.columns:
            self.agents.add(uids, self.catalogue.agents_many(frame["user_agent"]))
        if log == "ssl":
            self._add_handshakes(frame, uids)
        if log == "dns":
            self._add_answers(frame)

    def _add_handshakes(self, frame: pl.DataFrame, uids: Keys) -> None:
        """Which certificate each flow's server has shown; what it says, where the log itself tells (Suricata)."""
        for column in ("cert_chain_fps", "cert_chain_fuids"):
            if column in frame.columns and frame.schema[column] == pl.List(pl.String):
                first = frame[column].list.first()
                self.certificates.add(uids, _zero_nulls(hashes(first), first))
        if "subject" in frame.columns:
            shown = frame.filter(pl.col("subject").is_not_null())
            issuers = shown["issuer"] if "issuer" in shown.columns else shown["subject"]
            keys = hashes(shown["subject"], issuers)
            self.certificates.add(uids[frame["subject"].is_not_null().to_numpy()], keys)
            self._add_certificate(keys, shown["subject"], issuers, _common_name(shown["subject"]))

    def _add_certificates(self, frame: pl.DataFrame) -> None:
        names = [pl.col("san.dns").list.first()] if frame.schema.get("san.dns") == pl.List(pl.String) else []
        null = pl.Series([None], dtype=pl.String).new_from_index(0, frame.height)
        subjects = frame["certificate.subject"] if "certificate.subject" in frame.columns else null
        issuers = frame["certificate.issuer"] if "certificate.issuer" in frame.columns else null
        texts = frame.select(pl.coalesce(*names, pl.lit(_common_name(subjects))).alias("name"))["name"]
        for column in ("fingerprint", "id"):
            if column in frame.columns:
                self._add_certificate(_zero_nulls(hashes(frame[column]), frame[column]), subjects, issuers, texts)

    def _add_certificate(self, keys: Keys, subjects: pl.Series, issuers: pl.Series, names: pl.Series) -> None:
        self.certificate_names.add(keys, self.names.add(host_names(names.str.strip_prefix("*."))))
        self.certificate_applications.add(keys, self.catalogue.certificates_many(subjects, issuers))

    def _add_services(self, frame: pl.DataFrame) -> None:
        if "service" not in frame.columns:
            return
        known = frame.filter(pl.col("service").is_not_null())
        if "_detection" in known.columns:  # half of a detection is no company
            known = known.filter(pl.col("_detection").is_null())
        servers = _server_keys(known)
        if servers is None:
            return
        if len(self._services) > _SERVICES:
            self._services.clear()
        for service in known["service"].unique():
            if service not in self._services:
                protocols = (
                    self.catalogue.canonical(name.lstrip("-")) for name in service.split(",") if name[:1] != "-"
                )
                self._services[service] = ",".join(filter(None, protocols)) or None
        self.servers.add(servers, known["service"].replace_strict(self._services, return_dtype=pl.String))

    def _add_payloads(self, frame: pl.DataFrame) -> None:
        columns = {"transport": "proto", "resp_port": "id.resp_p", "orig_port": "id.orig_p"}
        columns |= {"orig": "orig_payload_hex", "resp": "resp_payload_hex"}
        if not {"uid", *columns.values()} <= set(frame.columns):
            return
        found = self.signatures().identify_many(frame.select(pl.col(old).alias(new) for new, old in columns.items()))
        uids = hashes(frame["uid"])
        servers = _server_keys(frame)
        for strength, store in self.payloads.items():
            of_this = found["protocol"].set((found["strength"] != strength).fill_null(True), None)
            store.add(uids, of_this)
            if servers is not None and strength == "certain":
                self.servers.add(servers, of_this)

    def _add_answers(self, frame: pl.DataFrame) -> None:
        if not {"id.orig_h", "ts", "query", "answers"} <= set(frame.columns):
            return
        if frame.schema["answers"] != pl.List(pl.String):
            return
        if "qtype_name" in frame.columns:  # a zone transfer, or ANY, answers with the addresses of others
            frame = frame.filter(pl.col("qtype_name").is_in(_ADDRESS_TYPES) | pl.col("qtype_name").is_null())
        ttls = pl.col("TTLs") if frame.schema.get("TTLs") == pl.List(pl.Float64) else pl.lit(None, pl.List(pl.Float64))
        rows = (
            frame.select("ts", "query", client="id.orig_h", answer="answers", ttl=ttls)
            .filter(pl.col("query").is_not_null() & (pl.col("answer").list.len() > 0))
            .with_columns(ttl=pl.col("ttl").list.min())
            .explode("answer", empty_as_null=False)
            .filter(pl.col("answer").str.contains(r"^[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+$|^[0-9a-fA-F]*:[0-9a-fA-F:.]*$"))
            .filter(pl.col("answer").is_in(["0.0.0.0", "127.0.0.1", "::", "::1"]).not_())
        )
        if not rows.height:
            return
        names = self.names.add(host_names(rows["query"]))
        self.asked.add(hashes(rows["client"], rows["answer"]), rows["ts"], rows["ttl"], names)
        # What anybody was told counts only of an address that goes by one name: a shared one says nothing.
        self.asked_by_any.add(hashes(rows["answer"]), names)

    def _follow(self, frame: pl.DataFrame, log: str) -> None:
        if frame.schema.get("ts") == pl.Float64:
            newest = frame["ts"].max()
            self.newest = max(self.newest, newest if isinstance(newest, float) else 0.0)
        if log == "conn" and "uid" in frame.columns:
            uids = hashes(frame["uid"])
            self._finished.add(uids, np.ones_like(uids))

    def finished(self, uids: Keys) -> npt.NDArray[np.bool_]:
        """Of which flows the conn record has come: nothing that is known of them is of use to a later run."""
        return self._finished.knows(uids)

    def texts_in(self, store: str, rows: pl.DataFrame) -> Keys:
        """The keys of the texts that rows of a store speak of, if they speak of any."""
        if store not in ("server_names", "certificate_names", "asked_by_any", "answers", "flow_names"):
            return np.zeros(0, np.uint64)
        return np.unique(rows["value"].to_numpy() & ~_HOST_BIT)

    def settle(self) -> None:
        """All batches have come: sort what was remembered, and give back the memory that took.

        Raises OutputError where the disk is full.
        """
        for store in (*self.stores().values(), self.names):
            store.settle()
        release_memory()

    def about(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What is known of each flow of a conn batch.

        Columns: ``resp.name``, ``resp.name_source``; ``_seen``: protocols of the logs that share its uid;
        ``_negotiated``: what its sides agreed to speak inside TLS or QUIC; ``_certificate_app``, ``_agent_app``: the
        application that its server's certificate, and its client's User-Agent, speak for; ``_payload_certain``,
        ``_payload_likely``: what its first payloads are; ``_server``: protocols that its server spoke in any flow;
        ``_server_name``: the one name its server goes by; ``_swapped``: the originator's address and port with the
        protocols that it spoke as a server, should the responder be no known one; ``_state``: how far it got;
        ``_ip_protocol``: what IP's header says, where it is neither TCP nor UDP.
        """
        height = frame.height
        by_uid: Mapping[str, ProtocolSets] = {
            "_seen": self.protocols,
            "_negotiated": self.negotiated,
            "_agent_app": self.agents,
            **{f"_payload_{strength}": store for strength, store in self.payloads.items()},
        }
        null = pl.Series([None], dtype=pl.String).new_from_index(0, height)
        columns = dict.fromkeys((*by_uid, "_certificate_app"), null)
        certificates: Keys | None = None
        of_flows = len(self.certificates) or len(self.named) or any(len(store) for store in by_uid.values())
        uids = Sought(hashes(frame["uid"])) if of_flows and "uid" in frame.columns else None
        if uids is not None:
            columns |= {name: store.get(uids) for name, store in by_uid.items() if len(store)}
            certificates = self.certificates.get(uids) if len(self.certificates) else None
        if certificates is not None:
            columns["_certificate_app"] = self.certificate_applications.get(certificates)
        names, sources = self._names(frame, uids, certificates)
        server_keys = _server_keys(frame) if len(self.servers) else None
        servers = None if server_keys is None else Sought(server_keys)
        spoken = null if servers is None else self.servers.get(servers)
        by_server = np.zeros(height, np.uint64) if servers is None else self.server_names.get(servers)
        texts = self.names.get(np.concatenate([names, np.where(by_server == CONFLICT, np.uint64(0), by_server)]))
        return pl.DataFrame(
            {
                "resp.name": texts[:height],
                "resp.name_source": pl.Series((None, *SOURCES)).gather(sources),
                **columns,
                "_server": spoken,
                "_swapped": null if servers is None else self._swapped(frame, spoken),
                "_server_address": frame["id.resp_h"].cast(pl.String) if "id.resp_h" in frame.columns else null,
                "_state": flow_states.states(frame, self.failed_states),
                "_ip_protocol": ip_protocols.ip_protocols(frame, self.catalogue.ip_numbers),
                "_server_name": texts[height:],
            }
        )

    def _names(self, frame: pl.DataFrame, uids: Sought | None, certificates: Keys | None) -> tuple[Keys, Rows]:
        """The key of each flow's name, from the first of the sources that has one, and which that is, from 1."""
        names, sources = np.zeros(frame.height, np.uint64), np.zeros(frame.height, np.intp)

        def ask(source: str, named: Callable[[Rows], Keys]) -> None:
            """Let a source name those flows that none before it has."""
            rows = np.flatnonzero(names == 0)
            names[rows] = named(rows)
            sources[rows[names[rows] != 0]] = 1 + SOURCES.index(source)

        if uids is not None and len(self.named):
            of_flow = self.named.get(uids)
            by_host = of_flow >= _HOST_BIT
            ask("sni", lambda rows: np.where(by_host, np.uint64(0), of_flow)[rows])
            ask("host", lambda rows: of_flow[rows] & ~_HOST_BIT)
        if certificates is not None and len(self.certificate_names):
            ask("cert", lambda rows: self.certificate_names.get(certificates[rows]))
        if {"id.orig_h", "id.resp_h", "ts"} <= set(frame.columns) and len(self.asked):
            pairs, addresses = hashes(frame["id.orig_h"], frame["id.resp_h"]), hashes(frame["id.resp_h"])
            ask("dns", lambda rows: self.asked.get(pairs[rows], frame["ts"].gather(rows)))
            by_any = self.asked_by_any
            ask("dns_any", lambda rows: by_any.get(addresses[rows]))
            names[names == CONFLICT] = 0
            sources[names == 0] = 0
        return names, sources

    def _swapped(self, frame: pl.DataFrame, spoken: pl.Series) -> pl.Series:
        """Where the responder is no known server: the originator as one, if it is, as ``address:port=protocols``."""
        out = pl.Series([None], dtype=pl.String).new_from_index(0, frame.height)
        rows = spoken.is_null().arg_true()
        turned = {"id.orig_h": "id.resp_h", "id.orig_p": "id.resp_p", "proto": "proto"}
        there = {name: other for name, other in turned.items() if name in frame.columns}
        ends = pl.DataFrame([frame[name].gather(rows).alias(other) for name, other in there.items()])
        keys = _server_keys(ends)
        if keys is None:
            return out
        found = self.servers.get(keys)
        known = found.is_not_null().arg_true()  # few
        place = ends[known].select(pl.concat_str("id.resp_h", pl.lit(":"), "id.resp_p", pl.lit("="))).to_series()
        return out.scatter(rows.gather(known), place + found.gather(known))


def _zero_nulls(keys: Keys, texts: pl.Series) -> Keys:
    return np.where(texts.is_null().to_numpy(), np.uint64(0), keys)


def _common_name(subjects: pl.Series) -> pl.Series:
    """The host name in subjects; null where it is none, such as a company's or a product's."""
    return subjects.str.extract(r"(?:^|,\s*)CN=((?:\*\.)?[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+)(?:,|$)")


def _server_keys(frame: pl.DataFrame, usual: pl.Series | None = None) -> Keys | None:
    """A key for each flow's server: address, port and transport (``usual`` where the log tells none)."""
    if not {"id.resp_h", "id.resp_p"} <= set(frame.columns):
        return None
    if "proto" in frame.columns:
        proto = frame["proto"]
    else:
        proto = pl.Series(["tcp"]).new_from_index(0, frame.height) if usual is None else usual
    return hashes(frame["id.resp_h"].cast(pl.String), frame["id.resp_p"].cast(pl.UInt16, strict=False), proto)
