"""Flows as roll-ups see them: conn batches with every column of its type, and the two sides of the site's border."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from weakref import ref

import polars as pl

from enrich.batch import timed
from enrich.errors import ConfigError
from enrich.model import Resources

OWN_SCOPES = ("private", "link_local")
# Zeek's conn_state where no SYN of the originator was seen.
NO_SYN = ("OTH", "SHR", "RSTRH")
ANSWERED = ("open", "empty", "unrecognised", "undetected", "half")
NO_HOST = ("multicast", "broadcast")
_ADDRESS = {"orig": "id.orig_h", "resp": "id.resp_h"}
_PLACES = frozenset({"orig.scope", "resp.scope", "local_orig", "local_resp"})
_TYPES: Mapping[str, type[pl.DataType]] = {
    "ts": pl.Float64, "uid": pl.String, "id.orig_h": pl.String, "id.orig_p": pl.Int64, "id.resp_h": pl.String,
    "id.resp_p": pl.Int64, "proto": pl.String, "service": pl.String, "conn_state": pl.String, "orig_pkts": pl.Int64,
    "resp_pkts": pl.Int64, "orig_ip_bytes": pl.Int64, "resp_ip_bytes": pl.Int64, "resp.name": pl.String,
    "site.category": pl.String, "site.product": pl.String, "port.service": pl.String, "port.group": pl.String,
    "orig.port_class": pl.String, "app.protocol": pl.String, "app.name": pl.String, "app.category": pl.String,
    "app.confidence": pl.Float64, "app.asserted": pl.String, "app.contradiction": pl.Boolean, "orig.scope": pl.String,
    "resp.scope": pl.String, "local_orig": pl.Boolean, "local_resp": pl.Boolean, "_state": pl.String,
    "_seen": pl.String, "_server": pl.String,
}  # fmt: skip
CONN = frozenset(_TYPES)
"""The columns of conn that roll-ups read."""
RECORD = frozenset({"ts", "uid", "id.orig_h", "id.resp_h", "id.resp_p"}) | _PLACES
"""What they read of any other log that tells of a flow."""
_NEEDED = frozenset({"ts", "id.orig_h", "id.resp_h", "id.resp_p"})


class Border:
    """Says of each record's addresses whether they are the site's own.

    They are if their scope is private or link-local, if one of the networks named in the configuration
    (``[networks] local = ["198.51.100.0/24"]``) holds them, or if they are public and Zeek says so (``local_orig``,
    ``local_resp``). Of special addresses Zeek's word says little: by default it counts even those for documentation in.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        local = settings.get("local", [])
        named = [local] if isinstance(local, str) else local
        try:
            if not isinstance(named, list) or not all(isinstance(text, str) for text in named):
                raise ValueError(f"{local!r} is none")
            networks = [ipaddress.ip_network(text) for text in named]
        except ValueError as error:
            raise ConfigError(f"networks.local: expected networks such as 198.51.100.0/24: {error}") from error

        @lru_cache(maxsize=1 << 17)
        def inside(text: str) -> bool:
            try:
                address = ipaddress.ip_address(text)
            except ValueError:
                return False
            return any(address in network for network in networks)

        self._inside = inside if networks else None
        self._last: tuple[ref[pl.DataFrame], pl.DataFrame] | None = None

    def own(self, frame: pl.DataFrame, side: str) -> pl.Expr:
        """Whether the address of a side (``orig`` or ``resp``) is the site's own; of a typed frame."""
        scope = pl.col(f"{side}.scope")
        own = among(scope, OWN_SCOPES) | ((scope == "public") & pl.col(f"local_{side}").fill_null(False))
        if self._inside is not None:
            addresses = frame[_ADDRESS[side]].drop_nulls().unique()
            held = addresses.filter(pl.Series([self._inside(text) for text in addresses], dtype=pl.Boolean))
            own = own.fill_null(False) | pl.col(_ADDRESS[side]).is_in(held.implode())
        return (own & ~among(scope, NO_HOST)).fill_null(False)

    def records(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """Records of any log that say when, typed, with ``_orig_own`` and ``_resp_own``; None if they tell no flows."""
        if not {*frame.columns} >= _NEEDED:
            return None
        typed = timed(_typed(frame, {*frame.columns} | RECORD))
        return typed.with_columns(self.own(typed, side).alias(f"_{side}_own") for side in _ADDRESS)

    def flows(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """A conn batch with all columns of ``CONN``, typed; None if they do not tell of flows.

        And: ``_orig_own`` and ``_resp_own``; ``bytes`` of both sides; ``_open``: it was answered; ``_observed``: its
        payload named the protocol; ``_tcp`` and ``_udp``; ``_oriented``: the client's SYN was seen, or it is no TCP.
        """
        if not {*frame.columns} >= _NEEDED:
            return None
        last = self._last  # which another thread may forget meanwhile
        if last is None or last[0]() is not frame:  # each roll-up asks for the same batch
            last = self._last = ref(frame, self._forget), self._flows(frame)
        return last[1]

    def _forget(self, gone: object) -> None:
        last = self._last
        if last is not None and last[0] is gone:
            self._last = None

    def _flows(self, frame: pl.DataFrame) -> pl.DataFrame:
        typed = timed(_typed(frame, CONN))
        return typed.with_columns(
            *(self.own(typed, side).alias(f"_{side}_own") for side in _ADDRESS),
            (pl.col("orig_ip_bytes").fill_null(0) + pl.col("resp_ip_bytes").fill_null(0)).alias("bytes"),
            among(pl.col("_state"), ANSWERED).fill_null(False).alias("_open"),
            (pl.col("service").is_not_null() | pl.col("_seen").is_not_null()).alias("_observed"),
            (pl.col("proto") == "tcp").alias("_tcp"),
            (pl.col("proto") == "udp").alias("_udp"),
        ).with_columns((~(pl.col("_tcp") & among(pl.col("conn_state"), NO_SYN))).fill_null(True).alias("_oriented"))


def border(resources: Resources) -> Border:
    """The site's border, as the configuration draws it."""
    return resources.shared("border", lambda: Border(resources.settings("networks")))


def among(text: pl.Expr, few: Iterable[str]) -> pl.Expr:
    """Whether a text is one of a few, quicker than a set says."""
    return pl.any_horizontal(text == one for one in few)


class Pick:
    """Some columns of the rows for which an expression holds, the others not copied. Laid out once for all batches."""

    def __init__(self, where: pl.Expr, *columns: str | pl.Expr, **named: str | pl.Expr) -> None:
        self.where = where
        items = [*((None, item) for item in columns), *named.items()]
        self._plain = {name or item: item for name, item in items if isinstance(item, str)}
        self._made = [item if name is None else item.alias(name) for name, item in items if isinstance(item, pl.Expr)]
        self._read = dict.fromkeys(name for item in self._made for name in item.meta.root_names())

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The columns of a frame's rows."""
        return pick(frame, self)[0]

    def rows(self, frame: pl.DataFrame, holds: pl.Series) -> pl.DataFrame:
        """The columns of the rows that hold."""
        plain = [frame[item].filter(holds).alias(name) for name, item in self._plain.items()]
        if not self._read:
            return pl.DataFrame(plain).with_columns(self._made)
        made = pl.DataFrame([frame[name].filter(holds) for name in self._read]).select(self._made)
        return pl.DataFrame([*plain, *made])


def pick(frame: pl.DataFrame, *choices: Pick) -> list[pl.DataFrame]:
    """What several choose of a frame: asking for all at once costs less than for one after the other."""
    holds = frame.select(choice.where.alias(str(at)) for at, choice in enumerate(choices))
    return [choice.rows(frame, mask) for choice, mask in zip(choices, holds, strict=True)]


def _typed(frame: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    """The named columns with their types, strings if unknown; null where the log lacks one."""
    kinds = {name: _TYPES.get(name, pl.String) for name in sorted(names)}
    return frame.select(
        (pl.col(name).cast(kind, strict=False) if name in frame.columns else pl.lit(None, kind)).alias(name)
        for name, kind in kinds.items()
    )
