"""Bytes become chunks of whole lines: nothing lost, lines numbered, damage told, memory bounded."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.batch import Damage, Reject
from enrich.errors import SourceError
from enrich.sources import lines
from enrich.sources.lines import Chunk, head, read_chunks

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.ZstdCompressor().compress,
}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 100 bytes from blocks of 30, lines of at most 300."""
    for name, size in (("CHUNK", 100), ("BLOCK", 30), ("MAX_LINE", 300), ("KEPT_OF_LONG_LINE", 10), ("ZSTD_PIECE", 7)):
        monkeypatch.setattr(lines, name, size)


def everything(path: Path) -> list[Chunk | list[Reject] | Damage]:
    return list(read_chunks(path, lambda _: None))


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
@pytest.mark.usefixtures("small")
def test_chunks_are_the_file_again(tmp_path_factory: pytest.TempPathFactory, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path_factory.mktemp("lines") / "log"

    @settings(max_examples=100, deadline=None)
    @given(st.lists(st.binary(max_size=60).filter(lambda line: b"\n" not in line)), st.booleans())
    def check(texts: list[bytes], ended: bool) -> None:
        data = b"\n".join(texts) + (b"\n" if ended and texts else b"")
        if data.startswith((lines.GZIP, lines.ZSTD, lines.MARK)):
            return
        path.write_bytes(pack(data))
        chunks = [item for item in everything(path) if isinstance(item, Chunk)]
        assert b"".join(chunk.data for chunk in chunks) == data
        line = 1
        for chunk in chunks:
            assert chunk.first_line == line
            assert not chunk.cut
            assert chunk.data.endswith(b"\n") or chunk is chunks[-1]
            line += chunk.data.count(b"\n")
        assert all(len(chunk.data) < 100 + 30 + 61 for chunk in chunks)

    check()


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
@pytest.mark.usefixtures("small")
def test_a_line_that_is_too_long_is_rejected_and_the_rest_read(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "log"
    path.write_bytes(pack(b"first\n" + b"x" * 1000 + b"\nthird\n" + b"y" * 5000))
    found = everything(path)
    text = b"".join(item.data for item in found if isinstance(item, Chunk))
    assert text == b"first\nthird\n"
    rejects = [reject for item in found if isinstance(item, list) for reject in item]
    assert [(reject.line, reject.raw) for reject in rejects] == [(2, b"x" * 10), (4, b"y" * 10)]
    assert rejects[0].reason == "line of 1,000 bytes; at most 300 are read"


@pytest.mark.parametrize("pack", [PACKERS["gzip"], PACKERS["zstd"]], ids=["gzip", "zstd"])
@pytest.mark.usefixtures("small")
def test_members_one_after_the_other_are_one_file(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "log"
    path.write_bytes(pack(b"one\ntwo") + pack(b"") + pack(b" and more\nthree\n") + b"")
    assert b"".join(item.data for item in everything(path) if isinstance(item, Chunk)) == b"one\ntwo and more\nthree\n"


def test_zeros_after_a_gzip_are_padding(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(b"one\n") + b"\0" * 5000)
    assert everything(path) == [Chunk(b"one\n", 1)]


@pytest.mark.parametrize("pack", [PACKERS["gzip"], PACKERS["zstd"]], ids=["gzip", "zstd"])
def test_a_cut_file_gives_what_it_has_and_says_where_it_ends(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    numbers = random.Random(5)
    whole = b"".join(b"%d\n" % numbers.getrandbits(64) for _ in range(50_000))
    path = tmp_path / "log"
    packed = pack(whole)
    path.write_bytes(packed[: len(packed) * 2 // 3])
    *chunks, damage = everything(path)
    assert isinstance(damage, Damage)
    assert "truncated" in damage.reason
    texts = [item for item in chunks if isinstance(item, Chunk)]
    data = b"".join(chunk.data for chunk in texts)
    assert whole.startswith(data)
    assert len(data) > len(whole) // 3
    assert texts[-1].cut
    assert damage.line == data.count(b"\n") + 1


@pytest.mark.parametrize("pack", PACKERS.values(), ids=PACKERS)
def test_progress_is_the_size_of_the_file(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "log"
    path.write_bytes(pack(random.Random(1).randbytes(3_000_000).replace(b"\n", b" ") + b"\n") * 2)
    told: list[int] = []
    list(read_chunks(path, told.append))
    assert sum(told) == path.stat().st_size


def test_memory_stays_bounded_on_a_file_that_unpacks_to_much(tmp_path: Path) -> None:
    line = b"x" * 1023 + b"\n"
    for name, pack in (("log.gz", gzip.compress), ("log.zst", zstandard.ZstdCompressor().compress)):
        path = tmp_path / name
        path.write_bytes(pack(line * 100_000))
        assert path.stat().st_size < 1_000_000
        sizes = [len(item.data) for item in everything(path) if isinstance(item, Chunk)]
        assert sum(sizes) == 102_400_000
        assert max(sizes) <= lines.CHUNK + 2 * lines.BLOCK


def test_a_byte_order_mark_is_left_out_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(lines.MARK + lines.MARK + b"a\n" + lines.MARK + b"b\n")
    assert everything(path) == [Chunk(lines.MARK + b"a\n" + lines.MARK + b"b\n", 1)]


def test_the_head_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(gzip.compress(b"first line\nsecond\n" * 10)[:-12])
    assert head(path, 5) == b"first"
    assert head(path).startswith(b"first line\nsecond\n")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nothing\.log: No such file"):
        everything(tmp_path / "nothing.log")
    with pytest.raises(SourceError, match="Is a directory"):
        head(tmp_path)


def test_a_file_that_fails_while_it_is_read_is_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing:
        def __init__(self) -> None:
            self.blocks = [b"one\ntwo\n", b"thr"]

        def __enter__(self) -> Failing:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def read(self, _: int) -> bytes:
            if not self.blocks:
                raise OSError(5, "Input/output error")
            return self.blocks.pop(0)

    monkeypatch.setattr(lines, "open_file", lambda _: Failing())
    chunk, damage = everything(tmp_path)
    assert chunk == Chunk(b"one\ntwo\nthr", 1, cut=True)
    assert damage == Damage(3, "reading failed: Input/output error")


def test_what_stands_before_the_damage_in_a_corrupt_gzip_is_read(tmp_path: Path) -> None:
    """Also what stands in the same block as the damage."""
    rows = [f"{number}.5\tC{number}" for number in range(3000)]
    text = "\n".join(["#fields\tts\tuid", "#types\ttime\tstring", *rows, ""]).encode()
    whole = bytearray(gzip.compress(text, mtime=0))
    middle = len(whole) // 2
    whole[middle : middle + 4] = b"\xff" * 4
    path = tmp_path / "conn.log.gz"
    path.write_bytes(whole)
    found = b"".join(part.data for part in read_chunks(path, lambda _: None) if isinstance(part, Chunk))
    assert text.startswith(found[: found.rindex(b"\n")][:1000])
    assert found.count(b"\n") > 500
