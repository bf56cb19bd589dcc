"""Suricata's EVE JSON: events mapped to Zeek's vocabulary, each event's own text kept beside it.

``flow`` becomes conn, ``tls`` becomes ssl, and so on; an event type that Zeek has no log for keeps its own name. The
mapping speaks of a connection as Zeek does: the originator is the side that Suricata calls the source of a *flow*.
Many events are reported in the direction of one packet instead; :class:`Directions` turns those of the server's round.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

import polars as pl

from enrich.batch import Batch, Damage, Form, Item, Reject
from enrich.columns import Type
from enrich.keyed import Keyed, hashes
from enrich.sources.json_lines import decode, seconds
from enrich.sources.lines import Chunk
from enrich.sources.zeek_header import log_name

LOGS = {"flow": "conn", "tls": "ssl", "fileinfo": "files", "krb5": "kerberos", "dcerpc": "dce_rpc", "ikev2": "ike"}

_S, _I = pl.String, pl.Int64


def _object(**fields: Type) -> pl.Struct:
    return pl.Struct(fields)


_SOFTWARE = _object(proto_version=_S, software_version=_S)
_ANSWER = _object(rrname=_S, rrtype=_S, rdata=_S, ttl=_I)
_SCHEMA: dict[str, Type] = {
    "timestamp": _S,
    "flow_id": _S,
    "event_type": _S,
    "src_ip": _S,
    "src_port": _I,
    "dest_ip": _S,
    "dest_port": _I,
    "proto": _S,
    "icmp_type": _I,
    "icmp_code": _I,
    "vlan": pl.List(_I),
    "app_proto": _S,
    "community_id": _S,
    "flow": _object(
        pkts_toserver=_I,
        pkts_toclient=_I,
        bytes_toserver=_I,
        bytes_toclient=_I,
        start=_S,
        end=_S,
        state=_S,
        reason=_S,
    ),
    "tcp": _object(tcp_flags_ts=_S, tcp_flags_tc=_S, state=_S),
    "http": _object(
        hostname=_S, url=_S, http_user_agent=_S, http_method=_S, status=_I, server=_S, http_content_type=_S, protocol=_S
    ),
    "tls": _object(
        sni=_S, subject=_S, issuerdn=_S, version=_S, ja3=_object(hash=_S), ja4=_S, session_resumed=pl.Boolean
    ),
    "quic": _object(sni=_S, version=_S, ua=_S, ja4=_S),
    "ssh": _object(client=_SOFTWARE, server=_SOFTWARE),
    "smtp": _object(helo=_S, mail_from=_S, rcpt_to=pl.List(_S)),
    "dns": _object(
        type=_S,
        rrname=_S,
        rrtype=_S,
        rcode=_S,
        answers=pl.List(_ANSWER),
        grouped=_object(A=pl.List(_S), AAAA=pl.List(_S), CNAME=pl.List(_S)),
        queries=pl.List(_object(rrname=_S, rrtype=_S)),
    ),
    "ftp": _object(command=_S, command_data=_S, reply=pl.List(_S), completion_code=pl.List(_S)),
    "rfb": _object(
        server_protocol_version=_object(major=_S, minor=_S),
        client_protocol_version=_object(major=_S, minor=_S),
    ),
    "sip": _object(method=_S, uri=_S, code=_S),
    "dhcp": _object(type=_S, hostname=_S, assigned_ip=_S, client_mac=_S, vendor_class_identifier=_S, dhcp_type=_S),
    "ike": _object(version_major=_I),
}


def _at(*path: str) -> pl.Expr:
    out = pl.col(path[0])
    for name in path[1:]:
        out = out.struct.field(name)
    return out


def _banner(side: str) -> pl.Expr:
    """The identification string that Suricata took apart (RFC 4253 section 4.2)."""
    parts = pl.concat_str(
        pl.lit("SSH-"), _at("ssh", side, "proto_version"), pl.lit("-"), _at("ssh", side, "software_version")
    )
    return parts


_RFB = {
    side: pl.concat_str(
        pl.lit("RFB "),
        _at("rfb", f"{side}_protocol_version", "major").str.zfill(3),
        pl.lit("."),
        _at("rfb", f"{side}_protocol_version", "minor").str.zfill(3),
    )
    for side in ("client", "server")
}
# Version 3 (Suricata 8) lists the queries; a request has one, as before.
_QUERY = _at("dns", "queries").list.first()
_ANSWERS = _at("dns", "answers").list.eval(pl.element().struct.field("rdata"))
_GROUPED = pl.concat_list(
    _at("dns", "grouped", kind).fill_null(pl.lit([], pl.List(_S))) for kind in ("A", "AAAA", "CNAME")
)


def _has(flags: pl.Expr, bit: int) -> pl.Expr:
    return (flags & bit) > 0


def _conn_state() -> pl.Expr:
    """Zeek's conn_state as far as the flags that Suricata saw tell it; null where they do not."""
    to_server = _at("tcp", "tcp_flags_ts").str.to_integer(base=16, strict=False)
    to_client = _at("tcp", "tcp_flags_tc").str.to_integer(base=16, strict=False)
    fin, syn, rst, ack = 0x01, 0x02, 0x04, 0x10
    return (
        pl.when(to_server.is_null()).then(None)
        .when(~_has(to_server, syn)).then(pl.lit("OTH"))
        .when((to_client == 0) & ~_has(to_server, rst)).then(pl.lit("S0"))
        .when((to_client == 0) & _has(to_server, rst)).then(pl.lit("RSTOS0"))
        .when(_has(to_client, rst) & ~_has(to_client, syn)).then(pl.lit("REJ"))
        .when(~_has(to_client, ack)).then(None)
        .when(_has(to_client, rst)).then(pl.lit("RSTR"))
        .when(_has(to_server, rst)).then(pl.lit("RSTO"))
        .when(_has(to_server, fin) & _has(to_client, fin)).then(pl.lit("SF"))
        .otherwise(pl.lit("S1"))
    )  # fmt: skip


def _ip_bytes(side: str) -> pl.Expr:
    """Bytes of one side as Zeek counts them, from the IP header on.

    Suricata counts whole frames: 14 bytes of Ethernet and 4 a VLAN tag more a packet. A flow inside a tunnel has no
    frame of its own; the length of its IP headers bounds what is taken off there.
    """
    packets = _at("flow", f"pkts_{side}")
    frame = 14 + 4 * pl.col("vlan").list.len().fill_null(0).cast(_I)
    header = pl.when(pl.col("src_ip").str.contains(":", literal=True)).then(40).otherwise(20)
    return pl.max_horizontal(_at("flow", f"bytes_{side}") - packets * frame, packets * header)


_FAILED = pl.col("app_proto").is_in(["failed", "unknown"])
_COLUMNS: dict[str, dict[str, pl.Expr]] = {
    "conn": {
        "ts": seconds(_at("flow", "start")),
        "service": pl.when(~_FAILED).then(pl.col("app_proto")),
        "duration": (seconds(_at("flow", "end")) - seconds(_at("flow", "start"))).round(6),
        "conn_state": _conn_state(),
        "orig_pkts": _at("flow", "pkts_toserver"),
        "orig_ip_bytes": _ip_bytes("toserver"),
        "resp_pkts": _at("flow", "pkts_toclient"),
        "resp_ip_bytes": _ip_bytes("toclient"),
    },
    "http": {
        "host": _at("http", "hostname"),
        "uri": _at("http", "url"),
        "user_agent": _at("http", "http_user_agent"),
        "method": _at("http", "http_method"),
        "status_code": _at("http", "status"),
        "server": _at("http", "server"),
    },
    "ssl": {
        "server_name": _at("tls", "sni"),
        "version": _at("tls", "version"),
        "subject": _at("tls", "subject"),
        "issuer": _at("tls", "issuerdn"),
        "ja3": _at("tls", "ja3", "hash"),
        "ja4": _at("tls", "ja4"),
        "resumed": _at("tls", "session_resumed"),
    },
    "quic": {
        "server_name": _at("quic", "sni"),
        "version": _at("quic", "version"),
        "user_agent": _at("quic", "ua"),
    },
    "ssh": {"client": _banner("client"), "server": _banner("server")},
    "smtp": {
        "helo": _at("smtp", "helo"),
        "mailfrom": _at("smtp", "mail_from"),
        "rcptto": _at("smtp", "rcpt_to"),
    },
    "dns": {
        "query": pl.coalesce(_at("dns", "rrname"), _QUERY.struct.field("rrname")),
        "qtype_name": pl.coalesce(_at("dns", "rrtype"), _QUERY.struct.field("rrtype")),
        "rcode_name": _at("dns", "rcode"),
        "answers": pl.coalesce(_ANSWERS, pl.when(_GROUPED.list.len() > 0).then(_GROUPED)),
        "TTLs": _at("dns", "answers").list.eval(pl.element().struct.field("ttl").cast(pl.Float64)),
    },
    "ftp": {
        "command": _at("ftp", "command"),
        "arg": _at("ftp", "command_data"),
        "reply_code": _at("ftp", "completion_code").list.first(),
        "reply_msg": _at("ftp", "reply").list.first(),
    },
    "rfb": {"client": _RFB["client"], "server": _RFB["server"]},
    "dhcp": {
        "host_name": _at("dhcp", "hostname"),
        "assigned_addr": _at("dhcp", "assigned_ip"),
        "mac": _at("dhcp", "client_mac"),
        "vendor_class": _at("dhcp", "vendor_class_identifier"),
    },
}
# Reported in the direction of their flow; any other event goes by a packet, which may be the server's.
_BY_FLOW = frozenset(("conn", "dns", "http", "ssl", "ftp", "smb", "smtp", "ssh", "tftp", "rfb", "dce_rpc"))
# Zeek's ports of ICMP: the message's type and the type that answers it, or, where none does, its code.
_ICMP = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ICMP6 = {128: 129, 129: 128, 130: 131, 131: 130, 133: 134, 134: 133, 135: 136, 136: 135, 139: 140, 140: 139, 144: 145}


class Directions:
    """Which side began each flow, learnt from flow events in a first pass over all inputs; 16 bytes a flow.

    Until :attr:`settled` is set, events that go by a packet are mapped without addresses and ports.
    """

    def __init__(self) -> None:
        self.settled = False
        self._sources = Keyed("least")

    def learn(self, frame: pl.DataFrame) -> None:
        """Remember the sources of the flow events among some events."""
        flows = frame.filter((pl.col("event_type") == "flow") & pl.col("flow_id").is_not_null())
        self._sources.add(hashes(flows["flow_id"]), hashes(flows["src_ip"], flows["src_port"]))

    def backwards(self, frame: pl.DataFrame) -> pl.Series:
        """Which events have the flow's destination as their source."""
        known = self._sources.get(hashes(frame["flow_id"]))
        source = hashes(frame["src_ip"], frame["src_port"])
        destination = hashes(frame["dest_ip"], frame["dest_port"])
        return pl.Series((known == destination) & (known != source))


def read(chunks: Iterable[Chunk | Reject | Damage], directions: Directions) -> Iterator[Item]:
    """Yield batches (one a log and chunk) and rejects, in their order."""
    for chunk in chunks:
        if isinstance(chunk, Reject):
            yield [chunk]
            continue
        if isinstance(chunk, Damage):
            yield chunk
            continue
        frame, raw, rejects = decode(chunk, _SCHEMA)
        if rejects:
            yield rejects
        if frame.height:
            if not directions.settled:
                directions.learn(frame)
            yield list(_split(frame, raw, directions))


def _split(frame: pl.DataFrame, raw: pl.Series, directions: Directions) -> Iterator[Batch]:
    events = frame["event_type"]
    distinct = {event: LOGS.get(event, log_name(event)) if event else "unknown" for event in events.unique()}
    logs = events.replace_strict(distinct, return_dtype=pl.String)
    rows = pl.int_range(frame.height, eager=True, dtype=pl.UInt32)
    for log in sorted(set(distinct.values())):
        here = logs == log
        yield Batch(log, Form.EVE, _mapped(frame.filter(here), log, directions), raw.filter(here), rows.filter(here))


def _mapped(frame: pl.DataFrame, log: str, directions: Directions) -> pl.DataFrame:
    columns = {
        "ts": seconds(pl.col("timestamp")),
        "uid": pl.col("flow_id"),
        "proto": pl.col("proto").str.to_lowercase().replace({"ipv6-icmp": "icmp"}),
        "community_id": pl.col("community_id"),
        **_COLUMNS.get(log, {}),
    }
    ends = _ends(frame)
    if log not in _BY_FLOW:
        if not directions.settled:
            ends = frame.select()
        elif (backwards := directions.backwards(frame)).any():
            ends = _turned(ends, backwards)
    mapped = frame.select(expr.alias(name) for name, expr in columns.items())
    whole = pl.concat([mapped.select("ts", "uid"), ends, mapped.drop("ts", "uid")], how="horizontal")
    held = [name for name in whole.columns if whole[name].null_count() < whole.height]
    return whole.select(held or ["uid"])


def _ends(frame: pl.DataFrame) -> pl.DataFrame:
    """The four ``id`` columns in the event's own direction."""
    answer = pl.col("icmp_type").replace_strict(_ICMP, default=None, return_dtype=_I)
    answer6 = pl.col("icmp_type").replace_strict(_ICMP6, default=None, return_dtype=_I)
    back = pl.coalesce(pl.when(pl.col("proto") == "IPv6-ICMP").then(answer6).otherwise(answer), "icmp_code")
    return frame.select(
        pl.lit(_short(frame["src_ip"])).alias("id.orig_h"),
        pl.coalesce("src_port", "icmp_type").cast(pl.UInt16, strict=False).alias("id.orig_p"),
        pl.lit(_short(frame["dest_ip"])).alias("id.resp_h"),
        pl.coalesce("dest_port", back).cast(pl.UInt16, strict=False).alias("id.resp_p"),
    )


def _turned(ends: pl.DataFrame, backwards: pl.Series) -> pl.DataFrame:
    names = ends.columns
    return pl.DataFrame(
        ends[other].zip_with(backwards, ends[name]).alias(name)
        for name, other in zip(names, [*names[2:], *names[:2]], strict=True)
    )


def _short(addresses: pl.Series) -> pl.Series:
    """Addresses as Zeek writes them: IPv6, which Suricata writes in full, in the form of RFC 5952."""
    six = addresses.filter(addresses.str.contains(":", literal=True)).unique()
    if not six.len():
        return addresses
    return addresses.replace(six, pl.Series([_rfc5952(text) for text in six], dtype=pl.String))


def _rfc5952(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return text
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped is not None else str(address)
