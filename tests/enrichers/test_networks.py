"""Whose network each side of a flow lies in, as the run adds it to connections."""

from __future__ import annotations

import polars as pl

from enrich.enrichers.networks import ENRICHER
from enrich.model import Memo, key_frame
from enrich.tables import Tables

CONN = pl.DataFrame(
    {
        "id.orig_h": ["10.0.0.1", "157.240.22.35", "10.0.0.1", None],
        "id.resp_h": ["149.154.167.50", "10.0.0.1", "203.0.113.9", "2a03:2880:f12f::1"],
    }
)


def added(frame: pl.DataFrame) -> dict[str, list[str | None]]:
    work = ENRICHER.prepare(Tables())
    out: dict[str, list[str | None]] = {}
    for use in ENRICHER.uses:
        keys = key_frame(frame, use, ENRICHER.keys)
        if keys is not None:
            result = Memo(tuple(ENRICHER.keys), tuple(use.prefix + name for name in ENRICHER.adds), work).apply(keys)
            out |= {name: result.column(name).to_list() for name in result.table.columns}
    return out


def test_both_sides_are_told() -> None:
    assert added(CONN) == {
        "_resp_network_app": ["telegram", None, None, "facebook"],
        "_orig_network_app": [None, "facebook", None, None],
    }


def test_no_flows_and_no_addresses() -> None:
    assert added(CONN.clear()) == {"_resp_network_app": [], "_orig_network_app": []}
    assert added(pl.DataFrame({"uid": ["C1"]})) == {}
