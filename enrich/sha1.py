"""SHA-1 (FIPS 180-4) of many short messages at once, in columns. For identifiers, not for security."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint32]
LONGEST = 55
_BLOCK_WORDS = 16
_AT_ONCE = 32_768
"""So many messages at once: enough that calls cost little, few enough that the processor's cache holds them."""
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0)
_ROUND = tuple(np.uint32(constant) for constant in (0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6))


def digests(words: Sequence[Words], length: int) -> list[Words]:
    """The five words of each digest of messages that all have ``length`` bytes (at most 55: one block each).

    ``words`` are the messages' big-endian words, an array for each word with a value for each message; bytes of the
    last word beyond ``length`` are zero. Raises ValueError for another number of words than the length needs.
    """
    if length > LONGEST or len(words) != -(-length // 4) or not words:
        raise ValueError(f"{len(words)} words for messages of {length} bytes; 1 to {LONGEST} fit into one block")
    rows = len(words[0])
    out = [np.empty(rows, np.uint32) for _ in _START]
    for start in range(0, rows, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        for whole, found in zip(out, _block([word[part] for word in words], length), strict=True):
            whole[part] = found
    return out


def _block(words: list[Words], length: int) -> list[Words]:
    w = _padded(words, length)
    state = [np.full_like(w[0], value) for value in _START]
    f, s = np.empty_like(w[0]), np.empty_like(w[0])
    a, b, c, d, e = (word.copy() for word in state)
    for t in range(80):
        at = t % _BLOCK_WORDS  # the schedule needs its last 16 words only
        if t >= _BLOCK_WORDS:
            for before in (3, 8, 14):
                w[at] ^= w[(t - before) % _BLOCK_WORDS]
            _rotate(w[at], 1, w[at], s)
        if t < 20:
            np.bitwise_xor(c, d, out=f)
            f &= b
            f ^= d
        elif 40 <= t < 60:
            np.bitwise_or(b, c, out=f)
            f &= d
            np.bitwise_and(b, c, out=s)
            f |= s
        else:
            np.bitwise_xor(b, c, out=f)
            f ^= d
        f += w[at]
        f += _ROUND[t // 20]
        e += f
        _rotate(a, 5, f, s)
        e += f
        _rotate(b, 30, b, s)
        a, b, c, d, e = e, a, b, c, d
    return [first + last for first, last in zip(state, (a, b, c, d, e), strict=True)]


def _padded(words: list[Words], length: int) -> list[Words]:
    """The sixteen words of each block: the message, a one bit, zeros, the length in bits."""
    block = [word.astype(np.uint32) for word in words]
    block += [np.zeros_like(block[0]) for _ in range(_BLOCK_WORDS - len(block))]
    block[length // 4] |= np.uint32(0x80 << 8 * (3 - length % 4))
    block[-1] |= np.uint32(8 * length)
    return block


def _rotate(x: Words, n: int, out: Words, scratch: Words) -> None:
    """Rotate to the left into ``out``, which may be ``x`` itself."""
    np.right_shift(x, np.uint32(32 - n), out=scratch)
    np.left_shift(x, np.uint32(n), out=out)
    out |= scratch
