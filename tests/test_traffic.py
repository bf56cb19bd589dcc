"""What the closing summary says of a run's flows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from scenario import Site


def test_flows_that_nobody_can_know_are_told_apart_from_those_that_are_not_known(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    site = Site(tmp_path / "site")
    site.flow("10.0.0.5", "10.0.0.80", 22, service="ssh")
    site.flow("10.0.0.5", "10.0.0.80", 40001, history="ShADadFf")
    for port in (40002, 40003):
        site.flow("10.0.0.5", "10.0.0.80", port, conn_state="S0", history="S", resp_pkts=0, resp_ip_bytes=0)
    asked = site.flow("10.0.0.5", "10.0.0.53", 53, service="dns")
    site.log("dns", asked, query="www.google.com", qtype_name="A", answers=["198.51.100.7"], TTLs=[60.0])
    site.flow("10.0.0.5", "198.51.100.7", 40004, 9, history="ShAFf")
    outcome = run(site.write(), quiet=False)
    keys = ("protocol", "name", "silent")
    counted = {tuple(row[key] for key in keys): row["flows"] for row in outcome.run["applications"]}
    known = {("ssh", None, None): 1, ("dns", None, None): 1}
    assert counted == known | {(None, None, False): 1, (None, None, True): 2, (None, "google", True): 1}
    rows = [line.split() for line in outcome.stdout.splitlines()]
    assert ["no", "conversation", "2", "33.3"] in [row[:4] for row in rows]
    assert ["no", "conversation", "google", "web", "1", "16.7"] in [row[:6] for row in rows]
    assert ["unknown", "1", "16.7"] in [row[:3] for row in rows]
