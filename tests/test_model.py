"""The one place where an enricher's function is called: distinct keys once, results handed back row by row."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.model import Added, Enricher, Memo, Use, key_frame

KEYS = {"a": pl.Int64, "b": pl.String}


class Counting:
    """Work that says what it was asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[int | None, str | None]] = []

    def __call__(self, keys: pl.DataFrame) -> pl.DataFrame:
        self.asked += keys.rows()
        both = pl.concat_str(
            pl.col("a").cast(pl.String).fill_null("none"), pl.col("b").fill_null("none"), separator="/"
        )
        return keys.select(both.alias("text"), pl.col("a").is_null().alias("flag"))


def frame(rows: list[tuple[int | None, str | None]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=KEYS, orient="row")


def expected(row: tuple[int | None, str | None]) -> tuple[str, bool]:
    return "/".join("none" if part is None else str(part) for part in row), row[0] is None


ROWS = st.lists(
    st.tuples(st.none() | st.integers(0, 4), st.none() | st.sampled_from(["", "x", "none", "é"])), max_size=12
)


@settings(max_examples=200, deadline=None)
@given(st.lists(ROWS, max_size=5), st.integers(1, 12))
def test_every_row_gets_what_its_key_gives_however_little_is_remembered(batches: list[list], limit: int) -> None:
    memo = Memo(tuple(KEYS), ("p.text", "p.flag"), Counting(), limit)
    for rows in batches:
        added = memo.apply(frame(rows))
        assert added.frame().columns == ["p.text", "p.flag"]
        assert added.frame().rows() == [expected(row) for row in rows]
        assert added.column("p.text").to_list() == [expected(row)[0] for row in rows]
        texts = added.rendered("kind", lambda table: table.select(pl.format("<{}>", "p.text")).to_series())
        assert texts.to_list() == [f"<{expected(row)[0]}>" for row in rows]


def test_each_distinct_key_is_worked_out_once() -> None:
    work = Counting()
    memo = Memo(tuple(KEYS), ("text", "flag"), work)
    rows: list[tuple[int | None, str | None]] = [(1, "x"), (None, None), (1, "x"), (None, None), (1, None)]
    for _ in range(3):
        memo.apply(frame(rows))
    memo.apply(frame([*rows, (2, "y")]))
    assert work.asked == [(1, "x"), (None, None), (1, None), (2, "y")]


def test_distinct_rows_are_rendered_once() -> None:
    rendered = []

    def render(table: pl.DataFrame) -> pl.Series:
        rendered.extend(table["text"].to_list())
        return table["text"]

    memo = Memo(tuple(KEYS), ("text", "flag"), Counting())
    for rows in ([(1, "x"), (1, "x")], [(1, "x"), (2, "x")], [(2, "x")]):
        memo.apply(frame(rows)).rendered("json", render)
    assert rendered == ["1/x", "2/x"]


def test_memory_is_bounded() -> None:
    work = Counting()
    memo = Memo(tuple(KEYS), ("text", "flag"), work, limit=100)
    for start in range(0, 1000, 50):
        memo.apply(frame([(number, "x") for number in range(start, start + 50)]))
        assert memo.known is not None
        assert memo.known.height <= 100
        assert memo.table.height == memo.known.height


def test_work_of_another_height_is_a_bug_that_is_named() -> None:
    memo = Memo(tuple(KEYS), ("text", "flag"), lambda keys: Counting()(keys).head(1))
    with pytest.raises(ValueError, match="returned 1 rows for 2 keys"):
        memo.apply(frame([(1, "x"), (2, "x")]))


def test_added_of_columns_that_are_known_already() -> None:
    known = pl.DataFrame({"n": ["a", None, "a", "b"], "m": [1, 2, 1, None]})
    added = Added.of(known)
    assert added.table.height == 3
    assert added.frame().equals(known)


USE = Use(("conn",), ("id.resp_p", "proto"), absent="answer")


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"id.resp_p": [22], "proto": ["tcp"]}, [(22, "tcp")]),
        ({"id.resp_p": ["22"]}, [(22, None)]),
        ({"proto": ["udp"], "id.resp_p": ["many"]}, [(None, "udp")]),
        ({"uid": ["C1"]}, None),
        ({"id.resp_p": [22], "answer": ["there"]}, None),
    ],
)
def test_keys_of_a_batch(columns: dict[str, list[object]], expected: list[tuple[object, ...]] | None) -> None:
    found = key_frame(pl.DataFrame(columns), USE, {"port": pl.UInt16, "proto": pl.String})
    assert (None if found is None else found.rows()) == expected
    if found is not None:
        assert found.schema == {"port": pl.UInt16, "proto": pl.String}


def test_an_enricher_names_the_columns_it_can_add() -> None:
    uses = (Use(("l",), ("c",), "p."), Use(("m",), ("c",)))
    adds = {"b": pl.String, "a": pl.String}
    enricher = Enricher("x", "doc", {"k": pl.String}, adds, uses, prepare=lambda _: lambda keys: keys)
    assert enricher.columns() == ["a", "b", "p.a", "p.b"]
