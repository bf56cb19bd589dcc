"""Sizes: what a flow's datagrams say for or against a protocol. Evidence for the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from enrich.model import Enricher, Resources, Use, Work

TABLE = "sizes.csv"


def prepare(resources: Resources) -> Work:
    """Read the rules; the work is one comparison of columns a rule."""
    counts = ("fewest", "packets", "least", "most")
    rules = resources.csv(TABLE).with_columns(pl.col(counts).cast(pl.Float64))

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        claim = pl.coalesce("resp_asserts", "orig_asserts")
        out = {"fits": pl.lit(None, pl.String), "denies": pl.lit(None, pl.String)}
        for rule in rules.iter_rows(named=True):
            asserted = claim.is_null() if rule["asserted"] is None else claim == rule["asserted"]
            holds = asserted & (pl.col("proto") == rule["transport"]) & _within(rule)
            out[rule["says"]] = pl.when(holds).then(pl.lit(rule["protocol"])).otherwise(out[rule["says"]])
        return keys.select(expression.alias(name) for name, expression in out.items())

    return work


def _within(rule: Mapping[str, Any]) -> pl.Expr:
    """Whether numbers and mean sizes of a flow's datagrams are within a rule's limits."""
    sides = ("orig", "resp") if rule["side"] == "each" else (rule["side"],)
    packets = {side: pl.col(f"{side}_pkts").fill_null(0) for side in sides}
    sized = [
        (packets[side] == 0) | (_payload(side) / packets[side]).is_between(rule["least"], rule["most"])
        for side in sides
    ]
    return pl.max_horizontal(packets.values()).is_between(rule["fewest"], rule["packets"]) & pl.all_horizontal(sized)


def _payload(side: str) -> pl.Expr:
    """Payload bytes of one side; where the log counts whole packets only, less IPv4 and UDP headers."""
    headers = 28 * pl.col(f"{side}_pkts").cast(pl.Float64)
    return pl.coalesce(pl.col(f"{side}_bytes").cast(pl.Float64), pl.col(f"{side}_ip_bytes").cast(pl.Float64) - headers)


_COUNT = pl.UInt64
ENRICHER = Enricher(
    name="sizes",
    doc="What packet counts and sizes say for or against the protocol that a port asserts, or where none does.",
    keys={
        "proto": pl.String,
        "resp_asserts": pl.String,
        "orig_asserts": pl.String,
        "orig_pkts": _COUNT,
        "orig_bytes": _COUNT,
        "orig_ip_bytes": _COUNT,
        "resp_pkts": _COUNT,
        "resp_bytes": _COUNT,
        "resp_ip_bytes": _COUNT,
    },
    adds={"fits": pl.String, "denies": pl.String},
    uses=(
        Use(
            ("conn",),
            (
                "proto",
                "_resp_asserts",
                "_orig_asserts",
                "orig_pkts",
                "orig_bytes",
                "orig_ip_bytes",
                "resp_pkts",
                "resp_bytes",
                "resp_ip_bytes",
            ),
            "_size_",
        ),
    ),
    prepare=prepare,
    tables=(TABLE,),
    distinct=False,
)
