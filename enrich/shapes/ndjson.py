"""One JSON object a line (RFC 8259), fields under their own names, in Zeek's vocabulary."""

from __future__ import annotations

from collections.abc import Collection, Iterator

import polars as pl

from enrich import json_texts
from enrich.batch import Batch, Form
from enrich.shapes import Enriched, Lines, Parts, Texts, in_pieces, joined, texts_of

GAP = " "
"""Between members of a JSON object, where white space means nothing (RFC 8259 section 2)."""
_OPEN_OBJECT = pl.struct(pl.all()).struct.json_encode().str.head(-1)
_BODY = pl.col("raw").str.strip_chars_end().str.head(-1).str.strip_chars_end()


class NdJson:
    """Zeek logs field by field; a JSON record's own text goes through as it is, an EVE event's under ``suricata``."""

    one_file = False

    def lines(self, enriched: list[Enriched]) -> Iterator[Lines]:
        """One batch after the other."""
        for item in enriched:
            yield from in_pieces(item.batch, fragments(item), _lines)

    def header(self, text: str, enriched: Enriched) -> list[str]:
        """No header in this shape."""
        return []


def fragments(item: Enriched) -> Texts:
    """For each added table its members as JSON text, ``,"name":value`` one after the other, nulls left out."""
    renamed = _fragments(item, item.taken)
    if item.clashes is None:
        return renamed
    own = _fragments(item, ())
    return pl.DataFrame([one.zip_with(item.clashes, other) for one, other in zip(renamed, own, strict=True)])


def _fragments(item: Enriched, taken: Collection[str]) -> Texts:
    kind = "json", frozenset(taken)
    return texts_of(item, lambda added: added.rendered(kind, lambda table: render(table, item.visible(table, taken))))


def render(table: pl.DataFrame, names: dict[str, str]) -> pl.Series:
    """The members of each row as JSON text, nulls left out; numbers that JSON does not know are ``null``."""
    members = (pl.concat_str(pl.lit(f",{json_texts.encode(written)}:"), name) for name, written in names.items())
    return json_texts.texts(table[[*names]]).select(pl.concat_str(members, ignore_nulls=True)).to_series()


def _lines(batch: Batch, texts: Texts) -> Lines:
    if batch.form is Form.JSON:
        return spliced(batch.raw, [*texts])
    parts: list[pl.Series | str] = [batch.fields.select(_OPEN_OBJECT).to_series(), *texts]
    if batch.form is Form.EVE and batch.raw is not None:
        parts += [',"suricata":', batch.raw]
    return Lines.of([*parts, "}"], GAP)


def spliced(raw: pl.Series | None, texts: Parts) -> Lines:
    """Put members before the closing brace of each JSON record."""
    if raw is None:
        raise AssertionError("JSON records keep their own text")
    if not texts:
        return Lines(raw.to_frame())
    body, bare = raw.to_frame("raw").select(_BODY, bare=_BODY.str.strip_chars() == "{")
    if bare.any():
        members = joined(texts)
        texts = [members.str.strip_prefix(",").zip_with(bare, members)]
    return Lines.of([body, *texts, "}"], GAP)
