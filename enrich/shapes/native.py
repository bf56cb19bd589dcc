"""The input's own form: every record byte for byte, with what was found out appended."""

from __future__ import annotations

import re
from collections.abc import Iterator

import polars as pl

from enrich.batch import Batch, Dialect, Form
from enrich.model import Added
from enrich.shapes import Enriched, Lines, Texts, in_pieces, joined, texts_of
from enrich.shapes.ndjson import fragments, spliced

_ZEEK_TYPES: tuple[tuple[pl.DataType | type[pl.DataType], str], ...] = (
    (pl.Boolean, "bool"),
    (pl.Float64, "double"),
    (pl.List(pl.String), "vector[string]"),
    (pl.String, "string"),
    (pl.Int64, "int"),
)
_ENRICHED = r'"enrich(?:\.([0-9]{1,9}))?"\s*:'
_SPECIAL = r"[\x00-\x1f\x7f\\]"


class Native:
    """TSV rows get columns, JSON records keys before their closing brace, EVE events an ``enrich`` object."""

    one_file = True

    def lines(self, enriched: list[Enriched]) -> Iterator[Lines]:
        """The batches in the order of their input."""
        ready = [(item.batch, _rendered(item)) for item in enriched]
        if len(ready) == 1:
            yield from in_pieces(*ready[0], _lines)
            return
        whole = [pl.DataFrame({"line": _lines(batch, texts).whole(), "row": batch.rows}) for batch, texts in ready]
        yield Lines(pl.concat(whole).sort("row").select("line"))

    def header(self, text: str, enriched: Enriched) -> list[str]:
        """Header lines, with the added columns' names and types."""
        separator = enriched.batch.dialect.separator
        extra = [
            (written, _zeek_type(added.table.schema[name]))
            for added in enriched.added
            for name, written in enriched.visible(added.table).items()
        ]
        more = {"#fields": [name for name, _ in extra], "#types": [kind for _, kind in extra]}
        lines = text.split("\n")
        return [separator.join([line, *more.get(line.partition(separator)[0], [])]) for line in lines]


def _zeek_type(dtype: pl.DataType) -> str:
    return next((name for known, name in _ZEEK_TYPES if dtype == known), "count")


def _rendered(item: Enriched) -> Texts:
    if item.batch.form is not Form.TSV:
        return fragments(item)
    return texts_of(item, lambda added: _cells(added, item, item.batch.dialect))


def _cells(added: Added, item: Enriched, dialect: Dialect) -> pl.Series:
    def render(table: pl.DataFrame) -> pl.Series:
        cells = [cell(table[name], dialect) for name in item.visible(table)]
        return table.select(pl.concat_str([pl.lit(text) for text in cells], separator=dialect.separator)).to_series()

    return added.rendered(("tsv", dialect), render)


def cell(values: pl.Series, dialect: Dialect) -> pl.Series:
    """A column as Zeek's ASCII writer writes it, escapes included."""
    if values.dtype == pl.Boolean:
        text = values.replace_strict({True: "T", False: "F"}, return_dtype=pl.String)
    elif values.dtype == pl.List(pl.String):
        inner = pl.DataFrame({"row": pl.int_range(values.len(), eager=True), "value": values}).filter(
            pl.col("value").list.len() > 0
        )
        flat = inner.explode("value", empty_as_null=False)
        joined_up = (
            flat.with_columns(_escaped(flat["value"], dialect, dialect.set_separator).alias("value"))
            .group_by("row", maintain_order=True)
            .agg(pl.col("value").str.join(dialect.set_separator))
        )
        text = (
            pl.DataFrame({"row": pl.int_range(values.len(), eager=True), "null": values.is_null()})
            .join(joined_up, on="row", how="left", maintain_order="left")
            .select(pl.when("null").then(None).otherwise(pl.col("value").fill_null(dialect.empty_field)))
            .to_series()
        )
    elif values.dtype == pl.String:
        text = _escaped(values, dialect)
    else:
        text = values.cast(pl.String)
    return text.fill_null(dialect.unset_field)


def _escaped(values: pl.Series, dialect: Dialect, *more: str) -> pl.Series:
    """Escape separators, backslashes and control characters as ``\\xNN``, and what would read as unset or empty."""
    out = values.replace(
        {
            "": dialect.empty_field,
            dialect.unset_field: _hex(dialect.unset_field),
            dialect.empty_field: _hex(dialect.empty_field),
        }
    )
    own = "|".join(re.escape(text) for text in (dialect.separator, *more))
    special = values.str.contains(f"{_SPECIAL}|{own}")
    if special.any():
        pattern = re.compile(f"{_SPECIAL}|{own}")
        texts = values.filter(special).unique()
        escaped = [pattern.sub(lambda match: _hex(match[0]), text) for text in texts]
        out = out.replace(texts, pl.Series(escaped, dtype=pl.String))
    return out


def _hex(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def _lines(batch: Batch, texts: Texts) -> Lines:
    if batch.raw is None:
        raise AssertionError("the native shape needs the records' own text")
    if not texts.width:
        return Lines(batch.raw.to_frame())
    if batch.form is Form.TSV:
        return Lines.of([batch.raw, *texts], batch.dialect.separator)
    if batch.form is Form.JSON:
        return spliced(batch.raw, [*texts])
    return spliced(batch.raw, [_member(batch.raw), joined([*texts]).str.strip_prefix(","), "}"])


def _member(raw: pl.Series) -> pl.Series:
    """The beginning of the object that an EVE event gets; it has another name where the event was enriched before."""
    before = raw.str.contains(_ENRICHED).arg_true()
    last = raw.gather(before).str.extract_all(_ENRICHED).list.eval(pl.element().str.extract(_ENRICHED).cast(pl.UInt32))
    number = last.list.max().fill_null(1) + 1
    names = pl.repeat(',"enrich":{', raw.len(), eager=True)
    return names.scatter(before, pl.select(pl.format(',"enrich.{}":{{', pl.lit(number))).to_series())
