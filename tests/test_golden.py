"""The verdict on every connection of the examples, held against what it was: no change goes unseen.

After a change that is meant, look at the difference: ``python tests/test_golden.py && git diff tests/data/golden.json``
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from enrich.options import Options
from enrich.pipeline import Run as Pipeline

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests/data/golden.json"
INPUTS = {"examples/zeek": "conn", "examples/zeek-json": "conn", "examples/suricata/eve.json": "eve.conn"}
COLUMNS = ("app.protocol", "app.name", "app.category")


def verdicts(name: str, out: Path) -> dict[str, list[str | None]]:
    """Protocol, application and category of each connection, by uid."""
    Pipeline(Options((str(ROOT / name),), out))()
    with (out / f"{INPUTS[name]}.ndjson").open() as lines:
        records = [json.loads(line) for line in lines]
    return {record["uid"]: [record.get(column) for column in COLUMNS] for record in records}


@pytest.mark.parametrize("name", INPUTS)
def test_verdicts_are_what_they_were(name: str, tmp_path: Path) -> None:
    known, found = json.loads(GOLDEN.read_text("utf-8"))[name], verdicts(name, tmp_path / "out")
    assert found.keys() == known.keys()
    changed = {uid: f"{known[uid]} is now {verdict}" for uid, verdict in found.items() if verdict != known[uid]}
    assert not changed, f"if this is meant: python {Path(__file__).relative_to(ROOT)}"


def write() -> None:
    """Write what is found now, a line a connection."""
    with tempfile.TemporaryDirectory() as folder:
        found = {name: verdicts(name, Path(folder) / str(number)) for number, name in enumerate(INPUTS)}
    parts = []
    for name, flows in found.items():
        lines = ",\n".join(f"  {json.dumps(uid)}: {json.dumps(flows[uid])}" for uid in sorted(flows))
        parts.append(f" {json.dumps(name)}: {{\n{lines}\n }}")
    GOLDEN.write_text("{\n" + ",\n".join(parts) + "\n}\n", "utf-8")


if __name__ == "__main__":
    write()
