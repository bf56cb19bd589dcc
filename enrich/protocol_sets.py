"""Which protocols were seen of each flow or server: sets of names by 64-bit key, any number of names."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.keyed import Keyed, Keys, Sought, hashes
from enrich.runs import MOST
from enrich.scratch import Scratch

_BITS = 64
_TEXTS = 100_000
"""So many different sets are remembered as text."""


class ProtocolSets:
    """Sets of protocol names by key. A name is a bit; each 64 of them have a map of keys to bits of their own."""

    def __init__(self, scratch: Scratch | None = None, most: int = MOST) -> None:
        """``most`` and ``scratch`` as of Keyed."""
        self._scratch, self._most = scratch, most
        self._names: dict[str, int] = {}
        self._pages: list[Keyed] = []
        # The sets that were asked for, by what stands for their bits.
        self._marks: Keys
        self._texts: pl.Series
        self._forget_texts()

    def add(self, keys: Keys, protocols: pl.Series) -> None:
        """Add to each key's set the protocols of its row: names joined by commas, or null.

        Raises OutputError where the disk is full.
        """
        masks: dict[int, dict[str, int]] = {}
        for text in protocols.drop_nulls().unique():
            for name in text.split(","):
                page, bit = divmod(self._names.setdefault(name, len(self._names)), _BITS)
                of_page = masks.setdefault(page, {})
                of_page[text] = of_page.get(text, 0) | 1 << bit
        for page, of_page in sorted(masks.items()):
            while len(self._pages) <= page:
                self._pages.append(Keyed("any", self._scratch, self._most))
                self._forget_texts()
            values = protocols.replace_strict(of_page, default=0, return_dtype=pl.UInt64)
            self._pages[page].add(keys, values.to_numpy())

    def get(self, keys: Keys | Sought) -> pl.Series:
        """The names in each key's set, sorted and joined by commas; null for none."""
        if not len(self):
            return pl.Series([None], dtype=pl.String).new_from_index(0, len(keys))
        sought = keys if isinstance(keys, Sought) else Sought(keys)
        masks = [page.get(sought) for page in self._pages]
        marks = masks[0] if len(masks) == 1 else hashes(*map(pl.Series, masks))
        # Found among all but the last, so that what is behind the last stands for it, too.
        at = np.searchsorted(self._marks[:-1], marks)
        if (unknown := self._marks[at] != marks).any():
            self._learn(marks, masks, unknown)
            at = np.searchsorted(self._marks[:-1], marks)
        return self._texts.gather(at)

    def knows(self, keys: Keys) -> npt.NDArray[np.bool_]:
        """Which of the keys have a set."""
        known = np.zeros(len(keys), np.bool_)
        for page in self._pages:
            known |= page.knows(keys)
        return known

    def rows(self) -> Iterator[pl.DataFrame]:
        """All of it, some at a time: columns ``key`` and ``value`` (names joined by commas), each key once."""
        yield pl.DataFrame(schema={"key": pl.UInt64, "value": pl.String})
        for number, page in enumerate(self._pages):
            for rows in page.rows():
                keys = rows["key"].to_numpy()
                for before in self._pages[:number]:
                    keys = keys[~before.knows(keys)]
                yield pl.DataFrame({"key": keys, "value": self.get(keys)})

    def remember(self, rows: pl.DataFrame) -> None:
        """Add what :meth:`rows` gave."""
        self.add(rows["key"].to_numpy(), rows["value"])

    def settle(self) -> None:
        """As Keyed's."""
        for page in self._pages:
            page.settle()

    def __len__(self) -> int:
        return sum(map(len, self._pages))

    def _learn(self, marks: Keys, masks: list[Keys], unknown: npt.NDArray[np.bool_]) -> None:
        """Remember the texts of sets: of those that are unknown or, where very many are known, of none but these."""
        if len(self._marks) > _TEXTS:
            self._forget_texts()
            unknown = marks != 0
        rows = np.flatnonzero(unknown)
        fresh, first = np.unique(marks[rows], return_index=True)
        bits = zip(*(mask[rows[first]].tolist() for mask in masks), strict=True)
        every = np.concatenate([self._marks, fresh])
        order = np.argsort(every)
        texts = [*self._texts, *map(self._text, bits)]
        self._marks, self._texts = every[order], pl.Series(texts, dtype=pl.String).gather(order)

    def _forget_texts(self) -> None:
        self._marks, self._texts = np.zeros(1, np.uint64), pl.Series([None], dtype=pl.String)

    def _text(self, bits: tuple[int, ...]) -> str | None:
        held = [name for name, at in self._names.items() if bits[at // _BITS] >> at % _BITS & 1]
        return ",".join(sorted(held)) or None
