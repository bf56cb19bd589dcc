"""What a flow is by IP's own header, where that names no transport: ICMP, IGMP, GRE, ESP (IANA, Protocol Numbers)."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from enrich.flows import among

READS = frozenset({"proto", "ip_proto", "id.resp_h"})
_TRANSPORTS = ("tcp", "udp")
_ICMP6 = 58


def ip_protocols(frame: pl.DataFrame, known: Mapping[str, int]) -> pl.Series:
    """The protocol number in each flow's IP header; null for TCP and UDP, and where nothing tells it.

    Zeek logs it (``ip_proto``) from version 7.1 on. Else ``proto`` tells: by a name, of which ``known`` has the numbers
    (``icmp`` is of either version of IP), or by a number itself, as Suricata writes of what it has no name for.
    """
    none = pl.Series([None], dtype=pl.UInt8).new_from_index(0, frame.height)
    there = READS.intersection(frame.columns)
    if not {"proto", "ip_proto"} & there:
        return none
    proto = pl.col("proto") if "proto" in there else pl.lit(None, pl.String)
    six = pl.col("id.resp_h").str.contains(":", literal=True) if "id.resp_h" in there else pl.lit(False)
    told = [
        *([pl.col("ip_proto").cast(pl.UInt8, strict=False)] if "ip_proto" in there else []),
        pl.when((proto == "icmp") & six).then(_ICMP6),
        proto.replace_strict(known, default=None, return_dtype=pl.UInt8),
        proto.str.extract("^0*([0-9]{1,3})$").cast(pl.UInt8, strict=False),
    ]
    others = frame.lazy().select(sorted(there)).with_row_index("row")
    others = others.filter(~among(proto, _TRANSPORTS).fill_null(False))
    numbers = others.select("row", pl.coalesce(told).cast(pl.UInt8)).collect()
    return none.scatter(numbers["row"], numbers.to_series(1)) if numbers.height else none
