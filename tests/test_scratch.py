"""Scratch files: any array comes back, nothing of them is seen, and a full disk is an error that says what to do."""

from __future__ import annotations

import mmap
import os
import stat
import sys
from pathlib import Path

import numpy as np
import pytest

from enrich.errors import OutputError
from enrich.scratch import Scratch, ScratchFile


def test_what_was_written_is_read_as_one_array(tmp_path: Path) -> None:
    file = Scratch(tmp_path).file()
    assert file.array(np.uint32).tolist() == []
    expected: list[int] = []
    for count in (3, 0, 100_000, 1):
        numbers = np.arange(2 * count, dtype=np.uint32)[::2]
        file.append(numbers)
        expected += numbers.tolist()
        assert file.array(np.uint32).tolist() == expected
        file.forget()
        assert file.array(np.uint32)[-1] == expected[-1]
    assert file.size == 4 * len(expected)


@pytest.mark.skipif(os.name != "posix", reason="files without a name as POSIX has them")
def test_nobody_sees_them_and_only_the_user_may_read_them(tmp_path: Path) -> None:
    file = Scratch(tmp_path).file()
    file.append(np.arange(10))
    assert list(tmp_path.iterdir()) == []
    assert stat.S_IMODE(os.fstat(file._descriptor).st_mode) == stat.S_IRUSR | stat.S_IWUSR


def test_an_array_outlives_its_file(tmp_path: Path) -> None:
    file = Scratch(tmp_path).file()
    file.append(np.arange(10))
    numbers = file.array(np.int64)
    del file
    assert numbers.tolist() == list(range(10))


@pytest.mark.skipif(not hasattr(mmap, "MADV_REMOVE"), reason="files with holes, as Linux makes them")
def test_their_room_is_given_back_while_somebody_still_looks(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    files = [scratch.file() for _ in range(3)]
    gone = files.pop()
    for file in files:
        file.append(np.ones(100_000))
    numbers = files[0].array(np.float64)
    del gone
    assert all(os.fstat(file._descriptor).st_blocks for file in files)
    scratch.clear()
    if any(os.fstat(file._descriptor).st_blocks for file in files):
        pytest.skip("this file system makes no holes")
    assert numbers.tolist() == files[1].array(np.float64).tolist() == [0.0] * 100_000


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a disk that is full, as Linux has it")
def test_a_full_disk(tmp_path: Path) -> None:
    for folder, place, option in ((tmp_path, str(tmp_path), "--out"), (None, "temporary files", "TMPDIR")):
        file = ScratchFile(os.open("/dev/full", os.O_RDWR), Scratch(folder))
        with pytest.raises(OutputError) as error:
            file.append(np.arange(10))
        word = f"{place}: No space left on device; make room there, or name another place with {option}"
        assert str(error.value) == word


@pytest.mark.skipif(sys.platform == "win32", reason="errors as POSIX tells them")
def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(OutputError) as error:
        Scratch(tmp_path / "gone").file()
    assert str(error.value) == f"{tmp_path / 'gone'}: No such file or directory"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory as Linux counts it")
def test_what_is_forgotten_takes_no_memory(tmp_path: Path) -> None:
    def mapped() -> int:
        lines = Path("/proc/self/status").read_text().splitlines()
        return sum(int(line.split()[1]) for line in lines if line.startswith(("RssFile", "RssShmem"))) * 1024

    file = Scratch(tmp_path).file()
    file.append(np.ones(4 << 20))
    before = mapped()
    assert file.array(np.float64).sum() == 4 << 20
    assert mapped() > before + (16 << 20)
    file.forget()
    assert mapped() < before + (8 << 20)
