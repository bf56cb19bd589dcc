"""SHA-1 in columns gives what the standard library gives, message by message."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.sha1 import LONGEST, digests


def hashed(messages: list[bytes]) -> list[bytes]:
    length = len(messages[0])
    size = -(-length // 4)
    table = np.frombuffer(b"".join(message.ljust(4 * size, b"\0") for message in messages), ">u4").reshape(-1, size)
    words = digests([table[:, at].astype(np.uint32) for at in range(size)], length)
    rows = np.stack(words, axis=1).astype(">u4").tobytes()
    return [rows[start : start + 20] for start in range(0, len(rows), 20)]


@given(st.integers(1, LONGEST).flatmap(lambda size: st.lists(st.binary(min_size=size, max_size=size), min_size=1)))
def test_as_the_standard_library(messages: list[bytes]) -> None:
    assert hashed(messages) == [hashlib.sha1(message).digest() for message in messages]


def test_more_messages_than_are_hashed_at_once() -> None:
    messages = [number.to_bytes(16, "big") for number in range(20_000)]
    assert hashed(messages) == [hashlib.sha1(message).digest() for message in messages]


@pytest.mark.parametrize(("words", "length"), [(0, 0), (1, 5), (2, 4), (14, 56)])
def test_what_is_no_single_block_is_refused(words: int, length: int) -> None:
    with pytest.raises(ValueError, match="fit into one block"):
        digests([np.zeros(1, np.uint32)] * words, length)
