"""Zeek's JSON logs: every record is kept, the fields that are asked for are decoded, whatever the others hold."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.batch import Batch, Reject
from enrich.sources import zeek_json
from enrich.sources.json_lines import seconds
from enrich.sources.lines import Chunk

ASKED = frozenset(("ts", "uid", "id.resp_p", "orig_bytes", "answers", "TTLs", "rejected"))


def read(text: str | bytes, cut: bool = False) -> tuple[list[Batch], list[Reject]]:
    data = text.encode() if isinstance(text, str) else text
    items = list(zeek_json.read([Chunk(data, 1, cut)], "conn", lambda _: ASKED, ASKED))
    lists = [item for item in items if isinstance(item, list)]
    return (
        [b for found in lists for b in found if isinstance(b, Batch)],
        [r for found in lists for r in found if isinstance(r, Reject)],
    )


def one(text: str) -> Batch:
    (batch,), rejects = read(text)
    assert not rejects
    return batch


def test_fields_are_decoded_with_zeeks_types() -> None:
    batch = one(
        '{"ts":1.5,"uid":"C1","id.resp_p":53,"orig_bytes":7,"answers":["a","b"],"TTLs":[1,2.5],"rejected":false}'
    )
    assert batch.log == "conn"
    assert batch.frame.row(0, named=True) == {
        "ts": 1.5,
        "uid": "C1",
        "id.resp_p": 53,
        "orig_bytes": 7,
        "answers": ["a", "b"],
        "TTLs": [1.0, 2.5],
        "rejected": False,
    }
    assert batch.frame.schema["id.resp_p"] == pl.UInt16


def test_wrong_types_read_as_null_and_the_record_stays() -> None:
    text = '{"ts":"never","uid":["C1"],"id.resp_p":99999,"orig_bytes":-1,"answers":"a","rejected":"F"}'
    batch = one(text + '\n{"ts":1,"uid":"C2","id.resp_p":1,"orig_bytes":1,"answers":[],"rejected":true}\n')
    first = batch.frame.row(0, named=True)
    assert {name: value for name, value in first.items() if value is not None} in ({}, {"uid": '["C1"]'})
    assert batch.raw is not None
    assert batch.raw[0] == text


@pytest.mark.parametrize(
    ("port", "expected"),
    [
        ("22", 22), ('"22"', 22), ("22.0", 22), ('"22.0"', 22), ("65535", 65535), ("0", 0), ("65536", None),
        ("-1", None), ("22.5", None), ('"22/tcp"', None), ('""', None), ("true", None), ("null", None), ("[22]", None),
    ],
)  # fmt: skip
def test_a_port_may_be_text(port: str, expected: int | None) -> None:
    frame = one(f'{{"uid":"C1","id.resp_p":{port}}}\n{{"uid":"C2","id.resp_p":1}}').frame
    assert frame["id.resp_p"].to_list() == [expected, 1]


def test_columns_that_no_record_has_are_absent() -> None:
    assert one('{"uid":"C1"}\n{"uid":"C2","other":1}').frame.columns == ["uid"]


def test_path_splits_a_chunk_and_keeps_the_places() -> None:
    text = '{"_path":"dns","uid":"1"}\n{"uid":"2"}\n{"_path":"dns","uid":"3"}\n{"_path":"../x","uid":"4"}\n'
    batches, rejects = read(text)
    assert not rejects
    found = {
        batch.log: (batch.frame["uid"].to_list(), batch.rows.to_list() if batch.rows is not None else None)
        for batch in batches
    }
    assert found == {"dns": (["1", "3"], [0, 2]), "conn": (["2"], [1]), "unknown": (["4"], [3])}


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("1521911799.739898", 1521911799.739898),
        ('"2018-03-24T17:16:39.739898Z"', 1521911799.739898),
        ('"2018-03-24T17:16:39Z"', 1521911799.0),
        ('"2018-03-24T19:16:39.5+02:00"', 1521911799.5),
        ('"2018-03-24T17:16:39.739898+0000"', 1521911799.739898),
        ('"2018-03-24T17:16:39.739898"', 1521911799.739898),
        ("1521911799", 1521911799.0),
        ('"yesterday"', None),
        ("null", None),
    ],
)
def test_times(time: str, expected: float | None) -> None:
    frame = one(f'{{"ts":{time},"uid":"C1"}}').frame
    assert (frame["ts"][0] if "ts" in frame.columns else None) == expected


def test_microseconds_are_exact() -> None:
    texts = [f"2026-11-22T12:19:50.{n:06d}Z" for n in range(0, 1_000_000, 997)]
    got = pl.DataFrame({"t": texts}).select(seconds(pl.col("t")))["t"]
    assert [round(value % 1 * 1e6) for value in got] == list(range(0, 1_000_000, 997))


NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELD = st.sampled_from([*ASKED, "_path", "x", ""]) | st.text(max_size=6)
LINE = st.binary(max_size=30).filter(lambda line: b"\n" not in line) | st.sampled_from(
    [b'{"uid":"C1"}', b"{}", b'{"_path":"x"}\r', b"[]", b"1"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(FIELD, JSON, max_size=5), max_size=6), st.booleans())
def test_any_object_is_a_record(objects: list[dict[str, Any]], ascii_only: bool) -> None:
    lines = [json.dumps(item, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass") for item in objects]
    lines = [line for line in lines if b"\xed" not in line]  # lone surrogates are no UTF-8
    batches, rejects = read(b"".join(line + b"\n" for line in lines))
    assert not rejects
    kept = sorted(text for batch in batches if batch.raw is not None for text in batch.raw)
    assert kept == sorted(line.decode() for line in lines)


@settings(max_examples=300, deadline=None)
@given(st.lists(LINE, max_size=8), st.booleans())
def test_any_line_is_a_record_or_a_reject(lines: list[bytes], cut: bool) -> None:
    batches, rejects = read(b"\n".join(lines), cut)
    kept = sum(batch.height for batch in batches)
    assert kept + len(rejects) == sum(1 for line in lines if line.strip(b" \t\r"))
    assert len({reject.line for reject in rejects}) == len(rejects)
    for reject in rejects:
        assert reject.raw == lines[reject.line - 1].strip(b" \t\r")
        if not (cut and reject.line == len(lines)):
            with pytest.raises((ValueError, AssertionError)):
                assert isinstance(json.loads(reject.raw), dict)


def test_one_bad_line_in_a_large_chunk_is_found() -> None:
    lines = [f'{{"uid":"C{n}"}}' for n in range(50_000)]
    lines[33_333] = '{"uid":"C33333"'
    lines[40_000] = "\ufeff" + lines[40_000]
    (batch,), rejects = read("\n".join(lines))
    assert [reject.line for reject in rejects] == [33_334, 40_001]
    assert batch.height == 49_998
    assert batch.frame["uid"][33_333] == "C33334"


def test_a_cut_record_is_rejected() -> None:
    (batch,), (reject,) = read('{"uid":"C1"}\n{"uid":"C2"}', cut=True)
    assert batch.height == 1
    assert "cut" in reject.reason
