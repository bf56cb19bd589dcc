"""Host names: tables of domain suffixes (one hash look-up a label, longest suffix first) and registered domains."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Generic, TypeVar
from unicodedata import normalize

import polars as pl

T = TypeVar("T")
MAX_LABELS = 32
_NAME = re.compile(r"[a-z0-9_*-]+(?:\.[a-z0-9_-]+)*")


def host_name(text: str | None) -> str | None:
    """A host name folded for look-ups: lower case, ASCII, no port, no final dot; null for an address and no name."""
    if not text or len(text) > 260:
        return None
    name = text.lower()
    if name[0] == "[":
        return None
    name = name.partition(":")[0].rstrip(".")
    if not name.isascii():
        name = _a_labels(name)
    if len(name) > 253 or not _NAME.fullmatch(name) or name.rpartition(".")[2].isdecimal():
        return None
    return name


def _a_labels(name: str) -> str:
    """A name as DNS has it, where it is written in Unicode (RFC 5890, RFC 3492)."""
    labels = re.split("[.\u3002\uff0e\uff61]", normalize("NFC", name))
    return ".".join(text if text.isascii() else f"xn--{text.encode('punycode').decode('ascii')}" for text in labels)


def host_names(texts: pl.Series) -> pl.Series:
    """Host names as they are told: in lower case (RFC 4343), no port, no final dot; null for addresses.

    Unlike :func:`host_name` it keeps whatever else stands where a name should, and Unicode as it is written.
    """
    text = pl.col("text").str.to_lowercase().str.replace(r":[0-9]*$", "").str.strip_chars_end(".")
    told = texts.alias("text").to_frame().select(text)
    return told.select(pl.when(~pl.col("text").str.contains(r"^[0-9.]*$|:|^\[")).then("text")).to_series()


def suffixes(name: str) -> Iterator[str]:
    """The name itself and its parents, longest first; at most MAX_LABELS of them."""
    for _ in range(MAX_LABELS):
        yield name
        _, dot, name = name.partition(".")
        if not dot:
            return


class Suffixes(Generic[T]):
    """Values by domain suffix. The first entry for a domain stays; the longest suffix of a name wins."""

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        self.by_domain: dict[str, T] = {}
        for domain, value in entries:
            self.by_domain.setdefault(domain.lower().rstrip("."), value)

    def find(self, name: str) -> tuple[str, T] | None:
        """The suffix that matches a folded name, and its value."""
        for suffix in suffixes(name):
            value = self.by_domain.get(suffix)
            if value is not None:
                return suffix, value
        return None

    def get(self, name: str) -> T | None:
        """The value of the longest suffix of a folded name."""
        found = self.find(name)
        return found[1] if found else None

    def columns(self, names: pl.Series, fields: Mapping[str, int]) -> pl.DataFrame:
        """Look up a column of names; ``fields`` maps a new column's name to its position in the value tuples."""
        found = [self.get(folded) if (folded := host_name(text)) else None for text in names]
        return pl.DataFrame(
            {
                field: pl.Series([None if value is None else value[at] for value in found], dtype=pl.String)  # type: ignore[index]
                for field, at in fields.items()
            }
        )


@lru_cache(maxsize=1)
def _public_suffixes() -> object:
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def registered_domain(text: str | None) -> str | None:
    """The registered domain of a host name (public-suffix aware); null for a public suffix, address or no name."""
    name = host_name(text)
    if name is None or "." not in name:
        return None
    domain: str | None = _public_suffixes().privatesuffix(name)  # type: ignore[attr-defined]
    return domain
