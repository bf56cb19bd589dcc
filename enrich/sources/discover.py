"""What to read: files, directory trees and standard input, each with its form (sniffed) and where its output goes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from enrich.batch import Form
from enrich.errors import SourceError
from enrich.sources.lines import BLOCK, head

_COMPRESSED = re.compile(r"\.(?:gz|gzip|zst|zstd)$")
_LOG = re.compile(r"\.(?:log|json|jsonl|ndjson)$")
_STEM_LOG = re.compile(r"[A-Za-z0-9_-]+")
STDIN = "-"


@dataclass(frozen=True, slots=True)
class LogFile:
    """One input: where it is read, how it is called to the user, its form and log, and its output's folder and stem."""

    path: Path
    name: str
    form: Form | None
    log: str
    target: PurePosixPath
    size: int
    stdin: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that is not read, and why; ``wrong`` if the user has to know."""

    name: str
    reason: str
    wrong: bool


def discover(inputs: Iterable[str], out: Path, spool: Path) -> Iterator[LogFile | Skipped]:
    """Yield what the inputs hold, in a fixed order; the output directory itself is never an input.

    One directory is mirrored as it is; several are mirrored each under its own name. Standard input is copied to
    ``spool`` first, because a run reads its input twice.
    """
    wanted = list(dict.fromkeys(inputs))
    folders = [text for text in wanted if text != STDIN and Path(text).is_dir()]
    seen: dict[Path, str] = {}
    targets: set[str] = set()
    for text in wanted:
        if text == STDIN:
            path, name, target = _spool(spool), "standard input", PurePosixPath("stdin")
            yield from _one(path, name, target, seen, targets, out, named=True, stdin=True)
        elif Path(text).is_dir():
            base = PurePosixPath() if len(folders) == 1 else PurePosixPath(Path(text).resolve().name)
            for path in _walk(Path(text), out):
                target = base / PurePosixPath(path.relative_to(text).as_posix())
                yield from _one(path, str(path), target, seen, targets, out, named=False)
        else:
            yield from _one(Path(text), text, PurePosixPath(Path(text).name), seen, targets, out, named=True)


def _walk(folder: Path, out: Path) -> Iterator[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise SourceError(f"{folder}: {error.strerror or error}") from error
    for entry in entries:
        if entry.is_dir():
            if not entry.is_symlink() and entry.resolve() != out.resolve():
                yield from _walk(entry, out)
        elif entry.is_file() and not entry.name.startswith("."):
            yield entry


def _spool(spool: Path) -> Path:
    with spool.open("wb") as copy:
        stream: BinaryIO = sys.stdin.buffer
        while block := stream.read(BLOCK):
            copy.write(block)
    return spool


def _one(
    path: Path,
    name: str,
    target: PurePosixPath,
    seen: dict[Path, str],
    targets: set[str],
    out: Path,
    *,
    named: bool,
    stdin: bool = False,
) -> Iterator[LogFile | Skipped]:
    try:
        real = path.resolve(strict=True)
        if real in seen:
            yield Skipped(name, f"the same file as {seen[real]}: read once", wrong=False)
            return
        size = real.stat().st_size
        if not real.is_file():
            yield Skipped(name, "not a regular file; use - for standard input", wrong=True)
            return
        first = head(path)
    except FileNotFoundError:
        yield Skipped(name, "no such file or directory", wrong=True)
        return
    except (OSError, SourceError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error).split(": ")[-1]
        yield Skipped(name, reason, wrong=True)
        return
    seen[real] = name
    form = sniff(first)
    if form is None and first.strip():
        yield Skipped(name, "not a Zeek or Suricata log", wrong=named)
        return
    stem = _LOG.sub("", _COMPRESSED.sub("", target.name)) or target.name
    if stdin and form is Form.TSV:
        stem = _header_path(first) or stem
    where = target.parent / stem
    if str(where) in targets:  # conn.log beside conn.log.gz: the second keeps its whole name
        where = target
    number = 2
    while str(where) in targets:
        where, number = target.parent / f"{target.name}.{number}", number + 1
    targets.add(str(where))
    match = _STEM_LOG.match(stem)
    yield LogFile(path, name, form, match[0] if match else "unknown", where, size, stdin)


def sniff(first: bytes) -> Form | None:
    """Tell the form of a log from its first bytes; None if it is none (or empty)."""
    text = first.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n \t")
    if re.match(rb"#(?:separator|fields|path|set_separator|types)[ \t]", text):
        return Form.TSV
    if not text.startswith(b"{"):
        return None
    line = text.split(b"\n", 1)[0]
    if b'"event_type"' in line and b'"timestamp"' in line:
        return Form.EVE
    return Form.JSON if b'"' in line else None


def _header_path(first: bytes) -> str | None:
    match = re.search(rb"^#path[ \t]([A-Za-z0-9_-]{1,64})\r?$", first, re.MULTILINE)
    return match[1].decode() if match else None


def header_log(file: LogFile) -> str:
    """The log that a TSV file's first header names, else what its name says."""
    return _header_path(head(file.path, 64 << 10)) or file.log
