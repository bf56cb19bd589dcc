"""What Zeek's analysers log beside conn.log: one function a log, given the connections whose uids it shares.

Each returns the log's own fields together with the connection's (`ts` to `id.resp_p`, `flow_id`) and `written`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from . import values, words
from .site import Lookups, zipf
from .values import Ints, join, pick, text

_IDS = ("ts", "uid", "flow_id", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")
_EMPTY = "(empty)"

_QTYPES = pl.Series(["A", "AAAA", "HTTPS"])
_QTYPE_NUMBERS = np.array([1, 28, 65])

_URIS = (
    "/",
    "/index.html",
    "/api/v1/events",
    "/favicon.ico",
    "/generate_204",
    "/update/check",
    "/msdownload/update/v3/",
)
_MIMES = pl.Series(["text/html", "image/jpeg", "image/png", "application/json", "text/plain", "application/zip", None])
_STATUSES = (
    (200, "OK"),
    (304, "Not Modified"),
    (206, "Partial Content"),
    (302, "Found"),
    (404, "Not Found"),
    (204, "No Content"),
)
_METHODS = pl.Series(["GET", "POST", "HEAD", "CONNECT"])

_TLS13 = pl.Series(["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])
_TLS12 = pl.Series(["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"])


def dns(rng: np.random.Generator, conn: pl.DataFrame, asked: Lookups, questions: Ints) -> pl.DataFrame:
    """dns.log: an A question a flow, or AAAA over IPv6, and sometimes a second one; answered unless the name is not."""
    row = np.repeat(np.arange(len(conn)), questions)
    second = np.concatenate([[False], row[1:] == row[:-1]]) if len(row) else row.astype(bool)
    count = len(row)
    found, v6 = asked.found[row], asked.v6[row]
    # The question whose answer the client goes on to use comes first.
    kind = np.where(second, np.where(rng.random(count) < 0.3, 2, 1 - v6.astype(np.int64)), v6.astype(np.int64))
    answered = found & ((kind == v6) | (kind == 0))
    ipv6 = answered & (kind == 1)
    several = [_address(asked.address[row] + i, ipv6) for i in range(3)]
    ttl = np.array(["60.000000", "300.000000", "3600.000000"])[values.below(asked.name[row], 101, 3)]
    ttls = pl.Series(ttl)
    how_many = asked.answers[row] - 1
    answers = values.choose(
        how_many, [several[0], join(several[0], ",", several[1]), join(several[0], ",", several[1], ",", several[2])]
    )
    all_ttls = values.choose(how_many, [ttls, join(ttls, ",", ttls), join(ttls, ",", ttls, ",", ttls)])
    yes, nothing = pl.Series(answered), pl.repeat(None, count, dtype=pl.String, eager=True)
    rtt = np.round(asked.took[row] * rng.uniform(0.5, 0.98, count), 6)
    frame = _ids(conn, row, 0.0).with_columns(
        proto=pl.lit("udp"),
        trans_id=pl.Series(rng.integers(0, 65536, count)),
        rtt=pl.Series(rtt),
        query=values.names(asked.name[row]),
        qclass=1,
        qclass_name=pl.lit("C_INTERNET"),
        qtype=pl.Series(_QTYPE_NUMBERS[kind]),
        qtype_name=pick(_QTYPES, kind),
        rcode=pl.Series(np.where(found, 0, 3)),
        rcode_name=pl.Series(np.where(found, "NOERROR", "NXDOMAIN")),
        AA=False,
        TC=False,
        RD=True,
        RA=True,
        Z=0,
        answers=answers.zip_with(yes, nothing),
        TTLs=all_ttls.zip_with(yes, nothing),
        rejected=False,
        opcode=0,
        opcode_name=pl.lit("query"),
    )
    return frame.with_columns(written=pl.col("ts") + pl.col("rtt"))


def http(
    rng: np.random.Generator, conn: pl.DataFrame, name: Ints, requests: Ints, *, agents: tuple[int, int]
) -> pl.DataFrame:
    """http.log: a row a request; the User-Agents from one number to another are seen here for the first time."""
    known, upto = agents
    row = np.repeat(np.arange(len(conn)), requests)
    count = len(row)
    depth = np.arange(count) - np.repeat(np.cumsum(requests) - requests, requests) + 1
    agent = np.concatenate([np.arange(known, upto), zipf(rng, count - (upto - known), upto)])
    rng.shuffle(agent)
    host = values.names(name[row])
    address = rng.random(count) < 0.02
    page = rng.integers(0, len(_URIS), count)
    tail = join("/", text(rng.integers(0, 10**6, count)), "?id=", text(rng.integers(0, 10**9, count)))
    uri = join(pick(pl.Series(_URIS), page), tail).zip_with(
        pl.Series(rng.random(count) < 0.7), pick(pl.Series(_URIS), page)
    )
    status = np.minimum(rng.geometric(0.7, count) - 1, len(_STATUSES) - 1)
    mime = rng.integers(0, len(_MIMES), count)
    length = np.where(status == 1, 0, (2000 * np.exp(1.8 * rng.standard_normal(count))).astype(np.int64))
    body = pl.Series(length > 0)
    nothing = pl.repeat(None, count, dtype=pl.String, eager=True)
    referrer = join("http://", host, "/").zip_with(pl.Series(rng.random(count) < 0.35), nothing)
    user_agent = values.user_agents(agent).zip_with(pl.Series((agent >= known) | (rng.random(count) < 0.97)), nothing)
    posted = rng.random(count) < 0.12
    files = values.unique_ids("F", rng.integers(0, 2**62, count), 110)
    frame = _ids(conn, row, (0.4 * depth - 0.37).astype(np.float64)).with_columns(
        trans_depth=pl.Series(depth),
        method=pick(_METHODS, posted.astype(np.int64)),
        uri=uri,
        referrer=referrer,
        version=pl.lit("1.1"),
        user_agent=user_agent,
        origin=nothing,
        request_body_len=pl.Series(np.where(posted, rng.integers(20, 5000, count), 0)),
        response_body_len=pl.Series(length),
        status_code=pl.Series(np.array([s[0] for s in _STATUSES])[status]),
        status_msg=pick(pl.Series([s[1] for s in _STATUSES]), status),
        info_code=pl.lit(None, pl.Int64),
        info_msg=nothing,
        tags=pl.lit(_EMPTY),
        username=nothing,
        password=nothing,
        proxied=nothing,
        orig_fuids=nothing,
        orig_filenames=nothing,
        orig_mime_types=nothing,
        resp_fuids=files.zip_with(body, nothing),
        resp_filenames=nothing,
        resp_mime_types=pick(_MIMES, mime).zip_with(body, nothing),
    )
    named = pl.when(pl.Series(address)).then(pl.col("id.resp_h")).otherwise(pl.lit(host))
    return frame.with_columns(host=named, written=pl.col("ts") + 0.2)


def ssl(rng: np.random.Generator, conn: pl.DataFrame, name: Ints, *, quic: bool) -> pl.DataFrame:
    """ssl.log: TLS 1.3 mostly, 1.2 with its certificate's fingerprint, a few without a server name."""
    count = len(conn)
    new = (rng.random(count) < 0.75) | quic
    nothing = pl.repeat(None, count, dtype=pl.String, eager=True)
    resumed = rng.random(count) < 0.25
    shown = pl.Series(~new & ~resumed)
    alpn = pick(pl.Series(["h2", "http/1.1", None]), rng.integers(0, 3, count))
    cipher = pick(_TLS13, rng.integers(0, 3, count)).zip_with(pl.Series(new), pick(_TLS12, rng.integers(0, 2, count)))
    frame = _ids(conn, np.arange(count), 0.02).with_columns(
        version=pl.Series(np.where(new, "TLSv13", "TLSv12")),
        cipher=cipher,
        curve=pick(pl.Series(["x25519", "secp256r1", "X25519MLKEM768"]), rng.integers(0, 3, count)),
        server_name=values.names(name).zip_with(pl.Series(rng.random(count) < 0.96), nothing),
        resumed=pl.Series(resumed),
        last_alert=nothing,
        next_protocol=alpn.zip_with(pl.Series(~new), nothing),
        established=pl.Series(rng.random(count) < 0.98),
        ssl_history=pl.Series(np.where(new, "CsiI", np.where(resumed, "CsI", "CsxknGIi"))),
        cert_chain_fps=join(values.hex_digest(name, 120, 64), ",", values.hex_digest(name % 97, 140, 64)).zip_with(
            shown, nothing
        ),
        client_cert_chain_fps=pl.repeat(_EMPTY, count, eager=True).zip_with(shown, nothing),
        sni_matches_cert=pl.when(pl.lit(shown)).then(pl.lit(pl.Series(rng.random(count) < 0.97))),
    )
    return frame.with_columns(written=pl.col("ts") + 0.1, quic=pl.lit(quic))


def ssh(
    rng: np.random.Generator, conn: pl.DataFrame, host: Ints, server: Ints, outside: npt.NDArray[np.bool_]
) -> pl.DataFrame:
    """ssh.log: every host and every server keeps its software."""
    count = len(conn)
    worked = pl.Series(rng.random(count) < 0.9)
    frame = _ids(conn, np.arange(count), 0.01).with_columns(
        version=2,
        auth_success=worked,
        auth_attempts=pl.Series(rng.integers(1, 4, count)),
        direction=pl.when(pl.Series(outside)).then(pl.lit("OUTBOUND")),
        client=values.ssh_banners(host + 1000),
        server=values.ssh_banners(server),
        cipher_alg=pl.lit("chacha20-poly1305@openssh.com"),
        mac_alg=pl.lit("umac-64-etm@openssh.com"),
        compression_alg=pl.lit("none"),
        kex_alg=pick(pl.Series(["sntrup761x25519-sha512", "curve25519-sha256"]), rng.integers(0, 2, count)),
        host_key_alg=pl.lit("ssh-ed25519"),
        host_key_fingerprint=join("SHA256:", values.hex_digest(server, 150, 40)),
    )
    return frame.with_columns(written=pl.col("ts") + 2.0)


def smtp(rng: np.random.Generator, conn: pl.DataFrame, host: Ints, tls: npt.NDArray[np.bool_]) -> pl.DataFrame:
    """smtp.log: mail that the site's hosts hand in; under TLS only the greeting is seen."""
    count = len(conn)
    clear = pl.Series(~tls)
    nothing = pl.repeat(None, count, dtype=pl.String, eager=True)
    workstation = join("ws", text(host), ".corp.example")
    sender = join("user", text(host), "@corp.example")
    recipients = join("user", text(rng.integers(0, 5000, count)), "@", values.names(200 + rng.integers(0, 2000, count)))
    date = pl.from_epoch((conn["ts"] * 1e6).cast(pl.Int64), time_unit="us").dt.strftime("%a, %d %b %Y %H:%M:%S +0000")
    number = values.hex_digest(rng.integers(0, 2**62, count), 160, 12)
    mailer = pick(pl.Series(words.MAILERS), values.below(host, 165, len(words.MAILERS)))
    subject = join(
        pick(pl.Series(words.SUBJECTS), rng.integers(0, len(words.SUBJECTS), count)),
        " ",
        text(rng.integers(1, 99999, count)),
    )
    path = join(pick(pl.Series(["10.20.0.25"]), np.zeros(count, dtype=np.int64)), ",", conn["id.orig_h"])
    frame = _ids(conn, np.arange(count), 0.05).with_columns(
        pl.lit(sender.zip_with(clear, nothing)).alias("from"),
        trans_depth=1,
        helo=workstation,
        mailfrom=sender.zip_with(clear, nothing),
        rcptto=recipients.zip_with(clear, nothing),
        date=date.zip_with(clear, nothing),
        to=recipients.zip_with(clear, nothing),
        cc=nothing,
        reply_to=nothing,
        msg_id=join("<", number, "@corp.example>").zip_with(clear, nothing),
        in_reply_to=nothing,
        subject=subject.zip_with(clear, nothing),
        x_originating_ip=nothing,
        first_received=nothing,
        second_received=nothing,
        last_reply=join("250 2.0.0 Ok: queued as ", number).zip_with(
            clear, pl.repeat("220 2.0.0 Ready to start TLS", count, eager=True)
        ),
        path=path,
        user_agent=mailer.zip_with(clear, nothing),
        tls=pl.Series(tls),
        fuids=values.unique_ids("F", rng.integers(0, 2**62, count), 170).zip_with(clear, nothing),
    )
    return frame.with_columns(written=pl.col("ts") + 1.0)


def _ids(conn: pl.DataFrame, row: Ints, later: npt.NDArray[np.float64] | float) -> pl.DataFrame:
    rows = conn.select(_IDS)[row] if len(row) != len(conn) else conn.select(_IDS)
    return rows.with_columns((pl.col("ts") + pl.lit(pl.Series(np.broadcast_to(later, len(rows))))).round(6).alias("ts"))


def _address(ids: Ints, v6: npt.NDArray[np.bool_]) -> pl.Series:
    return values.public_v6(ids).zip_with(pl.Series(v6), values.public_v4(ids))
