"""The enrichers of a run with what they remember, applied batch by batch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from threading import Lock
from typing import Any

import polars as pl

from enrich import applications, payload, registry, survey
from enrich.batch import Batch, possible_counts
from enrich.model import Added, Enricher, Memo, Remembering, RollUp, Use, Work, key_frame
from enrich.sources.zeek_types import known_types
from enrich.tables import Tables
from enrich.tally import Waiting

_ENOUGH = 50_000
"""So many rows of a log are worth being shown to the roll-ups."""


class Engine:
    """The enrichers of a run with what they remember; applies them to batches."""

    def __init__(self, tables: Tables, only: tuple[str, ...] = ()) -> None:
        self.tables = tables
        self.enrichers = registry.enrichers(only)
        failed_states = tables.toml("behavior.toml")["thresholds"]["failed_states"]
        self.survey = survey.Survey(applications.load(tables), lambda: payload.load(tables), failed_states)
        with tables.blamed():
            self._rolled = [(roll_up, roll_up.start(tables)) for roll_up in registry.ROLL_UPS]
        self._waiting: dict[str, Waiting] = {}
        self._schemas: dict[str, pl.Schema] = {}
        self._memos: dict[tuple[str, str], Memo] = {}
        self._works: dict[str, Work] = {}
        self._surveying, self._preparing = Lock(), Lock()
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
        about = survey.ABOUT if log == "conn" else frozenset()
        return frozenset(own) | self._rolled_up(log) | self.survey.wanted(log) | about

    def all_reads(self) -> frozenset[str]:
        """The columns that are read of any log."""
        logs = {log for enricher in self.enrichers for use in enricher.uses for log in use.logs} | self.survey.logs
        logs |= {log for roll_up, _ in self._rolled for log in roll_up.reads}
        return frozenset().union(*(self.reads(log) for log in logs))

    def enrich(self, batch: Batch) -> tuple[list[Added], pl.DataFrame]:
        """Apply every enricher that fits: the columns to append, and the frame with what later steps read of them.

        Several threads may do so at a time, each with a batch of its own.
        """
        log = batch.log
        frame = known_types(batch, self.reads(log))
        added: list[Added] = []
        if log == "conn":
            with self._surveying:
                about = self.survey.about(frame)
            frame = frame.with_columns(about)  # the log may have a column of the same name
            added.append(Added.of(about.select("resp.name", "resp.name_source")))
        needed = self._rolled_up(log).union(column for _, use in self.uses(log) for column in use.columns)
        for enricher, use in self.uses(log):
            keys = key_frame(frame, use, enricher.keys)
            if keys is None:
                continue
            result = self._apply(enricher, use, keys)
            added.append(result)
            later = [name for name in result.table.columns if name in needed]
            if later:
                frame = frame.with_columns(result.column(name).alias(name) for name in later)
        return added, frame

    def _rolled_up(self, log: str) -> frozenset[str]:
        """The columns of a log that roll-ups read."""
        return frozenset().union(*(roll_up.reads.get(log, frozenset()) for roll_up, _ in self._rolled))

    def for_roll_ups(self, log: str, frame: pl.DataFrame) -> pl.DataFrame:
        """What :meth:`roll_up` needs of an enriched batch, which may wait: the other columns need no memory then."""
        return possible_counts(frame[sorted(self._rolled_up(log).intersection(frame.columns))])

    def roll_up(self, log: str, frame: pl.DataFrame) -> None:
        """Show a batch's part to every roll-up that reads its log, when there are rows enough to be worth it."""
        if not frame.width:
            return
        if log not in self._waiting:
            self._waiting[log] = Waiting(partial(self._show, log), _ENOUGH)
        if self._schemas.setdefault(log, frame.schema) != frame.schema:
            self._waiting[log].look()
            self._schemas[log] = frame.schema
        self._waiting[log].add(frame)

    def _show(self, log: str, frame: pl.DataFrame) -> None:
        for roll_up, accumulator in self._rolled:
            if not roll_up.reads.get(log, frozenset()).isdisjoint(frame.columns):
                accumulator.add(log, frame)

    def results(self) -> Iterator[tuple[RollUp, Iterable[Mapping[str, Any]]]]:
        """The roll-ups and their records."""
        for waiting in self._waiting.values():
            waiting.look()
        for roll_up, accumulator in self._rolled:
            yield roll_up, accumulator.results()

    def notes(self) -> list[str]:
        """What the roll-ups' bounds left out of their records; known when these are."""
        return [note for _, accumulator in self._rolled for note in accumulator.notes]

    def remembering(self) -> list[Remembering]:
        """The roll-ups that know more where they are told what earlier runs saw."""
        return [accumulator for _, accumulator in self._rolled if isinstance(accumulator, Remembering)]

    def _apply(self, enricher: Enricher, use: Use, keys: pl.DataFrame) -> Added:
        names = tuple(use.prefix + name for name in enricher.adds)
        if enricher.narrow is not None:
            keys = enricher.narrow(keys)
        work = self._work(enricher)
        if not enricher.distinct:
            table = work(keys)
            return Added(table.rename(dict(zip(table.columns, names, strict=True))))
        place = (enricher.name, use.prefix)
        memo = self._memos.get(place) or self._memos.setdefault(place, Memo(tuple(enricher.keys), names, work))
        return memo.apply(keys)

    def prepare(self, log: str) -> None:
        """Let the enrichers of a log load what they need, which they do when they first run otherwise."""
        for enricher, _ in self.uses(log):
            self._work(enricher)

    def _work(self, enricher: Enricher) -> Work:
        with self._preparing:
            if enricher.name not in self._works:
                with self.tables.blamed():
                    self._works[enricher.name] = _in_turn(enricher.prepare(self.tables))
            return self._works[enricher.name]


def _in_turn(work: Work) -> Work:
    """The same work, by one thread at a time: it may remember things, and each use of an enricher has it in common."""
    turn = Lock()

    def worked(keys: pl.DataFrame) -> pl.DataFrame:
        with turn:
            return work(keys)

    return worked
