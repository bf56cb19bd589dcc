"""pandas frames in and out: ours, zat's, and the same results as the command line gives."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

import enrich
from enrich.errors import SourceError

ROOT = Path(__file__).parents[1]
ZEEK = ROOT / "examples/zeek"
OTHERS = ("dns", "http", "ssl", "ssh", "smtp", "ftp", "ntp", "mysql", "postgresql")


def zat_frame(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from zat.log_to_dataframe import LogToDataFrame

        return LogToDataFrame().create_dataframe(str(path))


def plain(value: object) -> object:
    if isinstance(value, list):
        return value
    return None if pd.isna(value) else value  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    out = tmp_path_factory.mktemp("out")
    command = [sys.executable, "-m", "enrich.cli", "run", str(ZEEK), "--out", str(out), "--quiet"]
    subprocess.run(command, check=True)
    return [json.loads(line) for line in (out / "conn.ndjson").read_text("utf-8").splitlines()]


def test_a_frame_keeps_its_rows_columns_and_index() -> None:
    conn = enrich.read(ZEEK / "conn.log")
    conn.index = pd.Index(range(100, 100 + len(conn)), name="mine")
    before = conn.copy()
    out = enrich.enrich_frame(conn)
    pd.testing.assert_frame_equal(conn, before)
    pd.testing.assert_frame_equal(out[list(before.columns)], before)
    assert "app.protocol" in out.columns
    assert not [name for name in out.columns if name.startswith("_")]


def test_the_same_columns_as_the_command_line_writes(written: list[dict[str, object]]) -> None:
    logs = {path.stem: enrich.read(path) for path in ZEEK.glob("*.log")}
    conn = logs.pop("conn")
    out = enrich.enrich_frame(conn, others=logs)
    assert len(out) == len(written)
    ours = [name for name in out.columns if name not in conn.columns]
    for row, record in zip(out[ours].to_dict("records"), written, strict=True):
        for name in ours:
            assert plain(row[name]) == record.get(name), name


def test_zat_frames_give_the_same_verdicts_as_our_own() -> None:
    ours = enrich.enrich_frame(enrich.read(ZEEK / "conn.log"))
    theirs = enrich.enrich_frame(zat_frame(ZEEK / "conn.log"))
    for name in ("app.protocol", "app.confidence", "behavior.class", "orig.scope", "port.service"):
        assert [plain(x) for x in theirs[name]] == [plain(x) for x in ours[name]], name


def test_zat_frames_of_other_logs() -> None:
    http = enrich.enrich_frame(zat_frame(ZEEK / "http.log"), log="http")
    assert {"ua.family", "ua.kind", "name.registered_domain"} <= set(http.columns)
    assert http["ua.kind"].notna().any()


def test_a_column_that_is_there_already_stays() -> None:
    conn = enrich.read(ZEEK / "conn.log").head(5).assign(**{"app.name": "mine"})
    out = enrich.enrich_frame(conn)
    assert list(out["app.name"]) == ["mine"] * 5
    assert "enrich.app.name" in out.columns


def test_an_empty_frame() -> None:
    conn = enrich.read(ZEEK / "conn.log").head(0)
    out = enrich.enrich_frame(conn)
    assert len(out) == 0
    assert "app.protocol" in out.columns


def test_reading_json_and_eve() -> None:
    assert {"uid", "id.orig_h"} <= set(enrich.read(ROOT / "examples/zeek-json/conn.log").columns)
    assert {"uid", "id.orig_h"} <= set(enrich.read(ROOT / "examples/suricata/eve.json").columns)


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_text("#fields\tts\tuid\n#types\ttime\tstring\n1.0\tC1\nyesterday\tC2\n")
    with pytest.raises(SourceError, match=r"conn\.log:4: field ts"):
        enrich.read(path)
    path.write_text("hello\n")
    with pytest.raises(SourceError, match="not a Zeek or Suricata log"):
        enrich.read(path)


def test_the_example_runs() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples/pandas_example.py")], check=True, capture_output=True, text=True
    )
    assert "app.protocol" in run.stdout
