"""Mean packet sizes and the class of behaviour they tell, at and around each threshold."""

from __future__ import annotations

from typing import Any

import polars as pl
import pytest

from enrich.enrichers.behavior import ENRICHER, TABLE
from enrich.tables import Tables

T = Tables().toml(TABLE)["thresholds"]


def seen(orig: tuple[int | None, int | None], resp: tuple[int | None, int | None], **more: Any) -> dict[str, Any]:
    """The result for packets and bytes of each side; a TCP flow that ended well, unless it is said otherwise."""
    flow = {"proto": "tcp", "conn_state": "SF", **more}
    keys = {**flow, "orig_pkts": orig[0], "orig_ip_bytes": orig[1], "resp_pkts": resp[0], "resp_ip_bytes": resp[1]}
    return ENRICHER.prepare(Tables())(pl.DataFrame([keys], schema=dict(ENRICHER.keys))).row(0, named=True)


def test_means_are_bytes_a_packet_and_null_without_packets() -> None:
    assert seen((3, 100), (0, 0)) | {"class": None} == {"class": None, "orig_mean": 33.3, "resp_mean": None}
    assert seen((None, None), (2, 81)) == {"class": None, "orig_mean": None, "resp_mean": 40.5}


@pytest.mark.parametrize("state", T["failed_states"])
def test_a_tcp_connection_that_never_opened_is_a_scan(state: str) -> None:
    assert seen((1, 60), (1, 40), conn_state=state)["class"] == "scan"
    assert seen((1, 60), (1, 40), conn_state=state, proto="udp")["class"] != "scan"


def test_few_packets_without_an_answer_are_a_scan() -> None:
    most = T["scan_max_packets"]
    assert seen((most, 60 * most), (0, 0), conn_state="OTH")["class"] == "scan"
    assert seen((most + 1, 60 * most + 60), (0, 0), conn_state="OTH")["class"] is None
    assert seen((1, 60), (0, 0), conn_state="OTH", proto="udp")["class"] is None


def test_one_side_full_packets_the_other_acknowledgements_is_a_transfer_either_way() -> None:
    assert seen((100, 5_200), (200, 290_000))["class"] == "file_transfer"
    assert seen((200, 290_000), (100, 5_200))["class"] == "file_transfer"
    few = T["transfer_min_packets"]
    assert seen((few - 1, (few - 1) * 1400), (1, 52))["class"] == "file_transfer"
    assert seen((few - 2, (few - 2) * 1400), (1, 52))["class"] != "file_transfer"
    assert seen((10, 10 * int(T["transfer_min_mean"]) - 10), (10, 520))["class"] != "file_transfer"
    assert seen((10, 14_000), (10, 10 * int(T["transfer_max_other_mean"]) + 10))["class"] != "file_transfer"


def test_a_few_small_packets_are_control_and_talk_is_chatter() -> None:
    half = T["control_max_packets"] // 2
    assert seen((half, 60 * half), (half, 60 * half))["class"] == "control"
    assert seen((half + 1, 60 * half + 60), (half, 60 * half))["class"] == "chatter"
    assert seen((50, 5_000), (50, 9_000))["class"] == "chatter"
    assert seen((50, 2_000), (50, 9_000))["class"] is None  # one side only acknowledges


def test_a_site_s_own_thresholds(tmp_path: Any) -> None:
    (tmp_path / "own.toml").write_text("[thresholds]\nscan_max_packets = 10\n")
    tables = Tables({"tables": {TABLE: "own.toml"}}, tmp_path / "site.toml")
    keys = {"proto": "tcp", "conn_state": "OTH", "orig_pkts": 9, "orig_ip_bytes": 540, "resp_pkts": 0}
    frame = pl.DataFrame([{**keys, "resp_ip_bytes": 0}], schema=dict(ENRICHER.keys))
    assert ENRICHER.prepare(tables)(frame)["class"].to_list() == ["scan"]
