"""Community id, version 1, for connection logs that lack it (the open flow-hashing specification).

Nearly every flow has its own, so this is worked out in columns, not a value at a time.
"""

from __future__ import annotations

import io
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.icmp import ANSWERS, ANSWERS6
from enrich.ip_numbers import FOUR, SIX, IpNumbers, Numbers, ip_numbers
from enrich.model import Added, Enricher, Memo, Resources, Use, Work
from enrich.sha1 import Words, digests

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}
_ICMP6 = 58
_PORTED = [*_PROTOCOLS.values(), _ICMP6]
"""What has ports, or what stands for them; of other protocols, addresses and number alone make the id."""
_BASE64 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", dtype=np.uint8)
_PAIRS = np.stack([_BASE64.repeat(64), np.tile(_BASE64, 64)], axis=1).view(np.uint16).ravel()
"""The two base64 digits of each number of twelve bits, as one number of two bytes."""
Ports = npt.NDArray[np.uint32]
Bools = npt.NDArray[np.bool_]


class _Ends(NamedTuple):
    """One end of each flow: its address as two numbers, its port."""

    high: Numbers
    low: Numbers
    port: Ports

    def at(self, rows: npt.NDArray[np.intp]) -> _Ends:
        return _Ends(self.high[rows], self.low[rows], self.port[rows])

    def before(self, other: _Ends) -> Bools:
        """Which come first. Zeek and Suricata agree on comparing the ports of one address by their low byte first."""
        ports = self.port.astype(np.uint16).byteswap() < other.port.astype(np.uint16).byteswap()
        low = (self.low < other.low) | ((self.low == other.low) & ports)
        first: Bools = (self.high < other.high) | ((self.high == other.high) & low)
        return first

    def where(self, chosen: Bools, other: _Ends) -> _Ends:
        """These ends where they are chosen, else the others."""
        high, low = np.where(chosen, self.high, other.high), np.where(chosen, self.low, other.low)
        return _Ends(high, low, np.where(chosen, self.port, other.port))

    def words(self, width: int) -> list[Words]:
        """The addresses in words of 32 bits."""
        if width == FOUR:
            return [self.low.astype(np.uint32)]
        return [word.astype(np.uint32) for half in self[:2] for word in (half >> np.uint64(32), half)]


def prepare(_: Resources) -> Work:
    """No table needed; the numbers that addresses are, each address once."""
    addresses = Memo(("address",), IpNumbers._fields, _numbers)

    def work(flows: pl.DataFrame) -> pl.DataFrame:
        orig, resp = (addresses.apply(flows.select(address=side)) for side in ("orig", "resp"))
        return community_ids(flows, orig, resp).to_frame()

    return work


def community_ids(flows: pl.DataFrame, orig: Added, resp: Added) -> pl.Series:
    """The ids of flows (proto, both ports, IP's protocol, and both addresses as numbers); null where one has none."""
    out = pl.Series("community_id", [None], pl.String).new_from_index(0, flows.height)
    proto = flows["proto"].replace_strict(_PROTOCOLS, default=None, return_dtype=pl.UInt8)
    proto = proto.zip_with(proto.is_not_null(), flows["ip_protocol"])
    ported = proto.is_in(_PORTED) & flows["orig_port"].is_not_null() & flows["resp_port"].is_not_null()
    with_ports, number = ported.fill_null(False).to_numpy(), proto.fill_null(0).to_numpy().astype(np.uint32)
    without = (~proto.is_in(_PORTED)).fill_null(False).to_numpy()
    widths = [side.column("width").to_numpy() for side in (orig, resp)]
    first, second = (
        _Ends(side.column("high").to_numpy(), side.column("low").to_numpy(), port.to_numpy().astype(np.uint32))
        for side, port in ((orig, flows["orig_port"].fill_null(0)), (resp, flows["resp_port"].fill_null(0)))
    )
    for width, usable in product((FOUR, SIX), (with_ports, without)):
        rows = np.flatnonzero(usable & (widths[0] == width) & (widths[1] == width))
        if len(rows):
            found = _texts(_hashes(width, number[rows], first.at(rows), second.at(rows), ports=usable is with_ports))
            out = found.alias(out.name) if len(rows) == flows.height else out.scatter(rows, found)
    return out


def _numbers(keys: pl.DataFrame) -> pl.DataFrame:
    return pl.DataFrame(ip_numbers(keys["address"])._asdict())


def _hashes(width: int, number: Ports, orig: _Ends, resp: _Ends, *, ports: bool) -> list[Words]:
    if not ports:
        nothing = np.zeros_like(number)
        orig, resp = orig._replace(port=nothing), resp._replace(port=nothing)
    if width == SIX:
        number = np.where(number == 1, np.uint32(_ICMP6), number)
    one_way, port = _answered(number, orig.port, resp.port)
    resp = resp._replace(port=port)
    swap = resp.before(orig) & ~one_way
    first, second = resp.where(swap, orig), orig.where(swap, resp)
    words = []
    before = np.zeros(len(number), np.uint32)  # the seed, two bytes of zeros, moves all addresses by half a word
    for word in (*first.words(width), *second.words(width)):
        words.append(before << np.uint32(16) | word >> np.uint32(16))
        before = word
    words.append(before << np.uint32(16) | number << np.uint32(8))
    if ports:
        words.append(first.port << np.uint32(16) | second.port)
    return digests(words, 4 * len(words))


def _answered(number: Ports, orig_port: Ports, resp_port: Ports) -> tuple[Bools, Ports]:
    """Which flows are ICMP messages that nothing answers; the responders' ports, those of ICMP the answer's type."""
    one_way = np.zeros(len(number), dtype=bool)
    for protocol, answers in ((1, ANSWERS), (_ICMP6, ANSWERS6)):
        icmp = number == protocol
        if icmp.any():
            answer = np.array([answers.get(kind, -1) for kind in range(256)])[np.minimum(orig_port, 255)]
            one_way |= icmp & (answer < 0)
            resp_port = np.where(icmp & (answer >= 0), answer, resp_port).astype(np.uint32)
    return one_way, resp_port


def _texts(digest: list[Words]) -> pl.Series:
    """``1:`` and base64 of each digest, made as one text of equal lines."""
    w0, w1, w2, w3, w4 = digest
    eight, sixteen, all8, all16 = (np.uint32(value) for value in (8, 16, 0xFF, 0xFFFF))
    groups = (
        *(w0 >> eight, (w0 & all8) << sixteen | w1 >> sixteen, (w1 & all16) << eight | w2 >> np.uint32(24)),
        *(w2 & np.uint32(0xFFFFFF), w3 >> eight, (w3 & all8) << sixteen | w4 >> sixteen, (w4 & all16) << eight),
    )
    pairs = np.empty((len(w0), 14), dtype=np.uint16)
    for at, group in enumerate(groups):
        pairs[:, 2 * at] = _PAIRS[group >> np.uint32(12)]
        pairs[:, 2 * at + 1] = _PAIRS[group & np.uint32(0xFFF)]
    lines = np.empty((len(w0), 31), dtype=np.uint8)
    lines[:, 0], lines[:, 1], lines[:, 30] = ord("1"), ord(":"), ord("\n")
    lines[:, 2:30] = pairs.view(np.uint8)
    lines[:, 29] = ord("=")
    return pl.read_csv(
        io.BytesIO(lines.tobytes()), has_header=False, schema={"id": pl.String}, separator="\t", quote_char=None
    ).to_series()


ENRICHER = Enricher(
    name="community_id",
    doc="Community id version 1, where the log lacks it.",
    keys={
        "proto": pl.String,
        "orig": pl.String,
        "orig_port": pl.UInt16,
        "resp": pl.String,
        "resp_port": pl.UInt16,
        "ip_protocol": pl.UInt8,
    },
    adds={"community_id": pl.String},
    uses=(
        Use(
            ("conn",),
            ("proto", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "_ip_protocol"),
            absent="community_id",
        ),
    ),
    prepare=prepare,
    distinct=False,
)
