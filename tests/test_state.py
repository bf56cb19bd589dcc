"""What a run learned is of use to the next, and a file that is no state is an error and never a traceback."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import polars as pl
import pytest
from click.testing import CliRunner
from conftest import ROOT, Run
from scenario import START, Site

from enrich import pipeline, state
from enrich.cli import main
from enrich.engine import Engine
from enrich.errors import OutputError
from enrich.model import Remembering
from enrich.state import State
from enrich.tables import Tables

HOUR = 3600.0


def hours(folder: Path) -> tuple[Path, Path]:
    """Two hours of a site: the first says what the second's flows are."""
    first, second = Site(folder / "09"), Site(folder / "10")
    second.count = 100
    # A server that an analyzer knew, and an hour later a flow to it that no analyzer saw the start of.
    uid = first.flow("10.0.0.1", "192.0.2.9", 4444, service="ssh")
    first.log("ssh", uid, client="SSH-2.0-a", server="SSH-2.0-b")
    second.flow("10.0.0.2", "192.0.2.9", 4444, HOUR, conn_state="OTH")
    # A name looked up before the hour and used after it.
    uid = first.flow("10.0.0.1", "10.0.0.53", 53, HOUR - 30, "dns", proto="udp")
    first.log("dns", uid, query="www.youtube.com", answers=["198.51.100.7"], TTLs=[60.0])
    second.flow("10.0.0.1", "198.51.100.7", 443, HOUR + 20)
    # A long connection: its handshake in the first hour, its conn record in the second.
    uid = first.flow("10.0.0.1", "203.0.113.80", 443, HOUR - 5, "ssl")
    first.log("ssl", uid, server_name="open.spotify.com", version="TLSv13", next_protocol="imap")
    second.logs["conn"].append(first.logs["conn"].pop() | {"service": None})
    # A certificate that is logged once an hour at most.
    uid = first.flow("10.0.0.1", "203.0.113.81", 443, HOUR - 4, "ssl")
    first.log("ssl", uid, cert_chain_fps=["f1"], version="TLSv12")
    first.logs["x509"].append({"ts": START, "fingerprint": "f1", "san.dns": ["www.dropbox.com"]})
    uid = second.flow("10.0.0.1", "203.0.113.81", 443, HOUR + 1, "ssl")
    second.log("ssl", uid, cert_chain_fps=["f1"], version="TLSv12")
    # A User-Agent, a name of a server and a first payload, each of a flow that ends later.
    uid = first.web("10.0.0.1", "203.0.113.82", HOUR - 3, "203.0.113.82", "WhatsApp/2.22.11.82 A")
    second.logs["conn"].append(first.logs["conn"].pop())
    uid = first.flow("10.0.0.1", "203.0.113.83", 9999, HOUR - 2)
    first.log("payload", uid, proto="tcp", orig_payload_hex=b"SSH-2.0-OpenSSH_9.9\r\n".hex(), resp_payload_hex="")
    second.logs["conn"].append(first.logs["conn"].pop())
    return first.write(), second.write()


def verdicts(out: Path, folder: str = "") -> list[dict[str, object]]:
    paths = sorted(path for path in out.rglob("conn*.ndjson") if folder in path.parts or not folder)
    return [json.loads(line) for path in paths for line in path.read_text("utf-8").splitlines()]


def test_two_runs_with_a_state_say_what_one_run_over_both_says(tmp_path: Path, run: Run) -> None:
    first, second = hours(tmp_path / "logs")
    kept = tmp_path / "site.state"
    assert run(first, "--state", kept).status == 0
    late = run(second, "--state", kept)
    whole, alone = run(tmp_path / "logs"), run(second)
    found = verdicts(late.out)
    assert found == verdicts(whole.out, "10")
    assert found != verdicts(alone.out)
    said = {record["id.resp_h"]: (record.get("app.protocol"), record.get("app.name")) for record in found}
    assert said["192.0.2.9"] == ("ssh", None)
    assert said["198.51.100.7"] == ("tls", "youtube")
    assert said["203.0.113.80"] == ("imap", "spotify")
    assert said["203.0.113.81"] == ("tls", "dropbox")
    assert said["203.0.113.82"] == ("http", "whatsapp")
    assert said["203.0.113.83"] == ("ssh", None)
    assert late.run["state"]["loaded"] > 0
    assert alone.run["state"] is None


@pytest.mark.parametrize("logs", ["zeek", "zeek-json"])
def test_the_examples_in_two_runs(tmp_path: Path, run: Run, logs: str) -> None:
    """Everything but the connections first, then these, as if all had lasted over the hour."""
    for source in sorted((ROOT / "examples" / logs).iterdir()):
        folder = tmp_path / "logs" / ("b" if source.name == "conn.log" else "a")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, folder)
    kept = tmp_path / "site.state"
    assert run(tmp_path / "logs/a", "--state", kept).status == 0
    late = run(tmp_path / "logs/b", "--state", kept)
    assert verdicts(late.out) == verdicts(run(tmp_path / "logs").out) != []


def test_a_state_does_not_grow_by_the_same_logs(tmp_path: Path, run: Run) -> None:
    first, _ = hours(tmp_path / "logs")
    kept = tmp_path / "site.state"
    saved = [run(first, "--state", kept).run["state"] for _ in range(3)]
    assert saved[0]["loaded"] == 0
    assert saved[0]["saved"] == saved[1]["saved"] == saved[2]["saved"] == saved[2]["loaded"] > 0


def test_a_flow_that_has_ended_is_forgotten_and_its_server_is_not(tmp_path: Path, run: Run) -> None:
    site = Site(tmp_path / "logs")
    site.log("ssl", site.flow("10.0.0.1", "192.0.2.9", 4444, service="ssl"), server_name="open.spotify.com")
    kept = tmp_path / "site.state"
    run(site.write(), "--state", kept)
    rows = tables(kept)
    assert rows["servers"]["value"].to_list() == ["tls"]
    assert all(frame.height == 0 for name, frame in rows.items() if name.startswith("flow_"))


def tables(path: Path) -> dict[str, pl.DataFrame]:
    with zipfile.ZipFile(path) as archive:
        return {
            name.removesuffix(".parquet"): pl.read_parquet(io.BytesIO(archive.read(name)))
            for name in archive.namelist()
            if name.endswith(".parquet")
        }


def load(kept: State, engine: Engine) -> str | None:
    return kept.load(engine.survey, engine.remembering())


def learn(path: Path, servers: list[str], at: float, **bounds: int) -> State:
    """One run's exchange: ssh spoken by these servers at a time."""
    engine, kept = Engine(Tables()), State(path, **bounds)
    assert load(kept, engine) is None
    engine.survey.newest = at
    engine.survey.servers.add(pl.Series(servers).hash().to_numpy(), pl.Series(["ssh"] * len(servers)))
    kept.exchange(engine.survey)
    assert kept.save() == []
    return kept


def test_what_was_not_seen_for_long_leaves(tmp_path: Path) -> None:
    path = tmp_path / "site.state"
    learn(path, ["a", "b"], START)
    learn(path, ["b"], START + 5 * 86400)
    assert tables(path)["servers"].height == 2
    learn(path, ["c"], START + 8 * 86400)
    seen = tables(path)["servers"]["seen"].to_list()
    assert sorted(seen) == [START + 5 * 86400, START + 8 * 86400]


def test_of_too_much_the_oldest_leaves(tmp_path: Path) -> None:
    path = tmp_path / "site.state"
    learn(path, ["a", "b", "c"], START, limit=4)
    learn(path, ["d", "e", "f"], START + 60, limit=4)
    assert sorted(tables(path)["servers"]["seen"].to_list()) == [START, START + 60, START + 60, START + 60]


def test_a_record_from_the_future_does_not_empty_the_state(tmp_path: Path) -> None:
    path = tmp_path / "site.state"
    learn(path, ["a"], 4e9)
    learn(path, ["b"], 0.0)  # no record had a time
    assert tables(path)["servers"].height == 2


def test_the_newest_time_is_that_of_all_runs_and_not_the_future(tmp_path: Path) -> None:
    def newest(at: float) -> float:
        learn(tmp_path / "site.state", [], at)
        with zipfile.ZipFile(tmp_path / "site.state") as archive:
            return json.loads(archive.read("state.json"))["newest"]

    assert newest(START + 60) == START + 60
    assert newest(START) == START + 60  # logs of an hour before
    assert newest(0.0) == START + 60  # none with a time
    assert newest(4e9) <= time.time() + 86400


class Part:
    """A roll-up that remembers two numbers and forgets the rest."""

    schemas: ClassVar = {"numbers": pl.Schema({"number": pl.Int64})}
    forgotten: ClassVar = ["more than two numbers"]

    def __init__(self) -> None:
        self.known: list[int] = []
        self.since = 0.0

    def remember(self, tables: Mapping[str, pl.DataFrame], since: float) -> None:
        self.known, self.since = tables["numbers"]["number"].to_list(), since

    def rows(self, now: float, age: float) -> dict[str, pl.DataFrame]:
        return {"numbers": pl.DataFrame({"number": [int(now), int(age)]})}


def test_what_a_roll_up_remembers_comes_to_the_next_run(tmp_path: Path) -> None:
    path, survey, part = tmp_path / "site.state", Engine(Tables()).survey, Part()
    assert isinstance(part, Remembering)
    kept = State(path)
    kept.load(survey, [part])
    survey.newest = START
    kept.exchange(survey)
    assert kept.save() == [f"{path}: more than two numbers"]
    assert kept.saved == 2
    later = State(path)
    assert later.load(Engine(Tables()).survey, [part]) is None
    assert (part.known, part.since) == ([START, 7 * 86400], START - 7 * 86400)
    assert later.loaded == 2


def test_answers_stay_until_they_lapse(tmp_path: Path, run: Run) -> None:
    def asked(at: float) -> Path:
        site = Site(tmp_path / str(at))
        uid = site.flow("10.0.0.1", "10.0.0.53", 53, at, "dns", proto="udp")
        site.log("dns", uid, query=f"at{at:.0f}.example.com", answers=[f"198.51.100.{at / HOUR:.0f}"], TTLs=[60.0])
        return site.write()

    kept = tmp_path / "site.state"
    for at, count in ((0.0, 1), (HOUR, 2), (2 * HOUR, 2)):
        run(asked(at), "--state", kept)
        assert tables(kept)["answers"].height == count


def attempt(tmp_path: Path, kept: Path) -> tuple[int, str]:
    site = Site(tmp_path / "logs")
    site.flow("10.0.0.1", "192.0.2.9", 22)
    out = tmp_path / "out"
    done = CliRunner().invoke(main, ["run", str(site.write()), "--out", str(out), "--state", str(kept), "-q"])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stderr


def written(path: Path) -> Path:
    learn(path, ["a", "b"], START)
    return path


def rewrite(path: Path, **members: object) -> None:
    """The archive with other members in the place of some; None leaves one out."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for name, value in members.items():
        full = "state.json" if name == "about" else f"{name}.parquet"
        if isinstance(value, dict):
            content[full] = json.dumps(json.loads(content[full]) | value).encode()
        elif isinstance(value, pl.DataFrame):
            buffer = io.BytesIO()
            value.write_parquet(buffer)
            content[full] = buffer.getvalue()
        else:
            content.pop(full)
    with zipfile.ZipFile(path, "w") as archive:
        for full, data in content.items():
            archive.writestr(full, data)


@pytest.mark.parametrize("content", [b"", b"#fields\tts\n1.0\n", b"PK\x03\x04 and so on", b"SQLite format 3\0", b"{}"])
def test_a_foreign_file_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    kept = tmp_path / "site.state"
    kept.write_bytes(content)
    status, text = attempt(tmp_path, kept)
    assert status == 2
    assert "is no state of zeek-enrich, or is damaged" in text
    assert kept.read_bytes() == content


def test_a_damaged_file_is_refused_wherever_it_is_damaged(tmp_path: Path) -> None:
    kept = written(tmp_path / "site.state")
    good, engine = kept.read_bytes(), Engine(Tables())
    for at in range(0, len(good), 97):
        kept.write_bytes(good[:at])
        with pytest.raises(state.ConfigError):
            load(State(kept), engine)
    harmless = 0
    for at in range(0, len(good), 61):
        kept.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        try:  # a byte that no reader looks at, such as a time stamp's, does no harm
            load(State(kept), engine)
            harmless += 1
        except state.ConfigError:
            pass
    assert harmless < len(good) / 61 / 4


@pytest.mark.parametrize(
    "members",
    [
        {"servers": None},
        {"about": None},
        {"servers": pl.DataFrame({"key": ["a"], "value": ["ssh"], "seen": [1]})},
        {"about": {"kind": "something else"}},
        {"about": {"newest": "yesterday"}},
        {"about": {"newest": float("nan")}},
        {"host_services": None},
        {"host_hours": pl.DataFrame({"host": ["10.0.0.1"], "hours": [None], "last": ["today"]})},
    ],
)
def test_an_archive_that_holds_something_else_is_refused(tmp_path: Path, members: dict[str, object]) -> None:
    kept = written(tmp_path / "site.state")
    rewrite(kept, **members)
    assert attempt(tmp_path, kept)[0] == 2


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    kept = written(tmp_path / "site.state")
    rewrite(kept, about={"version": 5})
    status, text = attempt(tmp_path, kept)
    assert status == 2
    assert "a state of version 5; this zeek-enrich reads version 4" in text


def test_keys_of_another_polars_start_afresh(tmp_path: Path) -> None:
    kept = written(tmp_path / "site.state")
    rewrite(kept, about={"probe": ["0" * 16], "polars": "0.1"})
    status, text = attempt(tmp_path, kept)
    assert status == 0
    assert "written with Polars 0.1" in text
    assert attempt(tmp_path, kept) == (0, "")


def test_keys_of_another_polars_leave_what_findings_remember(tmp_path: Path) -> None:
    kept = written(tmp_path / "site.state")
    told = tables(kept)["antivirus_told"]
    rewrite(
        kept,
        about={"probe": ["0" * 16]},
        antivirus_told=pl.DataFrame([("10.0.0.1", "ESET", 5.0)], told.schema, orient="row"),
    )
    engine, state = Engine(Tables()), State(kept)
    assert "starts afresh" in (load(state, engine) or "")
    assert state.loaded == 1


def test_a_state_needs_a_folder_and_a_file(tmp_path: Path) -> None:
    assert attempt(tmp_path, tmp_path / "absent" / "site.state")[0] == 2
    assert attempt(tmp_path, tmp_path)[0] == 2
    site = Site(tmp_path / "logs").write()
    done = CliRunner().invoke(main, ["run", str(site), "--out", str(tmp_path / "out"), "--state", ""])
    assert (done.exit_code, "the name is empty" in done.stderr) == (2, True)
    if Path("/dev/null").exists():
        assert attempt(tmp_path, Path("/dev/null"))[0] == 2


def test_a_run_that_fails_leaves_the_state_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = written(tmp_path / "site.state")
    good = kept.read_bytes()

    def full(*_: object) -> None:
        raise OutputError("no space")

    monkeypatch.setattr(pipeline.Run, "_enrich", full)
    assert attempt(tmp_path, kept)[0] == 4
    assert kept.read_bytes() == good
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["site.state"]


def test_nothing_read_is_nothing_learned(tmp_path: Path, run: Run) -> None:
    (tmp_path / "empty").mkdir()
    kept = tmp_path / "site.state"
    assert run(tmp_path / "empty", "--state", kept).status == 3
    assert not kept.exists()


def test_of_two_runs_at_once_the_last_wins_and_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "site.state")
    engines = [Engine(Tables()) for _ in range(2)]
    runs = [State(path), State(path)]
    for one, engine in zip(runs, engines, strict=True):
        one._part = path.with_name(f"{id(one)}.part")  # two processes
        load(one, engine)
        one.exchange(engine.survey)
    assert runs[0].save() == []
    [note] = runs[1].save()
    assert "another run" in note


@pytest.mark.skipif(os.name != "posix", reason="symbolic links as POSIX has them")
def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    link = tmp_path / "site.state"
    link.symlink_to(tmp_path / "there" / "real.state")
    learn(link, ["a"], START)
    assert link.is_symlink()
    assert (tmp_path / "there" / "real.state").is_file()


def test_a_state_is_none_of_a_run_s_own_outputs(tmp_path: Path, run: Run) -> None:
    for name in ("rejects.ndjson", "run.json", "hosts.ndjson"):
        outcome = run(ROOT / "examples/zeek/conn.log", "--state", tmp_path / "out" / name, out=tmp_path / "out")
        assert outcome.status == 2
        assert "the run writes a file of this name itself" in outcome.stderr
        assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    outcome = run(ROOT / "examples/zeek/conn.log", "--state", tmp_path / "out" / "conn.ndjson", out=tmp_path / "out")
    assert outcome.status == 2
    assert "is an input, or the state" in outcome.stderr
