"""How far a flow got: whether it opened, whether anybody answered, whether an analyzer recognised what was sent."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import polars as pl

READS = frozenset(
    {"id.resp_h", "proto", "service", "conn_state", "history", "resp_pkts", "orig_pkts", "orig_ip_bytes", "_detection"}
)
# Addresses that stand for many hosts, so that none answers from there: multicast and, as far as it shows, broadcast.
_GROUP = r"^2(?:2[4-9]|3[0-9])\.|\.255$|^[fF][fF][0-9a-fA-F]{2}:"
_STATES = ("open", "failed", "empty", "one_way", "group", "unrecognised", "undetected", "half")
# Bytes of IPv4's and UDP's headers (RFC 791, RFC 768): a packet of no more carries nothing.
_HEADERS = 28


def states(frame: pl.DataFrame, failed_states: Collection[str]) -> pl.Series:
    """How far each flow of a conn batch got. ``failed_states``: values of conn_state of TCP that never opened.

    failed: TCP never opened, or datagrams had no payload; empty: TCP opened, and neither side sent any; group: sent
    to a group of hosts; one_way: nobody answered; unrecognised: both sides sent payload, all of it was seen, and no
    analyzer of Zeek's knew it; undetected: no parser of Suricata's; half: it knew one side's payload, and not the
    other's; open: the rest.
    """
    there = set(frame.columns)
    states = np.full(frame.height, _STATES.index("open"), np.uint8)
    nobody = pl.Series([False]).new_from_index(0, frame.height)
    tcp = (frame["proto"] == "tcp").fill_null(False) if "proto" in there else nobody
    silent = (frame["resp_pkts"] == 0).fill_null(False) if "resp_pkts" in there else nobody
    if "_detection" in there:
        silent |= frame["_detection"].eq_missing("unanswered")
    if silent.any():
        rows = silent.arg_true().to_numpy()
        states[rows] = _STATES.index("one_way")
        if "id.resp_h" in there:
            group = frame["id.resp_h"].gather(rows).cast(pl.String).str.contains(_GROUP).fill_null(False)
            states[rows[group.to_numpy()]] = _STATES.index("group")
        if {"proto", "orig_pkts", "orig_ip_bytes"} <= there:
            datagrams = (frame["proto"] == "udp") & silent & (frame["orig_pkts"] > 0)
            empty = datagrams & (frame["orig_ip_bytes"] <= frame["orig_pkts"] * _HEADERS)
            states[empty.fill_null(False).to_numpy()] = _STATES.index("failed")
    if "history" in there:
        rows = (tcp & ~silent).arg_true().to_numpy()
        told = _by_history(frame["history"].gather(rows))
        states[rows[told.eq_missing("empty").to_numpy()]] = _STATES.index("empty")
        if "service" in there:
            unknown = told.eq_missing("whole") & frame["service"].gather(rows).is_null()
            states[rows[unknown.to_numpy()]] = _STATES.index("unrecognised")
    if "_detection" in there:
        detection = frame["_detection"]
        states[(detection.eq_missing("failed") & tcp & ~silent).to_numpy()] = _STATES.index("undetected")
        states[(detection.eq_missing("empty") & tcp & ~silent).to_numpy()] = _STATES.index("empty")
        states[detection.eq_missing("half").to_numpy()] = _STATES.index("half")
    if "conn_state" in there:
        failed = tcp & frame["conn_state"].is_in(failed_states).fill_null(False)
        states[failed.to_numpy()] = _STATES.index("failed")
    return pl.Series(_STATES).gather(states)


def _by_history(history: pl.Series) -> pl.Series:
    """What Zeek's history tells of TCP connections: ``empty`` of payload; ``whole``, with payload both ways; or null.

    Capitals are the originator's; S and H open a connection, R refuses or ends it, D is payload, G a gap.
    """
    text = pl.col("history")
    held = {letter: text.str.contains(letter, literal=True) for letter in "SsHhRrDdGg"}
    begun = pl.any_horizontal(held[letter] for letter in "SsHhRr")
    lost = held["G"] | held["g"]
    told = (
        pl.when(begun & ~(held["D"] | held["d"] | lost)).then(pl.lit("empty"))
        .when(text.str.starts_with("S") & held["D"] & held["d"] & ~lost).then(pl.lit("whole"))
    )  # fmt: skip
    distinct = pl.DataFrame({"history": history.unique().drop_nulls()}).with_columns(told.alias("told"))
    return history.replace_strict(distinct["history"], distinct["told"], default=None, return_dtype=pl.String)
