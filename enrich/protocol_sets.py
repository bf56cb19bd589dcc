"""Which protocols were seen of each flow or server: sets of names by 64-bit key, any number of names."""

from __future__ import annotations

import numpy as np
import polars as pl

from enrich.keyed import Keyed, Keys

_BITS = 64


class ProtocolSets:
    """Sets of protocol names by key. A name is a bit; each 64 of them have a map of keys to bits of their own."""

    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._pages: list[Keyed] = []
        self._joined: dict[tuple[int, ...], str] = {}

    def add(self, keys: Keys, protocols: pl.Series) -> None:
        """Add to each key's set the protocols of its row: names joined by commas, or null."""
        masks: dict[int, dict[str, int]] = {}
        for text in protocols.drop_nulls().unique():
            for name in text.split(","):
                page, bit = divmod(self._names.setdefault(name, len(self._names)), _BITS)
                of_page = masks.setdefault(page, {})
                of_page[text] = of_page.get(text, 0) | 1 << bit
        for page, of_page in sorted(masks.items()):
            while len(self._pages) <= page:
                self._pages.append(Keyed("any"))
            values = protocols.replace_strict(of_page, default=0, return_dtype=pl.UInt64)
            self._pages[page].add(keys, values.to_numpy())

    def get(self, keys: Keys) -> pl.Series:
        """The names in each key's set, sorted and joined by commas; null for none."""
        if not len(self):
            return pl.Series([None], dtype=pl.String).new_from_index(0, len(keys))
        masks = pl.DataFrame({str(number): page.get(keys) for number, page in enumerate(self._pages)})
        distinct = masks.unique()
        texts = pl.Series("text", [self._text(row) for row in distinct.iter_rows()], pl.String)
        return masks.join(distinct.with_columns(texts), on=masks.columns, how="left", maintain_order="left")["text"]

    def rows(self) -> pl.DataFrame:
        """All of it: columns ``key`` and ``value`` (names joined by commas), in the order of the keys."""
        keys = np.unique(np.concatenate([np.zeros(0, np.uint64), *(page.rows()["key"] for page in self._pages)]))
        return pl.DataFrame({"key": keys, "value": self.get(keys)})

    def remember(self, rows: pl.DataFrame) -> None:
        """Add what :meth:`rows` gave."""
        self.add(rows["key"].to_numpy(), rows["value"])

    def __len__(self) -> int:
        return sum(map(len, self._pages))

    def _text(self, row: tuple[int, ...]) -> str | None:
        if not any(row):
            return None
        if row not in self._joined:
            held = [name for name, at in self._names.items() if row[at // _BITS] >> at % _BITS & 1]
            self._joined[row] = ",".join(sorted(held))
        return self._joined[row]
