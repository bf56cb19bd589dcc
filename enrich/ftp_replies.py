"""Dialogues that a log of FTP holds though they are none.

FTP's replies begin with a code of three digits (RFC 959 section 4.2). Suricata takes whatever begins with USER for FTP:
POP3 and IRC do, too, and are told by their replies.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from enrich.payload import CUT, Payloads

COLUMNS = frozenset({"id.resp_p", "command", "arg", "reply_code", "reply_msg"})
"""What is read of ftp.log."""


def corrected(frame: pl.DataFrame, spoken: pl.Series, payloads: Callable[[], Payloads]) -> pl.Series:
    """``spoken`` (the protocol of each row), and in rows whose reply lacks a code what their payload shows.

    That is null, or the protocol and ``-ftp``: it is not what the log says. ``payloads`` loads the signatures.
    """
    if not {"id.resp_p", "reply_msg"} <= {*frame.columns}:
        return spoken
    texts = frame.select(
        pl.col("id.resp_p").alias("resp_port"),
        *(
            (pl.col(name).cast(pl.String) if name in frame.columns else pl.lit(None, pl.String)).alias(name)
            for name in ("command", "arg", "reply_code", "reply_msg")
        ),
    )
    uncoded = texts.select(pl.col("reply_code").is_null() & pl.col("reply_msg").is_not_null()).to_series()
    if not uncoded.any():
        return spoken
    request = pl.concat_str("command", pl.lit(" "), pl.col("arg").fill_null(""))
    found = payloads().identify_many(
        texts.filter(uncoded).select(
            pl.lit("tcp").alias("transport"),
            pl.lit(0).alias("orig_port"),
            "resp_port",
            orig=_first_bytes(request),
            resp=_first_bytes(pl.col("reply_msg")),
        )
    )
    certain = (pl.col("strength") == "certain") & (pl.col("protocol") != "ftp")
    shown = found.select(pl.when(certain).then(pl.col("protocol") + ",-ftp")).to_series()
    return spoken.scatter(uncoded.arg_true(), shown)


def _first_bytes(text: pl.Expr) -> pl.Expr:
    """As a log of payloads has them: the lines' ends are those of the wire, which Suricata leaves out."""
    lines = text.str.slice(0, CUT).str.strip_chars_end().str.replace_all("\n", "\r\n", literal=True)
    return (lines + "\r\n").str.encode("hex")
