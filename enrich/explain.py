"""One flow of a run's output, with the evidence behind its verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from enrich import configuration, logs
from enrich.errors import AbsentError
from enrich.tables import Tables
from enrich.verdict import TABLE
from enrich.written.connections import CONN, connections
from enrich.written.records import run_record

SAID = ("ts", "uid", "proto", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "service", "conn_state")
"""What is shown of the input's own fields."""
ADDED = (
    "resp.name", "resp.name_source", "site.category", "site.product", "app.protocol", "app.name", "app.category",
    "app.confidence", "app.asserted", "app.contradiction", "behavior.class",
)  # fmt: skip
"""What is shown of what the run added."""
_UNKNOWN = "no evidence: nothing says what this flow is"
_UNJUDGED = "no verdict: the run was told to leave verdicts out (--only)"


def find(directory: Path, uid: str, config: Path | None = None) -> dict[str, Any]:
    """The flow with this uid, its evidence with strengths, and a note if there is something to know of these.

    The strengths are those of ``config``, else of the site's configuration that the run used. Raises SourceError where
    ``directory`` is no run's output, AbsentError if it holds no such flow.
    """
    tables, note = configuration.load(config), None
    run = run_record(directory)
    if config is None and run["config"] is not None:
        tables, note = _recorded(Path(run["config"]))
    for fields, added in connections(directory, run, uid, logs.load(tables)):
        flow = {name: fields.get(name) for name in SAID} | {name: added.get(name) for name in ADDED}
        evidence = explained(added.get("app.evidence") or (), tables)
        if not evidence:
            note = _UNJUDGED if "verdict" not in run["enrichers"] else _UNKNOWN
        return {"flow": flow, "evidence": evidence, "note": note}
    if not any(CONN in file["logs"] and file["outputs"] for file in run["files"]):
        raise AbsentError(f"{directory}: holds no connections: the run read no conn log, or --logs left it out")
    raise AbsentError(f"{directory}: no connection has the uid (or flow_id) {uid!r}")


def explained(evidence: Iterable[str], tables: Tables) -> list[dict[str, Any]]:
    """Each piece of evidence taken apart, with its strength and what its source means."""
    meanings = tables.toml(TABLE)["meaning"]
    rows = []
    for item in evidence:
        source, _, what = item.partition(":")
        rows.append(
            {"source": source, "what": what, "strength": _strength(tables, source), "meaning": meanings.get(source, "")}
        )
    return rows


def _recorded(config: Path) -> tuple[Tables, str | None]:
    """The tables of a run's own configuration; the shipped ones, with a note, if it is gone."""
    if config.is_file():
        return configuration.load(config), None
    note = f"the configuration of the run, {config}, is gone: the strengths are the shipped ones (or name --config)"
    return Tables(), note


def _strength(tables: Tables, source: str) -> float | None:
    """A source's typical strength as a person is shown it: how often it alone is right; None for an unknown source."""
    table = tables.toml(TABLE)
    if source in table["application"]:
        return float(table["application"][source])
    weights = table["protocol"]
    weight = next(
        (weights[name] for name in (source, f"{source}.open", f"{source}.system.open") if name in weights), None
    )
    return None if weight is None else 1 / (1 + math.exp(-float(weight)))
