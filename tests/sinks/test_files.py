"""Files appear whole or not at all, under names of their own, and never over an input."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import polars as pl
import pytest
import zstandard

from enrich.errors import ConfigError, OutputError
from enrich.sinks.files import SUFFIXES, Folder


def unzstd(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "a/b", own=("run.json",))


def test_a_file_appears_when_it_is_committed(folder: Folder) -> None:
    out = folder.open(PurePosixPath("x/conn.ndjson"))
    out.write(b"one\n")
    assert not out.path.exists()
    assert out.part.parent == out.path.parent
    out.write_lines(pl.DataFrame({"line": ["two", 'th"ree', "", "fo\tur,"]}))
    out.commit()
    assert out.path.read_bytes() == b'one\ntwo\nth"ree\n\nfo\tur,\n'
    assert [path.name for path in out.path.parent.iterdir()] == ["conn.ndjson"]
    with pytest.raises(OutputError, match="written after it was closed"):
        out.write(b"more")


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    with pytest.raises(OutputError, match="here: is no folder; name one with --out"):
        Folder(tmp_path / "here")


def test_what_is_not_committed_leaves_nothing(folder: Folder) -> None:
    kept, lost = folder.open(PurePosixPath("kept")), folder.open(PurePosixPath("lost"))
    kept.write(b"x")
    kept.commit()
    lost.write(b"y")
    folder.scratch().write_bytes(b"z")
    folder.scratch()
    folder.discard()
    assert [path.name for path in folder.root.iterdir()] == ["kept"]
    lost.discard()
    lost.commit()
    assert not lost.path.exists()


def test_a_file_is_replaced_in_one_step(folder: Folder) -> None:
    (folder.root / "conn.ndjson").write_text("old")
    out = folder.open(PurePosixPath("conn.ndjson"))
    out.write(b"new")
    assert (folder.root / "conn.ndjson").read_text() == "old"
    out.commit()
    assert (folder.root / "conn.ndjson").read_text() == "new"


@pytest.mark.parametrize(("name", "unpack"), [("none", bytes), ("gzip", gzip.decompress), ("zstd", unzstd)])
def test_pieces_are_one_valid_file(folder: Folder, name: str, unpack: Callable[[bytes], bytes]) -> None:
    out = folder.open(PurePosixPath(f"x{SUFFIXES[name]}"), name)
    for number in range(5):
        out.write_lines(pl.DataFrame({"line": [f"line {number}"]}))
        out.write(b"raw\n")
    out.commit()
    data = out.path.read_bytes()
    assert unpack(data) == b"".join(b"line %d\nraw\n" % number for number in range(5))
    assert (data[:2] == b"\x1f\x8b") == (name == "gzip")


def test_names_are_numbered_and_the_run_s_own_are_kept_free(folder: Folder) -> None:
    names = [folder.open(PurePosixPath(name)).path.name for name in ("a.json", "a.json", "a.json", "run.json")]
    assert names == ["a.json", "a.2.json", "a.3.json", "run.2.json"]
    assert folder.open_own("run.json").path.name == "run.json"
    folder.discard()


def test_an_input_is_never_written_over(folder: Folder, tmp_path: Path) -> None:
    (folder.root / "conn.log").write_text("precious")
    (folder.root / "link").symlink_to(folder.root / "conn.log")
    folder.keep([folder.root / "link", tmp_path / "a" / ".." / "a" / "b" / "conn.log"])
    for name in ("conn.log", "link"):
        with pytest.raises(ConfigError, match="is an input, or the state; name another directory with --out"):
            folder.open(PurePosixPath(name))
    (tmp_path / "other").symlink_to(folder.root)
    again = Folder(tmp_path / "other")
    again.keep([folder.root / "conn.log"])
    with pytest.raises(ConfigError, match="is an input"):
        again.open(PurePosixPath("conn.log"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"file/below: Not a directory"):
        Folder(tmp_path / "file" / "below")
    folder = Folder(tmp_path / "out")
    (tmp_path / "out" / "file").write_text("x")
    with pytest.raises(OutputError, match="conn"):
        folder.open(PurePosixPath("file/conn"))


class Full:
    """A stream on a disk with room for so many bytes, which takes what still fits before it fails."""

    def __init__(self, room: int) -> None:
        self.room, self.taken = room, b""

    def write(self, data: memoryview) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        part = bytes(data[: self.room])
        self.room -= len(part)
        self.taken += part
        return len(part)

    def close(self) -> None:
        pass


def test_a_write_that_is_only_half_taken_is_not_lost(folder: Folder) -> None:
    out = folder.open(PurePosixPath("x"))
    stream = Full(10)
    assert out._stream is not None
    out._stream.close()
    out._stream = stream  # type: ignore[assignment]
    with pytest.raises(OutputError, match="x: No space left on device"):
        out.write(b"0123456789abcdef")
    assert stream.taken == b"0123456789"
    folder.discard()
