"""Zeek's rows as the events that Suricata 7 would have written for the same traffic."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import polars as pl

_STATES = {"SF": "closed", "S1": "established", "S0": "new", "REJ": "closed", "OTH": "new"}
_APP_PROTO = {
    "dns": "dns",
    "ssl": "tls",
    "http": "http",
    "quic,ssl": "quic",
    "ssh": "ssh",
    "smtp": "smtp",
    "smtp,ssl": "smtp",
    "gssapi,ntlm,smb": "smb",
    "ntp": "ntp",
    "krb_tcp": "krb5",
    "ldap_tcp": "ldap",
    "snmp": "snmp",
    "rdp,ssl": "rdp",
    "postgresql": "pgsql",
}
_TLS_VERSIONS = {"TLSv13": "TLS 1.3", "TLSv12": "TLS 1.2"}


def events(logs: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """One column of lines, in the order of the events."""
    written = [_lines(logs[log], parts) for log, makers in _EVENTS.items() if log in logs for parts in makers]
    return pl.concat(written).sort("at", maintain_order=True).select("line")


def _lines(rows: pl.DataFrame, parts: Callable[[], tuple[pl.Expr, str, pl.Expr, pl.Expr]]) -> pl.DataFrame:
    at, kind, wanted, body = parts()
    ports = pl.when(_proto() == "ICMP").then(pl.lit("")).otherwise(pl.format(',"src_port":{}', "id.orig_p"))
    to_port = pl.when(_proto() == "ICMP").then(pl.lit("")).otherwise(pl.format(',"dest_port":{}', "id.resp_p"))
    if "proto" not in rows.columns:
        rows = rows.with_columns(proto=pl.lit("udp" if kind == "quic" else "tcp"))
    line = pl.concat_str(
        pl.lit('{"timestamp":"'),
        _time(at),
        pl.format('","flow_id":{}', "flow_id"),
        pl.lit(f',"event_type":"{kind}","src_ip":"'),
        "id.orig_h",
        pl.lit('"'),
        ports,
        pl.lit(',"dest_ip":"'),
        "id.resp_h",
        pl.lit('"'),
        to_port,
        pl.lit(',"proto":"'),
        _proto(),
        pl.lit('"'),
        body,
        pl.lit("}"),
    )
    return rows.filter(wanted).select(at.alias("at"), line.alias("line"))


def _proto() -> pl.Expr:
    return pl.col("proto").str.to_uppercase()


def _time(seconds: pl.Expr) -> pl.Expr:
    return pl.from_epoch((seconds * 1e6).round().cast(pl.Int64), time_unit="us").dt.strftime(
        "%Y-%m-%dT%H:%M:%S%.6f+0000"
    )


def _text(key: str, column: str | pl.Expr) -> pl.Expr:
    """A member with a string value, or nothing where it is unset; the comma stands behind it."""
    value = pl.col(column) if isinstance(column, str) else column
    return pl.concat_str(pl.lit(f'"{key}":"'), value, pl.lit('",')).fill_null("")


def _object(name: str, *members: pl.Expr) -> pl.Expr:
    body = pl.concat_str(pl.lit(f',"{name}":{{'), *members).str.strip_suffix(",")
    return pl.concat_str(body, pl.lit("}"))


def _flow() -> tuple[pl.Expr, str, pl.Expr, pl.Expr]:
    end = pl.col("ts") + pl.col("duration").fill_null(0)
    known = pl.col("service").replace_strict(_APP_PROTO, default="failed", return_dtype=pl.String)
    app = pl.when(pl.col("orig_bytes") > 0).then(pl.format(',"app_proto":"{}"', known)).otherwise(pl.lit(""))
    state = pl.col("conn_state").replace_strict(_STATES, default="closed", return_dtype=pl.String)
    # Suricata counts frames: 14 bytes of Ethernet on each packet.
    flow = _object(
        "flow",
        pl.format('"pkts_toserver":{},"pkts_toclient":{},', "orig_pkts", "resp_pkts"),
        pl.format(
            '"bytes_toserver":{},"bytes_toclient":{},',
            pl.col("orig_ip_bytes") + 14 * pl.col("orig_pkts"),
            pl.col("resp_ip_bytes") + 14 * pl.col("resp_pkts"),
        ),
        pl.format('"start":"{}","end":"{}",', _time(pl.col("ts")), _time(end)),
        pl.format('"age":{},"state":"{}",', pl.col("duration").fill_null(0).cast(pl.Int64), state),
        pl.lit('"reason":"timeout","alerted":false'),
    )
    return end, "flow", pl.lit(True), pl.concat_str(app, flow)


def _dns_query() -> tuple[pl.Expr, str, pl.Expr, pl.Expr]:
    question = pl.format('"id":{},"rrname":"{}","rrtype":"{}",', "trans_id", "query", "qtype_name")
    body = _object("dns", pl.lit('"version":2,"type":"query",'), question, pl.lit('"opcode":0'))
    return pl.col("ts"), "dns", pl.lit(True), body


def _dns_answer() -> tuple[pl.Expr, str, pl.Expr, pl.Expr]:
    given = pl.col("answers").str.split(",")
    ttl = pl.col("TTLs").str.split(",").list.first().cast(pl.Float64).cast(pl.Int64)
    kind = pl.col("qtype_name")
    record = pl.concat_str(pl.lit("{"), pl.format('"rrname":"{}","rrtype":"{}","ttl":{},"rdata":"', "query", kind, ttl))
    records = given.list.join(pl.concat_str(pl.lit('"},'), record))
    grouped = _object("grouped", pl.format('"{}":["{}"]', kind, given.list.join('","')))
    answers = pl.concat_str(pl.lit('"answers":['), record, records, pl.lit('"}]'), grouped).fill_null("")
    body = _object(
        "dns",
        pl.lit('"version":2,"type":"answer",'),
        pl.format('"id":{},"flags":"8180","qr":true,"rd":true,"ra":true,', "trans_id"),
        pl.format('"opcode":0,"rrname":"{}","rrtype":"{}","rcode":"{}",', "query", kind, "rcode_name"),
        answers,
    )
    return pl.col("ts") + pl.col("rtt"), "dns", pl.lit(True), body


def _http() -> tuple[pl.Expr, str, pl.Expr, pl.Expr]:
    body = _object(
        "http",
        _text("hostname", "host"),
        _text("url", "uri"),
        _text("http_user_agent", "user_agent"),
        _text("http_content_type", pl.col("resp_mime_types")),
        _text("http_refer", "referrer"),
        _text("http_method", "method"),
        pl.lit('"protocol":"HTTP/1.1",'),
        pl.format('"status":{},"length":{}', "status_code", "response_body_len"),
    )
    return pl.col("ts"), "http", pl.lit(True), pl.concat_str(pl.format(',"tx_id":{}', pl.col("trans_depth") - 1), body)


def _tls() -> tuple[pl.Expr, str, pl.Expr, pl.Expr]:
    version = pl.col("version").replace_strict(_TLS_VERSIONS, return_dtype=pl.String)
    resumed = pl.when(pl.col("resumed")).then(pl.lit('"session_resumed":true,')).otherwise(pl.lit(""))
    body = _object("tls", _text("sni", "server_name"), resumed, _text("version", version))
    return pl.col("ts"), "tls", ~pl.col("quic"), body


def _quic() -> tuple[pl.Expr, str, pl.Expr, pl.Expr]:
    return pl.col("ts"), "quic", pl.col("quic"), _object("quic", pl.lit('"version":"1",'), _text("sni", "server_name"))


def _ssh() -> tuple[pl.Expr, str, pl.Expr, pl.Expr]:
    # Suricata's software_version ends where the comment begins.
    def side(name: str) -> pl.Expr:
        software = pl.col(name).str.strip_prefix("SSH-2.0-").str.split(" ").list.first()
        return _object(name, pl.format('"proto_version":"2.0","software_version":"{}"', software))

    both = pl.concat_str(side("client"), side("server")).str.strip_prefix(",")
    return pl.col("ts"), "ssh", pl.lit(True), _object("ssh", both)


def _smtp() -> tuple[pl.Expr, str, pl.Expr, pl.Expr]:
    recipients = pl.format('"rcpt_to":["<{}>"],', "rcptto").fill_null("")
    body = _object("smtp", _text("helo", "helo"), _text("mail_from", pl.format("<{}>", "mailfrom")), recipients)
    return pl.col("ts"), "smtp", pl.lit(True), pl.concat_str(pl.lit(',"tx_id":0'), body)


_EVENTS = {
    "conn": (_flow,),
    "dns": (_dns_query, _dns_answer),
    "http": (_http,),
    "ssl": (_tls, _quic),
    "ssh": (_ssh,),
    "smtp": (_smtp,),
}
