"""Packet captures: an installed Zeek or Suricata turns them into logs, and the main job enriches these.

The analyzer works in a temporary folder with a folder for each capture below it. Folders are named after captures,
reduced to plain characters, so that no file name reaches outside. Captures given together count as one site's: what
is learned of a server in one holds in the others.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from enrich.errors import ConfigError, SourceError
from enrich.options import Options
from enrich.pipeline import Run
from enrich.progress import Progress
from enrich.report import Report

ANALYZERS = ("zeek", "suricata")
_HERE = Path(__file__).resolve().parent
# In the wheel both lie beside this module; in the repository, where people look for them.
_ZEEK_SCRIPTS = (_HERE / "zeek-scripts", _HERE.parent / "zeek-scripts")
_EVE_LOG = (_HERE / "suricata" / "eve-log.yaml", _HERE.parent / "examples" / "suricata" / "eve-log.yaml")
_MAGIC = (
    b"\xa1\xb2\xc3\xd4",  # pcap, microseconds, either byte order
    b"\xd4\xc3\xb2\xa1",
    b"\xa1\xb2\x3c\x4d",  # pcap, nanoseconds
    b"\x4d\x3c\xb2\xa1",
    b"\xa1\xb2\xcd\x34",  # pcap as some old kernels' tcpdump wrote it
    b"\x34\xcd\xb2\xa1",
    b"\x0a\x0d\x0d\x0a",  # pcapng
)
_COMPRESSED = {b"\x1f\x8b": "gzip", b"\x28\xb5": "zstd", b"\xfd7": "xz", b"BZ": "bzip2", b"PK": "zip"}
_INSTALL = (
    "neither zeek nor suricata is on the PATH; install Zeek (https://zeek.org/get-zeek/) "
    "or Suricata (Debian: apt-get install suricata), or run zeek-enrich on logs that you have"
)
_GRACE = 10.0
"""Seconds that an analyzer gets to close its logs when its time is up."""
_TOLD, _SAID = 300, 4096
"""Characters of an analyzer's words to repeat, of so many bytes that it said last."""
_ERROR = "E: "
"""How Suricata begins a line about an error."""


@dataclass(frozen=True, slots=True)
class Analyzer:
    """An installed program that turns captures into logs."""

    name: str
    program: str

    def command(self, capture: Path, folder: Path) -> list[str]:
        """How it is called for one capture. Checksums are not looked at: sending hosts leave them to the card."""
        if self.name == "zeek":
            scripts = _bundled(_ZEEK_SCRIPTS)
            return [self.program, "-C", "-r", str(capture), str(scripts), str(scripts / "packet-sizes.zeek")]
        return [
            *(self.program, "-r", str(capture), "-l", str(folder), "-k", "none", "--runmode", "single"),
            *("-S", os.devnull, "--include", str(_bundled(_EVE_LOG))),
        ]


def _bundled(candidates: Iterable[Path]) -> Path:
    for path in candidates:
        if path.exists():
            return path
    raise ConfigError(f"this installation of zeek-enrich lacks its {path.name}; install it again")


def find(wanted: str = "auto") -> Analyzer:
    """The installed analyzer of that name; ``auto`` takes Zeek first, because its logs say more.

    Raises SourceError if it is not installed.
    """
    for name in ANALYZERS if wanted == "auto" else (wanted,):
        program = shutil.which(name)
        if program is not None:
            return Analyzer(name, program)
    if wanted == "auto":
        raise SourceError(_INSTALL)
    raise SourceError(f"{wanted} is not on the PATH; install it, or leave --with away to use what there is")


def folder_names(captures: Iterable[Path]) -> list[str]:
    """A plain folder name for each capture, all different whatever the captures are called."""
    taken: set[str] = set()
    names = []
    for capture in captures:
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", capture.name).lstrip(".-")[:100] or "capture"
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.lower())
        names.append(name)
    return names


def check(capture: Path) -> None:
    """Raise SourceError unless this is a readable capture file."""
    try:
        if not capture.is_file():
            raise SourceError(f"{capture}: {'is not a file' if capture.exists() else 'no such file'}")
        with capture.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise SourceError(f"{capture}: {error.strerror or error}") from error
    if magic in _MAGIC:
        return
    compressed = _COMPRESSED.get(magic[:2])
    if compressed is not None:
        raise SourceError(f"{capture}: is compressed ({compressed}); decompress it first")
    raise SourceError(f"{capture}: is not a packet capture (neither pcap nor pcapng)")


def analyse(analyzer: Analyzer, capture: Path, folder: Path, timeout: float | None = None) -> str | None:
    """Write a capture's logs into an empty folder; what went wrong, or None.

    What an analyzer wrote before it failed, or before ``timeout`` seconds were over, stays.
    """
    environment = {name: os.environ[name] for name in _KEPT if name in os.environ}
    environment |= {"HOME": str(folder), "TMPDIR": str(folder)}
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(
            analyzer.command(capture.resolve(), folder),
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=words,
            stderr=words,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout)
        except subprocess.TimeoutExpired:
            _stop(process)
            return f"{analyzer.name} was stopped after {timeout:g} s; its logs end there"
        except BaseException:
            _stop(process)
            raise
        finally:
            (folder / "suricata.log").unlink(missing_ok=True)  # what Suricata says of itself
        words.seek(max(words.tell() - _SAID, 0))
        said = words.read().decode("utf-8", "replace").strip().splitlines()
    if status == 0:  # which Suricata's is, too, where a capture breaks off
        wrong = [line.removeprefix(_ERROR) for line in said if line.startswith(_ERROR)]
        return f"{analyzer.name}: {wrong[0][:_TOLD]}" if wrong else None
    return f"{analyzer.name} ended with status {status}: {said[-1][:_TOLD] if said else 'without a word'}"


# An installation's own paths; everything else of the caller's environment is kept from the analyzer.
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "ZEEKPATH", "ZEEK_PLUGIN_PATH", "ZEEK_DNS_FAKE")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End an analyzer and what it started: politely first, so that it closes its logs."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def logs_of(
    captures: Sequence[Path], analyzer: Analyzer, timeout: float | None, progress: Progress
) -> Iterator[tuple[Path, list[str]]]:
    """The logs of captures, in a folder that exists within the ``with`` only, and the problems there were.

    Several captures have a folder each below it. Raises SourceError if no capture gave any logs.
    """
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="zeek-enrich-") as name:
        root = Path(name)
        progress.start(analyzer.name, sum(capture.stat().st_size for capture in captures))
        for capture, plain in zip(captures, folder_names(captures), strict=True):
            folder = root / plain if len(captures) > 1 else root
            folder.mkdir(exist_ok=True)
            problem = analyse(analyzer, capture, folder, timeout)
            if problem is not None:
                problems.append(f"{capture}: {problem}")
                progress.problem(problems[-1])
            progress.advance(capture.stat().st_size, 0)
        if not any(path.is_file() for path in root.rglob("*")):
            raise SourceError(f"{analyzer.name} wrote no logs: {'; '.join(problems) or 'the captures hold no traffic'}")
        yield root, problems


def run(
    captures: Sequence[Path], options: Options, wanted: str, timeout: float | None, progress: Progress
) -> tuple[Report, list[str]]:
    """Analyse captures and enrich their logs into ``options.out``; the run's report and the analyzer's problems.

    ``options.inputs`` is not looked at. Raises ConfigError or SourceError for what can be seen beforehand.
    """
    if not captures:
        raise ConfigError("no capture is named")
    for capture in captures:
        check(capture)
    analyzer = find(wanted)
    with logs_of(captures, analyzer, timeout, progress) as (folder, problems):
        enriched = Run(replace(options, inputs=(str(folder),)), progress)
        enriched.report.notes += problems
        return enriched(), problems
