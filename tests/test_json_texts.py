"""JSON made by columns is that of the standard library."""

from __future__ import annotations

import json
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.json_texts import Line, objects, texts

SCHEMA = {"text": pl.String, "other": pl.String, "time": pl.Float64, "count": pl.Int64, "own": pl.Boolean}
# A time of less than a tenth of a millisecond after 1970 is written with another exponent.
TIMES = st.floats(1e-4, 2**32 - 1) | st.just(0.0)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
ROWS = st.fixed_dictionaries(
    {
        "text": TEXTS,
        "other": st.none() | TEXTS,
        "time": st.none() | TIMES,
        "count": st.none() | st.integers(-(2**63), 2**63 - 1),
        "own": st.none() | st.booleans(),
    }
)


@settings(deadline=None)
@given(st.lists(ROWS, min_size=1, max_size=5))
def test_it_is_what_the_standard_library_writes(rows: list[dict[str, Any]]) -> None:
    rows = [{name: row[name] for name in SCHEMA} for row in rows]
    frame = pl.DataFrame(rows, SCHEMA)
    assert [*objects(frame)] == [json.dumps(row, ensure_ascii=False) for row in rows]
    told = [{name: value for name, value in row.items() if value is not None} for row in rows]
    assert [*objects(frame, nulls=False)] == [json.dumps(row, ensure_ascii=False) for row in told]


def test_members_that_are_json_follow() -> None:
    made = {"list": pl.Series(["[1, 2]", None]), "none": pl.Series([None, None], dtype=pl.String)}
    frame = pl.DataFrame({"count": [None, 1]})
    assert [*objects(frame, made)] == [
        '{"count": null, "list": [1, 2], "none": null}',
        '{"count": 1, "list": null, "none": null}',
    ]
    assert [*objects(frame, made, nulls=False)] == ['{"list": [1, 2]}', '{"count": 1}']
    assert [*objects(pl.DataFrame({"count": [None, None]}), nulls=False)] == ["{}", "{}"]


def test_strings() -> None:
    assert [*texts(pl.DataFrame({"a": ["a", None, ""]}))["a"]] == ['"a"', None, '""']
    odd = pl.DataFrame({"a": ['"', None, "", "\x7f\x01\\"]})
    assert [*texts(odd)["a"]] == ['"\\""', None, '""', '"\x7f\\u0001\\\\"']
    assert not texts(odd.clear())["a"].len()


def test_lists_and_numbers_that_json_does_not_know() -> None:
    frame = pl.DataFrame({"l": [["a", '"'], [], None, [None]], "f": [math.nan, 0.5, None, -math.inf]})
    assert [*texts(frame)["l"]] == ['["a","\\""]', "[]", None, "[null]"]
    assert [*texts(frame)["f"]] == ["null", "0.5", None, "null"]
    assert texts(pl.DataFrame()).is_empty()


def test_a_line_is_a_record() -> None:
    line = Line('{"ip": "10.0.0.1", "own": true}')
    assert dict(line) == {"ip": "10.0.0.1", "own": True}
    assert len(line) == 2
    with pytest.raises(KeyError):
        line["os"]
