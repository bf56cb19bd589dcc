"""Findings that need more than a run: with a state, the runs tell together what one run over all their logs tells."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner
from conftest import Run
from scenario import DAY, START, Site

from enrich import applications
from enrich.cli import main
from enrich.errors import OutputError
from enrich.findings import case
from enrich.findings.changes import NewService
from enrich.findings.contacts import AntivirusSilent
from enrich.state import State
from enrich.tables import Tables

HOUR = 3600.0
OUTSIDE = "198.51.100.9"
Records = list[dict[str, Any]]


def cut(site: Site, length: float, *, upside_down: bool = False) -> list[Path]:
    """The site's logs in one folder a stretch of time; upside down, the later half of each in the first file."""
    folders: list[Path] = []
    last = max(record["ts"] for record in site.logs["conn"])
    for number in range(int((last - START) // length) + 1):
        begin = START + number * length
        for half in (0, 1):
            part = Site(site.folder.with_name(f"{site.folder.name}-{number:02}") / f"{half ^ upside_down}")
            middle = begin + half * length / 2
            for name, records in site.logs.items():
                part.logs[name] = [record for record in records if middle <= record["ts"] < middle + length / 2]
            part.write()
        folders.append(part.folder.parent)
    return folders


def told(run: Run, folders: Sequence[Path], state: Path) -> list[Records]:
    """The findings of runs that share a state."""
    runs = [run(folder, "--state", state) for folder in folders]
    assert [one.status for one in runs] == [0] * len(folders)
    return [one.records("findings.ndjson") for one in runs]


def gist(found: Records) -> list[tuple[Any, ...]]:
    return sorted((one["kind"], one["host"], one["port"], one["severity"], one["ts"]) for one in found)


def busy(site: Site, host: str, until: float, start: float = 0.0, every: float = 600.0) -> None:
    for at in range(int((until - start) / every)):
        site.web(host, "www.example.net", start + at * every + 30, OUTSIDE)


def calls(site: Site, host: str, number: int, every: float, start: float = 0.0) -> list[str]:
    return [site.web(host, "update.eset.com", start + at * every) for at in range(number)]


def serve(site: Site, host: str, *at: float, port: int = 22) -> list[str]:
    uids = []
    for one in at:
        uids.append(site.flow("10.0.0.5", host, port, one, "ssh"))
        site.log("ssh", uids[-1])
    return uids


def three_days(site: Site) -> dict[str, list[str]]:
    """What happens on a site in three days; the flows that tell it."""
    for host in ("10.0.0.71", "10.0.0.72", "10.0.0.80", "10.0.0.81", "10.0.0.82"):
        busy(site, host, 3 * DAY)
    uids = {
        "silent on the second day": calls(site, "10.0.0.71", 31, HOUR),
        "silent at a slow pace": calls(site, "10.0.0.72", 6, 6 * HOUR),
        "new on the third day": serve(site, "10.0.0.80", 60 * HOUR, 61 * HOUR, 62 * HOUR),
        "new at midnight": serve(site, "10.0.0.81", 2 * DAY - 600, 2 * DAY + 600),
    }
    serve(site, "10.0.0.82", HOUR, 2 * HOUR, 60 * HOUR, 61 * HOUR)  # as on the first day
    busy(site, "10.0.0.83", 3 * DAY, 2 * DAY)
    serve(site, "10.0.0.83", 65 * HOUR, 66 * HOUR)  # a host of today
    return uids


@pytest.mark.parametrize("upside_down", [False, True])
def test_in_parts_as_in_one_run(tmp_path: Path, run: Run, upside_down: bool) -> None:
    site = Site(tmp_path / "site")
    uids = three_days(site)
    whole = run(site.write()).records("findings.ndjson")
    assert [kind for kind, *_ in gist(whole)] == ["antivirus_silent"] * 2 + ["new_service"] * 2
    folders = cut(site, DAY, upside_down=upside_down)
    parts = told(run, folders, tmp_path / "site.state")
    found = [one for part in parts for one in part]
    assert gist(found) == gist(whole)
    assert not parts[0]
    by_host = {one["host"]: one for one in found}
    assert by_host["10.0.0.81"]["uids"] == uids["new at midnight"]
    assert by_host["10.0.0.80"]["evidence"][0] == "known:2.5 days without it"
    assert by_host["10.0.0.72"]["uids"] == uids["silent at a slow pace"]
    assert by_host["10.0.0.72"]["evidence"][0] == "contacts:6 with update.eset.com"
    # Nothing of that can be told by the last day alone, and what was told is not told again.
    assert run(folders[-1]).records("findings.ndjson") == []
    assert told(run, folders[-1:], tmp_path / "site.state") == [[]]


def test_a_state_changes_nothing_of_the_first_run(tmp_path: Path, run: Run) -> None:
    site = Site(tmp_path / "site")
    three_days(site)
    folder, state = site.write(), tmp_path / "site.state"
    first, alone = run(folder, "--state", state), run(folder)
    for name in ("findings.ndjson", "hosts.ndjson", "conn.ndjson"):
        assert (first.out / name).read_bytes() == (alone.out / name).read_bytes()
    assert (first.out / "findings.ndjson").read_bytes()


def test_a_flow_that_comes_again_makes_no_service(tmp_path: Path, run: Run) -> None:
    site = Site(tmp_path / "site")
    busy(site, "10.0.0.80", 2 * DAY)
    serve(site, "10.0.0.80", 40 * HOUR)
    days = cut(site, DAY)
    assert told(run, [*days, days[1]], tmp_path / "site.state") == [[], [], []]


def test_a_second_silence_is_told(tmp_path: Path, run: Run) -> None:
    site = Site(tmp_path / "site")
    busy(site, "10.0.0.71", 3 * DAY)
    calls(site, "10.0.0.71", 8, HOUR)
    calls(site, "10.0.0.71", 24, HOUR, DAY)
    parts = told(run, cut(site, DAY), tmp_path / "site.state")
    assert [[one["ts"] - START for one in part] for part in parts] == [[7 * HOUR], [], [47 * HOUR]]


def test_what_a_failed_run_found_is_told_by_the_next(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(tmp_path / "site")
    three_days(site)
    state, days = tmp_path / "site.state", cut(site, DAY)
    told(run, days[:2], state)
    before = state.read_bytes()

    def full(*_: object) -> None:
        raise OutputError("no space")

    with monkeypatch.context() as patched:
        patched.setattr(State, "save", full)
        failed = CliRunner().invoke(main, ["run", str(days[2]), "--out", str(tmp_path / "o"), "--state", str(state)])
    assert failed.exit_code == 4
    assert state.read_bytes() == before
    assert len(told(run, days[2:], state)[0]) == 3


def test_a_daily_pace_needs_more_than_a_week(tmp_path: Path, run: Run) -> None:
    """Contacts stay as long as the last of them, with the activity that they are measured by."""
    site = Site(tmp_path / "site")
    busy(site, "10.0.0.71", 10 * DAY, every=1800)
    calls(site, "10.0.0.71", 5, DAY, HOUR)
    parts = told(run, cut(site, 2 * DAY), tmp_path / "site.state")
    assert [len(part) for part in parts] == [0, 0, 0, 1, 0]
    assert parts[3][0]["evidence"][0] == "contacts:5 with update.eset.com"


def test_what_was_forgotten_in_a_week_was_not_there_for_a_week(tmp_path: Path, run: Run) -> None:
    site = Site(tmp_path / "site")
    busy(site, "10.0.0.80", 10 * DAY, every=HOUR)
    serve(site, "10.0.0.80", HOUR, 2 * HOUR, 10 * DAY - 2 * HOUR, 10 * DAY - HOUR)
    parts = told(run, cut(site, 2 * DAY), tmp_path / "site.state")
    assert [len(part) for part in parts] == [0, 0, 0, 0, 1]
    # 7 days before the end of the run before, and what came since.
    assert parts[4][0]["evidence"][0] == "known:9.0 days without it"


# ---- The bounds, asked of the detectors themselves.


def services(**bounds: int) -> NewService:
    tables = Tables()
    return NewService(tables.toml("findings.toml"), applications.load(tables), **bounds)


def seen(detector: NewService, host: str, ports: Sequence[int], at: float = 0.0) -> None:
    detector.active.add(pl.DataFrame({"host": [host], "ts": [START + at]}))
    flows = {"host": host, "transport": "tcp", "protocol": "ssh", "ts": START + at, "peer": "10.0.0.5"}
    rows = [flows | {"port": port, "uid": f"C{host}-{port}-{at}"} for port in ports]
    detector.services.add(pl.DataFrame(rows))


def hand_on(detector: Any, **bounds: float) -> dict[str, pl.DataFrame]:
    list(detector.findings())
    rows = detector.rows(**({"now": START + DAY, "age": 7 * DAY} | bounds))
    assert {name: frame.schema for name, frame in rows.items()} == detector.schemas
    return rows


def test_of_too_many_services_the_hosts_with_most_are_strangers() -> None:
    detector = services(remembered=5)
    seen(detector, "10.0.0.1", [22, 23])
    seen(detector, "10.0.0.2", [22, 23, 24, 25])
    seen(detector, "10.0.0.3", [22])
    rows = hand_on(detector)
    assert sorted(rows["host_services"]["host"]) == ["10.0.0.1", "10.0.0.1", "10.0.0.3"]
    assert sorted(rows["host_hours"]["host"]) == ["10.0.0.1", "10.0.0.3"]
    [note] = detector.forgotten
    assert "more than 5 services" in note and "the 1 hosts" in note


def test_of_too_many_hosts_those_known_best_stay() -> None:
    detector = services(remembered=2)
    seen(detector, "10.0.0.1", [22])
    for at, host in ((HOUR, "10.0.0.1"), (2 * HOUR, "10.0.0.2"), (3 * HOUR, "10.0.0.3")):
        detector.active.add(pl.DataFrame({"host": [host], "ts": [START + at]}))
    assert sorted(hand_on(detector)["host_hours"]["host"]) == ["10.0.0.1", "10.0.0.3"]
    [note] = detector.forgotten
    assert "more than 2 hosts" in note


def test_where_a_run_lost_services_no_host_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case, "_GROUPS", 2)
    detector = services()
    seen(detector, "10.0.0.1", [22, 23, 24])
    assert hand_on(detector)["host_hours"].height == 0
    assert "all hosts are forgotten" in detector.forgotten[0]


def test_records_from_the_future_are_of_today_or_nothing() -> None:
    detector = services()
    seen(detector, "10.0.0.1", [22], 1000 * DAY)
    seen(detector, "10.0.0.2", [22])
    rows = hand_on(detector)
    assert sorted(rows["host_services"]["last_seen"]) == [START, START + DAY]
    assert rows["host_hours"]["host"].to_list() == ["10.0.0.2"]
    silent = contacts({"10.0.0.1": [0.0, 1000 * DAY]})
    assert hand_on(silent)["antivirus_contacts"]["ts"].to_list() == [START]


def contacts(at: dict[str, list[float]], **bounds: int) -> AntivirusSilent:
    """Contacts of hosts, which are active in every minute between."""
    detector = AntivirusSilent(Tables().toml("findings.toml"), **bounds)
    for host, times in at.items():
        rows = [
            {"ts": START + time, "uid": f"C{time}", "host": host, "server": OUTSIDE, "product": "eset", "name": "e"}
            for time in times
        ]
        detector.contacts.add(pl.DataFrame(rows))
        active = [START + time for time in range(int(times[0]), int(min(times[-1], DAY)), 60)]
        detector.active.add(pl.DataFrame({"host": [host] * len(active), "ts": active}))
    return detector


def test_of_too_many_contacts_the_latest_stay_and_of_activity_less_is_told_apart() -> None:
    quiet = {"10.0.0.1": [HOUR * at for at in range(8)], "10.0.0.2": [at * 100.0 for at in range(8)]}
    detector = contacts(quiet, remembered=12)
    rows = hand_on(detector)
    assert rows["antivirus_contacts"].height == 12
    kept = rows["antivirus_contacts"].group_by("host").agg(pl.len(), pl.max("ts")).sort("host").rows()
    assert kept == [("10.0.0.1", 8, START + quiet["10.0.0.1"][-1]), ("10.0.0.2", 4, START + 700.0)]
    assert 0 < rows["antivirus_active"].height <= 12
    assert "more than 12 contacts" in detector.forgotten[0]


def test_a_host_is_judged_by_its_longest_stretches_and_keeps_the_short_ones() -> None:
    detector = contacts({"10.0.0.1": [0.0, 600.0]})
    longer = pl.DataFrame({"host": ["10.0.0.1"], "start": [int(START // 240 * 240 - 240)], "seconds": [240]})
    empty = {name: schema.to_frame() for name, schema in detector.schemas.items()}
    detector.remember(empty | {"antivirus_active": longer}, START - DAY)
    known = detector.contacts.frame()
    assert known is not None
    assert set(detector._active(known)["seconds"]) == {240}
    assert sorted(set(detector._spans(known)["seconds"])) == [60, 240]
