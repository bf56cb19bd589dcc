"""Scores the built-in banner tables on labelled banners, and times them.

    python bench/score_banners.py                       score every service of ../shared/data/banners/recog_examples.csv
    python bench/score_banners.py --show ftp telnet     and list what is wrong or missing there
    python bench/score_banners.py --time                microseconds per distinct banner, a million of them, one core

A field counts where the labels state it: right, wrong, or null (no answer, which is not wrong). Names compare after
folding case, spaces and punctuation. `os` is right, strictly, when it equals the labelled product ("Windows Server
2016", "Linux"); `os*` also takes a distribution's name where the label says vendor "Debian" and product "Linux".

The tables know these labels: what is scored here is how well they keep them, not how well they do on other banners.
For that, a random half of the labels was set aside once. Rules from the other half, general knowledge and Recog's list
of product names had 0.834 of its products, 0.865 of its versions and 0.741 of its systems (`os*`) right before any of
its rows was looked at; 0.120, 0.078 and 0.070 were wrong, most of them another name for the same product. Its totals
had been looked at three times by then. Since then a name that no table knows is taken for a product only where a
version stands beside it, its maker's name split off: with each product of the labels struck from the tables in turn,
grammar alone then says 79 names rightly and 75 otherwise, where it had been 81 and 150.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from enrich.banners import Banner, Banners

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "mappings" / "banners"
LABELS = ROOT.parent / "shared" / "data" / "banners" / "recog_examples.csv"
FIELDS = ("product", "version", "os", "os*", "os_version")
Row = dict[str, str]


def fold(name: str | None) -> str:
    return "".join(filter(str.isalnum, (name or "").casefold()))


def judge(field: str, row: Row, banner: Banner) -> str:
    """`right`, `wrong` or `null` where the label states the field; `extra` or "" where it does not."""
    if field in ("os", "os*"):
        truth, given = fold(row["os_product"]), fold(banner.os)
        accepted = {truth}
        if field == "os*" and truth == "linux" and row["os_vendor"]:
            accepted.add(fold(row["os_vendor"]))
    else:
        truth, given = fold(row[field]), fold(getattr(banner, field))
        accepted = {truth}
    if not truth:
        return "extra" if given else ""
    return "null" if not given else "right" if given in accepted else "wrong"


def score(rows: list[Row], shown: list[str]) -> None:
    banners = Banners(TABLES)
    counts: dict[str, Counter[tuple[str, str]]] = {}
    for row in rows:
        banner = banners.parse(row["service"], row["banner"])
        verdicts = {field: judge(field, row, banner) for field in FIELDS}
        for service in (row["service"], "all"):
            counts.setdefault(service, Counter()).update(verdicts.items())
        if row["service"] in shown or "all" in shown:
            odd = {f: v for f, v in verdicts.items() if v in ("wrong", "null") and f != "os_version"}
            if odd:
                print(_complaint(row, banner, odd))
    print("service      " + "".join(f"{field:>32}" for field in FIELDS))
    print("             " + "right wrong  null of  n extra".rjust(32) * len(FIELDS))
    for service in sorted(counts, key=lambda name: (name == "all", name)):
        print(f"{service:<13}" + "".join(_cell(counts[service], field).rjust(32) for field in FIELDS))


def _cell(counts: Counter[tuple[str, str]], field: str) -> str:
    right, wrong, null, extra = (counts[field, verdict] for verdict in ("right", "wrong", "null", "extra"))
    stated = right + wrong + null
    if not stated:
        return f"{'-':>5} {'-':>5} {'-':>5} {0:>5} {extra:>5}"
    return f"{right / stated:5.3f} {wrong / stated:5.3f} {null / stated:5.3f} {stated:>5} {extra:>5}"


def _complaint(row: Row, banner: Banner, odd: dict[str, str]) -> str:
    labels = {"os": "os_product", "os*": "os_vendor"}
    details = ", ".join(
        f"{field} {verdict}: {getattr(banner, field.rstrip('*'))!r} for {row[labels.get(field, field)]!r}"
        for field, verdict in odd.items()
    )
    return f"{row['service']}: {row['banner']!r}\n    {details}"


def distinct(rows: list[Row], count: int) -> Iterator[tuple[str, str]]:
    """`count` distinct banners made from the labelled ones by numbering host names, versions and comments."""
    number = 0
    while True:
        for row in rows:
            yield row["service"], f"{row['banner']} {number}" if number else row["banner"]
            number += 1
            if number >= count:
                return


def measure(rows: list[Row], count: int) -> None:
    banners = Banners(TABLES)
    for row in rows:
        banners.parse(row["service"], row["banner"])
    spent: dict[str, float] = {}
    seen: Counter[str] = Counter()
    batches: dict[str, list[str]] = {}
    for service, value in distinct(rows, count):
        batches.setdefault(service, []).append(value)
    for service, values in batches.items():
        start = time.process_time()
        banners.parse_many(service, values)
        spent[service] = time.process_time() - start
        seen[service] = len(values)
    for service in sorted(seen):
        print(f"{service:<13}{seen[service]:>9} banners  {spent[service] / seen[service] * 1e6:6.1f} µs each")
    print(f"{'all':<13}{sum(seen.values()):>9} banners  {sum(spent.values()) / sum(seen.values()) * 1e6:6.1f} µs each")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", type=Path, default=LABELS, help="CSV of labelled banners")
    parser.add_argument("--show", nargs="*", default=[], metavar="SERVICE", help="list wrong and missing answers")
    parser.add_argument("--time", action="store_true", help="measure instead of scoring")
    parser.add_argument("--count", type=int, default=1_000_000, help="banners to time")
    options = parser.parse_args()
    if not options.labels.exists():
        print(f"{options.labels}: no such file", file=sys.stderr)
        return 3
    with options.labels.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if options.time:
        measure(rows, options.count)
    else:
        score(rows, options.show)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
