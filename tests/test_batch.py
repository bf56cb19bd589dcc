"""Frames of batches: texts that stand alone, times and counters that can be."""

from __future__ import annotations

import math

import polars as pl
import pytest

from enrich.batch import LARGEST_COUNT, possible_counts, possible_times, standing_alone, timed


def test_a_few_texts_do_not_keep_all_of_a_batch() -> None:
    batch = pl.DataFrame({"text": ["x" * 1000] * 100_000, "row": range(100_000)})
    few = standing_alone(batch[:1])
    assert few.equals(batch[:1])
    assert few["text"].estimated_size() < 10_000


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, -1.0, 1e300, 2.0**32])
def test_times_that_no_clock_shows_are_none(odd: float) -> None:
    frame = pl.DataFrame({"ts": [0.0, odd, 1795305600.25, None], "uid": ["a", "b", "c", "d"]})
    assert possible_times(frame)["ts"].to_list() == [0.0, None, 1795305600.25, None]
    assert possible_times(frame)["uid"].to_list() == frame["uid"].to_list()


def test_rows_without_a_possible_time() -> None:
    frame = pl.DataFrame({"ts": [math.nan, 5.0, None], "uid": ["a", "b", "c"]})
    assert timed(frame)["uid"].to_list() == ["b"]


def test_times_of_other_types_stay() -> None:
    frame = pl.DataFrame({"ts": ["yesterday"]})
    assert possible_times(frame) is frame


@pytest.mark.parametrize("kind", [pl.Int64, pl.UInt64])
def test_counters_that_no_flow_has_are_none(kind: pl.DataType) -> None:
    most = 2**63 - 1 if kind == pl.Int64 else 2**64 - 1
    good = pl.DataFrame({"orig_bytes": pl.Series([0, LARGEST_COUNT, None], dtype=kind), "uid": ["a", "b", "c"]})
    odd = pl.DataFrame({"orig_bytes": pl.Series([most, 1, None], dtype=kind), "uid": ["a", "b", "c"]})
    assert possible_counts(good) is good
    assert possible_counts(odd)["orig_bytes"].to_list() == [None, 1, None]
    negative = pl.DataFrame({"resp_pkts": [-1, 5]})
    assert possible_counts(negative)["resp_pkts"].to_list() == [None, 5]


def test_counters_of_other_types_and_none_at_all_stay() -> None:
    for frame in (pl.DataFrame({"orig_bytes": ["many"]}), pl.DataFrame({"uid": ["a"]}), pl.DataFrame()):
        assert possible_counts(frame) is frame
