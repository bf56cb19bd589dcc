"""Which log a record belongs to: names from outside are tamed, and fields tell it where nothing else does."""

from __future__ import annotations

import json

import polars as pl
import pytest
from conftest import ROOT

from enrich import applications, registry
from enrich.logs import Logs, load, log_name
from enrich.tables import Tables

LOGS = load(Tables())


def told(*records: set[str], logs: Logs = LOGS) -> list[str | None]:
    """The logs of records that have these fields."""
    columns = {name: [1 if name in record else None for record in records] for name in logs.fields}
    return logs.told(pl.DataFrame(columns, schema=dict.fromkeys(logs.fields, pl.Int64))).to_list()


@pytest.mark.parametrize(
    ("path", "name"),
    [("conn", "conn"), ("smb_files", "smb_files"), ("my-log", "my-log"), ("x" * 64, "x" * 64)]
    + [(bad, "unknown") for bad in ("", "..", "../x", "/etc/passwd", "a b", "é", "a\n", "a.b", "x" * 65)],
)
def test_only_plain_names_of_logs_pass(path: str, name: str) -> None:
    assert log_name(path) == name


def test_each_set_of_fields_tells_its_own_log() -> None:
    assert LOGS.check() == len(LOGS.signs) > 100
    assert told(*({*fields} for _, fields in LOGS.signs)) == [log for log, _ in LOGS.signs]


def test_a_set_of_fields_that_never_wins_is_found() -> None:
    with pytest.raises(ValueError, match="b: x y: a wins, by x"):
        Logs.of([("a", "x"), ("b", "x y")]).check()


def test_every_log_that_something_reads_is_known() -> None:
    read = {log for enricher in registry.BUILT_IN for use in enricher.uses for log in use.logs} - {"*"}
    assert read | applications.load(Tables()).by_log.keys() <= LOGS.names


@pytest.mark.parametrize("path", sorted((ROOT / "examples/zeek-json").glob("*.log")), ids=lambda path: path.stem)
def test_the_examples_tell_their_logs(path) -> None:  # type: ignore[no-untyped-def]
    records = [set(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    assert set(told(*records)) == {path.stem}


def test_what_is_common_to_many_logs_tells_none() -> None:
    common = {"ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "proto", "service", "version", "user"}
    assert told(common, {"ts"}, set()) == [None, None, None]
    assert LOGS.told(pl.DataFrame({"ts": [1.0, 2.0]})).to_list() == [None, None]
