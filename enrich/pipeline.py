"""The run: discover, survey, enrich, shape, write; in that order and in bounded memory.

Two passes over the input. The first (:mod:`enrich.survey`) reads only the columns that say something about flows; the
second enriches every record in its place. Four threads pass the batches on: one reads the next and begins to enrich it
while this one finishes, a third shows the one before to the roll-ups and a fourth turns it into text and writes it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from enrich import configuration, logs, registry
from enrich.batch import Batch, Damage, Form, Header, Item, Reject
from enrich.engine import Begun, Engine
from enrich.errors import ConfigError, OutputError, SourceError
from enrich.progress import Progress
from enrich.report import FileReport, Report, run_record
from enrich.shapes import Enriched, Shape, parquet
from enrich.shapes.native import Native
from enrich.shapes.ndjson import NdJson
from enrich.sinks.files import SUFFIXES, Folder, OutFile
from enrich.sources import eve, zeek_json, zeek_tsv
from enrich.sources.discover import LogFile, discover, shown
from enrich.sources.lines import read_chunks
from enrich.state import State
from enrich.tables import Tables
from enrich.workers import Worker, ahead

SHAPES: dict[str, Callable[[], Shape]] = {"ndjson": NdJson, "native": Native}
FORMATS = (*SHAPES, "parquet")
OWN = ("run.json", "rejects.ndjson", *(f"{roll_up.name}.ndjson" for roll_up in registry.ROLL_UPS if roll_up.own_file))
_WAITING = 1
"""So many batches may wait for the roll-ups, and for writing, beside the one at work."""
_AT_ONCE = 100
"""So many records of a roll-up are written at a time."""
_TOLD = 5
"""So many rejects of a file are told as they happen; all are written."""
_MANY_LOGS = 100
"""So many logs of one input get an output each; the records of all others share one."""


@dataclass(slots=True)
class Options:
    """What a run is asked to do."""

    inputs: tuple[str, ...]
    out: Path
    format: str = "ndjson"
    compress: str = "none"
    config: Path | None = None
    only: tuple[str, ...] = ()
    logs: frozenset[str] = frozenset()
    state: Path | None = None


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
        self.found: set[str] = set()
        self.report = Report()
        self.state = State(options.state) if options.state is not None else None

    def __call__(self) -> Report:
        """Run. Raises EnrichError for what no single record is to blame for."""
        began = time.time()
        if self.state is not None and (note := self.state.load(self.engine.survey)) is not None:
            self.progress.problem(note)
        self.folder = Folder(self.options.out, OWN)
        self.engine.survey.scratch.folder = self.folder.root
        try:
            files = self._discover()
            rejects = self.folder.open_own("rejects.ndjson")  # now, to know early whether it can be written
            self.survey(files)
            self._check_logs(files)
            self._enrich(files, rejects)
            self._save_state()
            self._write_run(began)
        except (OutputError, KeyboardInterrupt) as error:
            self.folder.discard()  # makes room, where the disk is full
            for file in self.report.files:
                file.out = file.out if file.outputs else 0
            with suppress(OutputError):
                self._write_run(began, failed=str(error) if isinstance(error, OutputError) else "interrupted")
            raise
        finally:
            self.folder.discard()
            if self.state is not None:
                self.state.discard()
        return self.report

    def survey(self, files: list[LogFile]) -> None:
        """The first pass: gather what the files say about each other's flows."""
        known = self.engine.survey
        self.progress.start("reading", sum(file.size for file in files))
        prepared: set[str] = set()
        with Worker(_MANY_LOGS) as preparer:

            def wanted(log: str) -> frozenset[str]:
                """What the survey reads of a log; readers ask for every log that they meet."""
                self.found.add(log)
                if log not in prepared:
                    prepared.add(log)
                    preparer.later(partial(self.engine.prepare, log))
                return known.wanted(log)

            for file in files:
                try:
                    for item in ahead(self.items(file, wanted, keep_raw=False)):
                        if isinstance(item, Header):
                            self.found.add(item.empty.log)
                        elif isinstance(item, list):
                            for batch in item:
                                if isinstance(batch, Batch) and known.wanted(batch.log):
                                    known.add(batch)
                except SourceError:
                    continue  # the second pass says so
            preparer.settle()
        self.directions.settled = True
        if self.state is not None:
            self.state.exchange(known)
        known.settle()

    def _save_state(self) -> None:
        """Keep for the next run what was learned, if there was anything to learn from."""
        if self.state is None or not self.report.files:
            return
        if (note := self.state.save()) is not None:
            self.progress.problem(note)
        self.report.state = {"loaded": self.state.loaded, "saved": self.state.saved}

    def _check_logs(self, files: list[LogFile]) -> None:
        """Say which logs of ``--logs`` there are not. Raises ConfigError if there is none of them."""
        self.found.update(file.log for file in files if file.form is None)
        absent = sorted(self.options.logs - self.found)
        if not absent or not files:
            return
        text = f"--logs: no input holds a log called {' or '.join(absent)}; there are: {', '.join(sorted(self.found))}"
        if len(absent) == len(self.options.logs):
            raise ConfigError(text)
        self.progress.problem(text)

    def items(self, file: LogFile, want: zeek_tsv.Want, keep_raw: bool) -> Iterator[Item]:
        """What a file holds, in its order."""
        chunks = read_chunks(file.path, lambda size: self.progress.advance(size, 0))
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
        self.folder.keep(file.path for file in files)
        return files

    def _enrich(self, files: list[LogFile], rejects: OutFile) -> None:
        self.progress.start("enriching", sum(file.size for file in files))
        with Worker(_WAITING) as roller, Worker(_WAITING) as writer:
            for file in files:
                _FileRun(self, file, rejects, roller, writer)()
            roller.settle()
        rejects.commit()
        for roll_up, results in self.engine.results():
            if not roll_up.own_file:
                self.report.applications = [dict(row) for row in results]
                continue
            out = self.folder.open_own(f"{roll_up.name}.ndjson")
            write_records(results, out)
            out.commit()

    def _write_run(self, began: float, failed: str | None = None) -> None:
        self.report.seconds = time.time() - began
        enrichers = [enricher.name for enricher in self.engine.enrichers]
        record = run_record(self.report, began, self.options.format, enrichers, self.tables, failed)
        out = self.folder.open_own("run.json")
        out.write(json.dumps(record, indent=1, ensure_ascii=False).encode() + b"\n")
        out.commit()


class _FileRun:
    """The second pass over one file."""

    def __init__(self, run: Run, file: LogFile, rejects: OutFile, roller: Worker, writer: Worker) -> None:
        self.run, self.file, self.rejects = run, file, rejects
        self.roller, self.writer = roller, writer
        self.report = FileReport(file.name, file.form.value if file.form else "empty")
        self.logs: list[str] = []
        self.outputs: dict[str, OutFile] = {}
        self.parts: dict[str, list[Path]] = {}
        self.header: list[Header] = []

    def __call__(self) -> None:
        run = self.run
        run.report.files.append(self.report)
        native = run.options.format == "native"
        tsv = self.file.form is Form.TSV
        want: zeek_tsv.Want = run.engine.reads if native or self.file.form is Form.JSON else _everything
        try:
            for item in ahead(self._begun(run.items(self.file, want, keep_raw=native or not tsv))):
                self._take(item)
        except SourceError as error:  # gone since it was found
            self._problem(str(error))
        self._flush_header()
        if self.report.untold:
            run.progress.problem(
                f"{self.file.name}: {self.report.untold:,} records of no known log: neither the file's name nor _path "
                "nor their fields say which, so little is added to them; name the file after its log, e.g. conn.json"
            )
        if not self.outputs and not self.parts and run.shape is not None and not run.options.logs:
            self._output(self._log_in_name(self.file.log))
        self._finish()

    def _begun(self, items: Iterator[Item]) -> Iterator[Header | list[Begun] | list[Reject] | Damage]:
        """What the file holds; batches that enrichers have begun with."""
        for item in items:
            if isinstance(item, list) and isinstance(item[0], Batch):
                yield [self.run.engine.begin(batch) for batch in item if isinstance(batch, Batch)]
            else:
                yield item

    def _take(self, item: Header | list[Begun] | list[Reject] | Damage) -> None:
        if isinstance(item, Header):
            if self._is_written(item.empty.log):
                self.header.append(item)
        elif isinstance(item, Damage):
            self._problem(f"{self.file.name}:{item.line}: {item.reason}; everything before that was read")
        elif isinstance(item[0], Reject):
            self._reject([reject for reject in item if isinstance(reject, Reject)])
        else:
            self._batches([begun for begun in item if isinstance(begun, Begun)])

    def _batches(self, batches: list[Begun]) -> None:
        run, ready = self.run, []
        for begun in batches:
            batch = begun.batch
            self._note(batch)
            added, frame = run.engine.finish(begun)
            self.roller.later(partial(run.engine.roll_up, batch.log, frame))
            if not self._is_written(batch.log):
                self.report.left_out += batch.height
                continue
            ready.append(Enriched.of(batch, added))
            self.report.renamed = sorted({*self.report.renamed, *ready[-1].taken})
        rows = sum(begun.batch.height for begun in batches)
        run.progress.advance(0, rows)
        if run.shape is None:
            for item in ready:
                self._part(item)
        elif run.shape.one_file:
            if ready:
                self._flush_header(ready[0])
                self._write("", ready)
        else:
            for item in ready:
                self._write(self._log_in_name(item.batch.log), [item])
        self.report.out += sum(item.batch.height for item in ready)

    def _note(self, batch: Batch) -> None:
        report = self.report
        report.rows += batch.height
        report.untold += batch.untold
        if batch.told:
            report.told[batch.log] = report.told.get(batch.log, 0) + batch.told
        if batch.log not in report.logs and len(report.logs) <= _MANY_LOGS:
            report.logs.append(batch.log)

    def _is_written(self, log: str) -> bool:
        return not self.run.options.logs or log in self.run.options.logs

    def _log_in_name(self, log: str) -> str:
        """The log's name where an input holds several; nothing where the file's own name says it."""
        if log not in self.logs:
            if len(self.logs) > _MANY_LOGS:
                return self._log_in_name("other") if log != "other" else log
            self.logs.append(log)
        return log if self.file.stdin or self.file.form is Form.EVE or log != self.logs[0] else ""

    def _output(self, log: str) -> OutFile:
        if log not in self.outputs:
            self.outputs[log] = self.run.folder.open(self._name(log), self.run.options.compress)
        return self.outputs[log]

    def _name(self, log: str) -> PurePosixPath:
        return output_name(self.file, log, self.run.options)

    def _write(self, log: str, items: list[Enriched]) -> None:
        shape = self.run.shape
        if shape is None:
            raise AssertionError("parquet is written in parts")
        out = self._output(log)

        def write() -> None:
            for lines in shape.lines(items):
                out.write_lines(*lines)

        self.writer.later(write)

    def _flush_header(self, first: Enriched | None = None) -> None:
        """Write header lines once it is known which columns are added: by the rows that follow, or by none."""
        shape = self.run.shape
        for header in self.header:
            if shape is None or not shape.one_file:
                continue
            item = first
            if item is None or item.batch.frame.columns != header.empty.frame.columns:
                added, _ = self.run.engine.enrich(header.empty)
                item = Enriched.of(header.empty, added)
            lines = pl.DataFrame({"line": shape.header(header.text, item)})
            self.writer.later(partial(self._output("").write_lines, lines))
        self.header = []

    def _part(self, item: Enriched) -> None:
        log = self._log_in_name(item.batch.log)
        path = self.run.folder.scratch()
        self.parts.setdefault(log, []).append(path)

        def write() -> None:
            try:
                parquet.frame(item).write_parquet(path, compression="lz4")
            except (OSError, pl.exceptions.PolarsError) as error:
                raise OutputError.of(self.run.folder.root / self._name(log), error) from error

        self.writer.later(write)

    def _finish(self) -> None:
        self.writer.settle()
        for log, parts in self.parts.items():
            self._output(log).write_with(lambda stream, parts=parts: parquet.unite(parts, stream))  # type: ignore[misc]
            for part in parts:
                part.unlink(missing_ok=True)
        for out in self.outputs.values():
            out.commit()
            self.report.outputs.append(shown(out.path.relative_to(self.run.folder.root)))
            self.run.report.bytes_out += out.path.stat().st_size

    def _reject(self, rejects: list[Reject]) -> None:
        for reject in rejects:
            record = {
                "file": self.file.name,
                "line": reject.line,
                "reason": reject.reason,
                "raw": reject.raw.decode("utf-8", "backslashreplace"),
            }
            self.rejects.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            if self.report.rejected < _TOLD:
                self.run.progress.problem(f"{self.file.name}:{reject.line}: {reject.reason}")
            elif self.report.rejected == _TOLD:
                self.run.progress.problem(f"{self.file.name}: more rejected records; all are in rejects.ndjson")
            self.report.rejected += 1
            self.report.rows += 1

    def _problem(self, text: str) -> None:
        self.report.problems.append(text)
        self.run.progress.problem(text)


def write_records(records: Iterable[Mapping[str, Any]], out: OutFile) -> None:
    """Write records as lines of JSON, some at a time."""
    encode, rest = json.JSONEncoder(ensure_ascii=False).encode, iter(records)
    while lines := [encode(record) + "\n" for record in islice(rest, _AT_ONCE)]:
        out.write("".join(lines).encode())


def _everything(_: str) -> None:
    return None


def output_name(file: LogFile, log: str, options: Options) -> PurePosixPath:
    """Where an input's records of one log go, below the output directory."""
    compressed = SUFFIXES[options.compress]
    stem = file.target.name
    if options.format == "native":
        return file.target.with_name(f"{stem}{file.extension}{compressed}")
    if file.stdin and file.form is not Form.EVE:
        stem = log or stem
    elif log:
        stem = f"{stem}.{log}"
    suffix = ".parquet" if options.format == "parquet" else f".ndjson{compressed}"
    return file.target.with_name(stem + suffix)
