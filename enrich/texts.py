"""Texts by 64-bit key, each held once: what a run remembers of names that very many records repeat."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from enrich.keyed import Keys, hashes, positions


def standing_alone(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with texts of its own: those of a few rows would keep all the text of the batch that they were in."""
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    return frame.with_columns(pl.concat_str(pl.col(name), pl.lit("")).alias(name) for name in texts)


@dataclass(slots=True)
class Texts:
    """Texts by their hash, each held once."""

    _frames: list[pl.DataFrame] = field(default_factory=list)
    _rows: int = 0
    _sorted: tuple[Keys, pl.Series] | None = None

    def add(self, texts: pl.Series) -> Keys:
        """Remember texts; the key of each (0 for null)."""
        frame = pl.DataFrame({"key": hashes(texts), "text": texts})
        distinct = frame.filter(pl.col("text").is_not_null()).unique("key")
        self._frames.append(standing_alone(distinct))
        self._rows += distinct.height
        if self._rows > 1_000_000 and len(self._frames) > 1:
            self._frames = [standing_alone(pl.concat(self._frames).unique("key"))]
            self._rows = 0
        self._sorted = None
        return np.where(texts.is_null().to_numpy(), np.uint64(0), frame["key"].to_numpy())

    def whole(self, halves: Keys) -> Keys:
        """The keys that begin with these 63 bits; 0 where there is none."""
        known = self._known()[0]
        if not len(known):
            return np.zeros(len(halves), np.uint64)
        at = np.minimum(positions(known, halves << np.uint64(1)), len(known) - 1)
        return np.where((halves != 0) & (known[at] >> np.uint64(1) == halves), known[at], np.uint64(0))

    def get(self, keys: Keys) -> pl.Series:
        """The text of each key; null for 0 and for what is not known."""
        known, texts = self._known()
        if not len(known):
            return pl.Series([None], dtype=pl.String).new_from_index(0, len(keys))
        at = np.minimum(positions(known, keys), len(known) - 1)
        return texts.gather(at).set(pl.Series(known[at] != keys), None)

    def _known(self) -> tuple[Keys, pl.Series]:
        if self._sorted is None:
            every = standing_alone(pl.concat(self._frames).unique("key").sort("key")) if self._frames else None
            self._frames = [] if every is None else [every]
            known = np.zeros(0, np.uint64) if every is None else every["key"].to_numpy()
            self._sorted = (known, pl.Series([], dtype=pl.String) if every is None else every["text"])
        return self._sorted
