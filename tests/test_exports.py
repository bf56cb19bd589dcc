"""Exports of the sites tables: what they hold, and that real Zeek and Suricata tag by them as this project does."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from enrich.cli import main
from enrich.enrichers import sites
from enrich.exports import Site, sites_of, write
from enrich.names import host_name
from enrich.tables import Tables

ROOT = Path(__file__).parents[1]
CAPTURE = ROOT / "tests" / "data" / "zeek-package" / "site-a.pcap"
WAIT = """
event zeek_init() { suspend_processing(); }
event Input::end_of_data(name: string, source: string) { continue_processing(); }
"""
FEW = [
    Site("clamav.net", "antivirus", "clamav"),
    Site("update.example.co.uk", "antivirus", None),
    Site("tracker.example.org", "torrent_tracker", None),
]


def export(*arguments: str | Path) -> Result:
    done = CliRunner().invoke(main, ["export", *map(str, arguments)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise AssertionError("a traceback") from done.exception
    return done


def tool(name: str) -> str:
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed")
    return program


def test_every_site_is_exported_once() -> None:
    found = sites_of(Tables())
    assert len({site.domain for site in found}) == len(found) > 5_000
    for site in found:
        # What none of the formats could carry.
        assert not re.search(r"[\s\"';|,\\#]", site.domain + site.category + (site.product or ""))


def test_for_zeek(tmp_path: Path) -> None:
    assert write("zeek", FEW, tmp_path) == [tmp_path / "sites.tsv"]
    assert (tmp_path / "sites.tsv").read_text() == (
        "#fields\tdomain\tcategory\tproduct\n"
        "clamav.net\tantivirus\tclamav\n"
        "update.example.co.uk\tantivirus\t-\n"
        "tracker.example.org\ttorrent_tracker\t-\n"
    )


def test_for_the_intel_framework(tmp_path: Path) -> None:
    write("intel", FEW, tmp_path)
    lines = (tmp_path / "sites.intel").read_text().splitlines()
    assert lines[0] == "#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc"
    assert lines[1] == "clamav.net\tIntel::DOMAIN\tzeek-enrich\tantivirus: clamav"
    assert lines[2].endswith("\tantivirus")


def test_for_suricata(tmp_path: Path) -> None:
    written = {path.name for path in write("suricata", FEW, tmp_path)}
    assert written == {"sites-antivirus-2.lst", "sites-antivirus-4.lst", "sites-torrent_tracker-3.lst", "sites.rules"}
    assert base64.b64decode((tmp_path / "sites-antivirus-2.lst").read_text()) == b"clamav.net"
    rules = (tmp_path / "sites.rules").read_text().splitlines()
    assert len(rules) == 3 * 4
    numbers = [int(found[1]) for rule in rules if (found := re.search(r"sid:(\d+);", rule))]
    assert len(set(numbers)) == len(rules)


def test_rules_keep_their_numbers_when_sites_come_and_go(tmp_path: Path) -> None:
    def numbers(chosen: list[Site]) -> dict[str, str]:
        write("suricata", chosen, tmp_path)
        text = (tmp_path / "sites.rules").read_text()
        return dict(re.findall(r"load (\S+),.*sid:(\d+);", text))

    before = numbers(FEW)
    after = numbers([*FEW, Site("a.b.c.d.example", "cdn", None)])
    assert before.items() < after.items()


def test_some_categories_only(tmp_path: Path) -> None:
    done = export("zeek", "--out", tmp_path, "--category", "antivirus", "--category", "time")
    assert done.exit_code == 0, done.stderr
    rows = [line.split("\t") for line in (tmp_path / "sites.tsv").read_text().splitlines()[1:]]
    assert {category for _, category, _ in rows} == {"antivirus", "time"}
    assert done.stdout.strip() == str(tmp_path / "sites.tsv")


def test_a_category_that_is_none_is_named(tmp_path: Path) -> None:
    done = export("zeek", "--out", tmp_path / "out", "--category", "anti-virus")
    assert done.exit_code == 2
    assert "'anti-virus'" in done.stderr
    assert "antivirus" in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert export("zeek", "--out", tmp_path / "file" / "out").exit_code == 4


def test_the_site_s_own_domains_are_exported(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("domain,category,product,example\nintra.example,update,ours,a.intra.example\n")
    config = tmp_path / "site.toml"
    config.write_text('[tables]\nsites = "own.csv"\n')
    assert export("zeek", "--out", tmp_path, "--config", config).exit_code == 0
    assert "intra.example\tupdate\tours\n" in (tmp_path / "sites.tsv").read_text()


def tagged(names: set[str]) -> dict[str, str]:
    """The names that the tables know, and their category."""
    known = sites.load(Tables())
    found = {name: known.get(folded) for name in names if (folded := host_name(name))}
    return {name: value[0] for name, value in found.items() if value}


def test_real_zeek_tags_names_as_the_enricher_does(tmp_path: Path) -> None:
    zeek = tool("zeek")
    assert export("zeek", "--out", tmp_path).exit_code == 0
    scripts = ROOT / "zeek-scripts" / "sites.zeek"
    # A capture is read faster than a file; Zeek has to have the table before the first packet.
    (tmp_path / "wait.zeek").write_text(WAIT)
    command = [
        zeek,
        "-C",
        "-r",
        str(CAPTURE),
        str(scripts),
        "wait.zeek",
        "ZeekEnrich::sites_file=sites.tsv",
        "LogAscii::use_json=T",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (tmp_path / "dns.log").read_text().splitlines()]
    found = {row["query"]: row["site_category"] for row in rows if "site_category" in row}
    assert found == tagged({row["query"] for row in rows if "query" in row})
    assert len(found) > 2


def test_real_zeek_s_intel_framework_reads_the_file(tmp_path: Path) -> None:
    zeek = tool("zeek")
    assert export("intel", "--out", tmp_path).exit_code == 0
    (tmp_path / "intel.zeek").write_text(
        f'@load frameworks/intel/seen\nredef Intel::read_files += {{ "sites.intel" }};\n{WAIT}'
    )
    command = [zeek, "-C", "-r", str(CAPTURE), "intel.zeek", "LogAscii::use_json=T"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "reporter.log").exists() or "intel" not in (tmp_path / "reporter.log").read_text().lower()
    known = sites.load(Tables()).by_domain
    seen = {json.loads(line)["seen.indicator"] for line in (tmp_path / "intel.log").read_text().splitlines()}
    assert seen
    assert seen <= known.keys()


def test_real_suricata_alerts_on_names_as_the_enricher_does(tmp_path: Path) -> None:
    suricata = tool("suricata")
    rules = tmp_path / "rules"
    assert export("suricata", "--out", rules).exit_code == 0
    include = ROOT / "examples" / "suricata" / "eve-log.yaml"
    command = [
        suricata,
        "-r",
        str(CAPTURE),
        "-l",
        str(tmp_path),
        "-k",
        "none",
        "--runmode",
        "single",
        "-S",
        str(rules / "sites.rules"),
    ]
    done = subprocess.run(
        [*command, "--include", str(include)],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.lower()
    events = [json.loads(line) for line in (tmp_path / "eve.json").read_text().splitlines()]
    alerts = [event for event in events if event["event_type"] == "alert"]
    asked = {
        event["dns"]["rrname"]
        for event in events
        if event["event_type"] == "dns" and event["dns"].get("type") == "query"
    }
    found = {
        (query["rrname"], event["alert"]["metadata"]["site_category"][0])
        for event in alerts
        if "(dns.query)" in event["alert"]["signature"]
        for query in event["dns"]["query"]
    }
    # A name within two sites' domains alerts for both.
    expected = set(tagged(asked).items())
    assert expected <= found
    assert {name for name, _ in found} == {name for name, _ in expected}
    assert {event["alert"]["signature"].rpartition(" ")[2] for event in alerts} >= {"(dns.query)", "(http.host)"}
