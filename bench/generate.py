#!/usr/bin/env python3
"""Write a made-up site's logs: seeded, of any size, with uids and names that agree across the logs.

The site has clients of several systems, internal and public resolvers, servers whose popularity follows Zipf's law,
look-ups before the connections that use them, scans, failures, flows met in mid-stream, IPv6 and peer-to-peer. A
connection is logged when it ends, so a long one comes hours after its look-up.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from synthetic.flows import Traffic
from synthetic.formats import Eve, Writer, ZeekJson, ZeekTsv
from synthetic.schema import LOGS
from synthetic.site import MIX, Site


def generate(site: Site, writer: Writer, logs: frozenset[str] = frozenset(LOGS)) -> dict[str, int]:
    """Write the site's logs and give the number of rows of each."""
    written: dict[str, int] = {}
    waiting: dict[str, list[pl.DataFrame]] = {}
    for until, chunk in Traffic(site).chunks():
        for log in logs & chunk.keys():
            waiting.setdefault(log, []).append(chunk[log])
        _flush(waiting, until, writer, written)
    _flush(waiting, float("inf"), writer, written)
    writer.close()
    return written


def _flush(waiting: dict[str, list[pl.DataFrame]], until: float, writer: Writer, written: dict[str, int]) -> None:
    ready = {}
    for log in sorted(waiting):
        rows = pl.concat(waiting[log])
        ready[log] = rows.filter(pl.col("written") < until).sort("written", maintain_order=True)
        waiting[log] = [rows.filter(pl.col("written") >= until)]
        written[log] = written.get(log, 0) + len(ready[log])
    writer.write(ready)


def _mix(text: str) -> Mapping[str, float]:
    pairs = (part.partition("=") for part in text.split(","))
    return {kind: float(share) for kind, _, share in pairs}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder for the logs")
    parser.add_argument("--rows", type=int, default=1_000_000, help="flows, which are conn.log's rows (1,000,000)")
    parser.add_argument("--names", type=int, help="distinct names that are asked for (one for every 20 flows)")
    parser.add_argument("--new-user-agents", type=float, default=0.05, help="share of http rows with a new one (0.05)")
    parser.add_argument("--mix", type=_mix, default=MIX, help="shares of flows, e.g. http=1 or dns=0.4,tls=0.6")
    parser.add_argument("--logs", default=",".join(LOGS), help="which logs to write (all)")
    parser.add_argument("--format", choices=("tsv", "json", "eve"), default="tsv")
    parser.add_argument("--rate", type=float, default=120.0, help="flows a second of the site's time (120)")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    logs = frozenset(args.logs.split(","))
    if unknown := logs - LOGS.keys():
        parser.error(f"unknown logs: {', '.join(sorted(unknown))}")
    try:
        site = Site(args.rows, args.seed, args.names, args.new_user_agents, args.mix, args.rate)
    except ValueError as error:
        parser.error(str(error))
    writer: Writer
    if args.format == "tsv":
        writer = ZeekTsv(args.out, site.start)
    else:
        writer = ZeekJson(args.out) if args.format == "json" else Eve(args.out)
    began = time.perf_counter()
    rows = generate(site, writer, logs)
    print(", ".join(f"{log} {count:,}" for log, count in rows.items()), f"in {time.perf_counter() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
