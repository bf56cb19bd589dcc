"""Scores a run over a site whose truth is known: events found, protocols right, ranges of client ports told.

    python bench/score_site.py                          Zeek's and Suricata's logs of ../shared/data/site-a
    python bench/score_site.py --site DIR --show        another site made alike; and every finding with its judgement

The site's `truth/` says what happened: `events.csv` (kind, host, ts, detail), `flows_detail.csv` (every flow with its
application), `hosts.csv` (each host's range of client ports).

Findings. An event is found if a finding of a kind that covers it names the event's host (as host or peer) and, where
the event's detail names a port, that port. A finding that belongs to no event is `confirmed` if the labels of its flows
say the same (an FTP conversation that is no event), else `false`.

Protocols. A flow's answer is right if it is the label, its carrier or what it carries (`https` is tls). Flows of scans
and flows that carried nothing have no protocol to be right about; answers about them are counted apart.

Client ports. A host's range is right if it is that of `hosts.csv`; where it has too few ports, null is right.
"""

from __future__ import annotations

import argparse
import csv
import ipaddress
import json
import re
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from enrich.options import Options
from enrich.pipeline import Run

SITE = Path(__file__).resolve().parents[2] / "shared" / "data" / "site-a"
# Which kinds of finding cover an event; what no kind covers is not scored.
COVERS = {
    "av_stops": {"antivirus_silent"},
    "odd_port": {"port_contradiction"},
    "bittorrent": {"torrent_user"},
    "clear_text_login": {"obsolete_protocol"},
    "tftp_border": {"tftp_across_border"},
    "new_service": {"new_service"},
    "banner_change": {"banner_changed"},
}
# What counts as right for a label, beside the label itself.
SAME = {
    "https": {"tls"},
    "http-proxy": {"http", "tls"},
    "imaps": {"imap", "tls"},
    "pop3s": {"pop3", "tls"},
    "bittorrent-dht": {"bittorrent"},
    "bittorrent-lpd": {"bittorrent"},
    "bittorrent-tracker": {"bittorrent", "http"},
    "netbios-ns": {"netbios"},
    "netbios-dgm": {"netbios"},
    "ftp-data": {"ftp_data"},
    "oracle-tns": {"oracle"},
    "icmpv6": {"icmp"},
}
NOTHING = ("scan", "none")
Row = dict[str, Any]


@dataclass
class Score:
    """What one run was worth."""

    found: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    confirmed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)
    flows: int = 0
    answered: int = 0
    right: int = 0
    sure: int = 0
    sure_right: int = 0
    unlabelled: int = 0
    wrong: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    ranges: list[tuple[str, str, str, str]] = field(default_factory=list)

    @property
    def precision(self) -> float:
        return self.right / max(self.answered, 1)

    @property
    def sure_precision(self) -> float:
        return self.sure_right / max(self.sure, 1)


def rows(path: Path) -> list[Row]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def records(path: Path) -> Iterator[Row]:
    with path.open() as stream:
        yield from map(json.loads, stream)


def address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return text


def score(site: Path, out: Path) -> Score:
    result = Score()
    conn = next(path for name in ("conn.ndjson", "eve.conn.ndjson") if (path := out / name).exists())
    labels = _labels(site, list(records(conn)), result)
    _score_findings(site, list(records(out / "findings.ndjson")), labels, result)
    _score_ranges(site, out, result)
    return result


def _labels(site: Path, flows: list[Row], result: Score) -> dict[str, str]:
    """The label of each uid; scores protocols on the way."""
    truth: dict[frozenset[tuple[str, int]], list[Row]] = defaultdict(list)
    for row in rows(site / "truth" / "flows_detail.csv"):
        sides = ((address(row[f"{side}_ip"]), int(row[f"{side}_port"] or 0)) for side in ("orig", "resp"))
        truth[frozenset(sides)].append(row)
    labels = {}
    for flow in flows:
        ends = frozenset((address(flow[f"id.{side}_h"]), flow.get(f"id.{side}_p") or 0) for side in ("orig", "resp"))
        if flow.get("proto") not in ("tcp", "udp"):
            continue
        same = [row for row in truth[ends] if row["transport"] == flow["proto"]]
        if not same:
            continue
        label = min(same, key=lambda row: _apart(row, flow["ts"]))["application"]
        labels[str(flow["uid"])] = label
        _score_protocol(label, flow, result)
    return labels


def _apart(row: Row, ts: float) -> float:
    return max(float(row["ts_start"]) - ts, ts - float(row["ts_end"]), 0.0)


def _score_protocol(label: str, flow: Row, result: Score) -> None:
    protocol, confidence = flow.get("app.protocol"), flow.get("app.confidence") or 0.0
    if label in NOTHING:
        result.unlabelled += protocol is not None
        return
    result.flows += 1
    if protocol is None:
        return
    right = protocol in {label, *SAME.get(label, ())}
    result.answered += 1
    result.right += right
    if confidence >= 0.9:
        result.sure += 1
        result.sure_right += right
    if not right:
        result.wrong[f"{label} <- {protocol}{' (sure)' if confidence >= 0.9 else ''}"] += 1


def _score_findings(site: Path, findings: list[Row], labels: dict[str, str], result: Score) -> None:
    events = [event for event in rows(site / "truth" / "events.csv") if event["kind"] in COVERS]
    matched: set[int] = set()
    for event in events:
        hits = [at for at, finding in enumerate(findings) if _covers(event, finding)]
        matched.update(hits)
        told = f"{event['kind']} {event['host']}: {event['detail']}"
        (result.found if hits else result.missed).append(told)
    for at, finding in enumerate(findings):
        if at in matched:
            continue
        told = f"{finding['kind']} {finding['host']}: {finding['summary']}"
        (result.confirmed if _confirmed(finding, labels) else result.false).append(told)


def _covers(event: Row, finding: Row) -> bool:
    if finding["kind"] not in COVERS[event["kind"]]:
        return False
    if address(event["host"]) not in (address(finding["host"]), address(finding["peer"] or "")):
        return False
    port = re.search(r"\bport (\d+)", event["detail"])
    protocol = event["detail"].split()[0].lower()
    if finding["kind"] == "obsolete_protocol" and f" {protocol} " not in f" {finding['summary']} ":
        return False
    return port is None or finding["port"] == int(port[1])


def _confirmed(finding: Row, labels: dict[str, str]) -> bool:
    """Whether the labels of a finding's flows name the protocol that it is about."""
    words = set(re.findall(r"[a-z0-9_-]+", finding["summary"].lower()))
    named = [labels.get(uid) for uid in finding["uids"]]
    return bool(named) and all(label is not None and {label, *SAME.get(label, ())} & words for label in named)


def _score_ranges(site: Path, out: Path, result: Score) -> None:
    hosts = {address(record["ip"]): record for record in records(out / "hosts.ndjson")}
    for row in rows(site / "truth" / "hosts.csv"):
        record = hosts.get(address(row["ip"]), {})
        if not record.get("own"):
            continue
        ports = record.get("ephemeral_ports") or {}
        told = ports.get("range")
        low, high = (int(part) for part in row["ephemeral_range"].split("-"))
        if told is None:
            judgement = "null"
        else:
            judgement = "right" if abs(told[0] - low) <= 1 and abs(told[1] - high) <= 1 else "wrong"
        system = (record.get("os") or {}).get("name") or "-"
        seen = f"{ports.get('ports', 0)} ports"
        truth = f"{row['ephemeral_range']} ({row['os_as_configured']})"
        result.ranges.append((row["ip"], truth, f"{system}, {seen}", judgement))


def show(name: str, result: Score, everything: bool) -> None:
    print(f"\n== {name}")
    print(f"events found {len(result.found)}, missed {len(result.missed)}; ", end="")
    print(f"other findings: {len(result.confirmed)} confirmed by labels, {len(result.false)} false")
    for told in result.missed:
        print(f"  missed     {told}")
    for told in result.false:
        print(f"  false      {told}")
    if everything:
        for told in result.found:
            print(f"  found      {told}")
        for told in result.confirmed:
            print(f"  confirmed  {told}")
    share = result.answered / max(result.flows, 1)
    print(f"protocol: {result.answered} of {result.flows} flows answered ({share:.3f}), ", end="")
    print(f"precision {result.precision:.4f} (0.97)")
    print(f"  at confidence 0.9: {result.sure} answers, precision {result.sure_precision:.4f} (0.995)")
    print(f"  answers about scans and empty flows: {result.unlabelled}")
    for told, count in sorted(result.wrong.items(), key=lambda item: -item[1]):
        print(f"  wrong      {count:4} {told}")
    judged = [judgement for *_, judgement in result.ranges]
    print(f"client ports: {judged.count('right')} right, {judged.count('wrong')} wrong, {judged.count('null')} null")
    for ip, truth, told, judgement in result.ranges:
        if everything or judgement == "wrong":
            print(f"  {judgement:6} {ip:16} {truth}: {told}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--site", type=Path, default=SITE, help="the site's folder (../shared/data/site-a)")
    parser.add_argument("--show", action="store_true", help="list everything that was judged")
    arguments = parser.parse_args()
    if not arguments.site.is_dir():
        sys.exit(f"{arguments.site}: no such folder")
    passed = True
    with tempfile.TemporaryDirectory() as folder:
        for name in ("zeek", "eve"):
            out = Path(folder) / name
            Run(Options((str(arguments.site / name),), out))()
            result = score(arguments.site, out)
            show(name, result, arguments.show)
            passed &= not result.missed and len(result.false) <= len(result.found)
            passed &= result.precision >= 0.97 and result.sure_precision >= 0.995
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
