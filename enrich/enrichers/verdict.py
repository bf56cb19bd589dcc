"""Verdict: which protocol and application each flow is. Flows that are judged alike are judged once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np
import polars as pl

from enrich import inferences
from enrich.flows import NO_SYN, among
from enrich.model import Enricher, Resources, Use, Work
from enrich.verdict import ADDS, CALL_BACK, COLUMNS, DYNAMIC, KEYS, REFINEMENTS, SYSTEM, TABLE, judge_of


def narrow(keys: pl.DataFrame) -> pl.DataFrame:
    """Blank what cannot matter, so that flows that are judged alike share a key."""
    column = pl.col
    said = column("seen", "service").str.contains(r"(?:^|,)[^-]").fill_null(False)  # a minus denies a protocol
    own = pl.any_horizontal(said, column("negotiated", "payload_certain", "payload_likely").is_not_null())
    udp = column("proto") == "udp"
    unanswered = udp & (column("state") == "one_way")
    unseen = (udp | among(column("conn_state"), NO_SYN)) & (column("orig_port") < SYSTEM)
    turned = (column("orig_asserts") != column("resp_asserts")) & (unanswered | unseen)
    known = column("conn_state").is_not_null() & ~among(column("conn_state"), NO_SYN)
    client = ~udp & known & ~among(column("orig_asserts"), CALL_BACK)
    dynamic = udp & (column("orig_port") >= DYNAMIC)
    heard, may_turn, is_client, is_dynamic = keys.select(
        own=own, turned=turned, client=client.fill_null(False), dynamic=dynamic.fill_null(False)
    )
    given = ("server", "resp_asserts", "orig_asserts", "resp_network", "name_app")
    there = {name: keys[name].is_not_null() for name in given}
    server, named = there["server"] & ~heard, there["name_app"]
    rival = there["orig_asserts"] & ((~there["resp_asserts"] & ~is_client) | may_turn)
    matters = {
        "server": server,
        "server_address": server,
        "swapped": ~(server | heard),
        "resp_port": server | there["resp_asserts"] | there["resp_network"],
        "port_service": there["resp_asserts"],
        "orig_asserts": rival,
        "orig_port": may_turn | (rival & is_dynamic),
        "conn_state": may_turn,
        "name_source": named,
        "orig_network": ~there["resp_network"],
        **dict.fromkeys(("certificate_app", "agent_app", "server_app", "server_by"), ~named),
    }
    return keys.with_columns(pl.when(pl.lit(rows)).then(column(name)).alias(name) for name, rows in matters.items())


def prepare(resources: Resources) -> Work:
    """Load catalogue and strengths; the work judges each combination once, wherever its server is."""
    judge = judge_of(resources)

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        if keys.is_empty():
            return pl.DataFrame(schema=ADDS)
        # For this batch only: texts of its keys may be long.
        judged = lru_cache(1 << 12)(lambda key: judge.verdict(dict(zip(KEYS, key, strict=True))))
        rows = [(*judged(key), place) for key, place in map(_apart, keys.iter_rows())]
        *columns, places = zip(*rows, strict=True)
        verdicts = dict(zip(ADDS, columns, strict=True))
        evidence = map(_placed, verdicts.pop("evidence"), places)
        scalars = [pl.Series(name, values, ADDS[name]) for name, values in verdicts.items()]
        return pl.DataFrame([*scalars, _lists(evidence).alias("evidence")]).select(*ADDS)

    return work


def _apart(key: tuple[Any, ...]) -> tuple[tuple[object, ...], str | None]:
    """A combination of keys without the place of the server that it speaks of, and that place.

    Only the words of evidence tell it. Most combinations have a server of their own, and few differ in more.
    """
    *others, server, address, swapped = key
    if server is not None or swapped is None:
        return (*others, server, "", None), address
    place, equals, names = swapped.rpartition("=")
    return (*others, None, "", equals + names), place


def _placed(evidence: list[str] | None, place: str | None) -> list[str] | None:
    """Evidence with the place of the server put into the words that speak of it."""
    return evidence and [text.replace(":", f":{place}", 1) if text.startswith("server:") else text for text in evidence]


def _lists(values: Iterable[list[str] | None]) -> pl.Series:
    """Lists of texts, made as one column of texts: Polars takes its time over each of many lists."""
    lists = [texts or (None,) for texts in values]
    rows = pl.Series("row", np.repeat(np.arange(len(lists)), [*map(len, lists)]))
    flat, text = pl.Series("text", [*chain.from_iterable(lists)], pl.String), pl.col("text")
    grouped = pl.DataFrame([rows, flat]).group_by("row", maintain_order=True).agg(text)
    return grouped.select(pl.when(text.list.first().is_not_null()).then(text)).to_series()


ENRICHER = Enricher(
    name="verdict",
    doc="Which protocol and application each flow is, how sure, and on what evidence.",
    keys=KEYS,
    adds=ADDS,
    uses=(Use(("conn",), COLUMNS, "app."),),
    prepare=prepare,
    narrow=narrow,
    tables=(TABLE, REFINEMENTS, inferences.TABLE, "applications"),
)
