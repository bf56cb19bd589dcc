"""Values by key: what is put aside in files is found as what stays in memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.keyed import CONFLICT, Keyed, Policy, Sought, distinct

Entries = list[tuple[int, int]]
ENTRIES = st.lists(st.tuples(st.integers(0, 40) | st.integers(0, 2**64 - 1), st.integers(0, 5)), max_size=60)


def plainly(policy: Policy, entries: Entries) -> dict[int, int]:
    """What a map of this policy holds."""
    held: dict[int, set[int]] = {}
    for key, value in entries:
        if key and value:
            held.setdefault(key, set()).add(value)
    if policy == "any":
        return {key: int(np.bitwise_or.reduce(list(values))) for key, values in held.items()}
    if policy == "least":
        return {key: min(values) for key, values in held.items()}
    return {key: min(values) if len(values) == 1 else int(CONFLICT) for key, values in held.items()}


def added(memory: Keyed, entries: Entries, step: int) -> None:
    for start in range(0, len(entries), step):
        keys, values = zip(*entries[start : start + step], strict=True)
        memory.add(np.array(keys, np.uint64), np.array(values, np.uint64))


@pytest.mark.parametrize("policy", ["any", "least", "same"])
@given(ENTRIES, ENTRIES, st.integers(1, 60), st.sampled_from([1, 2, 3, 7, 20, 1000]))
@settings(deadline=None)  # files take the time that the disk needs
def test_any_bound_of_memory(policy: Policy, entries: Entries, later: Entries, step: int, most: int) -> None:
    memory = Keyed(policy, most=most)
    added(memory, entries, step)
    for every in (entries, entries + later):
        held = plainly(policy, every)
        assert len(memory) == len(held)
        asked = [key for key, _ in entries + later] + [0, 7, 2**64 - 1]
        keys = np.array(asked, np.uint64)
        assert memory.get(keys).tolist() == memory.get(Sought(keys)).tolist() == [held.get(key, 0) for key in asked]
        assert memory.knows(keys).tolist() == [key in held for key in asked]
        rows = list(memory.rows())
        assert all(part.height <= max(most, 1) for part in rows)
        assert pl.concat(rows).rows() == sorted(held.items())
        if every is entries:
            added(memory, later, step)  # asked before all has come


def test_nothing_is_known_of_no_keys() -> None:
    memory = Keyed("least")
    assert memory.get(np.zeros(0, np.uint64)).tolist() == []
    assert memory.get(np.array([0, 1], np.uint64)).tolist() == [0, 0]
    memory.add(np.array([1], np.uint64), np.array([9], np.uint64))
    assert memory.get(np.zeros(0, np.uint64)).tolist() == []


def test_memory_does_not_grow_with_what_comes() -> None:
    memory, random = Keyed("least", most=10_000), np.random.default_rng(1)
    tracemalloc.start()
    try:
        for _ in range(200):
            keys = random.integers(1, 2**64, 10_000, np.uint64)
            memory.add(keys, keys)
        assert memory.get(keys).tolist() == keys.tolist()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(memory) == 2_000_000
    assert peak < 16_000_000  # half of what the keys and values take


@given(st.lists(st.integers(0, 2**64 - 1) | st.sampled_from([0, 2**32, 2**33]), max_size=50))
def test_distinct_keys_and_where_they_are(keys: list[int]) -> None:
    few, at = distinct(np.array(keys, np.uint64))
    assert few[at].tolist() == keys
    assert set(few.tolist()) == set(keys)
