"""Files without a name, for what a run remembers only until it ends and memory is too small for."""

from __future__ import annotations

import mmap
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from enrich.errors import OutputError

Array = npt.NDArray[Any]


class Scratch:
    """Where such files are: in ``folder``, by default the system's for temporary files.

    Nobody but the user can open them, and they go when the process ends, however it does.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._files: WeakValueDictionary[int, ScratchFile] = WeakValueDictionary()

    def file(self) -> ScratchFile:
        """A new file. Raises OutputError where there cannot be one."""
        try:
            with tempfile.TemporaryFile(dir=self.folder, buffering=0) as stream:
                descriptor = os.dup(stream.fileno())
        except OSError as error:
            raise self.failure(error) from error
        made = self._files[descriptor] = ScratchFile(descriptor, self)
        return made

    def clear(self) -> None:
        """Give back the room on disk that the files take. Whoever still looks at one finds zeros."""
        for reference in self._files.valuerefs():  # a copy: threads may still make files
            if (file := reference()) is not None:
                file.clear()

    def failure(self, error: OSError) -> OutputError:
        """What it means that the system does not take what is written."""
        if self.folder is None:
            return OutputError.of("temporary files", error, "TMPDIR")
        return OutputError.of(self.folder, error)


class ScratchFile:
    """A file that grows, then is read as memory, of which only what is looked at takes any."""

    def __init__(self, descriptor: int, scratch: Scratch) -> None:
        self._descriptor, self._scratch = descriptor, scratch
        self._map: mmap.mmap | None = None
        self.size = 0

    def __del__(self) -> None:
        os.close(self._descriptor)

    def append(self, data: Array) -> None:
        """Write an array's numbers. Raises OutputError when the disk is full."""
        rest = np.ascontiguousarray(data).data.cast("B")
        self._map = None
        try:
            while rest:  # just before the disk is full, a part only is written
                written = os.write(self._descriptor, rest)
                self.size += written
                rest = rest[written:]
        except OSError as error:
            raise self._scratch.failure(error) from error

    def array(self, kind: npt.DTypeLike) -> Array:
        """All that was written, as numbers of a kind. Raises OutputError where the system has no room for it."""
        if not self.size:
            return np.zeros(0, kind)
        if self._map is None:
            try:
                self._map = mmap.mmap(self._descriptor, self.size, access=mmap.ACCESS_READ)
            except OSError as error:
                raise self._scratch.failure(error) from error
        return np.frombuffer(self._map, kind)

    def forget(self) -> None:
        """Give back the memory that what was looked at takes; the file keeps it."""
        if self._map is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def clear(self) -> None:
        """Give back the room on disk, where the system can; the file keeps its length, so that what looks at it may."""
        if self.size and hasattr(mmap, "MADV_REMOVE"):
            with suppress(OSError), mmap.mmap(self._descriptor, self.size) as whole:
                whole.madvise(mmap.MADV_REMOVE)
