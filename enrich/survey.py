"""The first pass of a run: what every log says about the flows of every other.

A flow's uid, its server and the names that clients looked up are remembered in arrays (:mod:`enrich.keyed`) and name
tables, a few bytes each, so that the second pass can judge each flow by evidence from all logs, in the order in which
the records stand in their files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.applications import Catalogue
from enrich.batch import Batch
from enrich.keyed import CONFLICT, Keyed, Keys, hashes, parts, positions, release_memory
from enrich.payload import STRENGTHS, Payloads
from enrich.protocol_sets import ProtocolSets

# A log of its own means that an analyzer followed the protocol in the payload.
LOG_PROTOCOLS: Mapping[str, str] = {
    "bittorrent_dht": "bittorrent",
    "dce_rpc": "dce_rpc",
    "dhcp": "dhcp",
    "dnp3": "dnp3",
    "dns": "dns",
    "ftp": "ftp",
    "ftp_data": "ftp_data",
    "gssapi": "gssapi",
    "http": "http",
    "http2": "http",
    "ike": "ike",
    "irc": "irc",
    "kerberos": "kerberos",
    "ldap": "ldap",
    "ldap_search": "ldap",
    "modbus": "modbus",
    "mqtt": "mqtt",
    "mqtt_connect": "mqtt",
    "mqtt_publish": "mqtt",
    "mqtt_subscribe": "mqtt",
    "mysql": "mysql",
    "nfs": "nfs",
    "ntlm": "ntlm",
    "ntp": "ntp",
    "pgsql": "postgresql",
    "postgresql": "postgresql",
    "quic": "quic",
    "radius": "radius",
    "rdp": "rdp",
    "redis": "redis",
    "rfb": "rfb",
    "sip": "sip",
    "smb": "smb",
    "smb_files": "smb",
    "smb_mapping": "smb",
    "smtp": "smtp",
    "snmp": "snmp",
    "socks": "socks",
    "ssh": "ssh",
    "ssl": "tls",
    "syslog": "syslog",
    "telnet": "telnet",
    "tftp": "tftp",
    "websocket": "websocket",
}
_NAMED = {"ssl": ("server_name", "sni"), "quic": ("server_name", "sni"), "http": ("host", "host")}
_HOST_BIT = np.uint64(1 << 63)
SOURCES = ("sni", "host", "cert", "dns", "dns_any")

_FLOW = frozenset({"uid", "id.orig_h", "id.resp_h", "id.resp_p", "proto"})
_READ: dict[str, frozenset[str]] = {
    "conn": _FLOW | {"service"},
    "http": _FLOW | {"host"},
    "ssl": _FLOW | {"version", "server_name", "cert_chain_fps", "cert_chain_fuids"},
    "quic": _FLOW | {"server_name"},
    "dns": _FLOW | {"ts", "query", "answers", "TTLs"},
    "payload": _FLOW | {"id.orig_p", "orig_payload_hex", "resp_payload_hex"},
    "x509": frozenset({"fingerprint", "id", "certificate.subject", "san.dns"}),
}


# What :meth:`Survey.about` reads of a conn batch.
ABOUT = _FLOW | {"ts", "conn_state", "resp_pkts"}
LOGS = frozenset(_READ) | frozenset(LOG_PROTOCOLS)


def wanted(log: str) -> frozenset[str]:
    """The columns of a log that the survey reads; empty if the log says nothing about flows."""
    return _READ.get(log, _FLOW if log in LOG_PROTOCOLS else frozenset())


@dataclass(slots=True)
class Names:
    """Texts by their hash, each held once."""

    _frames: list[pl.DataFrame] = field(default_factory=list)
    _rows: int = 0
    _sorted: tuple[Keys, pl.Series] | None = None

    def add(self, texts: pl.Series) -> Keys:
        """Remember texts; the key of each (0 for null)."""
        frame = pl.DataFrame({"key": hashes(texts), "text": texts})
        distinct = frame.filter(pl.col("text").is_not_null()).unique("key")
        self._frames.append(distinct)
        self._rows += distinct.height
        if self._rows > 1_000_000 and len(self._frames) > 1:
            self._frames = [pl.concat(self._frames).unique("key")]
            self._rows = 0
        self._sorted = None
        return np.where(texts.is_null().to_numpy(), np.uint64(0), frame["key"].to_numpy())

    def whole(self, halves: Keys) -> Keys:
        """The keys that begin with these 63 bits; 0 where there is none."""
        known = self._known()[0]
        if not len(known):
            return np.zeros(len(halves), np.uint64)
        at = np.minimum(positions(known, halves << np.uint64(1)), len(known) - 1)
        return np.where((halves != 0) & (known[at] >> np.uint64(1) == halves), known[at], np.uint64(0))

    def get(self, keys: Keys) -> pl.Series:
        """The text of each key; null for 0 and for what is not known."""
        known, texts = self._known()
        if not len(known):
            return pl.Series([None], dtype=pl.String).new_from_index(0, len(keys))
        at = np.minimum(positions(known, keys), len(known) - 1)
        return texts.gather(at).set(pl.Series(known[at] != keys), None)

    def _known(self) -> tuple[Keys, pl.Series]:
        if self._sorted is None:
            every = pl.concat(self._frames).unique("key").sort("key") if self._frames else None
            self._frames = [] if every is None else [every]
            known = np.zeros(0, np.uint64) if every is None else every["key"].to_numpy()
            self._sorted = (known, pl.Series([], dtype=pl.String) if every is None else every["text"])
        return self._sorted


Seconds = npt.NDArray[np.uint32]
_ANSWERS_PENDING = 500_000


@dataclass(slots=True)
class Answers:
    """DNS answers: under which key (client and address) which name was told, from when until when.

    An answer that repeats the one before it lengthens that one, so what is remembered is bounded by distinct answers.
    """

    grace: int = 3600
    _new: list[tuple[Keys, Seconds, Seconds, Keys]] = field(default_factory=list)
    _settled: tuple[Keys, Seconds, Seconds, Keys] | None = None
    _pending: int = 0

    def add(self, keys: Keys, times: pl.Series, ttls: pl.Series, names: Keys) -> None:
        """Remember answers; times in epoch seconds, TTLs in seconds (at most a week counts)."""
        since = times.fill_null(0).clip(0, 2**32 - 2**21).cast(pl.UInt32).to_numpy()
        until = since + ttls.fill_null(0).clip(0, 7 * 86400).cast(pl.UInt32).to_numpy() + np.uint32(self.grace)
        self._new.append((keys, since, until, names))
        self._pending += len(keys)
        if self._pending > max(_ANSWERS_PENDING, 0 if self._settled is None else len(self._settled[0]) // 4):
            self._settle()

    def get(self, keys: Keys, times: pl.Series) -> Keys:
        """The name key of the latest answer before each time, within its TTL and the grace; 0 where there is none."""
        known, since, until, names = self._settle()
        if not len(known):
            return np.zeros(len(keys), np.uint64)
        # One second of slack: times are whole seconds here.
        when = times.fill_null(0).clip(0, 2**32 - 2).cast(pl.UInt32).to_numpy() + np.uint32(1)
        first, end = positions(known, keys), positions(known, keys, "right")
        low, high = first, end
        # Halving, for all flows at once: a server of many names may have any number of answers.
        while (undecided := low < high).any():
            middle = np.where(undecided, (low + high) // 2, 0)
            later = since[middle] > when
            low, high = np.where(undecided & ~later, middle + 1, low), np.where(undecided & later, middle, high)
        found = low - 1
        safe = np.maximum(found, 0)
        return np.where((found >= first) & (when <= until[safe]), names[safe], np.uint64(0))

    def __len__(self) -> int:
        return len(self._settle()[0])

    def _settle(self) -> tuple[Keys, Seconds, Seconds, Keys]:
        if self._settled is not None and not self._new:
            return self._settled
        old = [] if self._settled is None else [self._settled]
        none = (np.zeros(0, np.uint64), np.zeros(0, np.uint32), np.zeros(0, np.uint32), np.zeros(0, np.uint64))
        keys, since, until, names = (np.concatenate(column) for column in zip(none, *old, *self._new, strict=True))
        self._new, self._pending, self._settled = [], 0, None
        joined = [_lengthened(keys[r], since[r], until[r], names[r]) for r in parts(keys)]
        del keys, since, until, names
        k, s, u, n = (np.concatenate(column) for column in zip(*joined, strict=True))
        self._settled = (k, s, u, n)
        return self._settled


def _lengthened(keys: Keys, since: Seconds, until: Seconds, names: Keys) -> tuple[Keys, Seconds, Seconds, Keys]:
    """Answers by key and time, each run of the same name under the same key as one, as long as no gap parts them."""
    if not len(keys):
        return keys, since, until, names
    order = np.lexsort((since, keys))
    keys, since, until, names = keys[order], since[order], until[order], names[order]
    fresh = (keys[1:] != keys[:-1]) | (names[1:] != names[:-1]) | (since[1:] > until[:-1])
    starts = np.flatnonzero(np.concatenate([[True], fresh]))
    return keys[starts], since[starts], np.maximum.reduceat(until, starts), names[starts]


class Survey:
    """What all logs of a run say about its flows. Fill it with :meth:`add`, then ask :meth:`about`."""

    def __init__(self, catalogue: Catalogue, payloads: Callable[[], Payloads]) -> None:
        """``payloads`` loads the payload signatures, should there be payloads."""
        self.catalogue = catalogue
        self.signatures = payloads
        self.names = Names()
        self.protocols = ProtocolSets()
        self.servers = ProtocolSets()
        self.server_names = Keyed("same")
        self.named = Keyed("least")
        self.payloads = {strength: ProtocolSets() for strength in STRENGTHS}
        self.certificates = Keyed("least")
        self.certificate_names = Keyed("least")
        self.asked = Answers()
        self.asked_by_any = Keyed("same")
        self._services: dict[str, str | None] = {}

    def add(self, batch: Batch) -> None:
        """Take in one batch of any log."""
        frame, log = batch.frame, batch.log
        if log == "x509":
            self._add_certificates(frame)
            return
        if log == "conn":
            self._add_services(frame)
            return
        if log == "payload":
            self._add_payloads(frame)
            return
        protocol = LOG_PROTOCOLS.get(log)
        if protocol is None or "uid" not in frame.columns:
            return
        uids = hashes(frame["uid"])
        spoken = pl.Series([protocol]).new_from_index(0, len(uids))
        if log == "ssl" and "version" in frame.columns:
            datagram = frame["version"].str.starts_with("DTLS").fill_null(False)
            spoken = spoken.set(datagram, "dtls")
        self.protocols.add(uids, spoken)
        servers = _server_keys(frame)
        if servers is not None:
            self.servers.add(servers, spoken)
        if log in _NAMED and _NAMED[log][0] in frame.columns:
            column, source = _NAMED[log]
            names = self.names.add(frame[column])
            # The smaller value stays: a name from SNI before one from HTTP.
            self.named.add(uids, np.where(names == 0, names, (names >> np.uint64(1)) | _HOST_BIT * (source == "host")))
            if servers is not None:
                self.server_names.add(servers, names)
        if log == "ssl":
            for column in ("cert_chain_fps", "cert_chain_fuids"):
                if column in frame.columns and frame[column].dtype == pl.List(pl.String):
                    first = frame[column].list.first()
                    if "server_name" in frame.columns:  # which says it better
                        first = first.set(frame["server_name"].is_not_null(), None)
                    self.certificates.add(uids, _zero_nulls(hashes(first), first))
        if log == "dns":
            self._add_answers(frame)

    def _add_services(self, frame: pl.DataFrame) -> None:
        if "service" not in frame.columns:
            return
        known = frame.filter(pl.col("service").is_not_null())
        servers = _server_keys(known)
        if servers is None:
            return
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

    def _add_certificates(self, frame: pl.DataFrame) -> None:
        names = [pl.col("san.dns").list.first()] if frame.schema.get("san.dns") == pl.List(pl.String) else []
        if "certificate.subject" in frame.columns:
            names.append(pl.col("certificate.subject").str.extract(r"(?:^|,\s*)CN=([^,]+)"))
        if not names:
            return
        texts = frame.select(pl.coalesce(names).str.strip_prefix("*.").alias("name"))["name"]
        name_keys = self.names.add(texts)
        for column in ("fingerprint", "id"):
            if column in frame.columns:
                self.certificate_names.add(_zero_nulls(hashes(frame[column]), frame[column]), name_keys)

    def _add_answers(self, frame: pl.DataFrame) -> None:
        if not {"id.orig_h", "ts", "query", "answers"} <= set(frame.columns):
            return
        if frame.schema["answers"] != pl.List(pl.String):
            return
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
        names = self.names.add(rows["query"])
        self.asked.add(hashes(rows["client"], rows["answer"]), rows["ts"], rows["ttl"], names)
        # What anybody was told counts only of an address that goes by one name: a shared one says nothing.
        self.asked_by_any.add(hashes(rows["answer"]), names)

    def settle(self) -> None:
        """All batches have come: sort what was remembered, and give back the memory that took."""
        sets = (self.protocols, self.servers, *self.payloads.values())
        keyed = (self.named, self.server_names, self.asked_by_any, self.certificates, self.certificate_names)
        stores: tuple[Keyed | Answers | ProtocolSets, ...] = (*sets, *keyed, self.asked)
        for store in stores:
            len(store)
        release_memory()

    def about(self, frame: pl.DataFrame) -> pl.DataFrame:
        """What is known of each flow of a conn batch.

        Columns: ``resp.name``, ``resp.name_source``; ``_seen``: protocols of the logs that share its uid;
        ``_payload_certain``, ``_payload_likely``: what its first payloads are; ``_server``: protocols that its server
        spoke in any flow; ``_server_name``: the one name its server goes by.
        """
        columns, height = set(frame.columns), frame.height
        null = pl.Series([None], dtype=pl.String).new_from_index(0, height)
        found: dict[str, Keys] = {}
        seen = null
        payloads = dict.fromkeys((f"_payload_{strength}" for strength in STRENGTHS), null)
        if "uid" in columns and any(map(len, self.payloads.values())):
            uids = hashes(frame["uid"])
            for strength, store in self.payloads.items():
                payloads[f"_payload_{strength}"] = store.get(uids)
        if "uid" in columns and len(self.protocols):
            uids = hashes(frame["uid"])
            seen = self.protocols.get(uids)
            if len(self.named):
                named = self.named.get(uids)
                by_host = named >= _HOST_BIT
                known = self.names.whole(named & ~_HOST_BIT)
                found = {"sni": np.where(by_host, np.uint64(0), known), "host": np.where(by_host, known, np.uint64(0))}
            if len(self.certificate_names):
                found["cert"] = self.certificate_names.get(self.certificates.get(uids))
        if {"id.orig_h", "id.resp_h", "ts"} <= columns and len(self.asked):
            found["dns"] = self.asked.get(hashes(frame["id.orig_h"], frame["id.resp_h"]), frame["ts"])
            by_any = self.asked_by_any.get(hashes(frame["id.resp_h"]))
            found["dns_any"] = np.where(by_any == CONFLICT, np.uint64(0), by_any)
        name, source = np.zeros(height, np.uint64), np.zeros(height, np.uint8)
        for at, origin in enumerate(SOURCES, 1):
            keys = found.get(origin)
            if keys is not None:
                fresh = (name == 0) & (keys != 0)
                name, source = np.where(fresh, keys, name), np.where(fresh, np.uint8(at), source)
        labels = dict(enumerate((None, *SOURCES)))
        servers = _server_keys(frame) if len(self.servers) else None
        server = null if servers is None else self.servers.get(servers)
        server_name = null
        if servers is not None and len(self.server_names):
            server_keys = self.server_names.get(servers)
            server_name = self.names.get(np.where(server_keys == CONFLICT, np.uint64(0), server_keys))
        return pl.DataFrame(
            {
                "resp.name": self.names.get(name) if found else null,
                "resp.name_source": pl.Series(source).replace_strict(labels, return_dtype=pl.String) if found else null,
                "_seen": seen,
                **payloads,
                "_server": server,
                "_server_address": frame["id.resp_h"].cast(pl.String) if "id.resp_h" in frame.columns else null,
                "_state": _state(frame),
                "_server_name": server_name,
            }
        )


_NEVER_OPENED = ("S0", "REJ", "RSTOS0", "RSTRH", "SH", "SHR")


def _state(frame: pl.DataFrame) -> pl.Series:
    """How far a flow got: failed (TCP that never opened: no payload at all), one_way (nobody answered) or open."""
    answered = pl.col("resp_pkts") > 0 if "resp_pkts" in frame.columns else pl.lit(True)
    failed = pl.lit(False)
    if {"proto", "conn_state"} <= set(frame.columns):
        failed = (pl.col("proto") == "tcp") & pl.col("conn_state").is_in(_NEVER_OPENED)
    state = pl.when(failed).then(pl.lit("failed")).when(~answered).then(pl.lit("one_way")).otherwise(pl.lit("open"))
    return frame.with_columns(state.alias("_state"))["_state"]


def _zero_nulls(keys: Keys, texts: pl.Series) -> Keys:
    return np.where(texts.is_null().to_numpy(), np.uint64(0), keys)


def _server_keys(frame: pl.DataFrame) -> Keys | None:
    """A key for each flow's server: address, port and transport."""
    if not {"id.resp_h", "id.resp_p"} <= set(frame.columns):
        return None
    proto = frame["proto"] if "proto" in frame.columns else pl.Series(["tcp"]).new_from_index(0, frame.height)
    return hashes(frame["id.resp_h"].cast(pl.String), frame["id.resp_p"].cast(pl.UInt16, strict=False), proto)
