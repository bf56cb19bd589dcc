"""Files, written atomically: a reader sees a whole file or none."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import zstandard

from enrich.errors import OutputError

SUFFIXES = {"none": "", "gzip": ".gz", "zstd": ".zst"}


def compressor(name: str) -> Callable[[bytes], bytes]:
    """Compress one piece of a file; pieces one after the other are a valid file (RFC 1952 members, RFC 8878 frames)."""
    if name == "gzip":
        return lambda data: gzip.compress(data, compresslevel=5, mtime=0)
    if name == "zstd":
        return lambda data: zstandard.ZstdCompressor(level=3).compress(data)
    return lambda data: data


class Folder:
    """The output directory. Files appear in it when they are committed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._claimed: set[PurePosixPath] = set()
        self._open: list[OutFile] = []
        try:
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"{root}: {error.strerror or error}") from error

    def claim(self, name: PurePosixPath) -> Path:
        """Return the path of an output, numbered if another input has it already."""
        free, number = name, 2
        while free in self._claimed:
            free, number = name.with_name(f"{name.stem}.{number}{name.suffix}"), number + 1
        self._claimed.add(free)
        return self.root / free

    def open(self, name: PurePosixPath) -> OutFile:
        """Open an output for writing."""
        out = OutFile(self.claim(name))
        self._open.append(out)
        return out

    def discard(self) -> None:
        """Remove what was not committed."""
        for out in self._open:
            out.discard()


class OutFile:
    """One output, written under another name until it is complete."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f".{path.name}.{os.getpid()}.part")
        self.bytes = 0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO | None = self.part.open("wb")
        except OSError as error:
            raise OutputError(f"{path}: {error.strerror or error}") from error

    def write(self, data: bytes) -> None:
        """Append. Raises OutputError when the disk is full."""
        if self._stream is None:
            raise OutputError(f"{self.path}: written after it was closed")
        try:
            self._stream.write(data)
        except OSError as error:
            raise OutputError(f"{self.path}: {error.strerror or error}") from error
        self.bytes += len(data)

    def commit(self) -> None:
        """Give the file its name."""
        if self._stream is None:
            return
        try:
            self._stream.close()
            self.part.replace(self.path)
        except OSError as error:
            raise OutputError(f"{self.path}: {error.strerror or error}") from error
        finally:
            self._stream = None

    def discard(self) -> None:
        """Remove the file if it was not committed."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
            self._stream = None
            with suppress(OSError):
                self.part.unlink()
