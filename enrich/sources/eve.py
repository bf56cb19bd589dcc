"""Suricata's EVE JSON: events mapped to Zeek's vocabulary, each event's own text kept beside it.

``flow`` becomes conn, ``tls`` becomes ssl, and so on; an event type that Zeek has no log for keeps its own name. The
mapping speaks of a connection as Zeek does: the originator is the side that Suricata calls the source of a *flow*.
Many events are reported in the direction of one packet instead; :class:`Directions` turns those of the server's round.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator

import polars as pl

from enrich.batch import Batch, Damage, Form, Item, Reject
from enrich.icmp import ANSWERS, ANSWERS6
from enrich.keyed import Keyed, hashes
from enrich.logs import log_name
from enrich.scratch import Scratch
from enrich.sources.eve_fields import COLUMNS, COMMON, LOGS, OWN
from enrich.sources.json_lines import decode, objects, seconds
from enrich.sources.lines import Chunk
from enrich.sources.zeek_tsv import Want

# Reported in the direction of their flow; any other event goes by a packet, which may be the server's.
_BY_FLOW = frozenset(("conn", "dns", "http", "ssl", "ftp", "smb", "smtp", "ssh", "tftp", "rfb", "dce_rpc"))


class Directions:
    """Which side began each flow, learnt from flow events in a first pass over all inputs.

    Until :attr:`settled` is set, events that go by a packet are mapped without addresses and ports.
    """

    def __init__(self, scratch: Scratch | None = None) -> None:
        self.settled = False
        self._sources = Keyed("least", scratch)

    def learn(self, flows: pl.DataFrame) -> None:
        """Remember the sources of flow events."""
        known = flows.filter(pl.col("flow_id").is_not_null())
        self._sources.add(hashes(known["flow_id"]), hashes(known["src_ip"], known["src_port"]))

    def backwards(self, frame: pl.DataFrame) -> pl.Series:
        """Which events have the flow's destination as their source."""
        known = self._sources.get(hashes(frame["flow_id"]))
        source = hashes(frame["src_ip"], frame["src_port"])
        destination = hashes(frame["dest_ip"], frame["dest_port"])
        return pl.Series((known == destination) & (known != source))


def read(chunks: Iterable[Chunk | list[Reject] | Damage], directions: Directions, want: Want) -> Iterator[Item]:
    """Yield batches (one a log and chunk) and rejects, in their order.

    ``want`` names the columns that are asked for of a log (None: all; no name: its events are passed over).
    """
    for chunk in chunks:
        if not isinstance(chunk, Chunk):
            yield chunk
            continue
        kinds, raw, rejects = decode(chunk, {"event_type": pl.String})
        if rejects:
            yield rejects
        batches = list(_split(kinds["event_type"], raw, directions, want))
        if batches:
            yield batches


def _split(events: pl.Series, raw: pl.Series, directions: Directions, want: Want) -> Iterator[Batch]:
    """A batch for each log; its events are decoded with the members that such events have."""
    names = {event: LOGS.get(event, log_name(event)) if event else "unknown" for event in events.unique()}
    logs = events.replace_strict(names, return_dtype=pl.String)
    rows = pl.int_range(events.len(), eager=True, dtype=pl.UInt32)
    for log in sorted(set(names.values())):
        wanted = want(log)
        if wanted is not None and not wanted:
            continue
        here = logs == log
        lines = raw.filter(here)
        frame = objects("\n".join(lines).encode(), lines.len(), {**COMMON, **OWN.get(log, {})})
        if frame is None:
            raise AssertionError("what was an object once is one again")
        if log == "conn" and not directions.settled:
            directions.learn(frame)
        yield Batch(log, Form.EVE, _mapped(frame, log, directions, wanted), lines, rows.filter(here))


def _mapped(frame: pl.DataFrame, log: str, directions: Directions, wanted: frozenset[str] | None) -> pl.DataFrame:
    columns = {
        "ts": seconds(pl.col("timestamp")),
        "uid": pl.col("flow_id"),
        "proto": pl.col("proto").str.to_lowercase().replace({"ipv6-icmp": "icmp"}),
        "community_id": pl.col("community_id"),
        **COLUMNS.get(log, {}),
    }
    mapped = frame.select(expr.alias(name) for name, expr in columns.items() if wanted is None or name in wanted)
    ends = _ends(frame)
    if log not in _BY_FLOW:
        if not directions.settled:
            ends = frame.select()
        elif (backwards := directions.backwards(frame)).any():
            ends = _turned(ends, backwards)
    first = [name for name in ("ts", "uid") if name in mapped.columns]
    whole = pl.concat([mapped.select(first), ends, mapped.drop(first)], how="horizontal")
    held = [name for name in whole.columns if whole[name].null_count() < whole.height]
    return whole.select(held) if held else frame.select(pl.col("flow_id").alias("uid"))


def _ends(frame: pl.DataFrame) -> pl.DataFrame:
    """The four ``id`` columns in the event's own direction."""
    answer = pl.col("icmp_type").replace_strict(ANSWERS, default=None, return_dtype=pl.Int64)
    answer6 = pl.col("icmp_type").replace_strict(ANSWERS6, default=None, return_dtype=pl.Int64)
    back = pl.coalesce(pl.when(pl.col("proto") == "IPv6-ICMP").then(answer6).otherwise(answer), "icmp_code")
    return frame.select(
        pl.lit(_short(frame["src_ip"])).alias("id.orig_h"),
        pl.coalesce("src_port", "icmp_type").cast(pl.UInt16, strict=False).alias("id.orig_p"),
        pl.lit(_short(frame["dest_ip"])).alias("id.resp_h"),
        pl.coalesce("dest_port", back).cast(pl.UInt16, strict=False).alias("id.resp_p"),
    )


def _turned(ends: pl.DataFrame, backwards: pl.Series) -> pl.DataFrame:
    names = ends.columns
    return pl.DataFrame(
        ends[other].zip_with(backwards, ends[name]).alias(name)
        for name, other in zip(names, [*names[2:], *names[:2]], strict=True)
    )


def _short(addresses: pl.Series) -> pl.Series:
    """Addresses as Zeek writes them: IPv6, which Suricata writes in full, in the form of RFC 5952."""
    six = addresses.filter(addresses.str.contains(":", literal=True)).unique()
    if not six.len():
        return addresses
    return addresses.replace(six, pl.Series([_rfc5952(text) for text in six], dtype=pl.String))


def _rfc5952(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return text
    return f"::ffff:{address.ipv4_mapped}" if address.ipv4_mapped is not None else str(address)
