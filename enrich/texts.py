"""Texts by 64-bit key: what a run remembers of names that very many records repeat."""

from __future__ import annotations

import numpy as np
import polars as pl

from enrich.batch import standing_alone
from enrich.keyed import Keyed, Keys, distinct, hashes
from enrich.runs import MOST
from enrich.scratch import Scratch, ScratchFile

_WAITING = 1 << 24
"""So many bytes of text wait, or stay, in memory."""
_PIECE = 1 << 20
"""So many bytes of a file are looked at before their memory is given back."""
_LENGTH = np.uint64(26)
_LONGEST = 2**26 - 1
"""A place is where a text begins, counted from 1, and in its last bits the text's length; no record is so long."""


class Texts:
    """Texts by their hash, of 63 bits. Their bytes stand one behind the other; where is remembered by key."""

    def __init__(self, scratch: Scratch | None = None, most: int = MOST, waiting: int = _WAITING) -> None:
        """``most`` and ``scratch`` as of Keyed; ``waiting``: so many bytes of text wait, or stay, in memory."""
        self._scratch, self._most, self._waiting = scratch or Scratch(), most, waiting
        self._places = Keyed("least", scratch, most)
        self._new: list[pl.DataFrame] = []
        self._rows = self._size = 0
        self._bytes = np.zeros(0, np.uint8)
        self._file: ScratchFile | None = None
        self._written = 0

    def add(self, texts: pl.Series) -> Keys:
        """Remember texts; the key of each (0 for null). Raises OutputError where the disk is full."""
        keys = np.where(texts.is_null().to_numpy(), np.uint64(0), hashes(texts) >> np.uint64(1))
        there = (pl.col("key") != 0) & (pl.col("text").str.len_bytes() <= _LONGEST)
        self._take(pl.DataFrame({"key": keys, "text": texts}).filter(there))
        if self._rows > self._most or self._size > self._waiting:
            self._take(self._gathered())
            if self._rows > self._most // 2 or self._size > self._waiting // 2:
                self._put_aside()
        return keys

    def get(self, keys: Keys) -> pl.Series:
        """The text of each key; null for 0 and for what is not known."""
        if self._new:
            self._put_aside()
        if not len(self._places):
            return pl.Series([None], dtype=pl.String).new_from_index(0, len(keys))
        asked, at = distinct(keys)
        places = self._places.get(asked)
        known = np.flatnonzero(places)
        known = known[np.argsort(places[known])]
        numbers = np.full(len(asked), len(known))
        numbers[known] = np.arange(len(known))
        texts = self._read(places[known])
        return texts.extend(pl.Series([None], dtype=pl.String)).gather(numbers[at])

    def settle(self) -> None:
        """As Keyed's."""
        if self._new:
            self._put_aside()
        self._places.settle()

    def _take(self, frame: pl.DataFrame) -> None:
        texts = standing_alone(frame.unique("key"))
        self._new.append(texts)
        self._rows += texts.height
        self._size += int(texts["text"].str.len_bytes().sum())

    def _gathered(self) -> pl.DataFrame:
        frames, self._new, self._rows, self._size = self._new, [], 0, 0
        return pl.concat(frames)

    def _put_aside(self) -> None:
        """Remember where the texts are that have come in, and keep their bytes."""
        frame = self._gathered().unique("key")
        data = np.frombuffer(frame["text"].str.join("").item().encode(), np.uint8)
        lengths = frame["text"].str.len_bytes().to_numpy().astype(np.uint64)
        starts = np.cumsum(lengths) - lengths + np.uint64(self._written + 1)
        self._places.add(frame["key"].to_numpy(), starts << _LENGTH | lengths)
        self._written += len(data)
        if self._written <= self._waiting:
            self._bytes = np.concatenate([self._bytes, data])
            return
        if self._file is None:
            self._file = self._scratch.file()
            self._file.append(self._bytes)
            self._bytes = self._bytes[:0]
        self._file.append(data)

    def _read(self, places: Keys) -> pl.Series:
        """The texts at places that ascend."""
        starts, lengths = (places >> _LENGTH).astype(np.intp) - 1, (places & np.uint64(_LONGEST)).astype(np.intp)
        data = self._bytes if self._file is None else self._file.array(np.uint8)
        read = [np.zeros(0, np.uint8)]
        for rows in np.split(np.arange(len(places)), np.flatnonzero(np.diff(starts // _PIECE)) + 1):
            before = np.cumsum(lengths[rows]) - lengths[rows]
            read.append(data[np.repeat(starts[rows] - before, lengths[rows]) + np.arange(lengths[rows].sum())])
            if self._file is not None:
                self._file.forget()
        ends = np.cumsum(lengths)
        cut = pl.lit(np.concatenate(read).tobytes()).bin.slice(pl.col("start"), pl.col("length"))
        return pl.DataFrame({"start": ends - lengths, "length": lengths}).select(text=cut.cast(pl.String))["text"]
