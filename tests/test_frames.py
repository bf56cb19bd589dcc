"""pandas frames in and out: ours, zat's, and the same results as the command line gives."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from plain import records

import enrich
from enrich.errors import ConfigError, SourceError

ROOT = Path(__file__).parents[1]
ZEEK = ROOT / "examples/zeek"
OTHERS = ("dns", "http", "ssl", "ssh", "smtp", "ftp", "ntp", "mysql", "postgresql")


def zat_frame(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from zat.log_to_dataframe import LogToDataFrame

        return LogToDataFrame().create_dataframe(str(path))


def plain(value: object) -> object:
    if isinstance(value, list):
        return value
    return None if pd.isna(value) else value  # type: ignore[call-overload]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    out = tmp_path_factory.mktemp("out")
    command = [sys.executable, "-m", "enrich.cli", "run", str(ZEEK), "--out", str(out), "--quiet"]
    subprocess.run(command, check=True)
    return [json.loads(line) for line in (out / "conn.ndjson").read_text("utf-8").splitlines()]


def test_a_frame_keeps_its_rows_columns_and_index() -> None:
    conn = enrich.read(ZEEK / "conn.log")
    conn.index = pd.Index(range(100, 100 + len(conn)), name="mine")
    before = conn.copy()
    out = enrich.enrich_frame(conn)
    pd.testing.assert_frame_equal(conn, before)
    pd.testing.assert_frame_equal(out[list(before.columns)], before)
    assert "app.protocol" in out.columns
    assert not [name for name in out.columns if name.startswith("_")]


def test_the_same_columns_as_the_command_line_writes(written: list[dict[str, object]]) -> None:
    logs = {path.stem: enrich.read(path) for path in ZEEK.glob("*.log")}
    conn = logs.pop("conn")
    out = enrich.enrich_frame(conn, others=logs)
    assert len(out) == len(written)
    ours = [name for name in out.columns if name not in conn.columns]
    for row, record in zip(out[ours].to_dict("records"), written, strict=True):
        for name in ours:
            assert plain(row[name]) == record.get(name), name


def test_zat_frames_give_the_same_verdicts_as_our_own() -> None:
    ours = enrich.enrich_frame(enrich.read(ZEEK / "conn.log"))
    theirs = enrich.enrich_frame(zat_frame(ZEEK / "conn.log"))
    for name in ("app.protocol", "app.confidence", "behavior.class", "orig.scope", "port.service"):
        assert [plain(x) for x in theirs[name]] == [plain(x) for x in ours[name]], name


def test_zat_frames_of_other_logs() -> None:
    http = enrich.enrich_frame(zat_frame(ZEEK / "http.log"), log="http")
    assert {"ua.family", "ua.kind", "name.registered_domain"} <= set(http.columns)
    assert http["ua.kind"].notna().any()


def test_a_column_that_is_there_already_stays() -> None:
    conn = enrich.read(ZEEK / "conn.log").head(5).assign(**{"app.name": "mine"})
    out = enrich.enrich_frame(conn)
    assert list(out["app.name"]) == ["mine"] * 5
    assert "enrich.app.name" in out.columns


def test_an_empty_frame() -> None:
    conn = enrich.read(ZEEK / "conn.log").head(0)
    out = enrich.enrich_frame(conn)
    assert len(out) == 0
    assert "app.protocol" in out.columns


def test_every_field_is_read_under_its_name(tmp_path: Path) -> None:
    for path in [*ZEEK.glob("*.log"), *(ROOT / "examples/zeek-json").glob("*.log")]:
        df = enrich.read(path)
        originals = list(records(path))
        assert len(df) == len(originals)
        for row, original in zip(df.to_dict("records"), originals, strict=True):
            for name, value in original.items():
                got = row[name].timestamp() if isinstance(row[name], pd.Timestamp) else row[name]
                assert plain(got) == value, (path, name)


def test_times_are_exact_datetimes() -> None:
    conn = enrich.read(ZEEK / "conn.log")
    assert str(conn["ts"].dtype) == "datetime64[us, UTC]"
    assert [round(ts.timestamp(), 6) for ts in conn["ts"]] == [record["ts"] for record in records(ZEEK / "conn.log")]


def test_an_input_of_several_logs(tmp_path: Path) -> None:
    eve = ROOT / "examples/suricata/eve.json"
    every = enrich.read(eve)
    assert len(every) == len(eve.read_bytes().splitlines())
    conn = enrich.read(eve, log="conn")
    assert len(conn) == (every["_path"] == "conn").sum() > 0
    assert all(json.loads(text)["event_type"] == "flow" for text in conn["suricata"])
    assert "_path" not in conn.columns
    flows = enrich.enrich_frame(conn, others={"ssl": enrich.read(eve, log="ssl")})
    assert flows["app.protocol"].notna().sum() > len(flows) / 2
    path = tmp_path / "all.json"
    path.write_text('{"_path":"dns","uid":"1"}\n{"_path":"ssl","uid":"2","odd":{"x":[]}}\n')
    assert enrich.read(path, log="ssl")["uid"].tolist() == ["2"]
    assert enrich.read(path)["_path"].tolist() == ["dns", "ssl"]


def test_an_empty_log(tmp_path: Path) -> None:
    (tmp_path / "zero.log").write_bytes(b"")
    assert enrich.read(tmp_path / "zero.log").shape == (0, 0)
    lines = (ZEEK / "conn.log").read_bytes().splitlines(keepends=True)
    head = b"".join(line for line in lines if line.startswith(b"#"))
    (tmp_path / "conn.log").write_bytes(head)
    conn = enrich.read(tmp_path / "conn.log")
    assert len(conn) == 0
    assert conn.columns.tolist() == enrich.read(ZEEK / "conn.log").columns.tolist()
    assert "app.protocol" in enrich.enrich_frame(conn).columns
    assert enrich.enrich_frame(pd.DataFrame({"x": [1, 2]})).shape[0] == 2


@pytest.mark.parametrize("kind", ["category", "object", "string", "str"])
def test_columns_of_any_dtype(kind: str) -> None:
    conn = enrich.read(ZEEK / "conn.log")
    expected = enrich.enrich_frame(conn)["app.protocol"].tolist()
    odd = conn.assign(
        **{name: conn[name].astype(kind) for name in ("id.orig_h", "id.resp_h", "proto", "service", "conn_state")},
        **{name: conn[name].astype("Float64").astype(kind) for name in ("id.resp_p", "orig_pkts", "resp_pkts")},
        **{name: conn[name].astype("float") for name in ("orig_ip_bytes", "resp_ip_bytes")},
        ts=[ts.isoformat() for ts in conn["ts"]],
        duration=pd.to_timedelta(conn["duration"], unit="s"),
        local_orig=[None if pd.isna(flag) else "T" if flag else "F" for flag in conn["local_orig"]],
    )
    assert enrich.enrich_frame(odd)["app.protocol"].tolist() == expected


def test_a_site_configuration_and_a_choice_of_enrichers(tmp_path: Path) -> None:
    (tmp_path / "ports.csv").write_text("port,last_port,transport,name,description\n53,,udp,my_dns,ours\n")
    (tmp_path / "site.toml").write_text('[tables]\n"ports/in_use.csv" = "ports.csv"\n')
    conn = enrich.read(ZEEK / "conn.log")
    out = enrich.enrich_frame(conn, config=tmp_path / "site.toml", only=["ports"])
    assert "my_dns" in set(out["port.service"])
    assert "orig.scope" not in out.columns
    with pytest.raises(ConfigError, match="no enricher is called 'prots'"):
        enrich.enrich_frame(conn, only=["prots"])


def test_a_file_that_breaks_off_is_told(tmp_path: Path) -> None:
    whole = gzip.compress((ZEEK / "ssh.log").read_bytes())
    (tmp_path / "ssh.log.gz").write_bytes(whole[:-8])
    with pytest.warns(UserWarning, match=r"ssh\.log\.gz: line \d+: .*; everything before that was read"):
        df = enrich.read(tmp_path / "ssh.log.gz")
    assert len(df) == len(enrich.read(ZEEK / "ssh.log"))
    assert df.attrs["rejects"] == []


def test_what_is_no_frame_or_has_a_column_twice_is_refused() -> None:
    with pytest.raises(TypeError, match="conn: expected a pandas DataFrame, got list"):
        enrich.enrich_frame([])  # type: ignore[arg-type]
    twice = pd.DataFrame([["a", "b"]], columns=["query", "query"])
    with pytest.raises(ValueError, match="dns: several columns are called 'query'"):
        enrich.enrich_frame(pd.DataFrame({"uid": ["C1"]}), others={"dns": twice})


def test_what_cannot_be_read_is_told_and_the_rest_read(tmp_path: Path) -> None:
    path = tmp_path / "conn.log"
    path.write_text("#fields\tts\tuid\n#types\ttime\tstring\n1.0\tC1\nyesterday\tC2\n")
    with pytest.warns(UserWarning, match=r"conn\.log: 1 of its records could not be read; line 4: field ts"):
        df = enrich.read(path)
    assert df["uid"].tolist() == ["C1"]
    assert df.attrs["rejects"] == [{"line": 4, "reason": "field ts: 'yesterday' is no time", "raw": "yesterday\tC2"}]
    with pytest.raises(SourceError, match=r"nothing\.log: No such file"):
        enrich.read(tmp_path / "nothing.log")
    path.write_text("hello\n")
    with pytest.raises(SourceError, match=r"conn\.log: not a Zeek or Suricata log"):
        enrich.read(path)


def test_the_example_runs() -> None:
    run = subprocess.run(
        [sys.executable, str(ROOT / "examples/pandas_example.py")], check=True, capture_output=True, text=True
    )
    assert "app.protocol" in run.stdout


def test_a_name_alone_and_halves_of_characters() -> None:
    frame = pd.DataFrame({"id.orig_h": ["10.0.0.1", "x\udcff"], "id.resp_h": ["8.8.8.8", "\ud800"]})
    out = enrich.enrich_frame(frame, log="conn", only="addresses")
    assert out["orig.scope"].tolist()[0] == "private"
    assert pd.isna(out["orig.scope"].tolist()[1])
    assert "app.protocol" not in out.columns


def test_a_name_that_no_log_has_is_told() -> None:
    conn = enrich.read(ZEEK / "conn.log").head(3)
    with pytest.warns(UserWarning, match="^'con': no log of this name is known; do you mean conn[?] little is made"):
        assert len(enrich.enrich_frame(conn, "con")) == 3
    with pytest.warns(UserWarning, match="do you mean conn[?]"):
        enrich.enrich_frame(conn, "conn.log")
    with pytest.warns(UserWarning, match="do you mean ssl[?]"):
        enrich.enrich_frame(conn, others={"tls": conn})
    with pytest.warns(UserWarning, match="^'htp': no log of this name is known; do you mean http[?]"):
        enrich.enrich_frame(conn, others={"htp": conn})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        enrich.enrich_frame(conn, others={"http": conn})


@pytest.mark.parametrize("form", [lambda ts: ts.astype(object), lambda ts: ts.map(str)])
def test_times_as_objects_and_as_text_are_times(form: Callable[[pd.Series], pd.Series]) -> None:
    logs = {name: enrich.read(ZEEK / f"{name}.log") for name in ("conn", "dns")}
    expected = enrich.enrich_frame(logs["conn"], others={"dns": logs["dns"]})["resp.name"].tolist()
    for frame in logs.values():
        frame["ts"] = form(frame["ts"])
    assert enrich.enrich_frame(logs["conn"], others={"dns": logs["dns"]})["resp.name"].tolist() == expected


def test_a_log_that_is_not_in_a_file_is_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="holds no log called 'nosuch'; there are: conn"):
        assert enrich.read(ZEEK / "conn.log", log="nosuch").empty
    (tmp_path / "conn.log").touch()
    with pytest.warns(UserWarning, match="holds no log called 'conn'; it is empty$"):
        assert enrich.read(tmp_path / "conn.log", log="conn").empty
