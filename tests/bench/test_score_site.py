"""The whole site with known truth: every event found, nothing invented, on Zeek's logs and on Suricata's."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))
import score_site


@pytest.mark.parametrize("logs", ["zeek", "eve"])
def test_site_a(logs: str, shared: Path, run: Callable[..., Any]) -> None:
    site = shared / "site-a"
    if not site.is_dir():
        pytest.skip("the site with known truth (../shared/data/site-a) is not on this machine")
    score = score_site.score(site, run(site / logs).out)
    assert score.missed == []
    assert len(score.found) == 7
    assert len(score.false) + len(score.confirmed) <= len(score.found)
    assert score.false == []
    assert score.precision >= 0.97
    assert score.sure_precision >= 0.995
    judged = [judgement for *_, judgement in score.ranges]
    assert judged.count("wrong") == 0
    assert judged.count("right") >= 12


def test_what_is_missed_or_false_is_said(tmp_path: Path) -> None:
    """The scorer itself: it can fail."""
    truth, out = tmp_path / "truth", tmp_path / "out"
    truth.mkdir()
    out.mkdir()
    (truth / "events.csv").write_text(
        "kind,host,ts,detail\nodd_port,10.0.0.1,1,SSH on port 443\nscan,10.0.0.9,1,nmap\n"
    )
    (truth / "hosts.csv").write_text("ip,ephemeral_range,os_as_configured\n10.0.0.1,32768-60999,Linux\n")
    (truth / "flows_detail.csv").write_text(
        "ts_start,ts_end,orig_ip,orig_port,resp_ip,resp_port,transport,application\n"
        "1,2,10.0.0.2,40000,10.0.0.1,22,tcp,ssh\n3,4,10.0.0.2,40001,10.0.0.1,80,tcp,https\n"
    )
    (out / "conn.ndjson").write_text(
        '{"ts":1,"uid":"A","proto":"tcp","id.orig_h":"10.0.0.2","id.orig_p":40000,"id.resp_h":"10.0.0.1","id.resp_p":22,'
        '"app.protocol":"http","app.confidence":0.95}\n'
        '{"ts":3,"uid":"B","proto":"tcp","id.orig_h":"10.0.0.2","id.orig_p":40001,"id.resp_h":"10.0.0.1","id.resp_p":80,'
        '"app.protocol":"tls","app.confidence":0.5}\n'
    )
    (out / "findings.ndjson").write_text(
        '{"kind":"port_contradiction","host":"10.0.0.1","peer":null,"port":80,'
        '"summary":"ssh on port 80/tcp","uids":["B"]}\n'
    )
    (out / "hosts.ndjson").write_text(
        '{"ip":"10.0.0.1","own":true,"ephemeral_ports":{"range":[49152,65535],"ports":9},"os":null}\n'
    )
    score = score_site.score(tmp_path, out)
    assert len(score.missed) == 1 and score.found == []
    assert len(score.false) == 1 and score.confirmed == []
    assert (score.flows, score.answered, score.right, score.sure, score.sure_right) == (2, 2, 1, 1, 0)
    assert [judgement for *_, judgement in score.ranges] == ["wrong"]
