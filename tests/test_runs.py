"""Rows by key: in their order, and of equal ones in that in which they came, whatever part of them memory holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.runs import Columns, Runs


def same(rows: Columns) -> Columns:
    return rows


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=60),
    st.integers(1, 60),
    st.sampled_from([1, 2, 3, 10, 1000]),
    st.integers(0, 60),
)
@settings(deadline=None)  # files take the time that the disk needs
def test_rows_are_in_order(rows: list[tuple[int, int]], step: int, most: int, asked_after: int) -> None:
    runs = Runs((np.uint64, np.uint32, np.uint16), same, ordered_by=2, most=most)
    numbered = [(*row, number) for number, row in enumerate(rows)]
    for start in range(0, len(rows), step):
        keys, times, numbers = zip(*numbered[start : start + step], strict=True)
        runs.add((np.array(keys, np.uint64), np.array(times, np.uint32), np.array(numbers, np.uint16)))
        if start <= asked_after < start + step:
            runs.table()
    table = runs.table()
    assert table.height == len(rows)
    pieces = list(table.pieces())
    assert list(zip(*(np.concatenate(column).tolist() for column in zip(*pieces, strict=True)), strict=True)) == sorted(
        numbered
    )
    assert all(len(piece[0]) <= most for piece in pieces)


@pytest.mark.parametrize("count", [10_000, 30_000])
def test_more_rows_than_a_block_of_one_key(count: int) -> None:
    runs = Runs((np.uint64, np.uint64), same, ordered_by=2, most=9_000)
    numbers = np.random.default_rng(1).permutation(count).astype(np.uint64)
    for part in np.split(numbers, 10):
        runs.add((np.full(len(part), 7, np.uint64), part))
    table = runs.table()
    assert np.concatenate([piece[1] for piece in table.pieces()]).tolist() == list(range(count))
