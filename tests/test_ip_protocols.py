"""What IP's header says of a flow, as each kind of log tells it."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
from conftest import Run

import enrich
from enrich import applications
from enrich.ip_protocols import ip_protocols
from enrich.tables import Tables

KNOWN = applications.load(Tables()).ip_numbers
FLOWS = [
    # proto, ip_proto, id.resp_h, the number; the last without ip_proto
    ("tcp", 6, "192.0.2.1", None, None),
    ("udp", None, "192.0.2.1", None, None),
    ("icmp", 1, "192.0.2.1", 1, 1),
    ("icmp", 58, "2001:db8::1", 58, 58),
    ("icmp", None, "2001:db8::1", 58, 58),
    ("unknown_transport", 47, "192.0.2.1", 47, None),
    ("unknown_transport", None, "192.0.2.1", None, None),
    ("gre", None, "192.0.2.1", 47, 47),
    ("esp", None, "2001:db8::1", 50, 50),
    ("089", None, "192.0.2.1", 89, 89),
    ("ip-in-ip", None, "192.0.2.1", 4, 4),
    ("ipsec-esp", None, "192.0.2.1", 50, 50),
    ("is-is", None, "192.0.2.1", 124, 124),
    ("256", None, "192.0.2.1", None, None),
    ("sctp", None, "192.0.2.1", None, None),
    (None, 1, "192.0.2.1", 1, None),
    (None, None, "192.0.2.1", None, None),
]


@pytest.mark.parametrize("kind", [pl.Int64, pl.String, None])
def test_by_number_or_by_name(kind: type[pl.DataType] | None) -> None:
    columns = ["proto", "ip_proto", "id.resp_h", "with", "without"]
    flows = pl.DataFrame(FLOWS, columns, orient="row")
    read = flows.drop("ip_proto") if kind is None else flows.with_columns(pl.col("ip_proto").cast(kind))
    assert ip_protocols(read, KNOWN).to_list() == flows["without" if kind is None else "with"].to_list()


def test_every_form_of_log_tells_it(tmp_path: Path, run: Run) -> None:
    conn = tmp_path / "conn.log"
    ends = {"ts": 1.5, "uid": "C1", "id.orig_h": "192.0.2.1", "id.resp_h": "192.0.2.2", "id.orig_p": 0, "id.resp_p": 0}
    conn.write_text(json.dumps({**ends, "proto": "unknown_transport", "ip_proto": 47}) + "\n")
    [gre] = run(conn).records("conn.ndjson")
    assert (gre["app.protocol"], gre["app.category"], gre["app.evidence"]) == ("gre", "tunnel", ["ip:47/gre"])
    eve = tmp_path / "eve.json"
    flow = {"timestamp": "2026-11-22T10:00:00.000001+0000", "flow_id": 1, "event_type": "flow", "proto": "ESP"}
    eve.write_text(json.dumps({**flow, "src_ip": "192.0.2.1", "dest_ip": "192.0.2.2", "flow": {}}) + "\n")
    [esp] = run(eve).records("eve.conn.ndjson")
    assert (esp["app.protocol"], esp["app.evidence"]) == ("esp", ["ip:50/esp"])


def test_a_frame_tells_it_in_any_type() -> None:
    ends = {"uid": ["C1", "C2"], "id.resp_h": ["192.0.2.2"] * 2, "id.resp_p": [0, 22]}
    frame = pd.DataFrame({**ends, "proto": ["unknown_transport", "tcp"], "ip_proto": [47.0, None]})
    assert enrich.enrich_frame(frame)["app.protocol"].tolist() == ["gre", "ssh"]


def test_of_nothing_there_is_nothing() -> None:
    assert ip_protocols(pl.DataFrame({"uid": ["C1"]}), KNOWN).to_list() == [None]
    assert ip_protocols(pl.DataFrame({"proto": ["icmp"]}), KNOWN).to_list() == [1]
    assert ip_protocols(pl.DataFrame({"ip_proto": [47]}), KNOWN).to_list() == [47]
    assert ip_protocols(pl.DataFrame(schema={"proto": pl.String}), KNOWN).to_list() == []
