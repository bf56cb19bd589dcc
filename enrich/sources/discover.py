"""What to read: files, directory trees and standard input, each with its form (sniffed) and where its output goes."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from enrich.batch import Form
from enrich.errors import ConfigError, OutputError, SourceError
from enrich.machine import let_interrupt
from enrich.sources.lines import BLOCK, head

_COMPRESSED = re.compile(r"\.(?:gz|gzip|zst|zstd)$")
_LOG = re.compile(r"\.(?:log|json|jsonl|ndjson)$")
_HEADER = re.compile(rb"#(?:separator|fields|path|set_separator|types)[ \t]")
_LINES = 100
_STEM_LOG = re.compile(r"[A-Za-z0-9_-]+")
STDIN = "-"
_LARGEST = 1 << 28
"""So many bytes the record of a run may have."""
OURS = "an earlier run wrote it; name the file to have it read"
"""Why a file is skipped that would make records count twice: the logs that it came from are often there as well."""
_BESIDE = ("findings.ndjson", "hosts.ndjson", "rejects.ndjson")
"""What a run writes beside its logs and its ``run.json``, which names these; all would look like logs."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """One input: where it is read, how it is called to the user, its form and log.

    The log is told by the name; ``header_log`` is what the first header of a TSV log says, if that can be read here.

    Its output goes to ``target``, a folder and stem, with ``extension`` where it keeps the input's form.
    """

    path: Path
    name: str
    form: Form | None
    log: str
    target: PurePosixPath
    extension: str
    size: int
    stdin: bool = False
    header_log: str | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not read, and why; ``wrong`` if the user has to know, ``again`` if it is read already."""

    name: str
    reason: str
    wrong: bool
    again: bool = False


def discover(inputs: Iterable[str], out: Path, spool: Path) -> Iterator[LogFile | Skipped]:
    """Yield what the inputs hold, in a fixed order. What the output directory holds is never an input.

    One directory is mirrored as it is; several are mirrored each under its own name. Standard input is copied to
    ``spool`` first, because a run reads its input twice. Raises ConfigError for an input that is the output directory.
    """
    wanted = list(inputs)
    folders = {_real(text): text for text in reversed(wanted) if text not in (STDIN, "") and _is_folder(Path(text))}
    if _real(out) in folders:
        text = folders[_real(out)]
        raise ConfigError(f"{text}: cannot be the input and the output; name another directory with --out")
    found = _Found()
    been: set[str] = set()
    for text in wanted:
        place = STDIN if text == STDIN else _real(text)
        if place in been and (place == STDIN or place in folders):
            yield Skipped(shown(text), "named twice: read once", wrong=False, again=True)
        elif not text:
            yield Skipped("''", "an empty name; for the current directory say .", wrong=True)
        elif text == STDIN:
            copy = _spool(spool)
            if copy.stat().st_size:
                yield found.one(copy, "standard input", PurePosixPath("stdin"), named=True, stdin=True)
            else:
                yield Skipped("standard input", "nothing came", wrong=True)
        elif place in folders:
            base = PurePosixPath() if len(folders) == 1 else PurePosixPath(PurePosixPath(place).name)
            for path in _walk(Path(text), Path(_real(out)), set(), set()):
                if isinstance(path, Skipped):
                    yield path
                else:
                    target = base / PurePosixPath(path.relative_to(text).as_posix())
                    yield found.one(path, str(path), target, named=False)
        else:
            yield found.one(Path(text), text, PurePosixPath(Path(text).name), named=True)
        been.add(place)


def compressed_beside(files: Iterable[LogFile]) -> list[LogFile]:
    """The compressed files that are read beside one of their name without the suffix: perhaps the same records."""
    paths = {file.path: file for file in files}
    return [
        file
        for path, file in paths.items()
        if path.name != (plain := _COMPRESSED.sub("", path.name)) and path.with_name(plain) in paths
    ]


def single(path: Path) -> LogFile:
    """Look at one file. Raises SourceError for what is no log."""
    found = _Found().one(path, str(path), PurePosixPath(path.name), named=True)
    if isinstance(found, Skipped):
        raise SourceError(f"{found.name}: {found.reason}")
    return found


def _walk(folder: Path, out: Path, been: set[Path], ours: set[Path]) -> Iterator[Path | Skipped]:
    """The files of a tree, without ``ours``: what earlier runs wrote into it.

    Links to directories are followed (Zeek's ``current`` is one), each directory once.
    """
    real = Path(_real(folder))
    if real in been or real == out or out in real.parents:
        return
    been.add(real)
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        yield Skipped(shown(folder), error.strerror or str(error), wrong=True)
        return
    if folder / "run.json" in entries:
        ours.update(folder / name for name in _written(folder / "run.json"))
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry in ours:
            yield Skipped(shown(entry), OURS, wrong=False)
            continue
        if _is_folder(entry):
            yield from _walk(entry, out, been, ours)
        else:
            yield entry


def _written(record: Path) -> list[str]:
    """What a run wrote into the folder of its record; where that is another program's, what ours may be called."""
    try:
        run = json.loads(record.read_bytes() if record.stat().st_size <= _LARGEST else b"")
        return [*_BESIDE, *(str(name) for file in run["files"] for name in file["outputs"])]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return [*_BESIDE]


def _spool(spool: Path) -> Path:
    let_interrupt()
    try:
        with spool.open("wb") as copy:
            stream: BinaryIO = sys.stdin.buffer
            while block := stream.read(BLOCK):
                copy.write(block)
    except OSError as error:
        raise OutputError(f"{spool.parent}: standard input cannot be kept: {error.strerror or error}") from error
    return spool


def _real(path: Path | str) -> str:
    """A path without links; unlike pathlib's, no error for a name that is too long or links that go in circles."""
    return os.path.realpath(path)


def _is_folder(path: Path) -> bool:
    """Whether a path is a folder; False also where nobody may look, or the name is too long: opening it says so."""
    try:
        return path.is_dir()
    except OSError:
        return False


def shown(path: Path | str) -> str:
    """A file's name as text; bytes of it that are no UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class _Found:
    """What was found so far: the files themselves, each once, and the places of their outputs."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int], str] = {}
        self.targets: set[PurePosixPath] = set()

    def one(
        self, path: Path, name: str, target: PurePosixPath, *, named: bool, stdin: bool = False
    ) -> LogFile | Skipped:
        """Look at one file. ``named``: the user named it, so that it has to be a log."""
        name = shown(name)
        try:
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):
                return Skipped(name, "not a regular file; use - for standard input", wrong=named)
            same = self.seen.get((about.st_dev, about.st_ino))
            if same is not None:
                reason = "named twice: read once" if same == name else f"the same file as {same}: read once"
                return Skipped(name, reason, wrong=False, again=True)
            self.seen[about.st_dev, about.st_ino] = name
            first = head(path)
        except (OSError, SourceError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            return Skipped(name, getattr(cause, "strerror", None) or str(error), wrong=True)
        form = sniff(first)
        if form is None and first.strip():
            return Skipped(name, "not a Zeek or Suricata log", wrong=named)
        whole = _COMPRESSED.sub("", target.name)
        stem = _LOG.sub("", whole) or target.name
        extension = whole.removeprefix(stem)
        header_log = _header_path(first)
        if stdin:
            extension = ".log" if form is Form.TSV else ".json"
            stem = "eve" if form is Form.EVE else header_log or stem
        log = _STEM_LOG.match(stem)
        where = self._free(target, stem)
        told = log[0] if log else "unknown"
        return LogFile(path, name, form, told, where, extension, about.st_size, stdin, header_log)

    def _free(self, target: PurePosixPath, stem: str) -> PurePosixPath:
        """A place for the output that no other input has: conn.log.gz beside conn.log keeps its whole name."""
        where, number = target.with_name(stem), 1
        while where in self.targets:
            where = target if number == 1 else target.with_name(f"{target.name}.{number}")
            number += 1
        self.targets.add(where)
        return where


def sniff(first: bytes) -> Form | None:
    """Tell the form of a log from its first bytes; None if it is none (or empty).

    The first line decides; where that is damaged, the first that can only be a log's.
    """
    lines = [text for line in first.split(b"\n", _LINES)[:_LINES] if (text := line.strip(b"\r \t"))]
    for number, line in enumerate(lines):
        if _HEADER.match(line):
            return Form.TSV
        if line.startswith(b"{"):
            if b'"event_type"' in line and b'"timestamp"' in line:
                return Form.EVE
            if b'"' in line if number == 0 else line.startswith((b'{"ts":', b'{"_path":')):
                return Form.JSON
    return None


def _header_path(first: bytes) -> str | None:
    match = re.search(rb"^#path[ \t]([A-Za-z0-9_-]{1,64})\r?$", first, re.MULTILINE)
    return match[1].decode() if match else None
