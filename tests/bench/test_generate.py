"""The made-up logs that the benchmark measures on are what they say they are."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).parents[2] / "bench"
ROWS = 3000
COMMON_USER_AGENTS = 34
IDS = ("id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")


def generate(out: Path, *options: str) -> Path:
    command = [sys.executable, str(BENCH / "generate.py"), str(out), "--rows", str(ROWS), *options]
    subprocess.run(command, check=True, capture_output=True)
    return out


def read_tsv(path: Path) -> tuple[dict[str, str], list[dict[str, str]]]:
    fields: list[str] = []
    types: list[str] = []
    rows = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("#fields\t"):
            fields = line.split("\t")[1:]
        elif line.startswith("#types\t"):
            types = line.split("\t")[1:]
        elif not line.startswith("#"):
            values = line.split("\t")
            assert len(values) == len(fields), f"{path.name}: {line}"
            rows.append(dict(zip(fields, values, strict=True)))
    return dict(zip(fields, types, strict=True)), rows


@pytest.fixture(scope="module")
def tsv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("tsv"), "--names", "400")


@pytest.fixture(scope="module")
def logs(tsv: Path) -> dict[str, list[dict[str, str]]]:
    return {path.stem: read_tsv(path)[1] for path in tsv.glob("*.log")}


@pytest.fixture(scope="module")
def json_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return generate(tmp_path_factory.mktemp("json"), "--names", "400", "--format", "json")


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(tsv: Path, tmp_path: Path) -> None:
    again = generate(tmp_path / "again", "--names", "400")
    other = generate(tmp_path / "other", "--names", "400", "--seed", "2")
    for path in tsv.iterdir():
        assert path.read_bytes() == (again / path.name).read_bytes()
        assert path.read_bytes() != (other / path.name).read_bytes()


def test_all_six_logs_are_written_and_conn_has_the_rows_asked_for(logs: dict[str, list[dict[str, str]]]) -> None:
    assert set(logs) == {"conn", "dns", "http", "smtp", "ssh", "ssl"}
    assert len(logs["conn"]) == ROWS
    assert all(logs.values())


def test_values_have_the_types_that_the_header_promises(tsv: Path) -> None:
    for path in tsv.iterdir():
        lines = path.read_text("utf-8").splitlines()
        assert [line.split("\t")[0] for line in lines[:8]] == [
            "#separator \\x09",
            "#set_separator",
            "#empty_field",
            "#unset_field",
            "#path",
            "#open",
            "#fields",
            "#types",
        ]
        assert lines[-1].startswith("#close\t")
        types, rows = read_tsv(path)
        for row in rows:
            for name, value in row.items():
                assert value, f"{path.name}: {name} is neither set nor unset"
                if value == "-":
                    continue
                if types[name] in {"count", "port"}:
                    assert value.isdigit()
                elif types[name] in {"time", "interval"}:
                    whole, _, fraction = value.partition(".")
                    assert whole.isdigit()
                    assert len(fraction) == 6
                elif types[name] == "bool":
                    assert value in {"T", "F"}


def test_every_uid_is_a_connection_with_the_same_ends(logs: dict[str, list[dict[str, str]]]) -> None:
    ends = {row["uid"]: [row[name] for name in IDS] for row in logs["conn"]}
    assert len(ends) == ROWS
    for log in set(logs) - {"conn"}:
        for row in logs[log]:
            assert ends[row["uid"]] == [row[name] for name in IDS]


def test_rows_stand_in_the_order_in_which_connections_end(logs: dict[str, list[dict[str, str]]]) -> None:
    # Fields are rounded to microseconds, so that neighbours may differ by that much.
    ended = [float(row["ts"]) + float(row["duration"].replace("-", "0")) for row in logs["conn"]]
    assert all(later >= earlier - 1e-5 for earlier, later in itertools.pairwise(ended))


def test_clients_ask_before_they_connect(logs: dict[str, list[dict[str, str]]]) -> None:
    answered: dict[tuple[str, str], float] = {}
    for row in logs["dns"]:
        for answer in row["answers"].split(","):
            key = (row["query"], answer)
            answered[key] = min(answered.get(key, float("inf")), float(row["ts"]) + float(row["rtt"]))
    named = [row for row in logs["ssl"] if row["server_name"] != "-" and ":" not in row["id.orig_h"]]
    assert len(named) > 500
    for row in named:
        assert answered[row["server_name"], row["id.resp_h"]] < float(row["ts"])


def test_as_many_names_as_asked_for_and_new_user_agents_at_their_rate(logs: dict[str, list[dict[str, str]]]) -> None:
    assert len({row["query"] for row in logs["dns"]}) == 400
    assert_new_user_agents(logs["http"], 0.05)


def assert_new_user_agents(rows: list[dict[str, str]], share: float) -> None:
    distinct, new = len({row["user_agent"] for row in rows} - {"-"}), round(share * len(rows))
    assert new <= distinct <= new + COMMON_USER_AGENTS


def test_the_traffic_is_a_mixed_one(logs: dict[str, list[dict[str, str]]]) -> None:
    conn = logs["conn"]
    assert {"SF", "S0", "REJ", "OTH", "RSTO"} <= {row["conn_state"] for row in conn}
    assert {"tcp", "udp", "icmp"} == {row["proto"] for row in conn}
    assert any(":" in row["id.orig_h"] for row in conn)
    assert any(row["history"].startswith("^") for row in conn)
    assert {"dns", "ssl", "http", "quic,ssl", "ssh", "-"} <= {row["service"] for row in conn}
    assert any(int(row["id.orig_p"]) < 32768 for row in conn)


def test_json_says_the_same_and_leaves_unset_fields_out(
    json_folder: Path, tsv: Path, logs: dict[str, list[dict[str, str]]]
) -> None:
    for log, rows in logs.items():
        types, _ = read_tsv(tsv / f"{log}.log")
        records = [json.loads(line) for line in (json_folder / f"{log}.log").read_text("utf-8").splitlines()]
        assert len(records) == len(rows)
        for record, row in zip(records, rows, strict=True):
            assert record == {name: as_json(types[name], value) for name, value in row.items() if value != "-"}


def as_json(zeek_type: str, value: str) -> Any:
    if zeek_type in {"count", "port"}:
        return int(value)
    if zeek_type in {"time", "interval"}:
        return float(value)
    if zeek_type == "bool":
        return value == "T"
    if zeek_type.startswith(("set[", "vector[")):
        items = [] if value == "(empty)" else value.split(",")
        return [float(item) for item in items] if "interval" in zeek_type else items
    return value


def test_eve_events_share_the_flows_and_the_names(tmp_path: Path, logs: dict[str, list[dict[str, str]]]) -> None:
    folder = generate(tmp_path, "--names", "400", "--format", "eve")
    events: dict[str, list[dict[str, Any]]] = {}
    for line in (folder / "eve.json").read_text("utf-8").splitlines():
        event = json.loads(line)
        events.setdefault(event["event_type"], []).append(event)
    flows = {event["flow_id"]: event["dest_ip"] for event in events["flow"]}
    assert len(flows) == len(events["flow"]) == ROWS
    for kind in ("dns", "http", "tls", "quic", "ssh", "smtp"):
        assert events[kind]
        assert all(flows[event["flow_id"]] == event["dest_ip"] for event in events[kind])
    assert len(events["dns"]) == 2 * len(logs["dns"])
    assert len(events["tls"]) + len(events["quic"]) == len(logs["ssl"])
    names = {event["tls"].get("sni") for event in events["tls"]} | {
        event["quic"].get("sni") for event in events["quic"]
    }
    assert names - {None} == {row["server_name"] for row in logs["ssl"]} - {"-"}


def test_a_site_of_web_servers_only(tmp_path: Path) -> None:
    generate(tmp_path, "--mix", "http=1", "--new-user-agents", "0.2")
    assert {path.name for path in tmp_path.iterdir()} == {"conn.log", "http.log"}
    rows = read_tsv(tmp_path / "http.log")[1]
    assert len(rows) > ROWS
    assert_new_user_agents(rows, 0.2)


def test_more_names_than_look_ups_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / "generate.py"), str(tmp_path), "--rows", "100", "--names", "90"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert "90 names cannot all be asked for in 100 flows" in done.stderr
