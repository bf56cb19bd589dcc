"""Bad input gets a clear word, and nothing is lost: through the command line, as a user meets it.

The ``run`` fixture fails any of these on a traceback, on rows that are neither out nor rejected, and on files half
written.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import resource
import shutil
import socket
import subprocess
import sys
from base64 import b64decode
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner
from conftest import ROOT, Outcome, Run

from enrich.cli import main
from enrich.first_pass import FirstPass
from enrich.pipeline import OWN
from enrich.progress import Progress
from enrich.sinks.files import Folder

HEADER = (
    "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\t{log}\n#open\t2026-11-22\n"
    "#fields\tts\tuid\tid.orig_h\tid.orig_p\tid.resp_h\tid.resp_p\tproto\tservice\tnote\n"
    "#types\ttime\tstring\taddr\tport\taddr\tport\tenum\tstring\tset[string]\n"
)
ROW = "1700000000.{n:06d}\tC{n}\t10.0.0.1\t50000\t10.0.0.2\t22\ttcp\tssh\ta,b\n"
GOOD, BAD, NOTHING, UNWRITABLE = 0, 1, 3, 4


def tsv(*rows: str, log: str = "conn") -> str:
    return HEADER.format(log=log) + "".join(rows)


def row(n: int = 1, **changes: str) -> str:
    names = HEADER.split("#fields\t")[1].partition("\n")[0].split("\t")
    cells = dict(zip(names, ROW.format(n=n)[:-1].split("\t"), strict=True))
    return "\t".join({**cells, **changes}.values()) + "\n"


def record(n: int = 1, **changes: Any) -> str:
    fields = {"ts": 1700000000.5, "uid": f"C{n}", "id.orig_h": "10.0.0.1", "id.orig_p": 50000}
    return json.dumps({**fields, "id.resp_h": "10.0.0.2", "id.resp_p": 22, "proto": "tcp", **changes}) + "\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "conn.log"


def uids(outcome: Outcome, name: str = "conn.ndjson") -> list[str]:
    return [item["uid"] for item in outcome.records(name)]


# ---- rows


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("1\t2\t3\n", "row has 3 fields, the header names 9"),
        (ROW.format(n=9)[:-1] + "\tmore\n", "row has 10 fields, the header names 9"),
        (row(9, ts="yesterday"), "field ts: 'yesterday' is no time"),
        (row(9, **{"id.orig_p": "70000"}), "field id.orig_p: '70000' is no port"),
        (row(9, **{"id.orig_p": "-1"}), "field id.orig_p: '-1' is no port"),
        (row(9, **{"id.resp_p": "22/tcp"}), "field id.resp_p: '22/tcp' is no port"),
        ("garbage\n", "row has 1 field,"),
        ("# a comment of mine\n", "row has 1 field,"),
        ("#fieldsmith\n", "row has 1 field,"),
        ('{"ts": 1}\n', "row has 1 field,"),
    ],
)
@pytest.mark.parametrize("form", ["ndjson", "native", "parquet"])
def test_a_malformed_row_is_rejected_with_file_line_and_reason(
    run: Run, file: Path, bad: str, reason: str, form: str
) -> None:
    file.write_text(tsv(row(1), bad, row(2)))
    outcome = run(file, "--format", form)
    assert outcome.status == BAD
    (reject,) = outcome.rejects
    assert reject["file"] == str(file)
    assert reject["line"] == 10
    assert reject["reason"].startswith(reason)
    assert reject["raw"] == bad.rstrip("\n")
    assert outcome.rows == {"in": 3, "out": 2, "rejected": 1, "left_out": 0}
    assert f"{file}:10: {reason}" in outcome.stderr.replace("\n", "")


def test_bytes_that_are_not_utf8_are_rejected_and_kept_as_escapes(run: Run, file: Path) -> None:
    file.write_bytes(
        tsv(row(1)).encode() + row(2, service="x").encode().replace(b"x\t", b"\xff\xfe\t") + row(3).encode()
    )
    outcome = run(file)
    assert outcome.status == BAD
    assert uids(outcome) == ["C1", "C3"]
    (reject,) = outcome.rejects
    assert reject["reason"] == "row is not valid UTF-8"
    assert "\\xff\\xfe" in reject["raw"]
    assert b"\xff\xfe\t" in b64decode(reject["raw_base64"])


def test_wrong_elements_of_sets_are_rejected_in_every_format(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    file.write_text("#separator \\x09\n#path\tx\n#fields\tn\tb\tt\n#types\tset[count]\tset[bool]\tvector[interval]\n"
                    "1,2\tT,F\t0.5\n1,x\tT\t-\n1\tT,maybe\t-\n1\tT\t1.0,never\n-\t-\t-\n")  # fmt: skip
    for form in ("ndjson", "native", "parquet"):
        outcome = run(file, "--format", form)
        assert [reject["line"] for reject in outcome.rejects] == [6, 7, 8]
        assert outcome.rejects[0]["reason"] == "field n: '1,x' is no set[count]"
    assert run(file).records("x.ndjson") == [
        {"n": [1, 2], "b": [True, False], "t": [0.5]},
        {"n": None, "b": None, "t": None},
    ]


def test_a_row_cut_in_the_middle(run: Run, file: Path) -> None:
    file.write_text(tsv(row(1), row(2))[:-30])
    outcome = run(file)
    assert outcome.status == BAD
    assert uids(outcome) == ["C1"]
    assert [reject["line"] for reject in outcome.rejects] == [10]


def test_nul_bytes_quotes_and_hashes_are_values(run: Run, file: Path) -> None:
    odd = ['a"b', '"', "#", "a#b", "'", "nul\0nul", '"" "', "a\\", "NA", "null", "NaN", " ", "é"]
    file.write_text(tsv(*(row(n, service=text) for n, text in enumerate(odd))))
    for form in ("ndjson", "native", "parquet"):
        outcome = run(file, "--format", form)
        assert outcome.status == GOOD
        assert outcome.rows["out"] == len(odd)
    assert [item["service"] for item in run(file).records("conn.ndjson")] == odd


def test_a_hash_at_the_beginning_of_a_row(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x.log"
    file.write_text("#separator \\x09\n#path\tx\n#fields\ta\tb\n#types\tstring\tstring\n#1\tx\n#fieldsman\ty\n# \tz\n")
    outcome = run(file)
    assert outcome.status == GOOD
    assert [item["a"] for item in outcome.records("x.ndjson")] == ["#1", "#fieldsman", "# "]


def test_a_10_mb_line_is_read_and_a_40_mb_line_rejected(run: Run, file: Path) -> None:
    with file.open("w") as out:
        out.write(tsv(row(1), row(2, service="x" * 10_000_000), row(3, service="y" * 40_000_000), row(4)))
    outcome = run(file)
    assert outcome.status == BAD
    assert uids(outcome) == ["C1", "C2", "C4"]
    assert len(outcome.records("conn.ndjson")[1]["service"]) == 10_000_000
    (reject,) = outcome.rejects
    assert reject["line"] == 11
    assert reject["reason"].startswith("line of 40,000,0")
    assert "at most 33,554,432 are read" in reject["reason"]


@pytest.mark.parametrize("form", ["ndjson", "native", "parquet"])
def test_long_json_lines(run: Run, file: Path, form: str) -> None:
    with file.open("w") as out:
        out.write(record(1) + record(2, note="x" * 10_000_000) + record(3, note="y" * 40_000_000) + record(4))
    outcome = run(file, "--format", form)
    assert outcome.status == BAD
    assert outcome.rows == {"in": 4, "out": 3, "rejected": 1, "left_out": 0}


# ---- headers


def test_fields_named_like_ours_stay_and_ours_get_another_name(run: Run, file: Path) -> None:
    names = ["app.name", "community_id", "resp.name", "port.service", "_seen", "_state", "enrich.app.name"]
    head = "#separator \\x09\n#path\tconn\n#fields\t" + "\t".join(["uid", "id.resp_h", "id.resp_p", "proto", *names])
    kinds = "\n#types\t" + "\t".join(["string", "addr", "port", *["string"] * (len(names) + 1)]) + "\n"
    file.write_text(
        head + kinds + "\t".join(["C1", "10.0.0.2", "22", "tcp", *(f"mine {name}" for name in names)]) + "\n"
    )
    (item,) = run(file).records("conn.ndjson")
    assert {name: item[name] for name in names} == {name: f"mine {name}" for name in names}
    assert item["enrich.port.service"] == "ssh"
    native = (run(file, "--format", "native").out / "conn.log").read_text().splitlines()
    columns = native[2].split("\t")
    assert len(columns) == len(set(columns)) == len(native[3].split("\t"))
    assert {"enrich.port.service", "enrich.enrich.app.name"} <= set(columns)
    assert len(native[4].split("\t")) == len(columns) - 1
    parquet = run(file, "--format", "parquet")
    assert parquet.status == GOOD


@pytest.mark.parametrize("form", ["ndjson", "native", "parquet"])
def test_json_members_named_like_ours_stay(run: Run, file: Path, form: str) -> None:
    mine = {"app.name": "mine", "resp.name": 5, "port.service": None, "_seen": "x"}
    file.write_text(record(1, **mine) + record(2) + record(3, user_agent="port.service", x='"port.service":'))
    outcome = run(file, "--format", form)
    assert outcome.status == GOOD
    if form == "parquet":
        return
    first, second, third = outcome.records("conn.log" if form == "native" else "conn.ndjson")
    assert {name: first[name] for name in mine} == mine
    assert first["enrich.port.service"] == "ssh"
    assert second["port.service"] == third["port.service"] == "ssh"
    assert "enrich.port.service" not in second.keys() | third.keys()


@pytest.mark.parametrize("name", ["suricata/eve.json", "zeek-json/conn.log", "zeek/conn.log"])
def test_what_was_enriched_before_keeps_what_it_has_however_often(run: Run, tmp_path: Path, name: str) -> None:
    before = tmp_path / Path(name).name
    shutil.copy(ROOT / "examples" / name, before)
    for number in range(5):
        outcome = run(before, "--format", "native", out=tmp_path / str(number))
        assert outcome.status == GOOD
        after = tmp_path / str(number) / before.name
        for old, new in zip(before.read_text().splitlines(), after.read_text().splitlines(), strict=True):
            if old.startswith("{"):
                first, second = (json.loads(line, object_pairs_hook=list) for line in (old, new))
                names = [name for name, _ in second]
                assert second[: len(first)] == first
            else:
                names = new.split("\t") if old.startswith("#fields") else []
                assert new.startswith(old)
            assert len(names) == len(set(names))
        before = after


@pytest.mark.parametrize("path", ["../../x", "/etc/passwd", "a/b", "..", "", "a\\x2fb", "x" * 300, "con\0n"])
def test_path_never_decides_where_a_file_goes(run: Run, tmp_path: Path, path: str) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "some.log").write_text(tsv(row(1), log=path))
    (inside / "many.log").write_text(record(1, _path="conn") + record(2, _path=path))
    (inside / "eve.json").write_text(
        json.dumps({"timestamp": "2026-11-22T12:00:00+0000", "event_type": path, "flow_id": 1}) + "\n"
    )
    before = {item for item in tmp_path.rglob("*") if not item.is_relative_to(tmp_path / "out")}
    for form in ("ndjson", "native", "parquet"):
        outcome = run(inside, "--format", form, out=tmp_path / "out" / form)
        assert outcome.rows["rejected"] == 0
        assert {item.parent for item in outcome.out.rglob("*")} == {outcome.out}
    assert {item for item in tmp_path.rglob("*") if not item.is_relative_to(tmp_path / "out")} == before


def test_fields_and_types_that_do_not_match(run: Run, file: Path) -> None:
    file.write_text("#separator \\x09\n#path\tconn\n#fields\ta\tb\tc\n#types\tstring\tstring\n1\t2\t3\n4\t5\t6\n")
    outcome = run(file)
    assert outcome.status == BAD
    assert [reject["reason"] for reject in outcome.rejects] == ["the header names 3 fields but 2 types"] * 2


@pytest.mark.parametrize("setting", ["#separator \n", "#separator \\x0a\n", "#separator \\x09\n#set_separator\t\n"])
def test_a_separator_that_separates_nothing(run: Run, file: Path, setting: str) -> None:
    file.write_text(setting + "#path\tconn\n#fields\ta\tb\n#types\tstring\tstring\n1\t2\n")
    outcome = run(file)
    assert outcome.status == BAD
    assert "separates nothing" in outcome.rejects[0]["reason"]


def test_rows_before_any_header(run: Run, file: Path) -> None:
    file.write_text("#path\tconn\n" + row(1) + tsv(row(2)))
    outcome = run(file)
    assert outcome.status == BAD
    assert [reject["reason"] for reject in outcome.rejects] == ["no #fields header before this row"]
    assert uids(outcome) == ["C2"]


def test_fields_without_types_are_strings(run: Run, file: Path) -> None:
    file.write_text("#separator \\x09\n#path\tconn\n#fields\tuid\tn\nC1\t5\n")
    assert run(file).records("conn.ndjson")[0]["n"] == "5"


def test_fields_of_one_name_are_all_kept(run: Run, file: Path) -> None:
    file.write_text("#separator \\x09\n#path\tx\n#fields\ta\ta\ta_2\ta\n#types" + "\tstring" * 4 + "\n1\t2\t3\t4\n")
    assert run(file).records("conn.ndjson") == [{"a": "1", "a_3": "2", "a_2": "3", "a_4": "4"}]


def test_crlf_and_a_byte_order_mark(run: Run, tmp_path: Path) -> None:
    for name, text in (("conn.log", tsv(row(1), row(2))), ("http.log", record(1) + record(2))):
        (tmp_path / name).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    for form in ("ndjson", "native", "parquet"):
        outcome = run(tmp_path / "conn.log", tmp_path / "http.log", "--format", form)
        assert outcome.status == GOOD
        assert outcome.rows["out"] == 4
    assert run(tmp_path / "conn.log").records("conn.ndjson")[0]["note"] == ["a", "b"]


def test_a_header_that_changes_in_the_middle(run: Run, file: Path) -> None:
    other = "#fields\tuid\textra\n#types\tstring\tcount\nC2\t7\n"
    file.write_text(tsv(row(1)) + other + tsv(row(3)))
    outcome = run(file)
    assert outcome.status == GOOD
    assert uids(outcome) == ["C1", "C2", "C3"]
    assert outcome.records("conn.ndjson")[1]["extra"] == 7
    again = run(run(file, "--format", "native").out / "conn.log")
    assert again.status == GOOD
    assert uids(again) == ["C1", "C2", "C3"]


def test_logs_one_after_the_other_in_one_file(run: Run, file: Path) -> None:
    file.write_text(tsv(row(1)) + "#close\t2026-11-22\n" + tsv(row(2), log="ssh"))
    outcome = run(file)
    assert outcome.outputs() == ["conn.ndjson", "conn.ssh.ndjson"]
    assert uids(outcome) == ["C1"]
    assert uids(outcome, "conn.ssh.ndjson") == ["C2"]


@pytest.mark.parametrize("end", ["", "#close\t2026-11-22\n", "#close\t2026-11-22\n" + row(8), "\n\n", "#close"])
def test_any_end_of_a_log(run: Run, file: Path, end: str) -> None:
    file.write_text(tsv(row(1)) + end)
    outcome = run(file)
    assert outcome.status == GOOD
    assert uids(outcome) == (["C1", "C8"] if "C8" in end else ["C1"])


def test_header_only_and_an_unknown_log(run: Run, tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_text(tsv())
    (tmp_path / "novel.log").write_text(tsv(row(1), log="novel"))
    outcome = run(tmp_path / "conn.log", tmp_path / "novel.log")
    assert outcome.status == GOOD
    assert outcome.records("conn.ndjson") == []
    assert outcome.records("novel.ndjson")[0]["resp.scope"] == "private"
    native = run(tmp_path / "conn.log", "--format", "native")
    assert "app.protocol" in (native.out / "conn.log").read_text()
    assert run(tmp_path / "conn.log", "--format", "parquet").status == GOOD


# ---- JSON


def test_json_lines_that_are_no_records(run: Run, file: Path) -> None:
    deep = '{"a":' * 5000 + "1" + "}" * 5000 + "\n"
    bad = ["[1,2]\n", "5\n", '"text"\n', "null\n", "{\n", "{'a':1}\n", '{"a":NaN}\n', '{"a":1} {"b":2}\n', deep]
    bad += ['{"a":"tab\there"}\n', '{"a":1,}\n', "}\n", '{"a":1}x\n', "\0\n"]
    file.write_text(record(0) + "".join(line + record(n) for n, line in enumerate(bad, 1)))
    outcome = run(file)
    assert outcome.status == BAD
    assert uids(outcome) == [f"C{n}" for n in range(len(bad) + 1)]
    assert [reject["line"] for reject in outcome.rejects] == list(range(2, 2 * len(bad) + 1, 2))
    assert all("JSON" in reject["reason"] for reject in outcome.rejects)
    assert outcome.rejects[0]["reason"] == "line is JSON, but not an object"
    assert "nested too deeply" in outcome.rejects[8]["reason"]


def test_parquet_of_records_without_members(run: Run, file: Path) -> None:
    file.write_text('{"_path":"x"}\n' * 2 + "{}\n" * 3)
    (file.parent / "more.json").write_text("{}\n{ }\n")
    assert run(file, "--format", "parquet").rows["out"] == 5


@pytest.mark.parametrize("form", ["ndjson", "native", "parquet"])
def test_json_records_of_every_shape(run: Run, file: Path, form: str) -> None:
    odd = ['{"uid":"C1","uid":"C2"}', "{}", "{ }", '{"ts":"never"}', '{"id.orig_p":"x","id.resp_p":99999}']
    odd += [
        '{"a":{}}',
        '{"a":5}',
        '{"a":[]}',
        '{"a":[1,"x",{}]}',
        '{"b":true}',
        '{"b":1}',
        '{"c":18446744073709551616}',
    ]
    odd += ['{"d":"\\ud800"}', '{"e":"\\u0000\\u001b"}', '{"":1}', '  {"f":1}  ', '{"ts":-5}', '{"g":1e300}']
    file.write_text('{"ts":1,"uid":"C0"}\n' + "\n".join(odd) + "\n")
    outcome = run(file, "--format", form)
    assert outcome.status == GOOD
    assert outcome.rows["out"] == len(odd) + 1
    if form != "parquet":
        for line, original in zip(
            (outcome.out / outcome.outputs()[0]).read_text().splitlines(), ['{"ts":1,"uid":"C0"}', *odd], strict=True
        ):
            assert line.startswith(original.strip()[:-1].rstrip())
            json.loads(line)


@pytest.mark.parametrize("most", [2**63 - 1, 2**64 - 1, -5])
def test_counters_beyond_all_bounds_count_for_nothing(run: Run, tmp_path: Path, most: int) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    counters = {"orig_pkts": 1, "resp_pkts": 1, "orig_ip_bytes": most, "resp_ip_bytes": most, "conn_state": "SF"}
    flow = record(1, **counters)
    (folder / "conn.log").write_text(flow + record(2, **counters | {"orig_ip_bytes": 100, "resp_ip_bytes": 50}))
    event = {
        "timestamp": "2026-11-22T12:00:00+0000", "event_type": "flow", "flow_id": 1, "src_ip": "10.0.0.1",
        "src_port": 50000, "dest_ip": "10.0.0.2", "dest_port": 22, "proto": "TCP",
        "flow": {"pkts_toserver": 1, "pkts_toclient": most, "bytes_toserver": most, "bytes_toclient": 100,
                 "start": "2026-11-22T12:00:00+0000"},
    }  # fmt: skip
    (folder / "eve.json").write_text(json.dumps(event) + "\n")
    outcome = run(folder)
    assert outcome.status == GOOD, outcome.stderr
    event_s = 20  # the headers of the one packet that can be
    assert sum(group["bytes"] for group in outcome.run["applications"]) == 150 + event_s
    hosts = {host["ip"]: host for host in outcome.records("hosts.ndjson")}
    assert sum(application["bytes"] for application in hosts["10.0.0.1"]["applications"]) == 150 + event_s
    assert outcome.records("conn.ndjson")[0]["orig_ip_bytes"] == most


def test_mixed_json_is_split_by_path(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    file.write_text("".join(record(n, _path=("conn", "ssh", "http")[n % 3]) for n in range(9)))
    outcome = run(file)
    assert outcome.outputs() == ["all.http.ndjson", "all.ndjson", "all.ssh.ndjson"]
    assert uids(outcome, "all.ssh.ndjson") == ["C1", "C4", "C7"]
    native = run(file, "--format", "native")
    assert uids(native, "all.json") == [f"C{n}" for n in range(9)]


def test_an_input_of_very_many_logs_opens_few_files(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "all.json"
    file.write_text("".join(record(n, _path=f"log{n}") for n in range(500)))
    outcome = run(file)
    assert outcome.rows["out"] == 500
    assert len(outcome.outputs()) < 110


def test_a_damaged_first_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "conn.json").write_text('0.2","id.resp_p":22}\n' + record(1))
    (tmp_path / "ssh.log").write_text("what is this\n" + tsv(row(1)))
    (tmp_path / "eve.json").write_text(
        '":1}\n' + json.dumps({"timestamp": "2026-11-22T12:00:00+0000", "event_type": "x"})
    )
    outcome = run(tmp_path / "conn.json", tmp_path / "ssh.log", tmp_path / "eve.json")
    assert outcome.status == BAD
    assert outcome.rows == {"in": 6, "out": 3, "rejected": 3, "left_out": 0}
    assert [reject["line"] for reject in outcome.rejects] == [1, 1, 1]


# ---- files


@pytest.mark.parametrize("text", ["", "\n", "\r\n\r\n"])
def test_an_empty_file(run: Run, file: Path, text: str) -> None:
    file.write_text(text)
    outcome = run(file)
    assert outcome.status == GOOD
    assert outcome.records("conn.ndjson") == []
    assert outcome.run["files"][0]["form"] == "empty"


@pytest.mark.parametrize(
    ("suffix", "compress"), [(".gz", gzip.compress), (".zst", zstandard.ZstdCompressor().compress)]
)
@pytest.mark.parametrize("damage", ["truncated", "corrupt", "garbage"])
@pytest.mark.parametrize("text", [tsv(*(row(n) for n in range(50_000))), "".join(record(n) for n in range(50_000))])
def test_a_damaged_archive_gives_what_can_be_read(
    run: Run, tmp_path: Path, suffix: str, compress: Any, damage: str, text: str
) -> None:
    data = bytearray(compress(text.encode()))
    if damage == "truncated":
        data = data[: len(data) // 2]
    elif damage == "corrupt":
        data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    else:
        data += b"garbage at the end"
    file = tmp_path / f"conn.log{suffix}"
    file.write_bytes(data)
    outcome = run(file)
    assert outcome.status == BAD
    (problem,) = outcome.run["files"][0]["problems"]
    assert problem.startswith(f"{file}:")
    assert ("truncated" if damage == "truncated" else "corrupt") in problem
    got = [item.get("uid") for item in outcome.records("conn.ndjson")]
    sure = {"truncated": len(got), "corrupt": 1000, "garbage": 50_000}[damage]  # corrupt data can look like good data
    assert got[:sure] == [f"C{n}" for n in range(sure)]
    assert sure >= 1000


@pytest.mark.parametrize(
    "data", [b"\x1f\x8b", b"\x1f\x8b\x08\x00\x00", b"\x28\xb5\x2f\xfd", b"\x1f\x8b" + b"\xff" * 50]
)
def test_an_archive_without_anything_in_it(run: Run, file: Path, data: bytes) -> None:
    file.write_bytes(data)
    outcome = run(file)
    assert outcome.status == BAD
    assert len(outcome.run["files"][0]["problems"]) == 1


def test_the_same_file_twice_is_read_once(run: Run, tmp_path: Path, file: Path) -> None:
    file.write_text(tsv(row(1)))
    (tmp_path / "link.log").symlink_to(file)
    os.link(file, tmp_path / "hard.log")
    outcome = run(file, tmp_path / "link.log", tmp_path / "hard.log", file, quiet=False)
    assert outcome.status == GOOD
    assert outcome.rows["in"] == 1
    assert ["read once" in item["reason"] for item in outcome.run["skipped"]] == [True, True, True]
    assert "1 record of 1 file in " in outcome.stdout
    assert "3 files named more than once, read once" in outcome.stdout


def test_a_folder_and_its_files_are_read_once(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (folder / "conn.log").write_text(tsv(row(1)))
    (folder / "sub" / "ssh.log").write_text(tsv(row(2), log="ssh"))
    (tmp_path / "link").symlink_to(folder)
    for inputs in (
        (folder, folder / "conn.log"),
        (folder / "conn.log", folder),
        (folder, folder / "sub"),
        (folder / "sub", folder),
        (folder, folder),
        (folder, tmp_path / "link"),
        (folder, folder / "sub" / ".." / "conn.log"),
    ):
        outcome = run(*inputs, quiet=False)
        assert outcome.status == GOOD
        assert outcome.rows["in"] == 2, inputs
        assert ["read once" in item["reason"] for item in outcome.run["skipped"]] == [True]
        assert "1 file named more than once, read once" in outcome.stdout
    assert run(folder, folder).outputs() == ["conn.ndjson", "sub/ssh.ndjson"]


def test_a_compressed_file_beside_one_of_its_name_is_told(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number, name in enumerate(("conn.log", "ssh.log")):
        text = tsv(row(number), log=name.removesuffix(".log"))
        (folder / name).write_text(text)
        (folder / f"{name}.gz").write_bytes(gzip.compress(text.encode()))
    (folder / "dns.log.gz").write_bytes(gzip.compress(tsv(row(3), log="dns").encode()))
    outcome = run(folder)
    assert outcome.status == GOOD
    assert outcome.rows["in"] == 5
    (note,) = (note for note in outcome.run["notes"] if "count twice" in note)
    assert note.startswith(f"{folder}/conn.log.gz (and 1 more) is read beside a file of its name")


def test_a_name_that_is_too_long_and_links_in_a_circle(run: Run, tmp_path: Path, file: Path) -> None:
    file.write_text(tsv(row(1)))
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    outcome = run(file, tmp_path / ("x" * 300), tmp_path / "a")
    assert outcome.status == BAD
    assert "File name too long" in outcome.stderr
    assert "Too many levels of symbolic links" in outcome.stderr


def test_outputs_of_like_names_do_not_meet(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = ["conn.log", "conn.json", "conn.log.gz", "rejects.log", "run.json", "hosts.log", "findings.json"]
    for n, name in enumerate(names):
        text = tsv(row(n)) if name.endswith(("log", "gz")) else record(n)
        (folder / name).write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    for form in ("ndjson", "native", "parquet"):
        outcome = run(folder, "--format", form)
        assert outcome.status == GOOD
        outputs = [name for item in outcome.run["files"] for name in item["outputs"]]
        assert len(set(outputs)) == len(outputs) == len(names)
        assert not {*OWN} & {*outputs}
    outcome = run(folder)
    seen = {uid for name in outcome.outputs() if name not in OWN for uid in uids(outcome, name)}
    assert seen == {f"C{n}" for n in range(len(names))}


def test_what_is_no_log_is_left_alone_in_a_tree_and_named_when_named(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "conn.log").write_text(tsv(row(1)))
    (folder / "notes.txt").write_text("my notes\n")
    (folder / "table.csv").write_text("a,b\n1,2\n")
    (folder / "list.json").write_text('[{"a":1}]\n')
    (folder / ".hidden.log").write_text(tsv(row(2)))
    outcome = run(folder)
    assert outcome.status == GOOD
    assert outcome.rows["in"] == 1
    assert len(outcome.run["skipped"]) == 3
    outcome = run(folder / "conn.log", folder / "notes.txt")
    assert outcome.status == BAD
    assert "notes.txt: not a Zeek or Suricata log" in outcome.stderr.replace("\n", "")


@pytest.mark.parametrize("what", ["absent", "empty", "text"])
def test_nothing_to_read(run: Run, tmp_path: Path, what: str) -> None:
    target = tmp_path / "in"
    if what == "empty":
        target.mkdir()
    elif what == "text":
        target.write_text("nothing\n")
    outcome = run(target, out=tmp_path / "deep" / "out")
    assert outcome.status == NOTHING
    assert "nothing could be read" in outcome.stderr
    assert not (tmp_path / "deep").exists()


def test_nothing_to_read_leaves_an_earlier_output_as_it_was(run: Run, tmp_path: Path, file: Path) -> None:
    file.write_text(tsv(row(1)))
    out = run(file).out
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    assert run(tmp_path / "absent", out=out).status == NOTHING
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_links_fifos_sockets_and_folders_that_cannot_be_read(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / "spool").mkdir(parents=True)
    (folder / "spool" / "conn.log").write_text(tsv(row(1)))
    (folder / "current").symlink_to("spool")
    (folder / "circle").symlink_to("..")
    (folder / "dangling.log").symlink_to("nowhere")
    os.mkfifo(folder / "fifo.log")
    bound = socket.socket(socket.AF_UNIX)
    with bound:
        before = Path.cwd()
        os.chdir(folder)
        try:
            bound.bind("socket.log")
        finally:
            os.chdir(before)
        outcome = run(folder)
    assert outcome.status == BAD
    assert outcome.rows == {"in": 1, "out": 1, "rejected": 0, "left_out": 0}
    reasons = {Path(item["name"]).name: item["reason"] for item in outcome.run["skipped"]}
    assert reasons["dangling.log"] == "No such file or directory"
    assert "not a regular file" in reasons["fifo.log"]
    assert "not a regular file" in reasons["socket.log"]
    assert run(folder / "fifo.log").status == NOTHING


def test_a_file_that_vanishes_or_fails_while_it_is_read(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(tsv(row(1)))
    other = file.with_name("ssh.log")
    other.write_text(tsv(row(2), log="ssh"))
    survey = FirstPass.__call__

    def vanish(self: FirstPass, progress: Progress) -> None:
        survey(self, progress)
        file.unlink()

    monkeypatch.setattr(FirstPass, "__call__", vanish)
    outcome = run(file, other)
    assert outcome.status == BAD
    assert "No such file" in outcome.run["files"][0]["problems"][0]
    assert uids(outcome, "ssh.ndjson") == ["C2"]


def test_a_file_that_grows_between_the_passes(run: Run, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text(tsv(row(1)) + row(2)[:20])
    survey = FirstPass.__call__

    def grow(self: FirstPass, progress: Progress) -> None:
        survey(self, progress)
        with file.open("a") as more:
            more.write(row(2)[20:] + row(3))

    monkeypatch.setattr(FirstPass, "__call__", grow)
    assert uids(run(file)) == ["C1", "C2", "C3"]


def test_names_that_are_not_utf8(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / os.fsdecode(b"conn.\xff.log")).write_text(tsv(row(1), "short\n"))
    for form in ("ndjson", "native", "parquet"):
        outcome = run(folder, "--format", form)
        assert outcome.status == BAD
        assert "conn.\\xff.log" in outcome.rejects[0]["file"]


def test_control_characters_never_reach_the_terminal(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "conn\x1b[31m.log"
    file.write_text(tsv(row(1, ts="\x1b]0;owned\x07"), row(2), row(3, service="\x1b[2J\u202e")))
    outcome = run(file, quiet=False)
    assert outcome.status == BAD
    for text in (outcome.stdout, outcome.stderr):
        assert not {"\x1b", "\x07", "\u202e"} & {*text}
    assert "\\x1b]0;owned" in outcome.stderr.replace("\n", "")


# ---- output


def test_out_inside_the_input_is_not_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_text(tsv(row(1)))
    (tmp_path / "link").symlink_to("enriched")
    for _ in range(2):
        outcome = run(tmp_path, out=tmp_path / "enriched")
        assert outcome.status == GOOD
        assert outcome.rows["in"] == 1


def test_out_that_is_the_input_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_text(tsv(row(1)))
    outcome = run(tmp_path, out=tmp_path)
    assert outcome.status == 2
    assert "cannot be the input and the output" in outcome.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conn.log"]


def test_what_a_killed_run_left_incomplete_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    day, alive = tmp_path / "out" / "day", os.getppid()
    day.mkdir(parents=True)
    dead = [day / f".conn.ndjson.{ended.pid}.part", tmp_path / "out" / f".0.{ended.pid}.part"]
    others = [day / f".conn.ndjson.{alive}.part", day / ".conn.part", day / "conn.ndjson.part"]
    for path in (*dead, *others):
        path.write_text("half a line")
    folder = Folder(tmp_path / "out")
    spool = folder.scratch()
    spool.write_text("what this run keeps")
    folder.open(PurePosixPath("day/conn.ndjson"))
    folder.open(PurePosixPath("day/dns.ndjson"))
    assert len([*day.glob(f".*.{os.getpid()}.part")]) == 2 and spool.exists()
    folder.discard()
    assert [path.exists() for path in (*dead, *others)] == [False, False, True, True, True]


def test_an_input_is_never_written_over(run: Run, tmp_path: Path) -> None:
    (tmp_path / "conn.log").write_text(tsv(row(1)))
    outcome = run(tmp_path / "conn.log", "--format", "native", out=tmp_path)
    assert outcome.status == 2
    assert "is an input" in outcome.stderr
    assert (tmp_path / "conn.log").read_text() == tsv(row(1))
    assert run(tmp_path / "conn.log", out=tmp_path).status == GOOD
    assert uids(Outcome(0, "", "", tmp_path)) == ["C1"]


def test_an_out_that_cannot_be_written(run: Run, tmp_path: Path, file: Path) -> None:
    file.write_text(tsv(row(1)))
    (tmp_path / "plain").write_text("a file")
    assert run(file, out=tmp_path / "plain" / "below").status == UNWRITABLE
    assert run(file, out=tmp_path / "plain").status == 2
    (tmp_path / "link").symlink_to("nowhere")
    outcome = run(file, out=tmp_path / "link")
    assert outcome.status == UNWRITABLE
    assert "link: is no folder; name one with --out" in outcome.stderr.replace("\n", "")
    blocked = tmp_path / "blocked"
    (blocked / "conn.ndjson" / "x").mkdir(parents=True)
    outcome = run(file, out=blocked)
    assert outcome.status == UNWRITABLE
    assert "conn.ndjson" in outcome.stderr


LIMITED = "import sys; from enrich.cli import main; main(sys.argv[1:])"


@pytest.mark.parametrize("options", [["ndjson"], ["native"], ["parquet"], ["ndjson", "--compress", "gzip"]])
def test_a_full_disk(tmp_path: Path, options: list[str]) -> None:
    """A limit on the size of files fails as a full disk does: writes go through for a while, then they do not."""
    file, out = tmp_path / "conn.log", tmp_path / "out"
    file.write_text(tsv(*(row(n, service=os.urandom(40).hex()) for n in range(20_000))))

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))

    arguments = [sys.executable, "-c", LIMITED, "run", str(file), "--out", str(out), "--format", *options]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, preexec_fn=limit, cwd=ROOT)
    assert done.returncode == UNWRITABLE, done.stderr
    assert "Traceback" not in done.stderr
    suffix = "parquet" if "parquet" in options else "log" if "native" in options else "ndjson"
    name = f"conn.{suffix}{'.gz' if 'gzip' in options else ''}"
    word = f"{out / name}: File too large; make room there, or name another place with --out"
    assert done.stderr == f"zeek-enrich: {word}\n"
    assert [path.name for path in out.iterdir()] == ["run.json"]
    record = json.loads((out / "run.json").read_text())
    assert record["failed"] == word
    assert record["files"][0]["outputs"] == []
    assert record["files"][0]["out"] == 0


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting a small disk needs root")
def test_a_full_disk_for_real(run: Run, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("this machine lets nobody mount")
    try:
        file = tmp_path / "conn.log"
        file.write_text(tsv(*(row(n, service=os.urandom(40).hex()) for n in range(20_000))))
        other = tmp_path / "ssh.log"
        other.write_text(tsv(row(1), log="ssh"))
        for form, name in (("ndjson", "conn.ndjson"), ("native", "conn.log"), ("parquet", "conn.parquet")):
            outcome = run(other, file, "--format", form, out=disk / form)
            assert outcome.status == UNWRITABLE
            assert f"{disk / form / name}: No space left on device; make room there, or" in outcome.stderr
            assert f"{disk / form / name}: No space left" in outcome.run["failed"]
            assert [item["outputs"] for item in outcome.run["files"]] == [[name.replace("conn", "ssh")], []]
            assert sorted(path.name for path in outcome.out.iterdir()) == ["run.json", name.replace("conn", "ssh")]
            shutil.rmtree(disk / form)
            # Not even room for run.json: the word is the same.
            filler = disk / "filler"
            with suppress(OSError):
                filler.write_bytes(bytes(10_000_000))
            outcome = run(file, "--format", form, out=disk / form)
            assert outcome.status == UNWRITABLE
            assert "No space left on device; make room there" in outcome.stderr
            filler.unlink()
    finally:
        subprocess.run(["umount", disk], check=True)


def test_one_bad_file_among_good_ones_stops_nothing(run: Run, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples/zeek", tmp_path / "in")
    (tmp_path / "in" / "bad.log.gz").write_bytes(b"\x1f\x8b\x08\x00broken")
    (tmp_path / "in" / "worse.log").write_bytes(b"#fields\t\xff\xfe\n\xff\xfe\xfd\n")
    outcome = run(tmp_path / "in")
    assert outcome.status == BAD
    assert outcome.rows["rejected"] == 1
    clean = run(ROOT / "examples/zeek")
    assert outcome.records("conn.ndjson") == clean.records("conn.ndjson")


def test_an_empty_name_is_not_the_current_directory(
    run: Run, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(tsv(row(1)))
    monkeypatch.chdir(tmp_path)
    outcome = run("", out=tmp_path / "out")
    assert outcome.status == NOTHING
    assert "'': an empty name; for the current directory say ." in outcome.stderr
    done = CliRunner().invoke(main, ["run", str(file), "--out", ""])
    assert done.exit_code == 2
    assert "the name is empty" in done.stderr
    assert not (tmp_path / "run.json").exists()
    for option in ("--only", "--logs"):
        for text in ("", " , "):
            done = CliRunner().invoke(main, ["run", str(file), "--out", "out", option, text])
            assert done.exit_code == 2
            assert f"{option} names nothing" in done.stderr


@pytest.mark.parametrize("form", ["ndjson", "native"])
def test_what_an_earlier_run_wrote_does_not_count_again(run: Run, tmp_path: Path, form: str) -> None:
    shutil.copytree(ROOT / "examples/zeek", tmp_path / "in" / "day")
    first = run(tmp_path / "in", "--format", form, out=tmp_path / "in" / "old")
    again = run(tmp_path / "in", "--format", form, out=tmp_path / "out")
    assert again.status == GOOD
    assert again.rows == first.rows
    assert again.outputs() == first.outputs()
    wrote = {path.relative_to(first.out) for path in first.out.rglob("*") if path.is_file()}
    assert {Path(item["name"]).relative_to(first.out) for item in again.run["skipped"]} == wrote
    alone = run(first.out, out=tmp_path / "alone")
    assert alone.status == NOTHING
    assert "name the file to have it read" in alone.stderr
    named = run(*(first.out / name for name in first.outputs()), out=tmp_path / "named")
    assert named.rows["in"] == first.rows["out"]


def test_an_output_directory_that_cannot_be_written_is_told_before_anything_is_read(
    run: Run, tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text(tsv(row(1)))
    (tmp_path / "out" / "rejects.ndjson" / "x").mkdir(parents=True)
    (tmp_path / "out").chmod(0o555)
    monkeypatch.setattr(FirstPass, "__call__", lambda *_: pytest.fail("it was read"))
    if os.geteuid() == 0:  # permissions do not hold root back
        opened = Path.open

        def forbidden(path: Path, mode: str = "r", **more: Any) -> Any:
            if "w" in mode:
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return opened(path, mode, **more)

        monkeypatch.setattr(Path, "open", forbidden)
    outcome = run(file, out=tmp_path / "out")
    assert outcome.status == UNWRITABLE
    assert "Permission denied; allow it, or name another place with --out" in outcome.stderr


def test_what_a_parser_took_for_quic_is_none(run: Run, tmp_path: Path) -> None:
    events = []
    for number, version in enumerate(("1", "63736172"), 1):
        ends = {"flow_id": number, "src_ip": "10.0.0.1", "src_port": 50000 + number, "dest_ip": f"192.0.2.{number}"}
        common = {"timestamp": "2026-11-22T12:00:00+0000", **ends, "dest_port": 5443, "proto": "UDP"}
        flow = {"pkts_toserver": 5, "pkts_toclient": 5, "bytes_toserver": 4000, "bytes_toclient": 5000,
                "start": "2026-11-22T12:00:00+0000"}  # fmt: skip
        events += [
            {**common, "event_type": "quic", "quic": {"version": version}},
            {**common, "event_type": "flow", "app_proto": "quic", "flow": flow},
        ]
    (tmp_path / "eve.json").write_text("".join(json.dumps(event) + "\n" for event in events))
    outcome = run(tmp_path / "eve.json")
    assert outcome.status == GOOD
    assert [flow.get("app.protocol") for flow in outcome.records("eve.conn.ndjson")] == ["quic", None]


USUAL = {"ts": "time", "uid": "string", "id.orig_h": "addr", "id.orig_p": "port", "id.resp_h": "addr"}
USUAL |= {"id.resp_p": "port", "proto": "enum", "service": "string", "duration": "interval", "conn_state": "string"}
USUAL |= {"local_orig": "bool", "history": "string", "orig_pkts": "count", "orig_ip_bytes": "count"}
USUAL |= {"resp_pkts": "count", "resp_ip_bytes": "count", "ip_proto": "count", "_detection": "string"}
VALUES = ("1.5", "C1", "10.0.0.1", "50000", "192.0.2.1", "22", "tcp", "ssh", "1.5", "SF", "T", "ShADadFf")
VALUES += ("5", "500", "5", "900", "6", "half")


def typed(folder: Path, types: dict[str, str] | None) -> Path:
    """A conn.log of one row whose header gives these types; without types it gives none."""
    lines = ["#separator \\x09", "#path\tconn", "\t".join(["#fields", *USUAL])]
    if types is not None:
        lines.append("\t".join(["#types", *types.values()]))
    folder.mkdir()
    (folder / "conn.log").write_text("\n".join([*lines, "\t".join(VALUES), ""]))
    return folder


@pytest.mark.parametrize("form", ["ndjson", "native", "parquet"])
def test_a_header_without_types_says_no_less(tmp_path: Path, run: Run, form: str) -> None:
    known, told = (run(typed(tmp_path / name, kinds), "--format", form) for name, kinds in (("a", USUAL), ("b", None)))
    assert (known.status, told.status, told.rows["out"]) == (0, 0, 1)
    assert known.records("hosts.ndjson") == told.records("hosts.ndjson") != []
    if form == "ndjson":
        [before], [after] = known.records("conn.ndjson"), told.records("conn.ndjson")
        added = before.keys() - USUAL.keys()
        assert {name: before[name] for name in added} == {name: after[name] for name in added}
        assert "log" not in str(after["app.evidence"]) and after["app.protocol"] == "ssh"


@pytest.mark.parametrize("kind", ["string", "bool", "count", "double", "set[string]", "vector[count]"])
def test_a_field_of_another_type_than_usual_ends_no_run(tmp_path: Path, run: Run, kind: str) -> None:
    for number, name in enumerate(USUAL):
        source = typed(tmp_path / f"{number}", {**USUAL, name: kind})
        for form in ("ndjson", "native"):
            outcome = run(source, "--format", form)
            assert outcome.rows["in"] == 1, name
            assert outcome.run["failed"] is None, name


def test_a_field_of_the_log_is_not_taken_for_a_hidden_column_of_ours(tmp_path: Path, run: Run) -> None:
    plain = {name: kind for name, kind in USUAL.items() if name != "_detection"}
    record = dict(zip(USUAL, VALUES, strict=True)) | {"ts": 1.5, "id.orig_p": 50000, "id.resp_p": 22}
    verdicts = []
    for number, names in enumerate((USUAL, plain)):
        (tmp_path / f"{number}").mkdir()
        path = tmp_path / f"{number}" / "conn.log"
        path.write_text(json.dumps({name: record[name] for name in names}) + "\n")
        [found] = run(path).records("conn.ndjson")
        verdicts.append((found["app.protocol"], found["app.confidence"]))
    assert verdicts[0] == verdicts[1]
