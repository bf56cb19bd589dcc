"""Texts by key: what is put aside in files is found as what stays in memory."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.texts import Texts

TEXT = st.text(max_size=3) | st.text(alphabet="ab.é\n\0", max_size=20)
TEXTS = st.lists(st.none() | TEXT, max_size=40)


@given(TEXTS, TEXTS, st.integers(1, 40), st.sampled_from([1, 3, 1000]), st.sampled_from([1, 10, 1000]))
@settings(deadline=None)  # files take the time that the disk needs
def test_any_bound_of_memory(
    texts: list[str | None], later: list[str | None], step: int, most: int, waiting: int
) -> None:
    memory = Texts(most=most, waiting=waiting)
    for every in (texts, later):
        keys = [
            memory.add(pl.Series(every[start : start + step], dtype=pl.String)) for start in range(0, len(every), step)
        ]
        asked = np.concatenate([*keys, np.zeros(1, np.uint64), np.array([12345], np.uint64)])
        assert memory.get(asked).to_list() == [*every, None, None]
        assert memory.get(asked[:0]).to_list() == []
        assert all(key < 2**63 for key in asked)


def test_a_text_that_no_record_can_hold_is_not_kept() -> None:
    memory = Texts()
    keys = memory.add(pl.Series(["a", "b" * 2**26, "c"]))
    assert memory.get(keys).to_list() == ["a", None, "c"]
