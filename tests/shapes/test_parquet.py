"""Parquet: one schema a log, whatever its batches hold; nothing of a record lost to its type."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.batch import Batch, Form
from enrich.model import Added
from enrich.shapes import Enriched, parquet


def united(tmp_path: Path, *frames: pl.DataFrame) -> pl.DataFrame:
    parts = []
    for number, frame in enumerate(frames):
        parts.append(tmp_path / f"{number}.part")
        frame.write_parquet(parts[-1])
    with (tmp_path / "whole.parquet").open("wb") as out:
        parquet.unite(parts, out)
    return pl.read_parquet(tmp_path / "whole.parquet")


def test_columns_are_united(tmp_path: Path) -> None:
    whole = united(tmp_path, pl.DataFrame({"a": [1], "b": ["x"]}), pl.DataFrame({"b": ["y"], "c": [[1.5]]}))
    assert whole.to_dicts() == [{"a": 1, "b": "x", "c": None}, {"a": None, "b": "y", "c": [1.5]}]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (1, 1.5, [1.0, 1.5]),
        (1, "x", ["1", "x"]),
        (True, "x", ["true", "x"]),
        ([1], "x", ["[1]", "x"]),
        ([1], ["x"], ["[1]", '["x"]']),
        ({"x": 1}, 5, ['{"x":1}', "5"]),
        ({"x": 1}, {"y": "z"}, ['{"x":1}', '{"y":"z"}']),
        (None, "x", [None, "x"]),
        (None, [1], [None, [1]]),
    ],
)
def test_a_column_of_several_types_becomes_the_widest(tmp_path: Path, first: Any, second: Any, expected: Any) -> None:
    frames = [pl.DataFrame({"a": [value, None]}) for value in (first, second)]
    assert united(tmp_path, *frames)["a"].to_list() == [expected[0], None, expected[1], None]


NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), JSON), min_size=1, max_size=6))
def test_any_json_objects_become_columns(objects: list[dict[str, Any]]) -> None:
    frame = parquet.objects(pl.Series([json.dumps(item) for item in objects]))
    assert frame.height == len(objects)
    assert {name for item in objects for name in item} == set(frame.columns)
    for row, item in zip(frame.to_dicts(), objects, strict=True):
        for name, value in row.items():
            assert value is not None or item.get(name) is None or not holds_something(item[name]), (name, item)
    raw = pl.Series([json.dumps(item) for item in objects])
    whole = parquet.frame(Enriched(Batch("x", Form.JSON, pl.DataFrame({"uid": [None] * len(objects)}), raw), []))
    stream = io.BytesIO()
    whole.write_parquet(stream)
    stream.seek(0)
    assert pl.read_parquet(stream).height == len(objects)


def holds_something(value: Any) -> bool:
    """Whether more than nulls is in a value."""
    if isinstance(value, (list, dict)):
        return any(map(holds_something, value.values() if isinstance(value, dict) else value))
    return value is not None


@pytest.mark.parametrize("levels", [33, 300, 1000])
def test_what_is_nested_deeply_is_text(levels: int) -> None:
    """It would take the stack of whoever infers its type."""
    deep = '{"a":' * levels + "1" + "}" * levels
    records = [f'{{"n": 1, "deep": {deep}, "quoted": "}}[{{\\"", "list": [[1], [2]]}}', '{"n": 2, "deep": 5}']
    found = parquet.objects(pl.Series(records))
    assert found["n"].to_list() == [1, 2]
    assert found["quoted"].to_list() == ['}[{"', None]
    assert found["deep"].str.replace_all(" ", "").to_list() == [deep, "5"]


def test_lists_and_large_counts_stay_what_they_are_beside_a_column_of_no_one_type() -> None:
    records: list[dict[str, Any]] = [
        {"mixed": 1, "names": ["a"], "sizes": [1, 2**63], "rates": [1, 0.5], "none": [], "pairs": [["x"]], "count": 7},
        {"mixed": {}, "names": ["b", None], "sizes": [2], "rates": None, "none": [], "pairs": [], "count": 2**64 - 1},
        {"mixed": "x", "odd": ["a", 1], "objects": [{"a": 1}], "signed": -1, "huge": 2**64},
        {"signed": 2**63, "huge": 1},
    ]
    frame = parquet.objects(pl.Series([json.dumps(record) for record in records]))
    assert dict(frame.schema) == {
        "mixed": pl.String,
        "names": pl.List(pl.String),
        "sizes": pl.List(pl.UInt64),
        "rates": pl.List(pl.Float64),
        "none": pl.List(pl.String),
        "pairs": pl.List(pl.List(pl.String)),
        "count": pl.UInt64,
        "odd": pl.String,
        "objects": pl.String,
        "signed": pl.String,
        "huge": pl.String,
    }
    assert frame["names"].to_list() == [["a"], ["b", None], None, None]
    assert frame["count"].to_list() == [7, 2**64 - 1, None, None]
    assert frame["huge"].to_list() == [None, None, str(2**64), "1"]
    assert frame["objects"].to_list()[2] == '[{"a": 1}]'


def test_no_integer_is_wider_than_readers_of_parquet_know(tmp_path: Path) -> None:
    frame = parquet.objects(pl.Series(['{"a":7,"b":{"c":18446744073709551615}}', '{"a":18446744073709551615}']))
    assert frame.schema["a"] == pl.UInt64
    assert frame.schema["b"] == pl.String
    whole = united(tmp_path, frame, pl.DataFrame({"a": [-1]}))
    assert whole["a"].to_list() == ["7", "18446744073709551615", "-1"]


def test_added_columns_have_their_types_and_names_of_their_own() -> None:
    raw = pl.Series(['{"app.name":"mine","n":1}', '{"n":2}'])
    batch = Batch("conn", Form.JSON, pl.DataFrame({"uid": [None, None]}), raw)
    table = pl.DataFrame({"app.name": ["a", "b"], "app.confidence": [0.5, None], "_x": [1, 2]})
    frame = parquet.frame(Enriched.of(batch, [Added(table)]))
    assert frame.to_dicts() == [
        {"app.name": "mine", "n": 1, "enrich.app.name": "a", "app.confidence": 0.5},
        {"app.name": None, "n": 2, "enrich.app.name": "b", "app.confidence": None},
    ]
