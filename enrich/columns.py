"""The vocabulary: every column this project adds, in one list from which the documentation's tables are generated.

Names are a contract. A column is dotted, lower case, and never has an existing Zeek field as its prefix. One name has
one type everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

Type = pl.DataType | type[pl.DataType]
Strings = pl.List(pl.String)

ALL = "all with id.*"


@dataclass(frozen=True, slots=True)
class Column:
    """One added column: its name, Polars type, the logs it appears in, and what it says (with its unit)."""

    name: str
    type: Type
    logs: str
    doc: str


def _group(logs: str, prefix: str, *columns: tuple[str, Type, str]) -> tuple[Column, ...]:
    return tuple(Column(prefix + name, type_, logs, doc) for name, type_, doc in columns)


_SOFTWARE: tuple[tuple[str, Type, str], ...] = (
    ("product", pl.String, "product that the banner names"),
    ("version", pl.String, "its version"),
    ("vendor", pl.String, "its vendor"),
    ("os", pl.String, "operating system that the banner gives away"),
    ("os_version", pl.String, "its release"),
    ("protocol", pl.String, "protocol version that the banner states"),
    ("hostname", pl.String, "host name that the banner states"),
    ("hardware", pl.String, "hardware that the banner gives away"),
    ("cpe", pl.String, "CPE 2.3 name, where it is certain"),
)


def software(logs: str, prefix: str) -> tuple[Column, ...]:
    """The columns that a parsed banner gives, under a prefix such as ``ssh_server.``."""
    return _group(logs, prefix, *((name, type_, doc) for name, type_, doc in _SOFTWARE))


SOFTWARE_FIELDS = tuple(name for name, _, _ in _SOFTWARE)


@dataclass(frozen=True, slots=True)
class Carrier:
    """A column that carries a banner: of which service, in which log, and the prefix of what is read from it.

    Where ``service`` is None the column ``named_by`` names it. ``only`` is a column and the value that it must have for
    the text to be a banner, or None for unset. ``instead`` is what is read where the column is unset: of which service,
    and the column. ``behind`` marks software that stands behind or before the server: no banner of the service itself.
    """

    service: str | None
    log: str
    column: str
    prefix: str
    only: tuple[str, str | None] | None = None
    instead: tuple[str, str] | None = None
    named_by: str = "service"
    behind: bool = False


CARRIERS: tuple[Carrier, ...] = (
    Carrier("ssh", "ssh", "client", "ssh_client."),
    Carrier("ssh", "ssh", "server", "ssh_server."),
    Carrier("smtp", "smtp", "greeting", "smtp_server.", instead=("smtp_reply", "last_reply")),
    # A message that has been relayed says nothing of the host that hands it on.
    Carrier("mailer", "smtp", "user_agent", "smtp_client.", only=("first_received", None)),
    Carrier("http_server", "http", "server", "http_server."),
    Carrier("http_server", "http", "x_powered_by", "http_backend.", behind=True),
    Carrier("http_via", "http", "via", "http_proxy.", behind=True),
    Carrier("ftp", "ftp", "reply_msg", "ftp_server.", only=("reply_code", "220")),
    Carrier("sip", "sip", "user_agent", "sip_client."),
    Carrier("rfb", "rfb", "server", "rfb_server."),
    Carrier(None, "banner", "banner", "banner.", only=("direction", "resp")),
    Carrier(None, "software", "unparsed_version", "software.", named_by="software_type", behind=True),
)
BANNER_LOGS: tuple[tuple[str, str], ...] = tuple(
    (carrier.log, carrier.prefix) for carrier in CARRIERS if not carrier.behind
)
"""The logs and prefixes that say what the software of a host's service or client is."""
SOFTWARE_TYPES = {
    "HTTP::SERVER": ("http_server", "http_server"),
    "HTTP::APPSERVER": ("http_server", "http_backend"),
    "SSH::SERVER": ("ssh", "ssh_server"),
    "SSH::CLIENT": ("ssh", "ssh_client"),
    "SMTP::MAIL_CLIENT": ("mailer", "smtp_client"),
    "FTP::SERVER": ("ftp", "ftp_server"),
    "MySQL::SERVER": ("mysql", "mysql_server"),
}
"""Of each type of Zeek's software.log: the service whose banner it is, and who says it in that service's own log."""

COLUMNS: tuple[Column, ...] = (
    *(
        column
        for side, who in (("orig", "originator"), ("resp", "responder"))
        for column in _group(
            ALL,
            f"{side}.",
            ("scope", pl.String, f"scope of the {who}'s address: private, public, loopback, link_local, multicast, …"),
            ("country", pl.String, f"the {who}'s country, ISO 3166-1 alpha-2"),
            ("asn", pl.UInt32, f"number of the autonomous system that announces the {who}'s address"),
            ("as_org", pl.String, "its organisation"),
        )
    ),
    *_group(
        "conn",
        "",
        ("port.service", pl.String, "what the responder port asserts: IANA's or the site's name"),
        ("port.group", pl.String, "group of a port that deserves care"),
        ("port.note", pl.String, "why it deserves care"),
        ("orig.port_class", pl.String, "class of the originator port: privileged, registered, ephemeral"),
        ("behavior.class", pl.String, "scan, control, chatter, file_transfer"),
        ("behavior.orig_mean", pl.Float64, "mean bytes a packet from the originator, IP headers included"),
        ("behavior.resp_mean", pl.Float64, "mean bytes a packet from the responder, IP headers included"),
        ("resp.name", pl.String, "the name that the client meant by the responder"),
        ("resp.name_source", pl.String, "where the name comes from: sni, host, dns, dns_any, cert"),
        ("app.protocol", pl.String, "application-layer protocol, or what IP carries beside TCP and UDP: icmp, gre, …"),
        ("app.name", pl.String, "application"),
        ("app.category", pl.String, "web, mail, file_sharing, remote_access, …"),
        ("app.confidence", pl.Float64, "probability, 0 to 1, that app.protocol is right"),
        ("app.evidence", Strings, "source:what, strongest first"),
        ("app.asserted", pl.String, "the protocol that the responder port asserts"),
        ("app.contradiction", pl.Boolean, "observed and asserted protocol disagree"),
        ("community_id", pl.String, "community id version 1, if the log lacks it"),
    ),
    *_group(
        "http, websocket, quic",
        "ua.",
        ("family", pl.String, "browser or program that the User-Agent names"),
        ("version", pl.String, "its version"),
        ("os", pl.String, "operating system that the User-Agent names"),
        ("os_version", pl.String, "its version"),
        ("device", pl.String, "device that the User-Agent names"),
        ("kind", pl.String, "browser, mobile, bot, library, tool, updater, other"),
        (
            "oddity",
            pl.String,
            "what is odd about it: empty, impossible version, engine and family disagree, …",
        ),
    ),
    *_group(
        "conn, http, ssl, dns, quic",
        "site.",
        ("category", pl.String, "category of a subsidiary site, from the name"),
        ("product", pl.String, "the product it belongs to"),
    ),
    *_group(
        "payload",
        "payload.",
        ("protocol", pl.String, "protocol that the first bytes of the flow belong to"),
        ("rule", pl.String, "the signature that says so (mappings/payload)"),
    ),
    *_group(
        "dns, http, ssl, quic", "name.", ("registered_domain", pl.String, "registered domain, public-suffix aware")
    ),
    *(column for carrier in CARRIERS for column in software(carrier.log, carrier.prefix)),
)

TYPES: dict[str, Type] = {column.name: column.type for column in COLUMNS}
