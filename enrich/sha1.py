"""SHA-1 (FIPS 180-4) of many short messages at once, in columns. For identifiers, not for security."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
BLOCK_WORDS = 16
LONGEST = 55
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_ROUND = (0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6)


def digests(messages: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The digests (rows x 20 bytes) of equally long messages (rows x length, at most 55 bytes: one block each)."""
    rows, length = messages.shape
    if length > LONGEST:
        raise ValueError(f"messages of {length} bytes; at most {LONGEST} fit into one block")
    block = np.zeros((rows, BLOCK_WORDS * 4), dtype=np.uint8)
    block[:, :length] = messages
    block[:, length] = 0x80
    block[:, -2], block[:, -1] = (length * 8) >> 8, (length * 8) & 0xFF
    w: list[Words] = list(np.ascontiguousarray(block.view(">u4").astype(np.uint32).T))
    a, b, c, d, e = (np.full(rows, value, dtype=np.uint32) for value in _START)
    for t in range(80):
        if t >= BLOCK_WORDS:
            w.append(_rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1))
        if t < 20:
            f = d ^ (b & (c ^ d))
        elif 40 <= t < 60:
            f = (b & c) | (d & (b | c))
        else:
            f = b ^ c ^ d
        a, b, c, d, e = _rotate(a, 5) + f + e + np.uint32(_ROUND[t // 20]) + w[t], a, _rotate(b, 30), c, d
    out = np.stack([x + np.uint32(s) for x, s in zip((a, b, c, d, e), _START, strict=True)], axis=1)
    return out.astype(">u4").view(np.uint8)


def _rotate(x: Words, n: int) -> Words:
    return (x << np.uint32(n)) | (x >> np.uint32(32 - n))
