"""Community id, version 1, for connection logs that lack it (the open flow-hashing specification).

Nearly every flow has its own, so this is worked out in columns, not a value at a time.
"""

from __future__ import annotations

import io
from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton

import numpy as np
import numpy.typing as npt
import polars as pl

from enrich.model import Enricher, Resources, Use, Work
from enrich.sha1 import digests

_PROTOCOLS = {"icmp": 1, "tcp": 6, "udp": 17, "sctp": 132}
_ICMP6 = 58
# Type of an ICMP message and of the one that answers it; other types are one-way.
_ANSWERS = {8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
_ANSWERS6 = {128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 144: 145, 145: 144}
_BASE64 = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", dtype=np.uint8)
Bytes = npt.NDArray[np.uint8]


def community_ids(flows: pl.DataFrame) -> pl.Series:
    """The ids of flows (proto, orig, orig_port, resp, resp_port); null where a flow has none."""
    out = pl.Series("community_id", [None] * flows.height, pl.String)
    proto = flows["proto"].replace_strict(_PROTOCOLS, default=None, return_dtype=pl.UInt8)
    ported = proto.is_not_null() & flows["orig_port"].is_not_null() & flows["resp_port"].is_not_null()
    usable, number = ported.to_numpy(), proto.fill_null(0).to_numpy()
    ports = [flows[name].fill_null(0).to_numpy() for name in ("orig_port", "resp_port")]
    (orig, orig_width), (resp, resp_width) = _packed(flows["orig"]), _packed(flows["resp"])
    for width in (4, 16):
        rows = np.flatnonzero(usable & (orig_width == width) & (resp_width == width))
        if len(rows):
            hashed = _hash(number[rows], orig[rows, :width], resp[rows, :width], *(port[rows] for port in ports))
            out = out.scatter(rows, _texts(hashed))
    return out


def _packed(addresses: pl.Series) -> tuple[Bytes, Bytes]:
    """Each address in network byte order (rows x 16 bytes) and its width; worked out once for each distinct one."""
    keys = addresses.to_frame("address")
    distinct = keys.unique()
    packed = [_pack(text) if text is not None else b"" for text in distinct["address"]]
    table = np.frombuffer(b"".join(p.ljust(16, b"\0") for p in packed), dtype=np.uint8).reshape(-1, 16)
    widths = np.array([len(p) for p in packed], dtype=np.uint8)
    numbered = distinct.with_row_index("row")
    joined = keys.join(numbered, on="address", how="left", nulls_equal=True, maintain_order="left")
    rows = joined["row"].to_numpy()
    return table[rows], widths[rows]


@lru_cache(maxsize=200_000)
def _pack(text: str) -> bytes:
    try:
        return inet_pton(AF_INET6 if ":" in text else AF_INET, text)
    except (OSError, ValueError):  # no address; a text with NUL
        return b""


def _hash(
    number: Bytes, orig: Bytes, resp: Bytes, orig_port: npt.NDArray[np.uint16], resp_port: npt.NDArray[np.uint16]
) -> Bytes:
    width = orig.shape[1]
    number = np.where((number == 1) & (width == 16), _ICMP6, number).astype(np.uint8)
    resp_port = resp_port.copy()
    one_way = np.zeros(len(number), dtype=bool)
    for protocol, answers in ((1, _ANSWERS), (_ICMP6, _ANSWERS6)):
        icmp = np.flatnonzero(number == protocol)
        for row in icmp:
            answer = answers.get(int(orig_port[row]))
            one_way[row] = answer is None
            if answer is not None:
                resp_port[row] = answer
    first = np.concatenate([orig, orig_port.astype(">u2").view(np.uint8).reshape(-1, 2)], axis=1)
    second = np.concatenate([resp, resp_port.astype(">u2").view(np.uint8).reshape(-1, 2)], axis=1)
    # Zeek and Suricata agree on comparing the ports of equal addresses by their low byte first.
    order = [*range(width), width + 1, width]
    a, b = first[:, order], second[:, order]
    at = (a != b).argmax(axis=1)
    every = np.arange(len(a))
    swap = (b[every, at] < a[every, at]) & ~one_way
    low, high = np.where(swap[:, None], second, first), np.where(swap[:, None], first, second)
    message = np.zeros((len(first), 2 + 2 * width + 6), dtype=np.uint8)
    message[:, 2 : 2 + width], message[:, 2 + width : 2 + 2 * width] = low[:, :width], high[:, :width]
    message[:, 2 + 2 * width] = number
    message[:, -4:-2], message[:, -2:] = low[:, width:], high[:, width:]
    return digests(message)


def _texts(hashes: Bytes) -> pl.Series:
    """``1:`` and base64 of each digest, made as one text of equal lines."""
    rows = len(hashes)
    padded = np.zeros((rows, 21), dtype=np.uint8)
    padded[:, :20] = hashes
    a, b, c = (padded[:, i::3].astype(np.uint16) for i in range(3))
    sextets = np.stack([a >> 2, (a & 3) << 4 | b >> 4, (b & 15) << 2 | c >> 6, c & 63], axis=2).reshape(rows, 28)
    lines = np.empty((rows, 31), dtype=np.uint8)
    lines[:, 0], lines[:, 1], lines[:, 30] = ord("1"), ord(":"), ord("\n")
    lines[:, 2:30] = _BASE64[sextets]
    lines[:, 29] = ord("=")
    return pl.read_csv(
        io.BytesIO(lines.tobytes()), has_header=False, schema={"id": pl.String}, separator="\t", quote_char=None
    ).to_series()


def prepare(_: Resources) -> Work:
    """No table needed."""
    return lambda keys: community_ids(keys).to_frame()


ENRICHER = Enricher(
    name="community_id",
    doc="Community id version 1, where the log lacks it.",
    keys={
        "proto": pl.String,
        "orig": pl.String,
        "orig_port": pl.UInt16,
        "resp": pl.String,
        "resp_port": pl.UInt16,
    },
    adds={"community_id": pl.String},
    uses=(Use(("conn",), ("proto", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"), absent="community_id"),),
    prepare=prepare,
    distinct=False,
)
