"""Text of enriched records: JSON that any reader takes, TSV that Zeek could have written, the input unchanged."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import polars as pl
import pytest
from generated import DIALECTS, Log, chunks, logs, read
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.batch import Batch, Dialect, Form, Reject
from enrich.model import Added
from enrich.shapes import Enriched, Lines, own_name
from enrich.shapes.native import Native, cell
from enrich.shapes.ndjson import NdJson
from enrich.sinks.files import _write_lines
from enrich.sources import zeek_tsv
from enrich.sources.lines import Chunk

TEXT = st.text(st.characters(codec="utf-8"), max_size=10) | st.sampled_from(
    ["-", "(empty)", "", "\t", "\n", '"', "\\", ","]
)
ADDED = {
    "app.name": (pl.String, st.none() | TEXT),
    "app.evidence": (pl.List(pl.String), st.none() | st.lists(TEXT, max_size=3)),
    "app.confidence": (pl.Float64, st.none() | st.floats(0, 1)),
    "app.contradiction": (pl.Boolean, st.none() | st.booleans()),
    "orig.asn": (pl.UInt32, st.none() | st.integers(0, 2**32 - 1)),
    "_hidden": (pl.String, st.just("never")),
}


@st.composite
def additions(draw: st.DrawFn, height: int) -> list[Added]:
    """Added columns in one to three tables, by row or by the distinct ones."""
    names = draw(st.permutations(list(ADDED)))
    cut = draw(st.integers(1, len(names)))
    out = []
    for part in (names[:cut], names[cut:]):
        columns = {}
        for name in part:
            kind, values = ADDED[name]
            columns[name] = pl.Series(draw(st.lists(values, min_size=height, max_size=height)), dtype=kind)
        if columns:
            frame = pl.DataFrame(columns)
            out.append(Added.of(frame) if draw(st.booleans()) else Added(frame))
    return out


def written(pieces: Iterator[Lines]) -> pl.Series:
    """The lines as they stand in a file."""
    file = io.BytesIO()
    for piece in pieces:
        _write_lines(*piece, file)
    return pl.Series(file.getvalue().decode().split("\n")[:-1], dtype=pl.String)


def expected(added: list[Added], row: int) -> dict[str, Any]:
    values = {name: item.column(name)[row] for item in added for name in item.table.columns if name[0] != "_"}
    return {name: v.to_list() if isinstance(v, pl.Series) else v for name, v in values.items() if v is not None}


@settings(max_examples=150, deadline=None)
@given(st.data(), logs())
def test_ndjson_of_a_tsv_log_is_the_log_and_what_was_added(data: st.DataObject, log: Log) -> None:
    batches, _, _ = read(chunks(log.lines(), []))
    for batch in batches:
        added = data.draw(additions(batch.height))
        lines = written(NdJson().lines([Enriched.of(batch, added)]))
        assert lines.len() == batch.height
        for row, (line, original) in enumerate(zip(lines, log.rows, strict=True)):
            record = json.loads(line)
            ours = expected(added, row)
            assert {name: record.pop(name) for name in ours} == ours
            assert record == dict(zip(log.types, original, strict=True))


OBJECTS = st.dictionaries(
    st.text(max_size=5), st.none() | st.integers(-(2**127), 2**127 - 1) | st.text(max_size=5), max_size=4
)


@settings(max_examples=150, deadline=None)
@given(st.data(), st.lists(OBJECTS, min_size=1, max_size=5), st.sampled_from(["{}", "{ }", "{}  ", "{}\t"]))
def test_json_records_keep_their_text(data: st.DataObject, objects: list[dict[str, Any]], form: str) -> None:
    raw = [json.dumps(item) if item else form for item in objects]
    batch = Batch("conn", Form.JSON, pl.DataFrame({"uid": [None] * len(raw)}), pl.Series(raw))
    added = data.draw(additions(len(raw)))
    for shape in (NdJson(), Native()):
        for row, (line, text) in enumerate(zip(written(shape.lines([Enriched.of(batch, added)])), raw, strict=True)):
            assert line.startswith(text.rstrip()[:-1].rstrip())
            assert json.loads(line) == {**objects[row], **expected(added, row)}


@settings(max_examples=50, deadline=None)
@given(st.data(), st.lists(OBJECTS, min_size=1, max_size=5))
def test_an_event_gets_one_object(data: st.DataObject, objects: list[dict[str, Any]]) -> None:
    raw = [json.dumps(item) for item in objects]
    batch = Batch("conn", Form.EVE, pl.DataFrame({"uid": [str(n) for n in range(len(raw))]}), pl.Series(raw))
    added = data.draw(additions(len(raw)))
    for row, line in enumerate(written(Native().lines([Enriched.of(batch, added)]))):
        assert json.loads(line) == {**objects[row], "enrich": expected(added, row)}
    for row, line in enumerate(written(NdJson().lines([Enriched.of(batch, added)]))):
        assert json.loads(line) == {"uid": str(row), **expected(added, row), "suricata": objects[row]}


@settings(max_examples=150, deadline=None)
@given(st.data(), logs())
def test_native_tsv_keeps_its_rows_and_reads_back_with_what_was_added(data: st.DataObject, log: Log) -> None:
    if log.dialect.unset_field == "" or log.dialect.empty_field == "":
        return  # our own columns could not be told apart there either
    batches, _, items = read(chunks(log.lines(), []))
    for batch in batches:
        added = data.draw(additions(batch.height))
        enriched = Enriched.of(batch, added)
        rows = written(Native().lines([enriched])).to_list()
        originals = [line.decode() for line in log.lines() if not line.startswith(b"#")]
        assert all(row.startswith(original) for row, original in zip(rows, originals, strict=True))
        header = next(item for item in items if not isinstance(item, list))
        text = "\n".join([*Native().header(header.text, enriched), *rows, ""])  # type: ignore[union-attr]
        (again,), rejects, _ = read([Chunk(text.encode(), 1)])
        assert not rejects
        for row in range(batch.height):
            record = again.frame.row(row, named=True)
            ours = {name: value for name, value in expected(added, row).items() if value != [""]}
            assert {name: record[name] for name in ours} == ours
            assert [record[name] for name in log.types] == log.rows[row]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("kind", [pl.String, pl.List(pl.String), pl.Boolean, pl.Float64, pl.UInt32])
def test_missing_values_are_unset(dialect: Dialect, kind: pl.DataType) -> None:
    assert cell(pl.Series([None, None], dtype=kind), dialect).to_list() == [dialect.unset_field] * 2
    assert cell(pl.Series([], dtype=kind), dialect).to_list() == []


def test_several_logs_of_one_input_keep_their_order() -> None:
    def batch(log: str, rows: list[int]) -> Enriched:
        raw = pl.Series([f'{{"n":{row}}}' for row in rows])
        return Enriched(Batch(log, Form.JSON, pl.DataFrame({"x": rows}), raw, pl.Series(rows, dtype=pl.UInt32)), [])

    assert written(Native().lines([batch("a", [0, 3]), batch("b", [1, 2])])).to_list() == [
        f'{{"n":{n}}}' for n in range(4)
    ]


def test_names_that_the_input_has_already() -> None:
    assert own_name("app.name", ()) == "app.name"
    assert own_name("app.name", {"app.name"}) == "enrich.app.name"
    assert own_name("app.name", {"app.name", "enrich.app.name"}) == "enrich.enrich.app.name"


def test_a_name_inside_a_text_is_no_member() -> None:
    raw = pl.Series(['{"x":"app.name"}', '{"x":"\\"app.name\\":1"}', '{"app.name" : 1}', '{"x":1}'])
    batch = Batch("conn", Form.JSON, pl.DataFrame({"x": [1, 2, 3, 4]}), raw)
    lines = written(NdJson().lines([Enriched.of(batch, [Added(pl.DataFrame({"app.name": ["ours"] * 4}))])]))
    assert [json.loads(line).get("app.name") for line in lines] == ["ours", "ours", 1, "ours"]
    assert json.loads(lines[2])["enrich.app.name"] == "ours"


def test_numbers_that_json_does_not_know_are_null() -> None:
    text = "#separator \\x09\n#fields\ta\n#types\tdouble\nnan\ninf\n-inf\n1e-7\n"
    items = zeek_tsv.read([Chunk(text.encode(), 1)], "x", lambda _: None, False)
    batches = [part for item in items if isinstance(item, list) for part in item if not isinstance(part, Reject)]
    lines = written(NdJson().lines([Enriched(batches[0], [])]))
    assert [json.loads(line)["a"] for line in lines] == [None, None, None, 1e-7]
