"""Sets of protocols by key: any number of names, none of them lost."""

from __future__ import annotations

import numpy as np
import polars as pl

from enrich.protocol_sets import ProtocolSets


def test_more_than_64_names_are_kept() -> None:
    sets = ProtocolSets()
    keys = np.arange(1, 201, dtype=np.uint64)
    sets.add(keys, pl.Series([f"p{number}" for number in range(200)]))
    sets.add(keys, pl.Series(["tls"]).new_from_index(0, 200))
    assert sets.get(keys).to_list() == [",".join(sorted((f"p{number}", "tls"))) for number in range(200)]


def test_names_joined_by_commas_nulls_and_unknown_keys() -> None:
    sets = ProtocolSets()
    assert sets.get(np.array([1, 2], dtype=np.uint64)).to_list() == [None, None]
    sets.add(np.array([1, 1, 2], dtype=np.uint64), pl.Series(["smtp,tls", None, None], dtype=pl.String))
    assert sets.get(np.array([1, 2, 3], dtype=np.uint64)).to_list() == ["smtp,tls", None, None]
