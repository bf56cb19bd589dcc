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
    claim = pl.coalesce("resp_asserts", "orig_asserts")
    # Most flows are of no protocol that a rule speaks of.
    spoken_of = pl.col("proto").is_in(rules["transport"].unique().to_list()) & pl.any_horizontal(
        claim == text if text is not None else claim.is_null() for text in rules["asserted"].unique()
    ).fill_null(False)
    out = {"fits": pl.lit(None, pl.String), "denies": pl.lit(None, pl.String)}
    for rule in rules.iter_rows(named=True):
        asserted = pl.col("_claim").is_null() if rule["asserted"] is None else pl.col("_claim") == rule["asserted"]
        holds = asserted & (pl.col("proto") == rule["transport"]) & _within(rule)
        out[rule["says"]] = pl.when(holds).then(pl.lit(rule["protocol"])).otherwise(out[rule["says"]])

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        rows = keys.select(spoken_of.arg_true()).to_series()
        asked = keys[rows].with_columns(claim.alias("_claim"), _mean("orig"), _mean("resp"))
        found = asked.select(expression.alias(name) for name, expression in out.items())
        null = pl.Series([None], dtype=pl.String).new_from_index(0, keys.height)
        return pl.DataFrame({name: null.clone().scatter(rows, found[name]) for name in out})

    return work


def _within(rule: Mapping[str, Any]) -> pl.Expr:
    """Whether numbers and mean sizes of a flow's datagrams are within a rule's limits."""
    sides = ("orig", "resp") if rule["side"] == "each" else (rule["side"],)
    packets = [pl.col(f"{side}_pkts").fill_null(0) for side in sides]
    sized = [
        (sent == 0) | pl.col(f"_{side}_mean").is_between(rule["least"], rule["most"])
        for side, sent in zip(sides, packets, strict=True)
    ]
    return pl.max_horizontal(packets).is_between(rule["fewest"], rule["packets"]) & pl.all_horizontal(sized)


def _mean(side: str) -> pl.Expr:
    """Payload bytes a packet of one side; where the log counts whole packets only, less IPv4 and UDP headers."""
    packets = pl.col(f"{side}_pkts").cast(pl.Float64)
    payload = pl.coalesce(
        pl.col(f"{side}_bytes").cast(pl.Float64), pl.col(f"{side}_ip_bytes").cast(pl.Float64) - 28 * packets
    )
    return (payload / packets).alias(f"_{side}_mean")


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
