"""Finding one flow in a run's output, with the evidence behind its verdict."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import polars as pl
import zstandard

from enrich.errors import SourceError
from enrich.tables import Tables
from enrich.verdict import TABLE, strength

SHOWN = (
    "ts", "uid", "proto", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p", "service", "conn_state", "resp.name",
    "resp.name_source", "site.category", "site.product", "app.protocol", "app.name", "app.category", "app.confidence",
    "app.asserted", "app.contradiction", "behavior.class",
)  # fmt: skip


def find(directory: Path, uid: str) -> dict[str, Any]:
    """The flow with this uid, and its evidence with strengths. Raises SourceError if the output holds no such flow."""
    for path in sorted(directory.rglob("*")):
        found = next((row for row in _records(path, uid) if _is_flow(row, uid)), None)
        if found is not None:
            return {
                "flow": {name: found.get(name) for name in SHOWN},
                "evidence": explained(found.get("app.evidence") or []),
            }
    raise SourceError(
        f"{directory}: no flow with uid {uid!r}; is it the output of a run, and does it hold conn records?"
    )


def explained(evidence: list[str]) -> list[dict[str, Any]]:
    """Each piece of evidence taken apart, with its strength and what its source means."""
    tables = Tables()
    meanings = tables.toml(TABLE)["meaning"]
    rows = []
    for item in evidence:
        source, _, what = item.partition(":")
        rows.append(
            {"source": source, "what": what, "strength": strength(tables, source), "meaning": meanings.get(source, "")}
        )
    return rows


def _is_flow(row: dict[str, Any], uid: str) -> bool:
    return uid in (str(row.get("uid")), str(row.get("flow_id"))) and ("app.evidence" in row or "resp.scope" in row)


def _records(path: Path, uid: str) -> Iterator[dict[str, Any]]:
    names = path.name.split(".")
    if path.name.startswith(".") or not path.is_file() or not {"conn", "eve", "stdin"} & {*names}:
        return
    if names[-1] == "parquet":
        scan = pl.scan_parquet(path)
        if "uid" in scan.collect_schema():
            yield from scan.filter(pl.col("uid").cast(pl.String) == uid).head(1).collect().to_dicts()
        return
    needle = uid.encode()
    header: list[str] = []
    with _open(path) as stream:
        for line in stream:
            if line.startswith(b"#fields"):
                header = line.decode().rstrip("\n").split("\t")[1:]
            if needle not in line:
                continue
            if line.startswith(b"{"):
                row = json.loads(line)
                yield {**row, **row.get("enrich", {})} if isinstance(row.get("enrich"), dict) else row
            elif header:
                values = line.decode("utf-8", "replace").rstrip("\n").split("\t")
                cells = {name: value for name, value in zip(header, values, strict=False) if value != "-"}
                yield cells | {"app.evidence": cells.get("app.evidence", "").split(",")}


def _open(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return io.BufferedReader(gzip.open(path, "rb"))
    if path.suffix == ".zst":
        return io.BufferedReader(zstandard.open(path, "rb"))
    return path.open("rb")
