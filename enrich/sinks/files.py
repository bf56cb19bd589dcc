"""Files, written atomically: a reader sees a whole file or none."""

from __future__ import annotations

import gzip
import io
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import polars as pl
import zstandard

from enrich.errors import ConfigError, OutputError

SUFFIXES = {"none": "", "gzip": ".gz", "zstd": ".zst"}

# One piece of a file; pieces one after the other are a valid file (RFC 1952 members, RFC 8878 frames).
_COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, compresslevel=5, mtime=0),
    "zstd": lambda data: zstandard.ZstdCompressor(level=3).compress(data),
}


_PART = re.compile(r"\..+\.([0-9]{1,10})\.part")
"""A file that a run, the number of whose process this is, has not yet given its name."""


class Folder:
    """The output directory. Files appear in it when they are committed; an input is never written over.

    What a run that was killed left incomplete is removed where this one writes.
    ``own`` are names that no input's output gets, because the run writes them itself.
    """

    def __init__(self, root: Path, own: Iterable[str] = ()) -> None:
        self.root = root
        self._claimed = {PurePosixPath(name) for name in own}
        self._inputs: set[Path] = set()
        self._open: list[OutFile] = []
        self._scratch: list[Path] = []
        self._made: list[Path] = []
        try:
            if os.path.lexists(root) and not root.is_dir():
                raise OutputError(f"{root}: is no folder; name one with --out")
            self._made = list(takewhile(lambda path: not path.exists(), (root, *root.parents)))
            root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError.of(root, error) from error
        self._tidied: set[Path] = set()
        self._tidy(root)

    def keep(self, inputs: Iterable[Path]) -> None:
        """Remember files that must not be written over."""
        for path in inputs:
            self._inputs |= {path.resolve(), path.parent.resolve() / path.name}

    def open(self, name: PurePosixPath, compress: str = "none") -> OutFile:
        """Open an input's output, numbered if another input has the name already."""
        free, number = name, 2
        while free in self._claimed:
            free, number = name.with_name(f"{name.stem}.{number}{name.suffix}"), number + 1
        self._claimed.add(free)
        return self._opened(self.root / free, compress)

    def open_own(self, name: str) -> OutFile:
        """Open one of the run's own outputs."""
        return self._opened(self.root / name)

    def scratch(self) -> Path:
        """A new file's path, for what is only needed during the run."""
        path = self.root / f".{len(self._scratch)}.{os.getpid()}.part"
        self._scratch.append(path)
        return path

    def discard(self) -> None:
        """Remove what was not committed, and the directories that were made for what never came."""
        for out in self._open:
            out.discard()
        for path in self._scratch:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        with suppress(OSError):
            for path in self._made:
                path.rmdir()

    def _opened(self, path: Path, compress: str = "none") -> OutFile:
        if path.parent.resolve() / path.name in self._inputs:
            raise ConfigError(f"{path}: is an input, or the state; name another directory with --out")
        self._tidy(path.parent)
        out = OutFile(path, compress)
        self._open.append(out)
        return out

    def _tidy(self, folder: Path) -> None:
        """Remove what a killed run left incomplete in a folder, before this one writes there."""
        if folder in self._tidied:
            return
        self._tidied.add(folder)
        for path in folder.glob(".*.part"):
            part = _PART.fullmatch(path.name)
            if part is not None and not _is_at_work(int(part[1])):
                with suppress(OSError):
                    path.unlink()


def _is_at_work(process: int) -> bool:
    """Whether another process of that number runs: this one has written nothing yet where it asks."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # somebody else's
        return True
    return process != os.getpid()


class OutFile:
    """One output, written under another name until it is complete."""

    def __init__(self, path: Path, compress: str = "none") -> None:
        self.path = path
        self._compress = _COMPRESSORS.get(compress)
        self.part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._stream: BinaryIO | None = self.part.open("wb", buffering=0)
        except OSError as error:
            raise OutputError.of(path, error) from error

    def write(self, data: bytes) -> None:
        """Append bytes. Raises OutputError when the disk is full."""
        self._append(lambda stream: _write_all(self._compress(data) if self._compress else data, stream))

    def write_lines(self, cells: pl.DataFrame, separator: str = "\x1f") -> None:
        """Append a line for each row: its texts, the separator between. Raises OutputError when the disk is full."""
        if self._compress is None:
            self._append(lambda stream: _write_lines(cells, separator, stream))
            return
        text = io.BytesIO()
        _write_lines(cells, separator, text)
        self.write(text.getvalue())

    def write_with(self, write: Callable[[BinaryIO], object]) -> None:
        """Let a writer append to the stream, not compressed. Raises OutputError when the disk is full."""
        self._append(write)

    def commit(self) -> None:
        """Give the file its name."""
        if self._stream is None:
            return
        try:
            self._stream.close()
            self.part.replace(self.path)
        except OSError as error:
            raise OutputError.of(self.path, error) from error
        self._stream = None

    def discard(self) -> None:
        """Remove the file if it was not committed."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()
            self._stream = None
            with suppress(OSError):
                self.part.unlink()

    def _append(self, write: Callable[[BinaryIO], object]) -> None:
        if self._stream is None:
            raise OutputError(f"{self.path}: written after it was closed")
        try:
            write(self._stream)
        except (OSError, pl.exceptions.PolarsError) as error:
            raise OutputError.of(self.path, error) from error


def _write_all(data: bytes, stream: BinaryIO) -> None:
    # An unbuffered stream may take a part only, for instance just before the disk is full.
    rest = memoryview(data)
    while rest:
        rest = rest[stream.write(rest) :]


def _write_lines(cells: pl.DataFrame, separator: str, stream: BinaryIO) -> None:
    if len(separator.encode()) != 1:  # more than the CSV writer takes
        cells, separator = cells.select(pl.concat_str(pl.all(), separator=separator)), "\x1f"
    cells.write_csv(stream, include_header=False, quote_style="never", separator=separator)
