"""The run: discover, survey, enrich, shape, write; in that order and in bounded memory.

Two passes over the input. The first (:mod:`enrich.first_pass`) reads only the columns that say something about flows;
the second (:mod:`enrich.file_pass`) enriches every record in its place.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import islice
from typing import Any

from enrich import configuration, findings, logs, registry
from enrich.batch import Damage, Form, Item
from enrich.engine import Engine
from enrich.errors import ConfigError, EnrichError, OutputError, SourceError
from enrich.file_pass import FilePass, Means
from enrich.first_pass import FirstPass
from enrich.json_texts import Line, encode
from enrich.options import Options
from enrich.progress import Progress
from enrich.report import Report, run_record
from enrich.shapes import Shape
from enrich.shapes.native import Native
from enrich.shapes.ndjson import NdJson
from enrich.sinks.files import Folder, OutFile
from enrich.sources import eve, zeek_json, zeek_tsv
from enrich.sources.discover import OURS, LogFile, compressed_beside, discover
from enrich.sources.lines import read_chunks
from enrich.state import State
from enrich.tables import Tables
from enrich.workers import Worker

SHAPES: dict[str, Callable[[], Shape]] = {"ndjson": NdJson, "native": Native}
OWN = ("run.json", "rejects.ndjson", *(f"{roll_up.name}.ndjson" for roll_up in registry.ROLL_UPS if roll_up.own_file))
_ROLLED_LATER, _WRITTEN_LATER = 1, 2
"""So many batches may be with the roll-ups, and so many pieces of text on their way to the disk."""
_AT_WORK = "it has not ended: it is still at work, or was killed"
"""What the record of a run says until it has ended, since nobody can say it of one that is killed."""
_AT_ONCE = 100
"""So many records of a roll-up are written at a time."""


class Run:
    """One run over its inputs."""

    def __init__(self, options: Options, progress: Progress | None = None, tables: Tables | None = None) -> None:
        self.options = options
        self.progress = progress or Progress()
        self.tables = tables or configuration.load(options.config)
        self.engine = Engine(self.tables, options.only)
        self.shape = SHAPES[options.format]() if options.format in SHAPES else None
        self.directions = eve.Directions(self.engine.survey.scratch)
        self.logs = logs.load(self.tables)
        self.report = Report()
        self.state = State(options.state) if options.state is not None else None
        if options.state is not None and options.state.resolve() in {(options.out / name).resolve() for name in OWN}:
            raise ConfigError(f"{options.state}: the run writes a file of this name itself; name another with --state")

    def __call__(self) -> Report:
        """Run. Raises EnrichError for what no single record is to blame for."""
        began = time.time()
        if self.state is not None:
            note = self.state.load(self.engine.survey, self.engine.remembering())
            self._note([note] if note is not None else [])
        self.folder = Folder(self.options.out, OWN)
        self.engine.survey.scratch.folder = self.folder.root
        try:
            files = self._discover()
            rejects = self.folder.open_own("rejects.ndjson")  # now, to know early whether it can be written
            first_pass = self.first_pass(files)
            if first_pass.is_due or self.state is not None or self.options.logs:
                self.progress.start("reading", sum(file.size for file in files))
                first_pass(self.progress)
            self._check_logs(first_pass.found)
            if self.options.only and "addresses" not in self.options.only:
                self._note(["--only leaves addresses out: hosts and findings know no host of the site's own"])
            self._write_run(began, failed=_AT_WORK)
            self._enrich(files, first_pass, rejects)
            self._save_state()
            self._write_run(began)
        except BaseException as error:
            if self.report.files or isinstance(error, (OutputError, KeyboardInterrupt)):
                self._give_up(began, error)
            raise
        finally:
            self.folder.discard()
            if self.state is not None:
                self.state.discard()
        return self.report

    def _give_up(self, began: float, error: BaseException) -> None:
        """Leave complete outputs only, and a record of the run that says why there are no more."""
        self.engine.survey.scratch.clear()  # makes room, where the disk is full
        self.folder.discard()
        stopped = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if stopped else str(error) if isinstance(error, EnrichError) else repr(error)
        with suppress(OutputError):
            self._write_run(began, failed=reason)

    def _save_state(self) -> None:
        """Keep for the next run what was learned."""
        if self.state is None:
            return
        self._note(self.state.save())
        self.report.state = {"loaded": self.state.loaded, "saved": self.state.saved}

    def first_pass(self, files: list[LogFile]) -> FirstPass:
        """The first pass over the files, yet to be made."""
        return FirstPass(files, self.items, self.engine, self.directions, self.state)

    def _check_logs(self, found: set[str]) -> None:
        """Say which logs of ``--logs`` there are not. Raises ConfigError if there is none of them."""
        absent = sorted(self.options.logs - found)
        if not absent:
            return
        text = f"--logs: no input holds a log called {' or '.join(absent)}; there are: {', '.join(sorted(found))}"
        if len(absent) == len(self.options.logs):
            raise ConfigError(text)
        self.report.absent = [name for name in absent if name not in self.logs.names]
        self._note([text])

    def items(self, file: LogFile, want: zeek_tsv.Want, keep_raw: bool, progress: Progress) -> Iterator[Item]:
        """What a file holds, in its order."""
        chunks = read_chunks(file.path, lambda size: progress.advance(size, 0))
        if file.form is Form.TSV:
            return zeek_tsv.read(chunks, file.log, want, keep_raw)
        if file.form is Form.EVE:
            return eve.read(chunks, self.directions, want)
        if file.form is Form.JSON:
            return zeek_json.read(chunks, file.log, want, self.engine.all_reads(), self.logs)
        return (item for item in chunks if isinstance(item, Damage))

    def _discover(self) -> list[LogFile]:
        files: list[LogFile] = []
        for item in discover(self.options.inputs, self.options.out, self.folder.scratch()):
            if isinstance(item, LogFile):
                files.append(item)
                continue
            self.report.skipped.append(item)
            if item.wrong:
                self.progress.problem(f"{item.name}: {item.reason}")
        if not files:  # and nothing is written: an earlier run's output stays as it is
            told = any(item.wrong for item in self.report.skipped)
            ours = any(item.reason == OURS for item in self.report.skipped)
            what = f"what is there looks like a log, but {OURS}" if ours else "no Zeek or Suricata log is in the input"
            raise SourceError(f"nothing could be read{'' if told else f': {what}'}")
        state = [self.options.state] if self.options.state is not None else []
        self.folder.keep([*(file.path for file in files), *state])
        if twice := compressed_beside(files):
            more = f" (and {len(twice) - 1:,} more)" if len(twice) > 1 else ""
            beside = f"{twice[0].name}{more} is read beside a file of its name without the suffix"
            self._note([f"{beside}: if they hold the same records, these count twice"])
        return files

    def _enrich(self, files: list[LogFile], first_pass: FirstPass, rejects: OutFile) -> None:
        self.progress.start("enriching", sum(file.size for file in files))
        with Worker(_ROLLED_LATER) as roller, Worker(_WRITTEN_LATER) as writer:
            means = Means(
                options=self.options, read=self.items, first_pass=first_pass, engine=self.engine,
                roller=roller, writer=writer, shape=self.shape, folder=self.folder, rejects=rejects,
                report=self.report, progress=self.progress,
            )  # fmt: skip
            for file in files:
                FilePass(file, means)()
            roller.settle()
        rejects.commit()
        for roll_up, results in self.engine.results():
            if not roll_up.own_file:
                self.report.applications = [dict(row) for row in results]
                continue
            records = results
            if roll_up is findings.ROLL_UP:
                records = list(results)  # few
                self.report.findings = Counter(str(finding["severity"]) for finding in records)
            out = self.folder.open_own(f"{roll_up.name}.ndjson")
            write_records(records, out)
            out.commit()
        self._note(self.engine.notes())

    def _note(self, notes: Iterable[str]) -> None:
        """Tell what the user has to know, now and in ``run.json``."""
        for note in notes:
            self.report.notes.append(note)
            self.progress.problem(note)

    def _write_run(self, began: float, failed: str | None = None) -> None:
        self.report.seconds = time.time() - began
        enrichers = [enricher.name for enricher in self.engine.enrichers]
        record = run_record(self.report, began, self.options.format, enrichers, self.tables, failed)
        out = self.folder.open_own("run.json")
        out.write(json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n")
        out.commit()


def write_records(records: Iterable[Mapping[str, Any]], out: OutFile) -> None:
    """Write records as lines of JSON, some at a time."""
    rest = iter(records)
    while lines := [record.text if isinstance(record, Line) else encode(record) for record in islice(rest, _AT_ONCE)]:
        out.write("".join(f"{line}\n" for line in lines).encode())
