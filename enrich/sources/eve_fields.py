"""What Suricata's events hold, and how it is called in Zeek's logs."""

from __future__ import annotations

import polars as pl

from enrich.batch import possible_count
from enrich.columns import Type
from enrich.sources.json_lines import seconds

LOGS = {"flow": "conn", "tls": "ssl", "fileinfo": "files", "krb5": "kerberos", "dcerpc": "dce_rpc", "ikev2": "ike"}
"""Zeek's logs by the types of events that are called otherwise."""

_S, _I = pl.String, pl.Int64


def _object(**fields: Type) -> pl.Struct:
    return pl.Struct(fields)


_SOFTWARE = _object(proto_version=_S, software_version=_S)
_VERSION = _object(major=_S, minor=_S)
_HEADER = _object(name=_S, value=_S)
_ANSWER = _object(rdata=_S, ttl=_I)
_EXTENSION = _object(name=_S, values=pl.List(_S))
COMMON: dict[str, Type] = {
    "timestamp": _S,
    "flow_id": _S,
    "src_ip": _S,
    "src_port": _I,
    "dest_ip": _S,
    "dest_port": _I,
    "proto": _S,
    "icmp_type": _I,
    "icmp_code": _I,
    "community_id": _S,
}
"""Members that any event may have, with the types that the JSON reader is asked for."""

OWN: dict[str, dict[str, Type]] = {
    "conn": {
        "app_proto": _S,
        "app_proto_ts": _S,
        "app_proto_tc": _S,
        "app_proto_orig": _S,
        "vlan": pl.List(_I),
        "flow": _object(
            pkts_toserver=_I, pkts_toclient=_I, bytes_toserver=_I, bytes_toclient=_I, start=_S, end=_S, state=_S
        ),
        "tcp": _object(tcp_flags_ts=_S, tcp_flags_tc=_S),
    },
    "http": {
        "http": _object(
            hostname=_S,
            url=_S,
            http_user_agent=_S,
            http_method=_S,
            status=_I,
            server=_S,
            via=_S,
            x_powered_by=_S,
            response_headers=pl.List(_HEADER),
        ),
    },
    "ssl": {
        "tls": _object(
            sni=_S,
            subject=_S,
            issuerdn=_S,
            version=_S,
            ja3=_object(hash=_S),
            ja4=_S,
            session_resumed=pl.Boolean,
            alpn_tc=_S,
            alpn_ts=pl.List(_S),
            server_alpns=pl.List(_S),
            client_alpns=pl.List(_S),
        ),
    },
    "quic": {"quic": _object(sni=_S, version=_S, ua=_S, extensions=pl.List(_EXTENSION))},
    "ssh": {"ssh": _object(client=_SOFTWARE, server=_SOFTWARE)},
    "smtp": {
        "smtp": _object(helo=_S, mail_from=_S, rcpt_to=pl.List(_S)),
        "email": _object(x_mailer=_S, user_agent=_S, received=pl.List(_S)),
    },
    "dns": {
        "dns": _object(
            rrname=_S,
            rrtype=_S,
            rcode=_S,
            answers=pl.List(_ANSWER),
            queries=pl.List(_object(rrname=_S, rrtype=_S)),
        ),
    },
    "ftp": {"ftp": _object(command=_S, command_data=_S, reply=pl.List(_S), completion_code=pl.List(_S))},
    "smb": {"smb": _object(dialect=_S)},
    "rfb": {"rfb": _object(server_protocol_version=_VERSION, client_protocol_version=_VERSION)},
    "dhcp": {"dhcp": _object(hostname=_S, assigned_ip=_S, client_mac=_S, vendor_class_identifier=_S)},
}
"""Members that only the events of one of Zeek's logs have."""


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


def _header(name: str, column: str) -> pl.Expr:
    """A response's header: logged by itself (``custom``), or among all of them (``dump-all-headers``)."""
    here = pl.element().struct.field("name").str.to_lowercase() == name
    dumped = _at("http", "response_headers").list.eval(pl.element().filter(here).struct.field("value"))
    return pl.coalesce(_at("http", column), dumped.list.first())


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


def _next_protocol() -> pl.Expr:
    """What the sides agreed to speak inside TLS (RFC 7301): the server's choice, else a client's only offer.

    Suricata 8 lists both sides' names; some builds of 7 log them as ``alpn_ts`` and ``alpn_tc``.
    """
    chosen = pl.coalesce(_at("tls", "server_alpns").list.first(), _at("tls", "alpn_tc"))
    offered = pl.coalesce(_at("tls", "client_alpns"), _at("tls", "alpn_ts"))
    return pl.coalesce(chosen, pl.when(offered.list.len() == 1).then(offered.list.first()))


_ALPN = _at("quic", "extensions").list.eval(
    pl.element().filter(pl.element().struct.field("name") == "alpn").struct.field("values").list.first()
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
    packets, total = (possible_count(_at("flow", f"{what}_{side}")) for what in ("pkts", "bytes"))
    frame = 14 + 4 * pl.col("vlan").list.len().fill_null(0).cast(_I)
    header = pl.when(pl.col("src_ip").str.contains(":", literal=True)).then(40).otherwise(20)
    return pl.max_horizontal(total - packets * frame, packets * header)


_KNOWN = pl.when(~pl.col("app_proto").is_in(["failed", "unknown"])).then(pl.col("app_proto"))
# A connection without payload, as far as sizes tell: no packets but those that open and close it, each no more than the
# headers of IP and TCP with their usual options.
_EMPTY = (
    pl.col("app_proto").is_null()
    & (_conn_state() != "OTH")
    & pl.all_horizontal(
        (_at("flow", f"pkts_{side}") <= 4) & (_ip_bytes(side) <= 52 * _at("flow", f"pkts_{side}") + 8)
        for side in ("toserver", "toclient")
    )
)
# Suricata names each side's protocol apart where it found another there than in the whole, or none.
_HALF = _KNOWN.is_not_null() & pl.any_horizontal(pl.col("app_proto_ts", "app_proto_tc").is_not_null())
# What came back to a datagram that never made its flow more than new was no answer, but an error (ICMP).
_UNANSWERED = (pl.col("proto") == "UDP") & (_at("flow", "state") == "new")
COLUMNS: dict[str, dict[str, pl.Expr]] = {
    "conn": {
        "ts": seconds(_at("flow", "start")),
        # What a connection spoke before it went over to another, such as TLS, comes first.
        "service": pl.concat_str(pl.coalesce(pl.col("app_proto_orig") + ",", pl.lit("")), _KNOWN),
        "_detection": pl.when(_HALF)
        .then(pl.lit("half"))
        .when(_UNANSWERED)
        .then(pl.lit("unanswered"))
        .when(pl.col("app_proto") == "failed")
        .then(pl.lit("failed"))
        .when(_EMPTY)
        .then(pl.lit("empty")),
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
        "server": _header("server", "server"),
        "x_powered_by": _header("x-powered-by", "x_powered_by"),
        "via": _header("via", "via"),
    },
    "ssl": {
        "server_name": _at("tls", "sni"),
        "version": _at("tls", "version"),
        "next_protocol": _next_protocol(),
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
        "client_protocol": _ALPN.list.first(),
    },
    "ssh": {"client": _banner("client"), "server": _banner("server")},
    "smb": {"dialect": _at("smb", "dialect")},
    "smtp": {
        "helo": _at("smtp", "helo"),
        "mailfrom": _at("smtp", "mail_from"),
        "rcptto": _at("smtp", "rcpt_to"),
        "user_agent": pl.coalesce(_at("email", "user_agent"), _at("email", "x_mailer")),
        "first_received": _at("email", "received").list.first(),
    },
    "dns": {
        "query": pl.coalesce(_at("dns", "rrname"), _QUERY.struct.field("rrname")),
        "qtype_name": pl.coalesce(_at("dns", "rrtype"), _QUERY.struct.field("rrtype")),
        "rcode_name": _at("dns", "rcode"),
        "answers": _at("dns", "answers").list.eval(pl.element().struct.field("rdata")),
        "TTLs": _at("dns", "answers").list.eval(pl.element().struct.field("ttl").cast(pl.Float64)),
    },
    "ftp": {
        "command": _at("ftp", "command"),
        "arg": _at("ftp", "command_data"),
        "reply_code": _at("ftp", "completion_code").list.first(),
        "reply_msg": _at("ftp", "reply").list.join("\n"),
    },
    "rfb": {"client": _RFB["client"], "server": _RFB["server"]},
    "dhcp": {
        "host_name": _at("dhcp", "hostname"),
        "assigned_addr": _at("dhcp", "assigned_ip"),
        "mac": _at("dhcp", "client_mac"),
        "vendor_class": _at("dhcp", "vendor_class_identifier"),
    },
}
"""The columns of a log beside those that all have, each from the members of its events.

Those whose name begins with an underscore are for the verdict only: they are not written.
"""
