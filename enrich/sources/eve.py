"""Suricata's EVE JSON: events mapped to Zeek's vocabulary, each event's own text kept beside it.

``flow`` becomes conn, ``tls`` becomes ssl, and so on; an event type that Zeek has no log for keeps its own name. The
mapping speaks of a connection as Zeek does: the originator is the side that Suricata calls the source of a *flow*.
Other events are reported in the direction of one packet; where that is the server's, the sides are swapped back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import polars as pl

from enrich.batch import Batch, Damage, Form, Item, Reject
from enrich.columns import Type
from enrich.sources.json_lines import decode, seconds
from enrich.sources.lines import Chunk
from enrich.sources.zeek_tsv import log_name

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
    "tls": _object(sni=_S, subject=_S, issuerdn=_S, version=_S, ja3=_object(hash=_S), ja4=_S, session_resumed=pl.Boolean),
    "quic": _object(sni=_S, version=_S, ua=_S, ja4=_S),
    "ssh": _object(client=_SOFTWARE, server=_SOFTWARE),
    "smtp": _object(helo=_S, mail_from=_S, rcpt_to=pl.List(_S)),
    "dns": _object(
        type=_S,
        rrname=_S,
        rrtype=_S,
        rcode=_S,
        answers=pl.List(_ANSWER),
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
_HOST = r"^[^:\[\]]+|\[[^\]]*\]"


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
_CODE = _at("ftp", "completion_code").list.first()
_DNS_QUERY = pl.coalesce(_at("dns", "rrname"), _at("dns", "queries").list.first().struct.field("rrname"))
_DNS_TYPE = pl.coalesce(_at("dns", "rrtype"), _at("dns", "queries").list.first().struct.field("rrtype"))
_TCP_STATES = {"new": "S0", "established": "S1", "closed": "SF"}


def _conn_state() -> pl.Expr:
    """Zeek's conn_state as far as the flags that Suricata saw tell it; null where they do not."""
    to_server = _at("tcp", "tcp_flags_ts").str.to_integer(base=16, strict=False)
    to_client = _at("tcp", "tcp_flags_tc").str.to_integer(base=16, strict=False)
    syn, fin, rst = (lambda flags: (flags & 2) > 0), (lambda flags: (flags & 1) > 0), (lambda flags: (flags & 4) > 0)
    answered = (to_client & 0x10) > 0
    return (
        pl.when(to_server.is_null()).then(None)
        .when(~syn(to_server)).then(pl.lit("OTH"))
        .when((to_client == 0) & ~rst(to_server)).then(pl.lit("S0"))
        .when((to_client == 0) & rst(to_server)).then(pl.lit("RSTOS0"))
        .when(rst(to_client) & ~syn(to_client)).then(pl.lit("REJ"))
        .when(~answered).then(None)
        .when(rst(to_client)).then(pl.lit("RSTR"))
        .when(rst(to_server)).then(pl.lit("RSTO"))
        .when(fin(to_server) & fin(to_client)).then(pl.lit("SF"))
        .otherwise(pl.lit("S1"))
    )  # fmt: skip


_FAILED = pl.col("app_proto").is_in(["failed", "unknown"])
_COLUMNS: dict[str, dict[str, pl.Expr]] = {
    "conn": {
        "ts": seconds(_at("flow", "start")),
        "service": pl.when(~_FAILED).then(pl.col("app_proto")),
        "duration": (seconds(_at("flow", "end")) - seconds(_at("flow", "start"))).round(6),
        "conn_state": _conn_state(),
        "orig_pkts": _at("flow", "pkts_toserver"),
        "orig_ip_bytes": _at("flow", "bytes_toserver"),
        "resp_pkts": _at("flow", "pkts_toclient"),
        "resp_ip_bytes": _at("flow", "bytes_toclient"),
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
        "query": _DNS_QUERY,
        "qtype_name": _DNS_TYPE,
        "rcode_name": _at("dns", "rcode"),
        "answers": _at("dns", "answers").list.eval(pl.element().struct.field("rdata")),
        "TTLs": _at("dns", "answers").list.eval(pl.element().struct.field("ttl").cast(pl.Float64)),
    },
    "ftp": {
        "command": _at("ftp", "command"),
        "arg": _at("ftp", "command_data"),
        "reply_code": _CODE,
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
# Events that Suricata may report from a packet of the server's.
_SWAP = {"dns": _at("dns", "type").is_in(["answer", "response"]) & (pl.col("src_port") == 53)}


def read(chunks: Iterable[Chunk | Reject | Damage]) -> Iterator[Item]:
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
            yield list(_split(frame, raw))


def _split(frame: pl.DataFrame, raw: pl.Series) -> Iterator[Batch]:
    events = frame["event_type"]
    distinct = {event: LOGS.get(event, log_name(event)) if event else "unknown" for event in events.unique()}
    logs = events.replace_strict(distinct, return_dtype=pl.String)
    rows = pl.int_range(frame.height, eager=True, dtype=pl.UInt32)
    for log in sorted(set(distinct.values())):
        here = logs == log
        yield Batch(log, Form.EVE, _mapped(frame.filter(here), log), raw.filter(here), rows.filter(here))


def _mapped(frame: pl.DataFrame, log: str) -> pl.DataFrame:
    swap = _SWAP.get(log, pl.lit(False)).fill_null(False)
    src, dst = (pl.col("src_ip"), pl.col("dest_ip")), (pl.col("dest_ip"), pl.col("src_ip"))
    src_p, dst_p = pl.col("src_port").cast(pl.UInt16, strict=False), pl.col("dest_port").cast(pl.UInt16, strict=False)
    common = {
        "ts": seconds(pl.col("timestamp")),
        "uid": pl.col("flow_id"),
        "id.orig_h": pl.when(swap).then(src[1]).otherwise(src[0]),
        "id.orig_p": pl.when(swap).then(dst_p).otherwise(src_p),
        "id.resp_h": pl.when(swap).then(dst[1]).otherwise(dst[0]),
        "id.resp_p": pl.when(swap).then(src_p).otherwise(dst_p),
        "proto": pl.col("proto").str.to_lowercase().replace({"ipv6-icmp": "icmp"}),
        "community_id": pl.col("community_id"),
    }
    own = _COLUMNS.get(log, {})
    mapped = frame.select((own.get(name, expr)).alias(name) for name, expr in common.items())
    extra = frame.select(expr.alias(name) for name, expr in own.items() if name not in common)
    whole = mapped.hstack(extra)
    held = [name for name in whole.columns if whole[name].null_count() < whole.height]
    return whole.select(held or ["uid"])
