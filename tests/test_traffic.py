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
    site.flow("10.0.0.5", "10.0.0.80", 40004, history="ShAFf")
    outcome = run(site.write(), quiet=False)
    counted = {(row["protocol"], row["silent"]): row["flows"] for row in outcome.run["applications"]}
    assert counted == {("ssh", None): 1, (None, False): 1, (None, True): 3}
    rows = [line.split() for line in outcome.stdout.splitlines()]
    assert ["no", "conversation", "3", "60.0"] in [row[:4] for row in rows]
    assert ["unknown", "1", "20.0"] in [row[:3] for row in rows]
