"""``zeek-enrich explain``: the same flow from every form of output, with the evidence that the run itself found."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from conftest import ROOT, Run

from enrich.cli import main
from enrich.errors import AbsentError
from enrich.explain import explained, find
from enrich.tables import Tables

ZEEK, JSON, EVE = ROOT / "examples/zeek", ROOT / "examples/zeek-json", ROOT / "examples/suricata/eve.json"
FORMS = ["ndjson", "native", "parquet"]
SSH = "CCgxIp4aDwiwUdlTs"


def explain(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(main, ["explain", *map(str, arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def a_flow(path: Path) -> str:
    """The flow_id of an SSH flow."""
    events = [json.loads(line) for line in path.read_text().splitlines()]
    return next(str(e["flow_id"]) for e in events if e["event_type"] == "flow" and e.get("app_proto") == "ssh")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("compress", ["none", "gzip", "zstd"])
def test_a_zeek_flow_from_every_form(run: Run, form: str, compress: str) -> None:
    if form == "parquet" and compress != "none":
        return
    found = find(run(ZEEK / "conn.log", ZEEK / "ssh.log", "--format", form, "--compress", compress).out, SSH)
    assert {name: found["flow"][name] for name in ("uid", "id.orig_h", "id.resp_p", "service", "conn_state")} == {
        "uid": SSH,
        "id.orig_h": "10.20.1.15",
        "id.resp_p": 443,
        "service": "ssh",
        "conn_state": "SF",
    }
    assert found["flow"]["ts"] == 1795350048.906587
    assert found["flow"]["app.protocol"] == "ssh"
    assert found["flow"]["app.contradiction"] is True
    said = [(row["source"], row["what"]) for row in found["evidence"]]
    assert said[0] == ("log", "ssh")
    assert sorted(said) == [("dpi", "ssh"), ("log", "ssh"), ("port", "443/https")]
    assert all(0 < row["strength"] < 1 and row["meaning"] for row in found["evidence"])


@pytest.mark.parametrize("form", FORMS)
def test_an_eve_flow_from_every_form(run: Run, form: str) -> None:
    flow = find(run(EVE, "--format", form).out, a_flow(EVE))["flow"]
    assert flow["uid"] == a_flow(EVE)
    assert flow["ts"] > 1.7e9
    assert flow["proto"] == "tcp"
    assert flow["app.protocol"] == "ssh"
    assert {"id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"} <= {name for name, value in flow.items() if value}


@pytest.mark.parametrize("form", FORMS)
def test_a_flow_among_other_logs_of_one_file(run: Run, tmp_path: Path, form: str) -> None:
    mixed = tmp_path / "mixed.json"
    mixed.write_text("".join((JSON / f"{log}.log").read_text() for log in ("ssh", "http", "conn", "ssl")))
    uid = json.loads((JSON / "ssh.log").read_text())["uid"]
    found = find(run(mixed, "--format", form).out, uid)
    assert found["flow"]["conn_state"] is not None
    assert found["flow"]["app.protocol"] == "ssh"
    both = tmp_path / "both.log"
    both.write_text((ZEEK / "ssh.log").read_text() + (ZEEK / "conn.log").read_text())
    assert find(run(both, "--format", form).out, SSH)["flow"]["conn_state"] == "SF"


@pytest.mark.parametrize("form", FORMS)
def test_names_that_are_not_utf8(run: Run, tmp_path: Path, form: str) -> None:
    (tmp_path / os.fsdecode(b"conn.\xff.log")).write_bytes((ZEEK / "conn.log").read_bytes())
    assert find(run(tmp_path / os.fsdecode(b"conn.\xff.log"), "--format", form).out, SSH)["flow"]["uid"] == SSH


# ---- what is not there


def test_an_unknown_uid_is_a_clear_word_and_status_1(run: Run) -> None:
    out = run(ZEEK / "conn.log").out
    for uid in ("nosuch", SSH[:-1], SSH + "x", "", "-", '"', "\udcff"):
        with pytest.raises(AbsentError):
            find(out, uid)
    done = explain(out, "C\x1b[31m")
    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr == f"zeek-enrich: {out}: no connection has the uid (or flow_id) 'C\\x1b[31m'\n"


def test_a_run_without_connections(run: Run) -> None:
    for out in (run(ZEEK / "ssh.log").out, run(ZEEK / "conn.log", ZEEK / "ssh.log", "--logs", "ssh").out):
        done = explain(out, SSH)
        assert done.exit_code == 1
        assert "holds no connections" in done.stderr


def test_what_is_no_output_of_a_run(run: Run, tmp_path: Path) -> None:
    assert explain(tmp_path, SSH).exit_code == 3
    assert "no run.json here; is it the output of zeek-enrich run?" in explain(tmp_path, SSH).stderr
    for text in ("", "{}", "[]", "null", '{"files": 3}', '{"files": [{}]}', '{"files": [3]}'):
        (tmp_path / "run.json").write_text(text)
        done = explain(tmp_path, SSH)
        assert done.exit_code == 3
        reason = "is not what this version of zeek-enrich writes" if text else "is damaged: "
        assert f"{tmp_path / 'run.json'}: {reason}" in done.stderr
    outcome = run(ZEEK / "conn.log")
    (outcome.out / "conn.ndjson").unlink()
    assert "conn.ndjson: is gone" in explain(outcome.out, SSH).stderr


@pytest.mark.parametrize(("form", "name"), [("ndjson", "conn.ndjson.gz"), ("parquet", "conn.parquet")])
def test_a_damaged_output_is_named(run: Run, form: str, name: str) -> None:
    outcome = run(ZEEK / "conn.log", "--format", form, *(["--compress", "gzip"] if form == "ndjson" else []))
    path = outcome.out / name
    path.write_bytes(path.read_bytes()[:2000])
    done = explain(outcome.out, SSH)
    assert done.exit_code == 3
    assert f"{path}: cannot be read" in done.stderr


# ---- whose columns they are

FOREIGN: dict[str, Any] = {
    "app.protocol": "lies",
    "app.name": "lies",
    "app.confidence": 1.0,
    "app.evidence": ["log:lies"],
    "enrich.app.name": "more lies",
    "resp.name": "lies.example",
}


@pytest.mark.parametrize("form", FORMS)
def test_json_columns_of_the_input_are_not_ours(run: Run, tmp_path: Path, form: str) -> None:
    lines = (JSON / "conn.log").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    path = tmp_path / "conn.json"
    path.write_text("".join(json.dumps({**record, **FOREIGN}) + "\n" for record in records))
    truth, out = run(JSON / "conn.log").out, run(path, "--format", form).out
    for record in records:
        honest = find(truth, record["uid"])
        assert find(out, record["uid"]) == honest, "and what we did not say is not there"
        assert "lies" not in json.dumps(honest)


@pytest.mark.parametrize("form", FORMS)
def test_json_columns_of_some_records_are_never_taken_for_ours(run: Run, tmp_path: Path, form: str) -> None:
    records = [json.loads(line) for line in (JSON / "conn.log").read_text().splitlines()]
    path = tmp_path / "conn.json"
    path.write_text("".join(json.dumps({**r, **(FOREIGN if n % 2 else {})}) + "\n" for n, r in enumerate(records)))
    out = run(path, "--format", form).out
    for record in records:
        assert "lies" not in json.dumps(find(out, record["uid"]))


@pytest.mark.parametrize("form", FORMS)
def test_tsv_columns_of_the_input_are_not_ours(run: Run, tmp_path: Path, form: str) -> None:
    lines = (ZEEK / "conn.log").read_text().splitlines()
    more = {"#fields": "\tapp.name\tapp.evidence\tenrich.app.name", "#types": "\tstring\tvector[string]\tstring"}
    foreign = [
        line + more.get(line.split("\t")[0], "" if line.startswith("#") else "\tlies\tlog:lies\tlies") for line in lines
    ]
    (tmp_path / "conn.log").write_text("\n".join(foreign) + "\n")
    truth, out = run(ZEEK / "conn.log").out, run(tmp_path / "conn.log", "--format", form).out
    for uid in [line.split("\t")[1] for line in lines if not line.startswith("#")][::20]:
        assert find(out, uid) == find(truth, uid)


def test_events_that_bring_an_enrich_object_of_their_own(run: Run, tmp_path: Path) -> None:
    events = [json.loads(line) for line in EVE.read_text().splitlines()]
    path = tmp_path / "eve.json"
    for own in ({"enrich": FOREIGN}, {"enrich.2": FOREIGN}, {"app.name": "lies", "enrich": 5}):
        path.write_text("".join(json.dumps({**event, **own}) + "\n" for event in events))
        for form in FORMS:
            flow = find(run(path, "--format", form).out, a_flow(EVE))["flow"]
            assert flow["app.protocol"] == "ssh"
            assert flow["app.name"] is None
            assert flow["ts"] is not None


def test_an_output_of_a_run_is_input_of_another(run: Run) -> None:
    first = run(JSON / "conn.log", "--only", "addresses").out
    second = run(first / "conn.ndjson").out
    uid = json.loads((JSON / "conn.log").read_text().splitlines()[0])["uid"]
    assert find(second, uid)["flow"]["app.protocol"] == find(run(JSON / "conn.log").out, uid)["flow"]["app.protocol"]
    assert find(first, uid)["evidence"] == []
    assert "no evidence: nothing says" in explain(run(ZEEK).out, "CSy3cd1bhlfPxqh2ad").stdout
    assert "no verdict: the run was told to leave verdicts out" in explain(first, uid).stdout


# ---- whose weights they are


def site(folder: Path, weight: float) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "own.toml").write_text(f'[protocol]\nlog = {weight}\n[meaning]\nlog = "as our site says"\n')
    (folder / "site.toml").write_text('[tables]\n"evidence.toml" = "own.toml"\n')
    return folder / "site.toml"


def test_the_weights_are_the_run_s_own(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    site(tmp_path / "a", 4.0)
    out = run(ZEEK / "conn.log", ZEEK / "ssh.log", "--config", Path("a/site.toml")).out
    monkeypatch.chdir(ROOT)
    (row, *_) = find(out, SSH)["evidence"]
    assert row["meaning"] == "as our site says"
    assert row["strength"] == pytest.approx(0.982, abs=0.001)
    (other, *_) = find(out, SSH, site(tmp_path / "b", 0.0))["evidence"]
    assert other["strength"] == 0.5
    assert "0.500" in explain(out, SSH, "--config", tmp_path / "b/site.toml").stdout


def test_a_configuration_that_is_gone_is_told(run: Run, tmp_path: Path) -> None:
    config = site(tmp_path / "a", 4.0)
    out = run(ZEEK / "conn.log", ZEEK / "ssh.log", "--config", config).out
    config.unlink()
    done = explain(out, SSH)
    assert done.exit_code == 0
    assert f"the configuration of the run, {config}, is gone: the strengths are the shipped ones" in done.stdout


def test_evidence_is_taken_apart() -> None:
    rows = explained(["port:443/https", "server:203.0.113.5:443=ssh", "novel:x", "odd"], Tables())
    assert [(row["source"], row["what"]) for row in rows] == [
        ("port", "443/https"),
        ("server", "203.0.113.5:443=ssh"),
        ("novel", "x"),
        ("odd", ""),
    ]
    assert [row["strength"] is None for row in rows] == [False, False, True, True]
    assert rows[2]["meaning"] == ""
