"""The first pass over all files of a run: the survey hears what each says about the flows of every other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from functools import partial

from enrich.batch import Batch, Form, Header, Item
from enrich.engine import Engine
from enrich.errors import SourceError
from enrich.progress import Progress
from enrich.sources.discover import LogFile
from enrich.sources.eve import Directions
from enrich.sources.zeek_tsv import Want
from enrich.state import State
from enrich.workers import Worker, ahead

Read = Callable[[LogFile, Want, bool, Progress], Iterator[Item]]
"""Gives what a file holds, of each log the columns that are wanted, and records' own text if asked for."""
_MANY = 100
"""So many logs may wait until what their enrichers need is loaded."""


class FirstPass:
    """Reads what every file says about flows. ``made`` tells that this is done, ``found`` which logs there are."""

    def __init__(
        self, files: Sequence[LogFile], read: Read, engine: Engine, directions: Directions, state: State | None
    ) -> None:
        self.files, self.read, self.engine = files, read, engine
        self.directions, self.state = directions, state
        self.made = False
        self.found = {file.log for file in files if file.form is None}
        self._prepared: set[str] = set()

    @property
    def is_due(self) -> bool:
        """Whether a file may hold flows, which alone are judged by what all logs say: names and first headers tell.

        A TSV log may yet have flows behind another header: the pass is then made when they come.
        """
        return any(_may_hold_flows(file) for file in self.files)

    def __call__(self, progress: Progress) -> None:
        """Make the pass; meanwhile load what the enrichers of the logs need. Raises OutputError on a full disk."""
        with Worker(_MANY) as preparer:
            for file in self.files:
                with suppress(SourceError):  # the second pass says so
                    self._take(file, progress, preparer)
            preparer.settle()
        self.directions.settled = True
        if self.state is not None:
            self.state.exchange(self.engine.survey)
        self.engine.survey.settle()
        self.made = True

    def _take(self, file: LogFile, progress: Progress, preparer: Worker) -> None:
        known = self.engine.survey

        def wanted(log: str) -> frozenset[str]:
            """What the survey reads of a log; readers ask for every log that they meet."""
            self.found.add(log)
            if log not in self._prepared:
                self._prepared.add(log)
                preparer.later(partial(self.engine.prepare, log))
            return known.wanted(log)

        with closing(ahead(self.read(file, wanted, False, progress))) as items:
            for item in items:
                if isinstance(item, Header):
                    self.found.add(item.empty.log)
                elif isinstance(item, list):
                    for batch in item:
                        if isinstance(batch, Batch) and known.wanted(batch.log):
                            known.add(batch)


def _may_hold_flows(file: LogFile) -> bool:
    if file.form is Form.TSV and file.header_log is not None:
        return "conn" in (file.log, file.header_log)
    return file.form is not None
