"""Nothing is lost and nothing is changed: every folder of real logs, and the shipped examples, in every format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import plain
import polars as pl
import pytest
from conftest import ROOT, Outcome, invoke

from enrich.pipeline import OWN

FOLDERS = ["site-a/zeek", "site-a/eve", "zeek-2018", "zeek-2018-json", "zat", "zat/json"]
EXAMPLES = ["zeek", "zeek-json", "suricata"]


@pytest.fixture(scope="module", params=[*(f"examples/{name}" for name in EXAMPLES), *FOLDERS])
def folder(request: pytest.FixtureRequest) -> Path:
    if request.param.startswith("examples/"):
        return ROOT / request.param
    return request.getfixturevalue("shared") / request.param


@pytest.fixture(scope="module")
def originals(folder: Path) -> dict[Path, list[dict[str, Any]]]:
    logs = (path for path in folder.rglob("*") if path.is_file() and {".log", ".json"} & {*path.suffixes})
    return {path: list(plain.records(path)) for path in logs}


@pytest.fixture(scope="module")
def ndjson(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return invoke(folder, out=tmp_path_factory.mktemp("ndjson"))


@pytest.fixture(scope="module")
def native(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return invoke(folder, "--format", "native", out=tmp_path_factory.mktemp("native"))


@pytest.fixture(scope="module")
def parquet(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return invoke(folder, "--format", "parquet", out=tmp_path_factory.mktemp("parquet"))


Records = dict[Path, list[dict[str, Any]]]


def inputs(outcome: Outcome) -> list[tuple[Path, dict[str, Any]]]:
    return [(Path(file["name"]), file) for file in outcome.run["files"]]


def rows(path: Path) -> int:
    return sum(1 for line in plain.lines(path) if line and not line.startswith(b"#"))


def test_rows_in_are_rows_out_and_rejects(ndjson: Outcome) -> None:
    files = inputs(ndjson)
    assert files
    for path, file in files:
        assert file["rows"] == rows(path), path
        written = [ndjson.out / name for name in file["outputs"]]
        assert sum(name.read_bytes().count(b"\n") for name in written) == file["out"], path
        assert file["rows"] == file["out"] + file["rejected"], path


def test_every_format_counts_alike(ndjson: Outcome, native: Outcome, parquet: Outcome) -> None:
    assert ndjson.rows == native.rows == parquet.rows
    assert ndjson.status == native.status == parquet.status


def test_ndjson_holds_every_field_with_its_type(ndjson: Outcome, originals: Records) -> None:
    for path, file in inputs(ndjson):
        if file["form"] == "Suricata EVE":
            written = [record["suricata"] for name in file["outputs"] for record in ndjson.records(name)]
            assert sorted(map(json.dumps, written)) == sorted(map(json.dumps, originals[path]))
            continue
        (name,) = file["outputs"]
        for record, original in zip(ndjson.records(name), originals[path], strict=True):
            assert plain.holds(record, original), (path, original, record)


def test_native_holds_every_record_byte_for_byte(native: Outcome) -> None:
    for path, file in inputs(native):
        (name,) = file["outputs"]
        written = (native.out / name).read_bytes().split(b"\n")
        assert written.pop() == b""
        lines = [line for line in plain.lines(path) if line]
        assert len(written) == len(lines), path
        for line, original in zip(written, lines, strict=True):
            if original.startswith(b"{"):
                assert line.startswith(original[:-1]), (path, original)
                json.loads(line)
            else:
                assert line == original or line.startswith(original + b"\t"), (path, original)


def test_native_is_a_log_again(native: Outcome, tmp_path: Path) -> None:
    logs = shutil.copytree(native.out, tmp_path / "logs", ignore=shutil.ignore_patterns(*OWN))
    again = invoke(logs, out=tmp_path / "again")
    seen = {Path(file["name"]).relative_to(logs).as_posix(): file for file in again.run["files"]}
    for _, file in inputs(native):
        (name,) = file["outputs"]
        assert seen[name]["rejected"] == 0
        assert seen[name]["rows"] == rows(native.out / name)


def test_parquet_holds_every_row_and_field(parquet: Outcome, originals: Records) -> None:
    for path, file in inputs(parquet):
        frames = [pl.read_parquet(parquet.out / name) for name in file["outputs"]]
        assert sum(frame.height for frame in frames) == file["out"], path
        if file["form"] == "Suricata EVE":
            texts = [text for frame in frames for text in frame["suricata"]]
            assert sorted(texts) == sorted(line.decode() for line in plain.lines(path) if line)
        elif file["rows"]:
            (frame,) = frames
            for record, original in zip(frame.iter_rows(named=True), originals[path], strict=True):
                assert original.keys() <= record.keys(), path
                if file["form"] == "Zeek TSV":
                    assert plain.holds(record, original), (path, original)
