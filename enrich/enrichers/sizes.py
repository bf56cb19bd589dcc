"""Sizes: what a flow's datagrams say for or against the protocol that its port asserts. Evidence for the verdict."""

from __future__ import annotations

import polars as pl

from enrich.model import Enricher, Resources, Use, Work

TABLE = "sizes.csv"


def prepare(resources: Resources) -> Work:
    """Read the rules; the work is one comparison of columns a rule."""
    rules = resources.csv(TABLE).with_columns(pl.col("packets", "least", "most").cast(pl.Float64))

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        claim = pl.coalesce("resp_asserts", "orig_asserts")
        payload = {side: _payload(side) for side in ("orig", "resp")}
        out = {"fits": pl.lit(None, pl.String), "denies": pl.lit(None, pl.String)}
        for rule in rules.iter_rows(named=True):
            packets = pl.col(f"{rule['side']}_pkts")
            mean = payload[rule["side"]] / packets
            holds = (
                (claim == rule["protocol"])
                & (pl.col("proto") == rule["transport"])
                & (packets > 0)
                & (packets <= rule["packets"])
                & mean.is_between(rule["least"], rule["most"])
            )
            out[rule["says"]] = pl.when(holds).then(pl.lit(rule["protocol"])).otherwise(out[rule["says"]])
        return keys.select(expression.alias(name) for name, expression in out.items())

    return work


def _payload(side: str) -> pl.Expr:
    """Payload bytes of one side; where the log counts whole packets only, less IPv4 and UDP headers."""
    headers = 28 * pl.col(f"{side}_pkts").cast(pl.Float64)
    return pl.coalesce(pl.col(f"{side}_bytes").cast(pl.Float64), pl.col(f"{side}_ip_bytes").cast(pl.Float64) - headers)


_COUNT = pl.UInt64
ENRICHER = Enricher(
    name="sizes",
    doc="What packet counts and sizes say for or against the protocol that a port asserts.",
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
