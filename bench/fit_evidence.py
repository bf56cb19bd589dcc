#!/usr/bin/env python3
"""Fit the weights of mappings/evidence.toml on labelled flows, and say how well they hold on captures left out.

    fit_evidence.py SHARED [--write]

SHARED holds data/flows (one folder of logs a capture, truth.csv, and the captures, whose first payloads tell what a
payload.log of the Zeek package would), data/site-a (a site with its truth, scans and failed
connections included: there, no claim is right) and tools (the vocabulary that folds labels). The
flows of one capture and label weigh their number to the power of 0.75, so that no big capture decides alone. The
model is multinomial: a
claim's score is the sum of the weights of its evidence, "none of them" scores 0, and a penalty keeps weights that few
captures speak about near where they stand.
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import first_payloads
import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.batch import Batch
from enrich.engine import Engine
from enrich.options import Options
from enrich.pipeline import Run
from enrich.sources.discover import LogFile, discover
from enrich.tables import Tables
from enrich.verdict import COLUMNS, KEYS, TABLE, Judge, judge_of

PENALTY = 0.003
SHARE = 0.75
# Where the weights start and what the penalty holds them to: what each kind of evidence is worth by its nature. Of ALPN
# these captures have next to nothing: both sides' own word for what follows is worth about what a signature is.
PRIOR = {
    "log": 2.2,
    "log_alone": 0.9,
    "dpi": 2.0,
    "dpi.half": 0.5,
    "alpn": 3.0,
    "payload.certain": 4.0,
    "payload.likely": 2.0,
    "server.open": 1.5,
    "server.group": 1.5,
    "server.one_way": 1.5,
    "server.failed": 0.0,
    "server.swapped": 1.2,
    "port.system.open": 1.4,
    "port.system.group": 2.6,
    "port.system.one_way": 2.2,
    "port.system.unrecognised": -2.0,
    "port.system.failed": -2.0,
    "port.user.open": 1.6,
    "port.user.group": 2.6,
    "port.user.one_way": 2.2,
    "port.user.unrecognised": -2.0,
    "port.user.failed": -1.5,
    "swapped": 1.8,
    "swapped.failed": -1.5,
    "application": 1.0,
    "network": 1.0,
    "size": 2.0,
    "size.alone": 2.0,
    "size_denies": -5.0,
    "contradicted": -0.5,
}
# A port that two sides talk on is an assertion: alone it never makes nine tenths sure, whatever these captures say.
# What is sent to a system's port without an answer is mostly what the port says, even a scanner's probe, which asks
# as a client does. Above those, the ports that peers of file sharing chose at random are somebody's too often: there,
# to have no answer is no better than to have one. (A datagram without payload does not count as sent.)
CEILINGS = {
    "port.system.open": 2.1,
    "port.user.open": 2.1,
    "swapped": 2.1,
    "size.alone": 2.1,
    "port.system.group": 3.0,
    "port.user.group": 3.0,
    "port.system.one_way": 3.0,
    "port.user.one_way": 2.1,
}
# Where port and analyzer agree, as they mostly do, captures cannot tell which of them was right. What was seen in a
# flow is worth more than what is asserted.
FLOORS = {"log": 2.2, "dpi": 1.5}
Floats = npt.NDArray[np.float64]
Fold = Callable[[str], str]


@dataclass(slots=True)
class Example:
    """A flow: which features each claim has, which claim is right (None: none of them), how much it counts."""

    capture: Path
    claims: dict[str, list[str]]
    right: str | None
    label: str
    weight: float = 1.0


def ends(row: dict[str, object], a: str, ap: str, b: str, bp: str) -> tuple[object, frozenset[tuple[str, str]]]:
    return row["proto"], frozenset([(str(row[a]), str(row[ap])), (str(row[b]), str(row[bp]))])


SITE_NAMES = {
    "https": "tls",
    "pop3s": "pop3",
    "imaps": "imap",
    "http-proxy": "http",
    "bittorrent-tracker": "bittorrent|http",
    "bittorrent-dht": "bittorrent",
    "bittorrent-lpd": "bittorrent",
    "netbios-ns": "netbios",
    "netbios-dgm": "netbios",
    "oracle-tns": "oracle",
    "ftp-data": "ftp_data",
}


def site_truth(path: Path) -> dict[object, dict[str, str]]:
    """The site's flows; what is right of several names is parted by ``|``."""
    with path.open() as file:
        return {
            ends({**row, "proto": row["transport"]}, "orig_ip", "orig_port", "resp_ip", "resp_port"): {
                "protocol": SITE_NAMES.get(row["application"], row["application"])
            }
            for row in csv.DictReader(file)
        }


def capture_batches(folder: Path, tables: Tables) -> Iterator[tuple[Engine, Batch]]:
    """The conn batches of a capture, with an engine that has surveyed all its logs."""
    run = Run(Options((str(folder),), Path("/nonexistent")), tables=tables)
    files = [item for item in discover([str(folder)], run.options.out, run.options.out) if isinstance(item, LogFile)]
    run.first_pass(files)(run.progress)
    for file in files:
        for item in run.items(file, run.engine.reads, False, run.progress):
            if isinstance(item, list):
                for batch in item:
                    if isinstance(batch, Batch) and batch.log == "conn":
                        yield run.engine, batch


def examples(folder: Path, truth: dict[str, dict[object, dict[str, str]]], judge: Judge, fold: Fold) -> list[Example]:
    """The labelled flows of one capture."""
    tables = judge_tables()
    out = []
    for engine, batch in capture_batches(folder, tables):
        _, frame = engine.enrich(batch)
        keys = frame.select(
            (pl.col(column).cast(kind) if column in frame.columns else pl.lit(None, kind)).alias(name)
            for (name, kind), column in zip(KEYS.items(), COLUMNS, strict=True)
        )
        flows = frame.select("proto", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p").iter_rows(named=True)
        for key, flow in zip(keys.iter_rows(named=True), flows, strict=True):
            label = truth[folder.name].get(ends(flow, "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"))
            if label is None or not label["protocol"]:
                continue
            protocols, _ = judge.evidence(key)
            claims = judge.claims(protocols)
            meant = {fold(name) for name in label["protocol"].split("|")}
            right = next((claim for claim in claims if fold(claim) in meant), None)
            out.append(Example(folder, claims, right, label["protocol"]))
    return out


_TABLES: list[Tables] = []


def judge_tables() -> Tables:
    """One set of tables for all captures."""
    if not _TABLES:
        _TABLES.append(Tables())
    return _TABLES[0]


def weigh(found: list[Example]) -> None:
    """A capture's flows of one label weigh a little less each, the more there are."""
    count: dict[tuple[Path, str], int] = defaultdict(int)
    for example in found:
        count[(example.capture, example.label)] += 1
    for example in found:
        number = count[(example.capture, example.label)]
        example.weight = number ** (SHARE - 1)


def fit(found: list[Example], start: dict[str, float]) -> dict[str, float]:
    """The weights of highest likelihood near ``start``, by gradient descent with momentum."""
    names = sorted(start)
    at = {name: i for i, name in enumerate(names)}
    origin = np.array([start[name] for name in names])
    floors = np.array([FLOORS.get(name, -math.inf) for name in names])
    ceilings = np.array([CEILINGS.get(name, math.inf) for name in names])
    weights, speed = origin.copy(), np.zeros_like(origin)
    total = sum(example.weight for example in found)
    for _ in range(400):
        slope = gradient(found, weights, at) / total + PENALTY * (weights - origin)
        speed = 0.9 * speed - 0.3 * slope
        weights = np.clip(weights + speed, floors, ceilings)
    return {name: round(float(weights[at[name]]), 2) for name in names}


def gradient(found: list[Example], weights: Floats, at: dict[str, int]) -> Floats:
    slope = np.zeros_like(weights)
    for example in found:
        scores = {claim: sum(weights[at[f]] for f in having) for claim, having in example.claims.items()}
        whole = 1 + sum(math.exp(score) for score in scores.values())
        for claim, having in example.claims.items():
            error = math.exp(scores[claim]) / whole - (claim == example.right)
            for feature in having:
                slope[at[feature]] += example.weight * error
    return slope


def calibration(found: list[Example], weights: dict[str, float]) -> dict[str, float]:
    """Expected calibration error over ten bins, precision, and precision of what is 0.9 sure."""
    bins = [[0.0, 0.0, 0.0] for _ in range(10)]
    for example in found:
        scores = {claim: sum(weights[f] for f in having) for claim, having in example.claims.items()}
        if not scores:
            continue
        best = max(scores, key=lambda claim: scores[claim])
        if scores[best] <= 0:
            continue
        sure = math.exp(scores[best]) / (1 + sum(map(math.exp, scores.values())))
        cell = bins[min(int(sure * 10), 9)]
        cell[0] += 1
        cell[1] += best == example.right
        cell[2] += sure
    answered = sum(cell[0] for cell in bins) or 1
    return {
        "answered": answered,
        "precision": sum(cell[1] for cell in bins) / answered,
        "ece": sum(abs(cell[1] - cell[2]) for cell in bins) / answered,
        "precision at 0.9": bins[9][1] / bins[9][0] if bins[9][0] else math.nan,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shared", type=Path)
    parser.add_argument("--write", action="store_true", help="write the weights into mappings/evidence.toml")
    args = parser.parse_args()
    sys.path.insert(0, str(args.shared / "tools"))
    from vocabulary import key as fold  # type: ignore[import-not-found]

    truth: dict[str, dict[object, dict[str, str]]] = defaultdict(dict)
    with (args.shared / "data/flows/truth.csv").open() as file:
        for row in csv.DictReader(file):
            truth[row["pcap"]][ends(dict(row), "ip_a", "port_a", "ip_b", "port_b")] = row
    tables = judge_tables()
    judge = judge_of(tables)
    site = args.shared / "data/site-a"
    for kind in ("zeek", "eve"):
        truth[kind] = site_truth(site / "truth/flows_detail.csv")
    found: list[Example] = []
    flows = args.shared / "data/flows"
    with TemporaryDirectory() as temporary:
        for logs in sorted((flows / "zeek").iterdir()):
            folder = Path(temporary) / logs.name
            folder.mkdir()
            first_payloads.add(logs, flows / "pcap" / logs.name, folder)
        of_package = sorted(Path(temporary).iterdir())
        of_sensors = [
            *sorted((flows / "zeek").iterdir()),
            *sorted((flows / "eve").iterdir()),
            site / "zeek",
            site / "eve",
        ]
        for folder in (*of_sensors, *of_package):
            found += examples(folder, truth, judge, fold)
    weigh(found)
    captures = sorted({example.capture.name for example in found})
    for half in (0, 1):
        held = set(captures[half::2])
        learned = fit([e for e in found if e.capture.name not in held], PRIOR)
        print("held out half", half, calibration([e for e in found if e.capture.name in held], learned))
    weights = fit(found, PRIOR)
    print("all", calibration(found, weights))
    for name, value in weights.items():
        print(f"  {name:24} {PRIOR[name]:6.2f} -> {value:6.2f}")
    if args.write:
        path = tables.path(TABLE)
        text = path.read_text("utf-8")
        for name, value in weights.items():
            text = re.sub(rf'^("?{re.escape(name)}"? = )[-0-9.]+$', rf"\g<1>{value}", text, count=1, flags=re.MULTILINE)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
