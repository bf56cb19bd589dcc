"""``zeek-enrich run``: its formats, options and records, on the shipped examples."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import plain
import polars as pl
import pytest
import zstandard
from click.testing import CliRunner
from conftest import ROOT, Outcome, Run

from enrich import hosts, pipeline
from enrich.batch import Batch
from enrich.cli import main
from enrich.columns import TYPES
from enrich.engine import Engine
from enrich.errors import OutputError, TableError
from enrich.findings import case
from enrich.options import Options
from enrich.pipeline import write_records
from enrich.progress import Progress
from enrich.registry import enrichers
from enrich.sinks.files import OutFile
from enrich.written import records

ZEEK, JSON, EVE = ROOT / "examples/zeek", ROOT / "examples/zeek-json", ROOT / "examples/suricata/eve.json"


def text(path: Path) -> str:
    data = path.read_bytes()
    if path.suffix == ".gz":
        data = gzip.decompress(data)
    elif path.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    return data.decode()


def ours(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name in TYPES and value is not None}


# ---- outputs


def test_the_output_mirrors_the_input(run: Run, tmp_path: Path) -> None:
    day = tmp_path / "logs" / "2026-11-21"
    day.mkdir(parents=True)
    (day / "http.10:00:00-11:00:00.log.gz").write_bytes(gzip.compress((ZEEK / "http.log").read_bytes()))
    (day / "eve.json").write_bytes(EVE.read_bytes())
    outcome = run(tmp_path / "logs")
    assert outcome.status == 0
    outputs = outcome.outputs()
    assert "2026-11-21/http.10:00:00-11:00:00.ndjson" in outputs
    assert {"2026-11-21/eve.conn.ndjson", "2026-11-21/eve.http.ndjson", "2026-11-21/eve.dns.ndjson"} <= {*outputs}
    native = run(tmp_path / "logs", "--format", "native")
    assert native.outputs() == ["2026-11-21/eve.json", "2026-11-21/http.10:00:00-11:00:00.log"]


@pytest.mark.parametrize("form", ["ndjson", "native"])
@pytest.mark.parametrize(("compress", "suffix"), [("gzip", ".gz"), ("zstd", ".zst")])
def test_compressed_output_is_the_same_output(run: Run, form: str, compress: str, suffix: str) -> None:
    plain_one, packed = run(ZEEK, "--format", form), run(ZEEK, "--format", form, "--compress", compress)
    assert packed.outputs() == [f"{name}{suffix}" for name in plain_one.outputs()]
    for name in plain_one.outputs():
        assert text(packed.out / f"{name}{suffix}") == text(plain_one.out / name)
    again = run(*(packed.out / name for name in packed.outputs()))
    assert again.rows["out"] == plain_one.rows["out"]


def test_parquet_is_compressed_by_itself(run: Run) -> None:
    outcome = run(ZEEK, "--format", "parquet", "--compress", "gzip")
    assert outcome.status == 2
    assert "parquet is compressed by itself" in outcome.stderr


def test_every_format_says_the_same_of_a_flow(run: Run) -> None:
    ndjson = [ours(record) for record in run(ZEEK).records("conn.ndjson")]
    native = run(ZEEK, "--format", "native")
    for record, cells in zip(ndjson, plain.records(native.out / "conn.log"), strict=True):
        # A vector of one empty text cannot be told from an empty one; ours has no empty texts.
        assert {name: value for name, value in ours(cells).items() if name != "community_id"} == {
            name: value for name, value in record.items() if name != "community_id"
        }
    frame = pl.read_parquet(run(ZEEK, "--format", "parquet").out / "conn.parquet")
    assert [ours(row) for row in frame.to_dicts()] == ndjson
    for name, kind in frame.schema.items():
        if name in TYPES:
            assert kind == TYPES[name], name


def test_json_logs_get_the_same_columns_as_tsv_logs(run: Run) -> None:
    tsv = {record["uid"]: record for record in run(ZEEK).records("conn.ndjson")}
    same = 0
    for record in run(JSON).records("conn.ndjson"):
        twin = tsv.get(record["uid"])
        if twin is not None:
            same += 1
            for name in ("orig.scope", "port.service", "behavior.class", "app.protocol", "community_id"):
                assert record.get(name) == twin.get(name), name
    assert same > 50


def test_flows_behind_another_header_are_judged_by_all_logs_as_well(run: Run, tmp_path: Path) -> None:
    apart, logs = run(ZEEK).records("conn.ndjson"), ("http", "dns", "ssl", "x509", "conn", "ssh")
    together = tmp_path / "together.log"
    together.write_bytes(b"".join((ZEEK / f"{name}.log").read_bytes() for name in logs))
    outcome = run(together)
    found = {record["uid"]: ours(record) for record in outcome.records("together.conn.ndjson")}
    named = [record for record in apart if record.get("resp.name_source") in ("sni", "host", "dns", "cert")]
    assert len(named) > 20
    for record in named:
        assert found[record["uid"]]["resp.name"] == record["resp.name"]
    assert outcome.rows["in"] == outcome.rows["out"]
    again = run(together, "--format", "native", "--jobs", "1")
    assert again.rows["out"] == outcome.rows["out"]
    alone = run(ZEEK / "http.log")  # no flows: nothing has to be known of other logs
    assert alone.records("http.ndjson") == run(ZEEK).records("http.ndjson")


def test_what_bounds_leave_out_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads((run(ZEEK).out / "run.json").read_text())["notes"] == []
    monkeypatch.setattr(hosts, "OTHERS", 3)
    outcome = run(ZEEK)
    [note] = json.loads((outcome.out / "run.json").read_text())["notes"]
    assert "more than 3 services outside" in note and note in outcome.stderr
    monkeypatch.setattr(hosts, "OTHERS", 20_000)
    monkeypatch.setattr(case, "_GROUPS", 1)
    notes = json.loads((run(ROOT / "examples" / "zeek").out / "run.json").read_text())["notes"]
    assert notes and all("can be followed at once; some of " in note for note in notes)


def test_rows_are_out_when_their_output_is_complete(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = OutFile.commit

    def fail(out: OutFile) -> None:
        if "eve.dns" in out.path.name:
            raise OutputError(f"{out.path}: No space left")
        commit(out)

    monkeypatch.setattr(OutFile, "commit", fail)
    outcome = run(EVE)
    assert outcome.status == 4
    assert outcome.outputs()
    assert outcome.rows["out"] == sum(len(outcome.records(name)) for name in outcome.outputs()) < outcome.rows["in"]


def test_whatever_ends_a_run_early_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where it is no full disk: what is complete lies beside what an earlier run wrote."""
    out, enrich = run(ZEEK).out, Engine.enrich
    monkeypatch.setattr(Engine, "enrich", failing_at("ssh", enrich, TableError("ssh.toml: is malformed")))
    outcome = run(ZEEK, out=out)
    assert (outcome.status, outcome.run["failed"]) == (2, "ssh.toml: is malformed")
    assert "the last run into it failed (ssh.toml: is malformed)" in records.caveat(out)
    monkeypatch.setattr(Engine, "enrich", failing_at("ssl", enrich, ZeroDivisionError("a third party's bug")))
    with pytest.raises(AssertionError, match="a third party's bug"):
        run(ZEEK, out=out)
    assert "ZeroDivisionError" in records.caveat(out)


def failing_at(log: str, enrich: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    def failing(engine: Engine, batch: Batch) -> Any:
        if batch.log == log:
            raise error
        return enrich(engine, batch)

    return failing


def test_a_native_header_names_what_the_rows_hold(run: Run) -> None:
    outcome = run(ZEEK, "--format", "native")
    for name in outcome.outputs():
        lines = text(outcome.out / name).splitlines()
        names = next(line for line in lines if line.startswith("#fields")).split("\t")[1:]
        types = next(line for line in lines if line.startswith("#types")).split("\t")[1:]
        assert len(names) == len(types) == len(set(names))
        rows = [line for line in lines if not line.startswith("#")]
        assert {row.count("\t") + 1 for row in rows} <= {len(names)}
        kinds = dict(zip(names, types, strict=True))
        for column, kind in kinds.items() & {("app.confidence", ""), ("app.evidence", "")}:
            raise AssertionError(f"{column} has the type {kind!r}")
        if name == "conn.log":
            assert kinds["app.confidence"] == "double"
            assert kinds["app.evidence"] == "vector[string]"
            assert kinds["app.contradiction"] == "bool"
            assert kinds["orig.asn"] == "count"
            assert kinds["app.protocol"] == "string"


def test_a_native_header_without_rows_has_our_columns_too(run: Run, tmp_path: Path) -> None:
    full = run(ZEEK / "conn.log", "--format", "native")
    head = [line for line in (ZEEK / "conn.log").read_text().splitlines(keepends=True) if line.startswith("#")]
    (tmp_path / "conn.log").write_text("".join(head))
    empty = run(tmp_path / "conn.log", "--format", "native")
    kept = [line for line in text(full.out / "conn.log").splitlines() if line.startswith("#")]
    assert text(empty.out / "conn.log").splitlines() == kept


def test_parquet_has_one_schema_although_the_log_changes(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_text(
        "#separator \\x09\n#path\tx\n#fields\ta\tb\n#types\tcount\tstring\n1\tx\n"
        "#fields\tb\tc\ta\n#types\tstring\tset[string]\tstring\ny\tp,q\tmany\n"
    )
    frame = pl.read_parquet(run(path, "--format", "parquet").out / "x.parquet")
    assert frame.to_dicts() == [{"a": "1", "b": "x", "c": None}, {"a": "many", "b": "y", "c": ["p", "q"]}]


def test_parquet_of_many_batches(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from enrich.sources import lines

    monkeypatch.setattr(lines, "CHUNK", 2000)
    monkeypatch.setattr(lines, "BLOCK", 1000)
    records = [
        {"uid": f"C{n}", "n": n} | ({"late": "x"} if n > 900 else {}) | ({"n": "text"} if n == 5 else {})
        for n in range(1000)
    ]
    (tmp_path / "x.json").write_text("".join(json.dumps(record) + "\n" for record in records))
    frame = pl.read_parquet(run(tmp_path / "x.json", "--format", "parquet").out / "x.parquet")
    assert frame["uid"].to_list() == [f"C{n}" for n in range(1000)]
    assert frame["n"].to_list() == [str(record["n"]) for record in records]
    assert frame["late"].null_count() == 901


@pytest.mark.parametrize("form", ["ndjson", "native", "parquet"])
def test_small_batches_change_nothing(run: Run, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from enrich.sources import lines

    whole = run(ROOT / "examples", "--format", form)
    monkeypatch.setattr(lines, "CHUNK", 5000)
    monkeypatch.setattr(lines, "BLOCK", 1500)
    pieces = run(ROOT / "examples", "--format", form)
    assert (pieces.status, pieces.stderr) == (whole.status, whole.stderr)
    assert pieces.outputs() == whole.outputs()
    for name in whole.outputs():
        if form == "parquet":
            a, b = (pl.read_parquet(outcome.out / name) for outcome in (whole, pieces))
            assert a.equals(b.select(a.columns)), name
        elif form == "native" or "eve" not in name:
            assert text(pieces.out / name) == text(whole.out / name), name
        else:  # which mapped fields an event shows as null depends on its batch
            for one, other in zip(pieces.records(name), whole.records(name), strict=True):
                assert {k: v for k, v in one.items() if v is not None} == {
                    k: v for k, v in other.items() if v is not None
                }


def test_two_runs_write_the_same(run: Run) -> None:
    first, second = run(ROOT / "examples"), run(ROOT / "examples")
    for name in first.outputs():
        assert text(first.out / name) == text(second.out / name)


# ---- options


def test_only_some_logs_are_written_and_the_others_still_give_evidence(run: Run) -> None:
    every, some = run(ZEEK), run(ZEEK, "--logs", "conn, ssh")
    assert some.outputs() == ["conn.ndjson", "ssh.ndjson"]
    assert some.records("conn.ndjson") == every.records("conn.ndjson")
    assert some.rows["in"] == every.rows["in"] == some.rows["out"] + some.rows["left_out"]
    assert run(ZEEK, "--logs", "conn", "--format", "native").outputs() == ["conn.log"]
    assert run(ZEEK, "--logs", "conn", "--format", "parquet").outputs() == ["conn.parquet"]
    assert run(EVE, "--logs", "conn").outputs() == ["eve.conn.ndjson"]


@pytest.mark.parametrize("path", [ZEEK, JSON, EVE])
def test_a_log_that_is_not_there_is_told(run: Run, path: Path) -> None:
    outcome = run(path, "--logs", "conn,htp")
    assert outcome.status == 1
    [note] = outcome.run["notes"]
    assert note in outcome.stderr
    assert run(path, "--logs", "conn,dnp3,alert").status == 0  # such logs there may be at another hour
    assert "no input holds a log called htp; there are: " in outcome.stderr
    assert outcome.stderr.count("htp") == 1


@pytest.mark.parametrize("path", [ZEEK, JSON, EVE])
@pytest.mark.parametrize("form", ["ndjson", "native", "parquet"])
def test_only_logs_that_are_not_there_is_wrong_usage_and_writes_nothing(run: Run, path: Path, form: str) -> None:
    outcome = run(path, "--logs", "htp,con", "--format", form)
    assert outcome.status == 2
    assert "--logs: no input holds a log called con or htp; there are: " in outcome.stderr
    assert ", dns, " in outcome.stderr
    assert not outcome.out.exists()


def test_an_output_that_was_there_stays_as_it_was_when_nothing_of_logs_is_found(run: Run, tmp_path: Path) -> None:
    before = run(EVE, "--logs", "conn", out=tmp_path / "out")
    files = {path: path.read_bytes() for path in before.out.iterdir()}
    assert run(EVE, "--logs", "bogus", out=before.out).status == 2
    assert {path: path.read_bytes() for path in before.out.iterdir()} == files


def test_logs_are_found_in_a_header_without_rows_and_in_an_empty_file(run: Run, tmp_path: Path) -> None:
    head = [line for line in (ZEEK / "ssh.log").read_text().splitlines(keepends=True) if line.startswith("#")]
    (tmp_path / "x.log").write_text("".join(head))
    assert run(tmp_path / "x.log", "--logs", "ssh").status == 0
    (tmp_path / "ftp.log").write_text("")
    assert run(tmp_path / "ftp.log", "--logs", "ftp").status == 0


def test_a_log_without_rows_has_columns_in_parquet_too(run: Run, tmp_path: Path) -> None:
    lines = (ZEEK / "ssh.log").read_text().splitlines(keepends=True)
    (tmp_path / "ssh.log").write_text("".join(line for line in lines if line.startswith("#")))
    outcome = run(tmp_path / "ssh.log", "--format", "parquet")
    assert (outcome.status, outcome.outputs(), outcome.rows["out"]) == (0, ["ssh.parquet"], 0)
    whole = pl.read_parquet_schema(run(ZEEK / "ssh.log", "--format", "parquet").out / "ssh.parquet")
    assert pl.read_parquet_schema(outcome.out / "ssh.parquet") == whole


def test_the_summary_tells_what_was_left_out(run: Run) -> None:
    outcome = run(ZEEK, "--logs", "conn", quiet=False)
    assert f", {outcome.rows['left_out']:,} left out, " in outcome.stdout.replace("\n", " ")


# ---- JSON that does not say which log it is


def flat(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}


@pytest.mark.parametrize("log", ["conn", "dns", "http", "ssl", "ssh", "smtp", "ftp", "files", "mysql"])
def test_the_log_is_told_from_the_fields(run: Run, tmp_path: Path, log: str) -> None:
    odd = tmp_path / "export-17.json"
    odd.write_bytes((JSON / f"{log}.log").read_bytes())
    named, nameless = run(JSON / f"{log}.log"), run(odd, quiet=False)
    assert nameless.outputs() == ["export-17.ndjson"]
    assert nameless.records("export-17.ndjson") == named.records(f"{log}.ndjson")
    rows = named.rows["in"]
    assert nameless.run["files"][0]["told"] == {log: rows}
    assert named.run["files"][0]["told"] == {}
    assert f"{odd}: {rows} {log}" in nameless.stdout


def test_standard_input_of_json_without_path_is_sorted_out(tmp_path: Path) -> None:
    every = tmp_path / "all"
    every.write_bytes(b"".join(path.read_bytes() for path in sorted(JSON.glob("*.log"))))
    outcome = stdin(every, tmp_path / "out")
    assert outcome.status == 0
    assert outcome.outputs() == sorted(f"{path.stem}.ndjson" for path in JSON.glob("*.log"))
    verdicts = {record["uid"]: record.get("app.protocol") for record in outcome.records("conn.ndjson")}
    assert sum(name is not None for name in verdicts.values()) > 100
    native = stdin(every, tmp_path / "native", "--format", "native")
    assert native.rows["out"] == len(every.read_bytes().splitlines())


def test_what_tells_no_log_is_warned_of_by_the_name_of_its_file(run: Run, tmp_path: Path) -> None:
    odd = tmp_path / "export-18.json"
    odd.write_text('{"ts":1,"id.resp_h":"10.0.0.1","colour":"red"}\n' * 3 + (JSON / "ssh.log").read_text())
    outcome = run(odd)
    assert outcome.status == 0
    assert f"{odd}: 3 records of no known log" in outcome.stderr
    assert outcome.run["files"][0]["untold"] == 3
    assert outcome.run["files"][0]["told"] == {"ssh": 1}
    assert outcome.outputs() == ["export-18.ndjson", "export-18.ssh.ndjson"]
    assert [record["resp.scope"] for record in outcome.records("export-18.ndjson")] == ["private"] * 3


def test_a_path_and_a_known_name_go_before_the_fields(run: Run, tmp_path: Path) -> None:
    record = json.loads((JSON / "ssh.log").read_text())
    (tmp_path / "a.json").write_text(json.dumps({**record, "_path": "own_log"}) + "\n")
    (tmp_path / "reporter.log").write_text(json.dumps(record) + "\n")
    outcome = run(tmp_path / "a.json", tmp_path / "reporter.log")
    assert [(item["logs"], item["told"], item["untold"]) for item in outcome.run["files"]] == [
        (["own_log"], {}, 0),
        (["reporter"], {}, 0),
    ]


def test_only_some_enrichers_run(run: Run) -> None:
    outcome = run(ZEEK, "--only", "addresses,ports")
    assert outcome.run["enrichers"] == ["addresses", "ports"]
    added = {name for record in outcome.records("conn.ndjson") for name in ours(record)}
    assert "orig.scope" in added
    assert "port.service" in added
    assert not {name for name in added if name.startswith(("app.", "behavior."))}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--only", "prots"], "no enricher is called 'prots'"),
        (["--format", "csv"], "csv"),
        (["--config", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_wrong_usage(run: Run, arguments: list[str], word: str) -> None:
    outcome = run(ZEEK, *arguments)
    assert outcome.status == 2
    assert word in outcome.stderr
    assert not outcome.out.exists()


def test_a_site_s_own_names_lie_over_the_shipped_ones(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ports.csv").write_text("port,last_port,transport,name,description\n53,,tcp+udp,our_dns,ours\n")
    (tmp_path / "site.toml").write_text('[tables]\n"ports/in_use.csv" = "ports.csv"\n')
    outcome = run(ZEEK, "--config", tmp_path / "site.toml")
    named = {record.get("port.service") for record in outcome.records("conn.ndjson") if record["id.resp_p"] == 53}
    assert named == {"our_dns"}
    assert outcome.run["tables"][-1] == {"table": "ports.csv", "date": "the site's own"}
    (tmp_path / "ports.csv").write_text("port,transport,name\nhigh,tcp,x\n")
    broken = run(ZEEK, "--config", tmp_path / "site.toml")
    assert broken.status in (2, 3)
    assert "ports.csv, line 2: 'high': expected a port" in broken.stderr


# ---- standard input


def stdin(path: Path, out: Path, *arguments: str) -> Outcome:
    done = CliRunner().invoke(main, ["run", "-", "--out", str(out), "--quiet", *arguments], input=path.read_bytes())
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return Outcome(done.exit_code, done.stdout, done.stderr, out)


@pytest.mark.parametrize(
    ("path", "form", "outputs"),
    [
        (ZEEK / "conn.log", "ndjson", ["conn.ndjson"]),
        (ZEEK / "conn.log", "native", ["conn.log"]),
        (ZEEK / "conn.log", "parquet", ["conn.parquet"]),
        (JSON / "conn.log", "native", ["stdin.json"]),
        (EVE, "native", ["eve.json"]),
    ],
)
def test_standard_input(tmp_path: Path, path: Path, form: str, outputs: list[str]) -> None:
    outcome = stdin(path, tmp_path / "out", "--format", form)
    assert outcome.status == 0
    assert outcome.outputs() == outputs
    assert outcome.run["files"][0]["name"] == "standard input"
    assert outcome.rows["out"] > 100


def test_standard_input_of_several_logs(tmp_path: Path) -> None:
    both = tmp_path / "both"
    both.write_bytes((ZEEK / "ssh.log").read_bytes() + (ZEEK / "conn.log").read_bytes())
    outcome = stdin(both, tmp_path / "out")
    assert outcome.outputs() == ["conn.ndjson", "ssh.ndjson"]
    eve = stdin(EVE, tmp_path / "eve")
    assert {"eve.conn.ndjson", "eve.dns.ndjson"} <= {*eve.outputs()}


# ---- records of a run


def test_run_json_tells_what_happened(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "conn.log").write_text((ZEEK / "conn.log").read_text() + "broken\n")
    (folder / "notes.txt").write_text("nothing\n")
    outcome = run(folder)
    record = outcome.run
    rows = sum(1 for _ in plain.records(ZEEK / "conn.log"))
    assert record["rows"] == {"in": rows + 1, "out": rows, "rejected": 1, "left_out": 0}
    assert record["format"] == "ndjson"
    assert record["files"] == [
        {
            "name": str(folder / "conn.log"),
            "form": "Zeek TSV",
            "rows": rows + 1,
            "out": rows,
            "rejected": 1,
            "left_out": 0,
            "outputs": ["conn.ndjson"],
            "logs": ["conn"],
            "told": {},
            "untold": 0,
            "renamed": [],
            "problems": [],
        }
    ]
    assert record["skipped"] == [{"name": str(folder / "notes.txt"), "reason": "not a Zeek or Suricata log"}]
    assert record["enrichers"] == [enricher.name for enricher in enrichers()]
    assert record["software"]["polars"] == version("polars")
    assert {"table": "ports/iana.csv", "date": "2026-11-22"} in [
        {**table, "date": "2026-11-22"} for table in record["tables"]
    ]
    assert datetime.fromisoformat(record["started"]).tzinfo is not None
    assert record["seconds"] >= 0
    assert sum(item["flows"] for item in record["applications"]) == rows


class Telling(Progress):
    def __init__(self) -> None:
        self.phases: list[tuple[str, int]] = []
        self.read: list[int] = []
        self.rows: list[int] = []

    def start(self, phase: str, total: int) -> None:
        self.phases.append((phase, total))
        self.read.append(0)
        self.rows.append(0)

    def advance(self, read: int, rows: int) -> None:
        self.read[-1] += read
        self.rows[-1] += rows


def test_progress_adds_up(tmp_path: Path) -> None:
    progress = Telling()
    report = pipeline.Run(Options((str(ROOT / "examples"),), tmp_path / "out"), progress)()
    size = sum(Path(item.name).stat().st_size for item in report.files)
    assert progress.phases == [("reading", size), ("enriching", size)]
    assert progress.read == [size, size]
    assert progress.rows == [0, sum(item.out for item in report.files)]


def test_the_summary_is_for_people_and_plain_without_a_terminal(run: Run) -> None:
    outcome = run(ZEEK, quiet=False)
    assert "Applications" in outcome.stdout
    assert "records of" in outcome.stdout
    assert "\x1b" not in outcome.stdout + outcome.stderr
    assert run(ZEEK).stdout == ""


@pytest.mark.parametrize("times", [1, 5, 9])
def test_the_first_rejects_are_told_and_all_are_listed(run: Run, tmp_path: Path, times: int) -> None:
    path = tmp_path / "conn.log"
    path.write_text((ZEEK / "conn.log").read_text() + "broken\n" * times)
    outcome = run(path)
    assert outcome.status == 1
    told = outcome.stderr.replace("\n", "")
    assert told.count("row has 1 field,") == min(times, 5)
    assert ("more rejected records" in told) == (times > 5)
    assert len(outcome.rejects) == times


def test_records_are_written_in_their_order_however_many(tmp_path: Path) -> None:
    records = [{"at": at, "text": "Zürich\n"} for at in range(250)]
    out = OutFile(tmp_path / "records.ndjson")
    write_records(iter(records), out)
    out.commit()
    lines = (tmp_path / "records.ndjson").read_bytes().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line) for line in lines] == records
    assert "Zürich".encode() in lines[0]
