"""Recog's semantics, on fingerprints made for the test."""

from __future__ import annotations

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from enrich.banners import Banners
from enrich.banners.recog import Recog, RecogFile, banner_fields, check_recog
from enrich.banners.recog_xml import Document, read_header
from enrich.errors import TableError

TABLES = Path(__file__).parents[2] / "mappings" / "banners"
BINARY = base64.b64encode(b"\x84\x00bin 7").decode()

SSH = rf"""<?xml version="1.0" encoding="UTF-8"?>
<fingerprints matches="ssh.banner" protocol="ssh" database_type="service">
  <fingerprint pattern="^Frob_([\d.]+)(?: (\w+))?$">
    <description>Frobnicator
       SSH</description>
    <example service.version="1.2" host.name="">Frob_1.2</example>
    <example service.version="1.2" host.name="web1">Frob_1.2 web1</example>
    <param pos="0" name="service.vendor" value="Frob Corp"/>
    <param pos="0" name="service.product" value="Frobnicator"/>
    <param pos="1" name="service.version"/>
    <param pos="0" name="service.cpe23" value="cpe:/a:frob:frobnicator:{{service.version}}"/>
    <param pos="0" name="os.vendor" value="Frobian"/>
    <param pos="0" name="os.product" value="Linux"/>
    <param pos="2" name="host.name"/>
    <param pos="0" name="host.domain" value="{{host.name}}.example"/>
  </fingerprint>
  <fingerprint pattern="^FROB-x(\d)" flags="REG_ICASE">
    <description>Frobnicator X</description>
    <example hw.product="FX-3" os.product="FX-3 Firmware" _encoding="base64">
      {base64.b64encode(b"frob-X3").decode()}
    </example>
    <param pos="1" name="_tmp.model"/>
    <param pos="0" name="hw.vendor" value="Frob"/>
    <param pos="0" name="hw.product" value="FX-{{_tmp.model}}"/>
    <param pos="0" name="os.product" value="{{hw.product}} Firmware"/>
    <param pos="0" name="service.cpe23" value="cpe:/a:frob:x:{{service.version}}"/>
  </fingerprint>
  <fingerprint pattern="^last line$">
    <description>Lines</description>
    <example>first line
last line
third</example>
    <param pos="0" name="service.product" value="Lines"/>
  </fingerprint>
  <fingerprint pattern="^dot.newline$" flags="REG_DOT_NEWLINE,REG_ICASE">
    <description>Dot</description>
    <example>DOT
NEWLINE</example>
    <param pos="0" name="service.product" value="Dot"/>
  </fingerprint>
  <fingerprint pattern="^\x84\x00bin (\d)">
    <description>Bytes</description>
    <example _encoding="base64" service.version="7">{BINARY}</example>
    <param pos="0" name="service.product" value="Bytes"/>
    <param pos="1" name="service.version"/>
  </fingerprint>
  <fingerprint pattern="^from file (\d)">
    <description>File</description>
    <example _filename="long.txt" service.version="9"/>
    <param pos="0" name="service.product" value="File"/>
    <param pos="1" name="service.version"/>
  </fingerprint>
  <fingerprint pattern="^(?!not)look-ahead$">
    <description>Look-ahead</description>
    <example>look-ahead</example>
    <param pos="0" name="service.product" value="Never"/>
  </fingerprint>
  <fingerprint pattern="^(a+)\1$">
    <description>Back-reference</description>
    <example>aaaa</example>
    <param pos="0" name="service.product" value="Never"/>
  </fingerprint>
  <fingerprint pattern="^OpenSSH_([\d.]+)">
    <description>Another opinion</description>
    <example service.version="9.2">OpenSSH_9.2p1 Debian-2+deb12u3</example>
    <param pos="0" name="service.product" value="Their SSH"/>
    <param pos="1" name="service.version"/>
    <param pos="0" name="hw.vendor" value="Theirs"/>
  </fingerprint>
  <fingerprint pattern="^Cisco-1\.25$">
    <description>Same product, more known</description>
    <example>Cisco-1.25</example>
    <param pos="0" name="hw.product" value="Router"/>
  </fingerprint>
</fingerprints>
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "ssh_banners").mkdir()
    (tmp_path / "ssh_banners" / "long.txt").write_bytes(b"from file 9 and much more")
    (tmp_path / "ssh_banners.xml").write_text(SSH, "utf-8")
    return tmp_path


def xml(body: str, root: str = 'fingerprints matches="ssh.banner"') -> str:
    return f'<?xml version="1.0"?>\n<{root}>\n{body}\n</{root.partition(" ")[0]}>\n'


def test_all_examples_run_and_what_cannot_run_is_listed(directory: Path) -> None:
    (report,) = check_recog(directory)
    assert report.problem is None, report.failures
    assert (report.table, report.fingerprints, report.examples) == ("ssh_banners.xml", 10, 9)
    assert len(report.not_run) == 2
    assert "Look-ahead" in report.not_run[0]
    assert "Back-reference" in report.not_run[1]
    assert "2 not run" in report.found


def test_constants_captures_and_templates(directory: Path) -> None:
    file = RecogFile(directory / "ssh_banners.xml")
    assert file.match("Frob_1.2 web1") == {
        "service.vendor": "Frob Corp",
        "service.product": "Frobnicator",
        "service.version": "1.2",
        "service.cpe23": "cpe:/a:frob:frobnicator:1.2",
        "os.vendor": "Frobian",
        "os.product": "Linux",
        "host.name": "web1",
        "host.domain": "web1.example",
        "service.protocol": "ssh",
    }
    assert "host.domain" not in (file.match("Frob_1.2") or {})
    model = file.match("frob-x3") or {}
    assert model["hw.product"] == "FX-3"
    assert model["service.cpe23"] == "cpe:/a:frob:x:-"
    assert not any(name.startswith("_tmp.") for name in model)
    assert file.match("nothing of theirs") is None


def test_fields_become_a_banners(directory: Path) -> None:
    recog = Recog(directory)
    assert recog.match("ssh", "Frob_1.2 web1") == {
        "product": "Frobnicator",
        "version": "1.2",
        "vendor": "Frob Corp",
        "os": "Frobian",
        "os_vendor": "Frobian",
        "os_product": "Linux",
        "hostname": "web1",
        "cpe": "cpe:2.3:a:frob:frobnicator:1.2:*:*:*:*:*:*:*",
    }
    assert recog.match("smtp", "Frob_1.2 web1") is None
    assert banner_fields({"os.vendor": "Cisco"}) == {"os": "Cisco", "os_vendor": "Cisco"}
    assert banner_fields({"service.cpe23": "cpe:/a:broken"}) == {}


def test_a_file_that_does_not_say_what_it_matches_goes_by_its_name(tmp_path: Path) -> None:
    fingerprint = '<fingerprint pattern="^Frob login"><param pos="0" name="os.product" value="Frob OS"/></fingerprint>'
    (tmp_path / "telnet_banners.xml").write_text(xml(fingerprint, "fingerprints"), "utf-8")
    assert Banners(TABLES, tmp_path).parse("telnet", "Frob login:").os == "Frob OS"


def test_several_threads_may_need_it_first(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Enrichers of several services have it in common, and two batches are enriched at a time."""
    (directory / "telnet_banners.xml").write_text(
        xml(
            '<fingerprint pattern="^Welcome$"><param pos="0" name="os.product" value="X"/></fingerprint>',
            "fingerprints",
        )
    )

    def slow(path: Path) -> Document:
        time.sleep(0.05)
        return read_header(path)

    monkeypatch.setattr("enrich.banners.recog.read_header", slow)
    known = Recog(directory)
    with ThreadPoolExecutor(2) as threads:
        ssh = threads.submit(known.match, "ssh", "Frob_1.2")
        telnet = threads.submit(known.match, "telnet", "Welcome")
        assert ssh.result() is not None
        assert telnet.result() == {"os": "X", "os_product": "X"}


def test_ours_first_or_theirs_first(directory: Path) -> None:
    value = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3"
    ours = Banners(TABLES, directory).parse("ssh", value)
    assert (ours.product, ours.version, ours.os, ours.hardware) == ("OpenSSH", "9.2p1", "Debian", "Theirs")
    theirs = Banners(TABLES, directory, recog_first=True).parse("ssh", value)
    assert (theirs.product, theirs.version, theirs.cpe) == ("Their SSH", "9.2", None)
    assert (theirs.os, theirs.os_version, theirs.protocol) == ("Debian", "12", "2.0")


def test_what_only_they_know_is_filled_in(directory: Path) -> None:
    banners = Banners(TABLES, directory)
    found = banners.parse("ssh", "SSH-2.0-Frob_1.2")
    assert (found.product, found.vendor, found.os) == ("Frobnicator", "Frob Corp", "Frobian")
    assert banners.parse("ssh", "SSH-2.0-Cisco-1.25").hardware == "Router"
    assert banners.parse("ssh", "SSH-2.0-dropbear_2020.81").product == "Dropbear SSH"


def test_the_folder_above_xml_is_as_good(tmp_path: Path, directory: Path) -> None:
    above = tmp_path / "recog"
    above.mkdir()
    (above / "xml").mkdir()
    (above / "xml" / "ssh_banners.xml").write_text(xml(""), "utf-8")
    assert [report.table for report in check_recog(above)] == ["ssh_banners.xml"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><fingerprints/>', "declares a document type"),
        ('<?xml version="1.0"?><!DOCTYPE x SYSTEM "file:///etc/passwd"><fingerprints/>', "declares a document type"),
        ("<fingerprints>", "is not XML"),
        ("", "is not XML"),
        ("<html></html>", "its root is <html>"),
        (xml('<fingerprint pattern="x"><param name="a"/></fingerprint>'), "line 3: a param needs a name and a pos"),
        (xml('<fingerprint pattern="x"><example _encoding="base64">?</example></fingerprint>'), "not base64"),
        (xml('<fingerprint pattern="x"><example _filename="none"/></fingerprint>'), "no example file 'none'"),
        (xml('<fingerprint pattern="x"><example _filename="../a.xml"/></fingerprint>'), "no example file '../a.xml'"),
        (xml('<fingerprint pattern="x"><example>y</example></fingerprint>'), "1 examples fail: line 3"),
        (
            xml('<fingerprint pattern="(x)"><example a="y">x</example><param pos="1" name="a"/></fingerprint>'),
            "gives {'a': 'x'}",
        ),
    ],
)
def test_a_bad_file_is_reported_and_the_others_are_checked(tmp_path: Path, content: str, problem: str) -> None:
    (tmp_path / "a.xml").write_text(content, "utf-8")
    (tmp_path / "b.xml").write_text(xml(""), "utf-8")
    first, second = check_recog(tmp_path)
    assert first.problem is not None
    assert problem in first.problem
    assert first.problem.startswith("a.xml: ")
    assert second.problem is None


def test_a_captured_text_is_never_read_as_a_template(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    params = '<param pos="1" name="a"/><param pos="0" name="b" value="secret"/><param pos="0" name="c" value="{a}"/>'
    path.write_text(xml(f'<fingerprint pattern="(.*)">{params}</fingerprint>'), "utf-8")
    assert RecogFile(path).match("{b}") == {"a": "{b}", "b": "secret", "c": "{b}"}


def test_a_capture_beyond_the_pattern_gives_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.xml"
    path.write_text(xml('<fingerprint pattern="(x)"><param pos="7" name="a"/></fingerprint>'), "utf-8")
    assert RecogFile(path).match("x") == {}


def test_a_directory_without_fingerprints_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="holds no Recog fingerprints"):
        Recog(tmp_path)
    with pytest.raises(TableError, match="holds no Recog fingerprints"):
        Banners(TABLES, tmp_path / "absent")
