"""The run: discover, survey, enrich, shape, write; in that order and in bounded memory.

Two passes over the input. The first (:mod:`enrich.survey`) reads only the columns that say something about flows; the
second enriches every record in its place. Within the second, this thread reads and enriches while another one turns
the batch before into text and writes it.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl

from enrich import applications, registry, survey
from enrich.batch import Batch, Damage, Form, Header, Item, Reject
from enrich.errors import OutputError
from enrich.model import Added, Enricher, Memo, RollUp, Use, key_frame
from enrich.shapes import Encoded, Enriched, Shape, parquet
from enrich.shapes.native import Native
from enrich.shapes.ndjson import NdJson
from enrich.sinks.files import SUFFIXES, Folder, OutFile
from enrich.sources import eve, zeek_json, zeek_tsv
from enrich.sources.discover import LogFile, Skipped, discover, header_log
from enrich.sources.lines import read_chunks
from enrich.tables import Tables, tables_used

SHAPES: dict[str, Callable[[], Shape]] = {"ndjson": NdJson, "native": Native}
FORMATS = (*SHAPES, "parquet")
_IN_FLIGHT = 2
_TOLD = 5
"""So many rejects of a file are told as they happen; all are written."""


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


@dataclass(slots=True)
class FileReport:
    """What became of one input file."""

    name: str
    form: str
    rows: int = 0
    out: int = 0
    rejected: int = 0
    left_out: int = 0
    outputs: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What became of a run."""

    files: list[FileReport] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    seconds: float = 0.0
    bytes_out: int = 0
    applications: list[dict[str, Any]] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The exit status: 0 all well, 1 some input was rejected, 3 nothing could be read."""
        if not self.files:
            return 3
        wrong = any(item.wrong for item in self.skipped)
        return 1 if wrong or any(item.rejected or item.problems for item in self.files) else 0


class Progress:
    """Where a run tells how far it is; this one tells nobody."""

    def start(self, phase: str, total: int) -> None:
        """Begin a phase over ``total`` bytes of input."""

    def advance(self, read: int, rows: int) -> None:
        """So many more bytes and rows are done."""

    def problem(self, text: str) -> None:
        """Something the user has to know, as it happens."""


class Engine:
    """The enrichers of a run with what they remember; applies them to batches."""

    def __init__(self, tables: Tables, only: tuple[str, ...] = ()) -> None:
        self.tables = tables
        self.enrichers = registry.enrichers(only)
        self.survey = survey.Survey(applications.load(tables))
        self._rolled = [(roll_up, roll_up.start(tables)) for roll_up in registry.ROLL_UPS]
        self._memos: dict[tuple[str, str], Memo] = {}
        self._works: dict[str, Any] = {}
        self._uses: dict[str, list[tuple[Enricher, Use]]] = {}

    def uses(self, log: str) -> list[tuple[Enricher, Use]]:
        """The enrichers that apply to a log, in their order."""
        if log not in self._uses:
            self._uses[log] = [
                (enricher, use) for enricher in self.enrichers for use in enricher.uses if {log, "*"} & {*use.logs}
            ]
        return self._uses[log]

    def reads(self, log: str) -> frozenset[str]:
        """The columns of a log that enrichers and roll-ups read."""
        own = {column for _, use in self.uses(log) for column in (*use.columns, *([use.absent] if use.absent else []))}
        rolled = frozenset().union(*(roll_up.reads.get(log, frozenset()) for roll_up, _ in self._rolled))
        return frozenset(own) | rolled | survey.wanted(log)

    def all_reads(self) -> frozenset[str]:
        """The columns that are read of any log."""
        logs = {log for enricher in self.enrichers for use in enricher.uses for log in use.logs} | survey.LOGS
        logs |= {log for roll_up, _ in self._rolled for log in roll_up.reads}
        return frozenset().union(*(self.reads(log) for log in logs))

    def enrich(self, batch: Batch) -> tuple[list[Added], pl.DataFrame]:
        """Apply every enricher that fits: the columns to append, and the frame with what later steps read of them."""
        frame, added = batch.frame, []
        if batch.log == "conn":
            about = self.survey.about(frame)
            frame = frame.hstack(about)
            added.append(Added.of(about.select("resp.name", "resp.name_source")))
        needed = {column for _, use in self.uses(batch.log) for column in use.columns}
        needed = needed.union(*(roll_up.reads.get(batch.log, frozenset()) for roll_up, _ in self._rolled))
        for enricher, use in self.uses(batch.log):
            keys = key_frame(frame, use, enricher.keys)
            if keys is None:
                continue
            result = self._apply(enricher, use, keys)
            added.append(result)
            later = [name for name in result.table.columns if name in needed]
            if later:
                frame = frame.hstack([result.column(name).alias(name) for name in later])
        return added, frame

    def roll_up(self, log: str, frame: pl.DataFrame) -> None:
        """Show an enriched batch to every roll-up that reads its log."""
        for roll_up, accumulator in self._rolled:
            columns = [name for name in roll_up.reads.get(log, frozenset()) if name in frame.columns]
            if columns:
                accumulator.add(log, frame.select(columns))

    def results(self) -> Iterator[tuple[RollUp, Iterable[Mapping[str, Any]]]]:
        """The roll-ups and their records."""
        for roll_up, accumulator in self._rolled:
            yield roll_up, accumulator.results()

    def _apply(self, enricher: Enricher, use: Use, keys: pl.DataFrame) -> Added:
        names = tuple(use.prefix + name for name in enricher.adds)
        if enricher.name not in self._works:
            self._works[enricher.name] = enricher.prepare(self.tables)
        if not enricher.distinct:
            table = self._works[enricher.name](keys)
            return Added(table.rename(dict(zip(table.columns, names, strict=True))))
        place = (enricher.name, use.prefix)
        if place not in self._memos:
            self._memos[place] = Memo(tuple(enricher.keys), names, self._works[enricher.name])
        return self._memos[place].apply(keys)


class Run:
    """One run over its inputs."""

    def __init__(self, options: Options, progress: Progress | None = None) -> None:
        self.options = options
        self.progress = progress or Progress()
        self.tables = Tables.load(options.config)
        self.engine = Engine(self.tables, options.only)
        self.folder = Folder(options.out)
        self.shape = SHAPES[options.format]() if options.format in SHAPES else None
        self.report = Report()

    def __call__(self) -> Report:
        """Run. Raises EnrichError for what no single record is to blame for."""
        began = time.time()
        spool = self.options.out / ".standard-input.part"
        try:
            files: list[LogFile] = []
            for item in discover(self.options.inputs, self.options.out, spool):
                if isinstance(item, Skipped):
                    self.report.skipped.append(item)
                    if item.wrong:
                        self.progress.problem(f"{item.name}: {item.reason}")
                else:
                    files.append(item)
            self._survey(files)
            self._enrich(files)
            self.report.seconds = time.time() - began
            self._write_run(began)
        finally:
            self.folder.discard()
            spool.unlink(missing_ok=True)
        return self.report

    def _survey(self, files: list[LogFile]) -> None:
        self.progress.start("reading", sum(file.size for file in files))
        for file in files:
            if file.form is Form.TSV and not survey.wanted(header_log(file)):
                self.progress.advance(file.size, 0)
                continue
            for item in self.items(file, survey.wanted, keep_raw=False):
                if isinstance(item, list):
                    for batch in item:
                        if isinstance(batch, Batch) and survey.wanted(batch.log):
                            self.engine.survey.add(batch)

    def _enrich(self, files: list[LogFile]) -> None:
        self.progress.start("enriching", sum(file.size for file in files))
        rejects = self.folder.open(PurePosixPath("rejects.ndjson"))
        with ThreadPoolExecutor(max_workers=1) as pool:
            for file in files:
                _FileRun(self, file, rejects, pool)()
        rejects.commit()
        for roll_up, results in self.engine.results():
            if not roll_up.own_file:
                self.report.applications = [dict(row) for row in results]
                continue
            out = self.folder.open(PurePosixPath(f"{roll_up.name}.ndjson"))
            for row in results:
                out.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
            out.commit()

    def items(self, file: LogFile, want: zeek_tsv.Want, keep_raw: bool) -> Iterator[Item]:
        """What a file holds, in its order."""
        chunks = read_chunks(file.path, lambda size: self.progress.advance(size, 0))
        if file.form is Form.TSV:
            return zeek_tsv.read(chunks, file.log, want, keep_raw)
        if file.form is Form.EVE:
            return eve.read(chunks)
        if file.form is Form.JSON:
            return zeek_json.read(chunks, file.log, want, self.engine.all_reads())
        return iter(())

    def _write_run(self, began: float) -> None:
        out = self.folder.open(PurePosixPath("run.json"))
        out.write(json.dumps(run_record(self, began), indent=1, ensure_ascii=False).encode() + b"\n")
        out.commit()


class _FileRun:
    """The second pass over one file."""

    def __init__(self, run: Run, file: LogFile, rejects: OutFile, pool: ThreadPoolExecutor) -> None:
        self.run, self.file, self.rejects, self.pool = run, file, rejects, pool
        self.report = FileReport(file.name, file.form.value if file.form else "empty")
        self.outputs: dict[str, OutFile] = {}
        self.parts: dict[str, list[Path]] = {}
        self.waiting: deque[Future[None]] = deque()
        self.header: list[Header] = []

    def __call__(self) -> None:
        run = self.run
        keep_raw = run.options.format == "native" or self.file.form is not Form.TSV
        want: zeek_tsv.Want = run.engine.reads if run.options.format == "native" else _everything
        if self.file.form is not Form.TSV:
            want = run.engine.reads
        for item in run.items(self.file, want, keep_raw):
            if isinstance(item, Header):
                self.header.append(item)
            elif isinstance(item, Damage):
                self._problem(f"{self.file.name}:{item.line}: {item.reason}; everything before that was read")
            elif isinstance(item[0], Reject):
                self._reject([reject for reject in item if isinstance(reject, Reject)])
            else:
                self._batches([batch for batch in item if isinstance(batch, Batch)])
        self._flush_header()
        if not self.outputs and not self.parts and run.shape is not None:
            self._output("")
        self._finish()
        run.report.files.append(self.report)

    def _batches(self, batches: list[Batch]) -> None:
        run, ready = self.run, []
        for batch in batches:
            self.report.rows += batch.height
            added, frame = run.engine.enrich(batch)
            run.engine.roll_up(batch.log, frame)
            if run.options.logs and batch.log not in run.options.logs:
                self.report.left_out += batch.height
                continue
            ready.append(Enriched(batch, added, _taken(batch, added)))
        rows = sum(batch.height for batch in batches)
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

    def _log_in_name(self, log: str) -> str:
        """The log's name where an input holds several; nothing where the file's own name says it."""
        if self.file.form is Form.EVE:
            return log
        if self.file.form is Form.JSON:
            self.main_log = getattr(self, "main_log", log)
            return "" if log == self.main_log else log
        return ""

    def _output(self, log: str) -> OutFile:
        if log not in self.outputs:
            name = output_name(self.file, log, self.run.options)
            self.outputs[log] = self.run.folder.open(name, self.run.options.compress)
            self.report.outputs.append(self.outputs[log].path.relative_to(self.run.folder.root).as_posix())
        return self.outputs[log]

    def _write(self, log: str, items: list[Enriched]) -> None:
        shape = self.run.shape
        if shape is None:
            raise AssertionError("parquet is written in parts")
        self._later(self._output(log), shape.prepare(items))

    def _later(self, out: OutFile, encode: Encoded) -> None:
        """Turn a batch into text and write it while the next one is read; in their order, a bounded number of them."""
        self.waiting.append(self.pool.submit(lambda: out.write_lines(encode())))
        while len(self.waiting) > _IN_FLIGHT:
            self.waiting.popleft().result()

    def _flush_header(self, first: Enriched | None = None) -> None:
        """Write header lines once it is known which columns are added: by the rows that follow, or by none."""
        shape = self.run.shape
        for header in self.header:
            if shape is None or not shape.one_file:
                continue
            item = first
            if item is None or item.batch.frame.columns != header.empty.frame.columns:
                added, _ = self.run.engine.enrich(header.empty)
                item = Enriched(header.empty, added, _taken(header.empty, added))
            lines = pl.Series(shape.header(header.text, item))
            self._later(self._output(""), lambda lines=lines: lines)  # type: ignore[misc]
        self.header = []

    def _part(self, item: Enriched) -> None:
        log = self._log_in_name(item.batch.log)
        parts = self.parts.setdefault(log, [])
        path = self.run.options.out / f".{os.getpid()}.{log or 'log'}.{len(parts)}.part"
        try:
            parquet.frame(item).write_parquet(path, compression="lz4")
        except OSError as error:
            raise OutputError(f"{path.parent}: {error.strerror or error}") from error
        parts.append(path)

    def _finish(self) -> None:
        while self.waiting:
            self.waiting.popleft().result()
        for log, parts in self.parts.items():
            out = self._output(log)
            try:
                parquet.unite(parts, out.part)
            except OSError as error:
                raise OutputError(f"{out.path}: {error.strerror or error}") from error
            finally:
                for part in parts:
                    part.unlink(missing_ok=True)
        for out in self.outputs.values():
            out.commit()
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


def _everything(_: str) -> None:
    return None


def _taken(batch: Batch, added: list[Added]) -> frozenset[str]:
    """Names of added columns that the input has already."""
    names = [name for item in added for name in item.table.columns if not name.startswith("_")]
    if batch.form is Form.TSV:
        return frozenset(names).intersection(batch.types)
    if batch.form is Form.EVE or batch.raw is None or not names:
        return frozenset()
    hits = batch.raw.str.contains_any([f'"{name}"' for name in names])
    if not hits.any():
        return frozenset()
    found = batch.raw.filter(hits).str.extract_many([f'"{name}"' for name in names], overlapping=True)
    return frozenset(text.strip('"') for text in found.explode().drop_nulls().unique())


def output_name(file: LogFile, log: str, options: Options) -> PurePosixPath:
    """Where an input's records of one log go, below the output directory."""
    compressed = SUFFIXES[options.compress]
    if options.format == "native":
        extension = ".json" if file.form in (Form.JSON, Form.EVE) else ".log"
        return file.target.with_name(file.target.name + extension + compressed)
    stem = log if file.stdin and log and file.form is Form.JSON else ".".join(filter(None, (_stem(file), log)))
    suffix = ".parquet" if options.format == "parquet" else f".ndjson{compressed}"
    return file.target.with_name(stem + suffix)


def _stem(file: LogFile) -> str:
    return "eve" if file.stdin and file.form is Form.EVE else file.target.name


def run_record(run: Run, began: float) -> dict[str, Any]:
    """The content of ``run.json``."""
    report = run.report
    return {
        "started": datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds"),
        "seconds": round(report.seconds, 3),
        "format": run.options.format,
        "rows": {
            "in": sum(item.rows for item in report.files),
            "out": sum(item.out for item in report.files),
            "rejected": sum(item.rejected for item in report.files),
            "left_out": sum(item.left_out for item in report.files),
        },
        "applications": report.applications,
        "files": [asdict(item) for item in report.files],
        "skipped": [{"name": item.name, "reason": item.reason} for item in report.skipped],
        "enrichers": [enricher.name for enricher in run.engine.enrichers],
        "software": {name: version(name) for name in ("zeek-enrich", "polars", "ua-parser", "publicsuffixlist")},
        "tables": tables_used(run.tables),
    }
