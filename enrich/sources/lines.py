"""Bytes of a file, plain, gzip or zstd, in chunks of whole lines and bounded size.

What a truncated or corrupt file still gives is given; then :class:`~enrich.batch.Damage` says where it ended.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np
import zstandard

from enrich.batch import Damage, Reject
from enrich.errors import SourceError

CHUNK = 8 << 20
BLOCK = 1 << 20
MAX_LINE = 32 << 20
KEPT_OF_LONG_LINE = 64 << 10
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"
MARK = b"\xef\xbb\xbf"
ZSTD_PIECE = 2 << 10
_GZIP_WINDOW = 31
_NEWLINE = ord("\n")

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Chunk:
    """Whole lines, and the number of the first. ``cut``: the input broke off, so the last line may lack its end."""

    data: bytes
    first_line: int
    cut: bool = False

    @cached_property
    def ends(self) -> int:
        """How many line ends there are."""
        return newlines(self.data)


def newlines(data: bytes) -> int:
    """How many line ends there are; several times as fast as ``bytes.count``."""
    return int(np.count_nonzero(np.frombuffer(data, np.uint8) == _NEWLINE))


def holds(data: bytes, text: bytes) -> bool:
    """Whether a text occurs. Its first byte alone is looked for first, much faster, and mostly decides."""
    return text[:1] in data and text in data


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading. Raises SourceError naming it."""
    try:
        return path.open("rb")
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error


def head(path: Path, size: int = BLOCK) -> bytes:
    """Return the first bytes of a file, decompressed; what a damaged file still gives."""
    out = b""
    with open_file(path) as stream:
        for block in _without_mark(_blocks(stream, lambda _: None)):
            if isinstance(block, Damage):
                break
            out += block
            if len(out) >= size:
                break
    return out[:size]


def read_chunks(path: Path, progress: Progress) -> Iterator[Chunk | list[Reject] | Damage]:
    """Yield the lines of a file in chunks; ``progress`` is told how many more bytes of the file were read."""
    with open_file(path) as stream:
        yield from _chunks(_without_mark(_blocks(stream, progress)))


def _chunks(blocks: Iterator[bytes | Damage]) -> Iterator[Chunk | list[Reject] | Damage]:
    parts: list[bytes] = []
    size, line = 0, 1
    damage: Damage | None = None
    skipping: int | None = None
    for block in blocks:
        if isinstance(block, Damage):
            damage = block
            break
        if skipping is not None:
            end = block.find(b"\n")
            if end < 0:
                skipping += len(block)
                continue
            yield [_too_long(line, parts, skipping + end)]
            parts, size, skipping, line = [block[end + 1 :]], len(block) - end - 1, None, line + 1
            continue
        parts.append(block)
        size += len(block)
        if size < CHUNK:
            continue
        cut = block.rfind(b"\n") + 1
        if cut:
            parts[-1] = block[:cut]
            data = b"".join(parts)
            chunk = Chunk(data, line)
            line += chunk.ends
            yield chunk
            parts, size = [block[cut:]], len(block) - cut
        elif size > MAX_LINE:
            data = b"".join(parts)
            whole = data.rfind(b"\n") + 1
            if whole:
                yield Chunk(data[:whole], line)
                line += newlines(data)
                data = data[whole:]
            parts, size = [data], len(data)
            if size > MAX_LINE:
                parts, skipping = [data[:KEPT_OF_LONG_LINE]], size
    if skipping is not None:
        yield [_too_long(line, parts, skipping)]
    elif size:
        data = b"".join(parts)
        yield Chunk(data, line, cut=damage is not None)
        line += newlines(data)
    if damage is not None:
        yield Damage(line, damage.reason)


def _without_mark(blocks: Iterator[bytes | Damage]) -> Iterator[bytes | Damage]:
    """Leave out the byte order mark that some editors put before UTF-8."""
    for block in blocks:
        yield block.removeprefix(MARK) if isinstance(block, bytes) else block
        break
    yield from blocks


def _too_long(line: int, parts: list[bytes], size: int) -> Reject:
    return Reject(line, f"line of {size:,} bytes; at most {MAX_LINE:,} are read", b"".join(parts)[:KEPT_OF_LONG_LINE])


def _blocks(stream: BinaryIO, progress: Progress) -> Iterator[bytes | Damage]:
    try:
        first = stream.read(BLOCK)
        progress(len(first))
        if first.startswith(GZIP):
            yield from _gzip(stream, first, progress)
        elif first.startswith(ZSTD):
            yield from _zstd(stream, first, progress)
        else:
            while first:
                yield first
                first = stream.read(BLOCK)
                progress(len(first))
    except OSError as error:
        yield Damage(0, f"reading failed: {error.strerror or error}")


_DOUBTFUL = "records before that may be wrong"


def _gzip(stream: BinaryIO, data: bytes, progress: Progress) -> Iterator[bytes | Damage]:
    """Decompress all members, each as far as it goes, at most BLOCK bytes at a time (RFC 1952)."""
    member = before = zlib.decompressobj(_GZIP_WINDOW)
    try:
        while True:
            if member.eof:
                data = member.unused_data
                if not data:
                    data = stream.read(BLOCK)
                    progress(len(data))
                data = data.lstrip(b"\0")  # some writers pad with zeros
                if not data:
                    return
                member = zlib.decompressobj(_GZIP_WINDOW)
            before = member.copy()
            out = member.decompress(data, BLOCK)
            if out:
                yield out
            data = member.unconsumed_tail
            if not data and not member.eof:
                data = stream.read(BLOCK)
                progress(len(data))
                if not data:
                    rest = member.flush()
                    if rest:
                        yield rest
                    yield Damage(0, "the gzip file is truncated: it ends before its end mark")
                    return
    except zlib.error as error:
        yield from _up_to_the_error(before, data)
        yield Damage(0, f"the gzip file is corrupt: {error}; {_DOUBTFUL}")


def _up_to_the_error(member: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    """What a damaged piece still gives: a call that fails gives nothing, so it goes in a byte at a time."""
    try:
        for at in range(len(data)):
            piece = data[at : at + 1]
            while piece:
                yield member.decompress(piece, BLOCK)
                piece = member.unconsumed_tail
    except zlib.error:
        return


def _zstd(stream: BinaryIO, data: bytes, progress: Progress) -> Iterator[bytes | Damage]:
    """Decompress all frames (RFC 8878), the window bounded to 128 MiB.

    A 4-byte block can stand for 128 KiB, so the input goes in by small pieces to keep the output of one call bounded.
    """
    decompressor = zstandard.ZstdDecompressor(max_window_size=128 << 20)
    frame = decompressor.decompressobj()
    fed = False
    try:
        while data:
            for at in range(0, len(data), ZSTD_PIECE):
                piece = data[at : at + ZSTD_PIECE]
                while piece:
                    out, fed = frame.decompress(piece), True
                    for start in range(0, len(out), BLOCK):
                        yield out[start : start + BLOCK]
                    piece = b""
                    if frame.eof:
                        piece, fed = frame.unused_data, False
                        frame = decompressor.decompressobj()
            data = stream.read(BLOCK)
            progress(len(data))
    except zstandard.ZstdError as error:
        yield Damage(0, f"the zstd file is corrupt: {error}; {_DOUBTFUL}")
        return
    if fed:
        yield Damage(0, "the zstd file is truncated: it ends before its end mark")
