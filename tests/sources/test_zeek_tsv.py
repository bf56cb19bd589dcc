"""Zeek TSV: any log that Zeek could write reads back exactly, and of anything else no line is lost."""

from __future__ import annotations

import polars as pl
import pytest
from generated import SIZES, Log, chunks, logs, read
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.batch import Damage, Header, Reject
from enrich.sources import zeek_tsv
from enrich.sources.lines import Chunk
from enrich.sources.zeek_header import Schema, log_name, parse, runs


@settings(max_examples=300, deadline=None)
@given(logs(), SIZES)
def test_a_log_reads_back_exactly(log: Log, sizes: list[int]) -> None:
    batches, rejects, _ = read(chunks(log.lines(), sizes))
    assert not rejects
    assert [list(row) for batch in batches for row in batch.frame.iter_rows()] == log.rows
    for batch in batches:
        assert batch.log == "thing"
        assert batch.types == log.types
        assert batch.frame.columns == list(log.types)


@settings(max_examples=100, deadline=None)
@given(logs(), st.sets(st.integers(0, 5)))
def test_what_is_asked_for_is_given_and_changes_no_row(log: Log, columns: set[int]) -> None:
    pieces = chunks(log.lines(), [])
    names = frozenset(f"c{n}" for n in columns)
    (all_of, _, _), (some, rejects, _) = read(pieces), read(pieces, names)
    assert not rejects
    for whole, part in zip(all_of, some, strict=True):
        assert names.intersection(log.types) <= set(part.frame.columns)
        assert part.frame.equals(whole.frame.select(part.frame.columns))


LINE = st.binary(max_size=40).filter(lambda line: b"\n" not in line and not line.startswith(b"#"))


@settings(max_examples=300, deadline=None)
@given(logs(), st.lists(st.tuples(st.integers(0, 20), LINE), max_size=6), SIZES)
def test_no_line_is_lost_whatever_it_holds(log: Log, garbage: list[tuple[int, bytes]], sizes: list[int]) -> None:
    lines = log.lines()
    head = len(lines) - len(log.rows) - 1
    for at, line in garbage:
        lines.insert(min(head + at, len(lines)), line)
    texts = [line.removesuffix(b"\r") for line in lines]
    for names in (None, frozenset(("c0",)), frozenset(("c1", "c9"))):
        batches, rejects, _ = read(chunks(lines, sizes), names)
        where = {reject.line: reject.raw for reject in rejects}
        assert len(where) == len(rejects)
        assert all(texts[number - 1] == raw for number, raw in where.items())
        kept = [text.encode() for batch in batches if batch.raw is not None for text in batch.raw]
        rest = [text for number, text in enumerate(texts, 1) if number not in where]
        assert kept == [text for text in rest if text and not text.startswith(b"#")]
        assert len(kept) == sum(batch.height for batch in batches)


@pytest.mark.parametrize("rows", [[5, 3], [3, 5], [4, 4, 5, 3, 4], [3] * 1000 + [5] * 1000])
def test_rows_that_are_too_long_do_not_make_up_for_short_ones(rows: list[int]) -> None:
    head = [b"#separator \\x09", b"#fields\ta\tb\tc\td", b"#types\tstring\tcount\tstring\tstring"]
    body = [b"\t".join([b"1"] * n) for n in rows]
    for names in (None, frozenset(("a",)), frozenset(("d",))):
        batches, rejects, _ = read(chunks([*head, *body], []), names)
        assert sum(batch.height for batch in batches) == rows.count(4)
        assert len(rejects) == len(rows) - rows.count(4)


def test_a_mistake_deep_in_a_large_chunk_is_found_at_its_line() -> None:
    rows = [f"{n}\tvalue {n}\n" for n in range(200_000)]
    rows[123_456] = "none\tvalue\n"
    rows[150_000] = "1\t2\t3\n"
    head = "#separator \\x09\n#path\tx\n#fields\tn\tv\n#types\tcount\tstring\n"
    batches, rejects, _ = read([Chunk((head + "".join(rows)).encode(), 1)])
    assert [(reject.line, reject.reason) for reject in rejects] == [
        (123_461, "field n: 'none' is no count"),
        (150_005, "row has 3 fields, the header names 2"),
    ]
    (batch,) = batches
    assert batch.height == 199_998
    assert batch.frame["n"][150_000] == 150_002
    assert batch.raw is not None
    assert batch.raw[150_000] == "150002\tvalue 150002"


def test_a_cut_chunk_rejects_its_last_row_only_if_it_lacks_its_end() -> None:
    head = b"#separator \\x09\n#fields\ta\tb\n#types\tstring\tstring\n"
    (batch,), (reject,), _ = read([Chunk(head + b"1\t2\n3\t4", 1, cut=True)])
    assert batch.height == 1
    assert (reject.line, reject.raw) == (5, b"3\t4")
    (batch,), rejects, _ = read([Chunk(head + b"1\t2\n3\t4\n", 1, cut=True)])
    assert batch.height == 2
    assert not rejects


def test_headers_and_their_order() -> None:
    text = "#separator \\x09\n#fields\ta\n#types\tstring\nx\n#fields\ta\tb\n#types\tstring\tcount\ny\t1\n#close\tnow\n"
    _, _, items = read([Chunk(text.encode(), 1)])
    assert [isinstance(item, Header) for item in items] == [True, False, True, False, True]
    headers = [item for item in items if isinstance(item, Header)]
    assert headers[0].text == "#separator \\x09\n#fields\ta\n#types\tstring"
    assert headers[1].text == "#fields\ta\tb\n#types\tstring\tcount"
    assert headers[1].empty.frame.schema == {"a": pl.String, "b": pl.UInt64}


def test_damage_and_rejects_of_the_reader_below_pass_through() -> None:
    items = list(zeek_tsv.read([[Reject(3, "long", b"x")], Damage(9, "cut")], "conn", lambda _: None, False))
    assert items == [[Reject(3, "long", b"x")], Damage(9, "cut")]


def test_a_log_that_nobody_asks_for_is_passed_over() -> None:
    text = b"#separator \\x09\n#fields\ta\n#types\tcount\nwrong\n"
    batches, rejects, _ = read([Chunk(text, 1)], frozenset(), raw=False)
    assert not batches
    assert not rejects


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#separator \\x09\n#set_separator\t,\nrow\n", [(0, 33, True), (33, 37, False)]),
        ("#separator \\x7c\n#fields|a\n#a\n#fieldsx\n", [(0, 26, True), (26, 38, False)]),
        ("row\n#close\n", [(0, 4, False), (4, 11, True)]),
        ("#close", [(0, 6, True)]),
        ("#opened\n", [(0, 8, False)]),
        ("# \n#\n", [(0, 5, False)]),
    ],
)
def test_runs_of_headers_and_rows(text: str, expected: list[tuple[int, int, bool]]) -> None:
    assert list(runs(text.encode(), b"\t")) == expected


def test_a_header_says_what_changes() -> None:
    first = parse("#separator \\x09\n#path\tconn\n#fields\ta\tb\n#types\tstring\tcount", Schema("x"))
    assert (first.log, first.fields, first.types) == ("conn", ("a", "b"), {"a": "string", "b": "count"})
    assert first.problem is None
    assert parse("#close\tnow", first) == first
    assert parse("#types\tstring\tport", first).types == {"a": "string", "b": "port"}
    assert parse("#unset_field\tNULL", first).dialect.unset_field == "NULL"


@pytest.mark.parametrize("path", ["conn", "smb_files", "x-1", "A" * 64])
def test_plain_log_names_pass(path: str) -> None:
    assert log_name(path) == path


@pytest.mark.parametrize("path", ["", "..", "../x", "a/b", "a b", "A" * 65, "a\n", "a\0", "é", "-.-"])
def test_other_log_names_are_unknown(path: str) -> None:
    assert log_name(path) == "unknown"
