"""Connections that a run wrote, read again: what the input said of each, and what the run added.

Only what the run itself wrote counts as added: ``run.json`` says which files those are, and which columns of ours an
input had of its own (ours are called ``enrich.<name>`` then). Where a record leaves open whose a column is, it is not
taken for ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import zstandard

from enrich.batch import Batch, Form
from enrich.columns import TYPES
from enrich.errors import SourceError
from enrich.logs import Logs
from enrich.shapes import own_name
from enrich.sources import eve, zeek_tsv
from enrich.sources.discover import shown
from enrich.sources.eve_fields import LOGS
from enrich.sources.lines import Chunk
from enrich.written.records import fits, opened

Record = Mapping[str, Any]
Found = tuple[Record, Record]
"""A record's own fields, in Zeek's vocabulary, and the columns that were added to it."""
CONN = "conn"
_NO_RECORD = (ValueError, TypeError, AttributeError, RecursionError)
"""What comes of a line that no run wrote."""
_HEADER = (b"#separator", b"#set_separator", b"#empty_field", b"#unset_field", b"#path", b"#fields", b"#types")


def connections(directory: Path, run: Record, uid: str, logs: Logs) -> Iterator[Found]:
    """The connections of a run's output that have this uid (or flow_id); ``run`` is its ``run.json``.

    Raises SourceError naming an output that is gone or damaged.
    """
    there = {shown(path.relative_to(directory)): path for path in directory.rglob("*") if path.is_file()}
    for file in run["files"]:
        if CONN not in file["logs"]:
            continue
        for name in file["outputs"]:
            if name not in there:
                raise SourceError(f"{directory / name}: is gone, although run.json names it; run again")
            try:
                for fields, added in _records(there[name], uid, file):
                    if str(fields.get("uid")) == uid and _is_connection(fields, file, logs):
                        if not fits(added.get("app.evidence"), ([str], None)):
                            raise ValueError(f"app.evidence of {uid} is no list of texts")
                        yield fields, added
            except (OSError, EOFError, *_NO_RECORD, zstandard.ZstdError, pl.exceptions.PolarsError) as error:
                raise SourceError(f"{there[name]}: cannot be read: {error}; run again") from error


def _is_connection(fields: Record, file: Record, logs: Logs) -> bool:
    """Whether a record belongs to the conn log, in an output that may hold several."""
    event = fields.get("suricata")
    if event is not None:
        kind = (json.loads(event) if isinstance(event, str) else event).get("event_type")
        return bool(LOGS.get(kind, kind) == CONN)
    if file["logs"] == [CONN]:
        return True
    if "_path" in fields:
        return bool(fields["_path"] == CONN)
    held = {name for name, value in fields.items() if value is not None}
    return next((log for log, signs in logs.signs if signs <= held), None) == CONN


def _records(path: Path, uid: str, file: Record) -> Iterator[Found]:
    """The records of one output that may have this uid."""
    renamed = frozenset(file["renamed"])
    if path.suffix == ".parquet":
        with path.open("rb") as stream:  # a path would have to be UTF-8
            scan = pl.scan_parquet(stream)
            there = "uid" in scan.collect_schema()
            rows = scan.filter(pl.col("uid").cast(pl.String) == uid).collect() if there else pl.DataFrame()
        for row in rows.iter_rows(named=True):
            yield row, _added(row, renamed)
        return
    needle, header = uid.encode("utf-8", "surrogateescape"), dict.fromkeys(_HEADER, b"")
    with opened(path) as stream:
        line = b"\n"
        for number, line in enumerate(stream, 1):
            word = next((word for word in _HEADER if line.startswith(word)), None)
            if word is not None:
                header[word] = line
            elif needle in line:
                try:
                    found = list(_of_line(line, b"".join(header.values()), renamed, file))
                except _NO_RECORD as error:
                    raise ValueError(f"line {number}: {error}") from error
                yield from found
        if not line.endswith(b"\n"):
            raise ValueError("its last line is cut off")


def _of_line(line: bytes, header: bytes, renamed: frozenset[str], file: Record) -> Iterator[Found]:
    if header:
        for batch in _batches(zeek_tsv.read([Chunk(header + line, 1)], "", lambda _: None, keep_raw=False)):
            row = batch.frame.row(0, named=True)
            here = renamed if any(own_name(name, renamed) in row for name in renamed) else frozenset[str]()
            yield {**row, "_path": batch.log}, _added(row, here)
        return
    outermost: list[Any] = []  # the last object that is complete is the whole one

    def members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        outermost[:] = pairs[-1:]
        return dict(pairs)

    fields = json.loads(line, object_pairs_hook=members)
    if not isinstance(fields, dict):
        raise ValueError("no JSON object")
    if file["form"] != Form.EVE.value or "suricata" in fields:
        yield fields, _added(fields, renamed)
        return
    (name, added), *_ = outermost or [("", None)]
    for batch in _batches(eve.read([Chunk(line, 1)], eve.Directions(), lambda _: None)):
        ours = added if name.startswith("enrich") and isinstance(added, dict) else {}
        yield {**batch.frame.row(0, named=True), "suricata": fields}, ours


def _batches(items: Iterator[Any]) -> Iterator[Batch]:
    for item in items:
        if isinstance(item, list):
            yield from (batch for batch in item if isinstance(batch, Batch) and batch.height)


def _added(fields: Record, renamed: frozenset[str]) -> Record:
    """What is ours among a record's fields, under its own name."""
    return {name: fields[written] for name in TYPES if (written := own_name(name, renamed)) in fields}
