"""Counting by group over batches agrees with counting everything at once, and stays within its bounds."""

from __future__ import annotations

import random

import polars as pl
import pytest

from enrich import tally
from enrich.tally import Distinct, Extremes, Sample, Spans, Tally, Waiting


@pytest.fixture(autouse=True, params=[1, 200, 4096])
def _merge_often(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(tally, "_LOOSE", 50)
    monkeypatch.setattr(tally, "ENOUGH", request.param)


def batches(rows: int = 2000) -> tuple[pl.DataFrame, list[pl.DataFrame]]:
    chance = random.Random(4)
    frame = pl.DataFrame(
        {
            "ts": [chance.random() * 1e6 for _ in range(rows)],
            "host": [chance.choice(["a", "b", "c", None]) for _ in range(rows)],
            "port": [chance.choice([22, 80, None]) for _ in range(rows)],
            "bytes": [chance.choice([1, 10, None]) for _ in range(rows)],
            "uid": [f"C{at % 700}" for at in range(rows)],
        }
    )
    return frame, [frame.slice(at, 77) for at in range(0, rows, 77)]


def test_tally_counts_what_one_pass_would() -> None:
    frame, parts = batches()
    counted = Tally(("host", "port"), ("bytes",))
    assert counted.frame() is None
    for part in parts:
        counted.add(part)
    got = counted.frame()
    assert got is not None
    want = frame.group_by("host", "port").agg(
        pl.col("ts").min().alias("first_seen"),
        pl.col("ts").max().alias("last_seen"),
        pl.len().cast(pl.UInt64).alias("rows"),
        pl.col("bytes").sum(),
    )
    keys = ["host", "port"]
    assert got.sort(keys).to_dicts() == want.sort(keys).to_dicts()
    assert counted.cut == 0


def test_tally_keeps_the_busiest_within_its_bounds() -> None:
    rows = [("busy", port) for port in range(20) for _ in range(port + 1)] + [(f"h{at}", 1) for at in range(500)]
    counted = Tally(("host", "port"), most=10, each=4)
    for at in range(0, len(rows), 50):
        counted.add(pl.DataFrame(rows[at : at + 50], schema=["host", "port"], orient="row").with_columns(ts=1.0))
    got = counted.frame()
    assert got is not None and got.height == 10
    busy = got.filter(pl.col("host") == "busy")
    assert sorted(busy["port"]) == [16, 17, 18, 19]
    assert counted.cut > 0


def test_tally_keeps_the_same_of_equals() -> None:
    rows = [("a", f"p{at:02}") for at in range(30)] + [("b", None), ("b", "x"), ("c", "y")] + [("a", "p07")] * 3
    each: list[set[tuple[str, str | None]]] = []
    most: list[set[tuple[str, str | None]]] = []
    for order in (rows, rows[::-1], rows[15:] + rows[:15]):
        for counted, found, cut in (
            (Tally(("host", "port"), each=3), each, 27),
            (Tally(("host", "port"), most=4), most, 29),
        ):
            counted.add(pl.DataFrame(order, schema=["host", "port"], orient="row").with_columns(ts=1.0))
            got = counted.frame()
            assert got is not None and counted.cut == cut
            found.append({*got.select("host", "port").rows()})
    assert each[0] == each[1] == each[2] and len(each[0]) == 6
    assert each[0] > {("a", "p07"), ("b", None), ("b", "x"), ("c", "y")}
    assert most[0] == most[1] == most[2] and len(most[0]) == 4
    assert ("a", "p07") in most[0]


def test_sample_takes_earlier_rows_that_come_late() -> None:
    kept = Sample(("host",), ("uid",), size=3)
    for ts in range(500, 0, -1):
        kept.add(pl.DataFrame({"ts": [float(ts)], "host": ["a"], "uid": [f"C{ts}"]}))
    got = kept.frame()
    assert got is not None and got["uid"].to_list() == ["C1", "C2", "C3"]


def test_sample_keeps_the_first_of_each_group_once() -> None:
    frame, parts = batches()
    kept = Sample(("host",), ("uid",), size=5)
    for part in reversed(parts):
        kept.add(part)
    got = kept.frame()
    assert got is not None
    for host in ("a", "b", "c"):
        want = frame.filter(pl.col("host") == host).sort("ts").unique("uid", keep="first", maintain_order=True)
        assert got.filter(pl.col("host") == host)["uid"].to_list() == want["uid"].head(5).to_list()


def test_sample_of_the_greatest_and_of_few_groups() -> None:
    frame, parts = batches()
    greatest = Sample(("host",), (), by="ts", size=1, descending=True)
    few = Sample(("uid",), (), by="ts", size=1, most=3)
    for part in parts:
        greatest.add(part)
        few.add(part)
    got, groups = greatest.frame(), few.frame()
    assert got is not None and groups is not None
    assert sorted(got["ts"]) == sorted(frame.group_by("host").agg(pl.col("ts").max())["ts"])
    assert groups.height == 3


def test_distinct_is_exact_while_small() -> None:
    counted = Distinct(("host",), "client", size=64)
    for _ in range(5):
        counted.add(pl.DataFrame({"host": ["a"] * 60 + ["b"], "client": [f"c{at}" for at in range(60)] + ["x"]}))
    got = counted.counts()
    assert got is not None
    assert dict(got.iter_rows()) == {"a": 60, "b": 1}


def test_distinct_needs_no_values_to_count() -> None:
    frame, parts = batches()
    counted, with_values = Distinct(("host",), "uid", size=32, values=False), Distinct(("host",), "uid", size=32)
    for part in parts:
        counted.add(part)
        with_values.add(part)
    counts, same = counted.counts(), with_values.counts()
    assert counts is not None and same is not None
    assert counts.sort("host").rows() == same.sort("host").rows()
    values = with_values.values()
    assert values is not None
    assert {*values.rows()} <= {*frame.select("host", "uid").rows()}


@pytest.mark.parametrize("clients", [1000, 50_000])
def test_distinct_estimates_when_large(clients: int) -> None:
    counted = Distinct(("host",), "client", size=256)
    for at in range(0, clients, 500):
        names = [f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(at, at + 500)]
        counted.add(pl.DataFrame({"host": ["a"] * 500, "client": names}))
    counts, values = counted.counts(), counted.values()
    assert counts is not None and values is not None
    assert values.height == 256
    assert counts["distinct"][0] == pytest.approx(clients, rel=0.25)


def test_spans_grow_rather_than_their_number() -> None:
    seen = Spans("host", 60, most=100)
    for minute in range(3000):
        seen.add(pl.DataFrame({"host": ["a"], "ts": [minute * 60.0]}))
    got = seen.frame()
    assert got is not None and got.height <= 100
    assert seen.seconds > 60
    assert sorted(got["start"]) == list(range(0, 3000 * 60, seen.seconds))


def test_extremes_are_those_of_all_batches_and_of_few_groups() -> None:
    frame, parts = batches()
    known = frame.filter(pl.col("host").is_not_null())
    seen, few = Extremes(("host",), "ts"), Extremes(("host",), "ts", most=2)
    assert seen.frame() is None
    for part in parts:
        seen.add(part.filter(pl.col("host").is_not_null()))
        few.add(part.filter(pl.col("host").is_not_null()))
    got, some = seen.frame(), few.frame()
    assert got is not None and some is not None
    want = known.group_by("host").agg(low=pl.col("ts").min(), high=pl.col("ts").max())
    assert got.sort("host").to_dicts() == want.sort("host").to_dicts()
    assert some.height == 2
    assert set(some.rows()) <= set(want.rows())


def test_frames_wait_for_more_rows() -> None:
    seen: list[pl.DataFrame] = []
    waiting = Waiting(seen.append, 10)
    for at in range(4):
        waiting.add(pl.DataFrame({"at": [at] * 3, "text": [f"a text of some length {at}"] * 3}))
    assert [frame["at"].to_list() for frame in seen] == [[0] * 3 + [1] * 3 + [2] * 3 + [3] * 3]
    waiting.add(pl.DataFrame({"at": [4], "text": ["another"]}))
    waiting.add(pl.DataFrame({"at": [], "text": []}))
    assert len(seen) == 1
    waiting.look()
    waiting.look()
    assert [frame.rows() for frame in seen[1:]] == [[(4, "another")]]
