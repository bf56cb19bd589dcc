"""Behaviour of a flow from its counters alone: mean packet sizes, and the class they tell."""

from __future__ import annotations

import polars as pl

from enrich.model import Enricher, Resources, Use, Work

TABLE = "behavior.toml"
_SIDES = ("orig", "resp")


def prepare(resources: Resources) -> Work:
    """Read the thresholds; the work is arithmetic on columns."""
    t = resources.toml(TABLE)["thresholds"]
    failed = t["failed_states"]

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        orig = pl.when(pl.col("orig_pkts") > 0).then(pl.col("orig_ip_bytes") / pl.col("orig_pkts"))
        resp = pl.when(pl.col("resp_pkts") > 0).then(pl.col("resp_ip_bytes") / pl.col("resp_pkts"))
        means = keys.with_columns(orig.alias("orig"), resp.alias("resp"))
        packets = pl.col("orig_pkts") + pl.col("resp_pkts")
        big = pl.max_horizontal("orig", "resp")
        small = pl.min_horizontal("orig", "resp")
        both = pl.col("orig").is_not_null() & pl.col("resp").is_not_null()
        unanswered = (pl.col("resp_pkts") == 0) & (pl.col("orig_pkts") > 0)
        tcp = pl.col("proto") == "tcp"
        scan = tcp & (
            pl.col("conn_state").is_in(failed) | (unanswered & (pl.col("orig_pkts") <= t["scan_max_packets"]))
        )
        transfer = (
            both
            & (big >= t["transfer_min_mean"])
            & (small <= t["transfer_max_other_mean"])
            & (packets >= t["transfer_min_packets"])
        )
        control = both & (packets <= t["control_max_packets"]) & (big <= t["control_max_mean"])
        chatter = both & (big < t["transfer_min_mean"]) & (small > t["chatter_min_mean"])
        kind = (
            pl.when(scan).then(pl.lit("scan"))
            .when(transfer).then(pl.lit("file_transfer"))
            .when(control).then(pl.lit("control"))
            .when(chatter).then(pl.lit("chatter"))
        )  # fmt: skip
        return means.select(kind.alias("class"), *(pl.col(side).round(1).alias(f"{side}_mean") for side in _SIDES))

    return work


_COUNT = pl.UInt64
ENRICHER = Enricher(
    name="behavior",
    doc="Mean packet sizes, and the class of behaviour they tell: scan, control, chatter, file transfer.",
    keys={
        "proto": pl.String,
        "conn_state": pl.String,
        "orig_pkts": _COUNT,
        "orig_ip_bytes": _COUNT,
        "resp_pkts": _COUNT,
        "resp_ip_bytes": _COUNT,
    },
    adds={"class": pl.String, "orig_mean": pl.Float64, "resp_mean": pl.Float64},
    uses=(
        Use(
            ("conn",),
            ("proto", "conn_state", "orig_pkts", "orig_ip_bytes", "resp_pkts", "resp_ip_bytes"),
            "behavior.",
        ),
    ),
    prepare=prepare,
    tables=(TABLE,),
    distinct=False,
)
