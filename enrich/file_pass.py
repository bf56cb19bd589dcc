"""The second pass over one file: its records enriched, shown to the roll-ups, and written in their order.

One thread reads the batches, some more enrich them, another shows them to the roll-ups; the one that runs the pass
turns them into text, which one more writes.
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import polars as pl

from enrich.batch import Batch, Damage, Form, Header, Item, Reject
from enrich.engine import Engine
from enrich.errors import OutputError, SourceError
from enrich.first_pass import FirstPass, Read
from enrich.options import Options
from enrich.progress import Progress
from enrich.report import FileReport, Report
from enrich.shapes import Enriched, Shape, parquet
from enrich.sinks.files import SUFFIXES, Folder, OutFile
from enrich.sources.discover import LogFile, shown
from enrich.sources.zeek_tsv import Want
from enrich.workers import Worker, ahead

_ENRICHING = 2
"""So many batches are enriched at a time."""
_TOLD = 5
"""So many rejects of a file are told as they happen; all are written."""
_MANY_LOGS = 100
"""So many logs of one input get an output each; the records of all others share one."""


@dataclass(slots=True)
class Means:
    """What the passes over the files of a run share. No ``shape`` is Parquet's."""

    options: Options
    read: Read
    first_pass: FirstPass
    engine: Engine
    roller: Worker
    writer: Worker
    shape: Shape | None
    folder: Folder
    rejects: OutFile
    report: Report
    progress: Progress


@dataclass(slots=True)
class _Done:
    """An enriched batch: what roll-ups read, and what is written of it, if its log is."""

    batch: Batch
    frame: pl.DataFrame
    enriched: Enriched | None


class FilePass:
    """The second pass over one file."""

    def __init__(self, file: LogFile, means: Means) -> None:
        self.file, self.means = file, means
        self.report = FileReport(file.name, file.form.value if file.form else "empty")
        self.logs: list[str] = []
        self.outputs: dict[str, OutFile] = {}
        self.rows: Counter[str] = Counter()
        self.parts: dict[str, list[Path]] = {}
        self.header: list[Header] = []

    def __call__(self) -> None:
        """Do it. Raises OutputError when the disk is full."""
        self.means.report.files.append(self.report)
        native, form = self.means.options.format == "native", self.file.form
        want: Want = self.means.engine.reads if native or form is Form.JSON else _everything
        try:
            items = self.means.read(self.file, want, native or form is not Form.TSV, self.means.progress)
            with closing(ahead(items, self._enriched, _ENRICHING)) as coming:
                for item in coming:
                    self._take(item)
        except SourceError as error:  # gone since it was found
            self._problem(str(error))
        self._write_header()
        if self.report.untold:
            self.means.progress.problem(
                f"{self.file.name}: {self.report.untold:,} records of no known log: neither the file's name nor _path "
                "nor their fields say which, so little is added to them; name the file after its log, e.g. conn.json"
            )
        if not self.outputs and not self.parts and self.means.shape is not None and not self.means.options.logs:
            self._output(self._log_in_name(self.file.log))
        self._finish()

    def _enriched(self, item: Item) -> Item | list[_Done]:
        """What the file holds, its batches enriched: what several threads do at a time.

        Flows that nobody expected stay as they are until the first pass is made.
        """
        if not isinstance(item, list) or isinstance(item[0], Reject):
            return item
        if not self.means.first_pass.made and any(batch.log == "conn" for batch in item if isinstance(batch, Batch)):
            return item
        done = []
        for batch in item:
            if isinstance(batch, Batch):
                added, frame = self.means.engine.enrich(batch)
                written = Enriched.of(batch, added) if self._is_written(batch.log) else None
                done.append(_Done(batch, self.means.engine.for_roll_ups(batch.log, frame), written))
        return done

    def _take(self, item: Item | list[_Done]) -> None:
        if isinstance(item, Header):
            if self._is_written(item.empty.log):
                self.header.append(item)
        elif isinstance(item, Damage):
            self._problem(f"{self.file.name}:{item.line}: {item.told}")
        elif isinstance(item[0], Reject):
            self._reject([reject for reject in item if isinstance(reject, Reject)])
        elif isinstance(item[0], Batch):
            if not self.means.first_pass.made:
                self.means.first_pass(Progress())  # the bar is that of this pass
            self._take(self._enriched([batch for batch in item if isinstance(batch, Batch)]))
        else:
            self._take_batches([done for done in item if isinstance(done, _Done)])

    def _take_batches(self, batches: list[_Done]) -> None:
        for done in batches:
            self._note(done.batch)
            self.means.roller.later(partial(self.means.engine.roll_up, done.batch.log, done.frame))
        ready = [done.enriched for done in batches if done.enriched is not None]
        rows, out = sum(done.batch.height for done in batches), sum(item.batch.height for item in ready)
        self.report.left_out += rows - out  # what is written counts when its output is complete
        self.report.renamed = sorted({*self.report.renamed}.union(*(item.taken for item in ready)))
        if self.means.shape is None:
            for item in ready:
                self._write_part(item)
        elif self.means.shape.one_file:
            if ready:
                self._write_header(ready[0])
                self._write(self.means.shape, "", ready)
        else:
            for item in ready:
                self._write(self.means.shape, self._log_in_name(item.batch.log), [item])
        self.means.progress.advance(0, rows)

    def _note(self, batch: Batch) -> None:
        report = self.report
        report.rows += batch.height
        report.untold += batch.untold
        if batch.told:
            report.told[batch.log] = report.told.get(batch.log, 0) + batch.told
        if batch.log not in report.logs and len(report.logs) <= _MANY_LOGS:
            report.logs.append(batch.log)

    def _is_written(self, log: str) -> bool:
        return not self.means.options.logs or log in self.means.options.logs

    def _log_in_name(self, log: str) -> str:
        """The log's name where an input holds several; nothing where the file's own name says it."""
        if log not in self.logs:
            if len(self.logs) > _MANY_LOGS:
                return self._log_in_name("other") if log != "other" else log
            self.logs.append(log)
        return log if self.file.stdin or self.file.form is Form.EVE or log != self.logs[0] else ""

    def _output(self, log: str) -> OutFile:
        if log not in self.outputs:
            self.outputs[log] = self.means.folder.open(self._name(log), self.means.options.compress)
        return self.outputs[log]

    def _name(self, log: str) -> PurePosixPath:
        """Where the records of a log go, below the output directory."""
        file, form = self.file, self.means.options.format
        compressed = SUFFIXES[self.means.options.compress]
        stem = file.target.name
        if form == "native":
            return file.target.with_name(f"{stem}{file.extension}{compressed}")
        if file.stdin and file.form is not Form.EVE:
            stem = log or stem
        elif log:
            stem = f"{stem}.{log}"
        return file.target.with_name(stem + (".parquet" if form == "parquet" else f".ndjson{compressed}"))

    def _write(self, shape: Shape, log: str, items: list[Enriched]) -> None:
        out = self._output(log)
        self.rows[log] += sum(item.batch.height for item in items)
        for lines in shape.lines(items):
            self.means.writer.later(partial(out.write_lines, *lines))

    def _write_header(self, first: Enriched | None = None) -> None:
        """Write header lines once it is known which columns are added: by the rows that follow, or by none."""
        shape = self.means.shape
        if shape is not None and shape.one_file:
            for header in self.header:
                item = first
                if item is None or item.batch.frame.columns != header.empty.frame.columns:
                    item = self._without_rows(header)
                lines = pl.DataFrame({"line": shape.header(header.text, item)})
                self.means.writer.later(partial(self._output("").write_lines, lines))
        elif shape is None and self.header and not self.parts:
            self._write_part(self._without_rows(self.header[0]))
        self.header = []

    def _without_rows(self, header: Header) -> Enriched:
        added, _ = self.means.engine.enrich(header.empty)
        return Enriched.of(header.empty, added)

    def _write_part(self, item: Enriched) -> None:
        log = self._log_in_name(item.batch.log)
        path = self.means.folder.scratch()
        self.rows[log] += item.batch.height
        self.parts.setdefault(log, []).append(path)
        try:
            parquet.frame(item).write_parquet(path, compression="lz4")
        except (OSError, pl.exceptions.PolarsError) as error:
            raise OutputError.of(self.means.folder.root / self._name(log), error) from error

    def _finish(self) -> None:
        self.means.writer.settle()
        for log, parts in self.parts.items():
            self._output(log).write_with(lambda stream, parts=parts: parquet.unite(parts, stream))  # type: ignore[misc]
            for part in parts:
                part.unlink(missing_ok=True)
        for log, out in self.outputs.items():
            out.commit()
            self.report.out += self.rows[log]
            self.report.outputs.append(shown(out.path.relative_to(self.means.folder.root)))
            self.means.report.bytes_out += out.path.stat().st_size

    def _reject(self, rejects: list[Reject]) -> None:
        for reject in rejects:
            record = {"file": self.file.name, **reject.record()}
            self.means.rejects.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
            if self.report.rejected < _TOLD:
                self.means.progress.problem(f"{self.file.name}:{reject.line}: {reject.reason}")
            elif self.report.rejected == _TOLD:
                self.means.progress.problem(f"{self.file.name}: more rejected records; all are in rejects.ndjson")
            self.report.rejected += 1
            self.report.rows += 1

    def _problem(self, text: str) -> None:
        self.report.problems.append(text)
        self.means.progress.problem(text)


def _everything(_: str) -> None:
    return None
