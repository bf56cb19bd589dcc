"""nmap's XML: what is taken from it, and what a hostile file cannot do."""

from __future__ import annotations

from pathlib import Path

import pytest

from enrich.errors import SourceError
from enrich.inventory import Declared
from enrich.inventory.nmap import parse

SCAN = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE nmaprun>
<?xml-stylesheet href="file:///usr/share/nmap/nmap.xsl" type="text/xsl"?>
<nmaprun scanner="nmap" args="nmap -sV -oX scan.xml 192.0.2.0/24" start="1795349990" version="7.93">
<host starttime="1795349990" endtime="1795349999"><status state="up" reason="arp-response"/>
<address addr="192.0.2.10" addrtype="ipv4"/><address addr="02:00:00:00:10:0A" addrtype="mac"/>
<hostnames><hostname name="web1.example" type="PTR"/></hostnames>
<ports><extraports state="closed" count="996"/>
<port protocol="tcp" portid="22"><state state="open" reason="syn-ack"/>
<service name="ssh" product="OpenSSH" version="9.2p1" method="probed" conf="10"/></port>
<port protocol="tcp" portid="443"><state state="open" reason="syn-ack"/>
<service name="http" product="nginx" tunnel="ssl" method="probed" conf="10"/></port>
<port protocol="tcp" portid="993"><state state="open" reason="syn-ack"/>
<service name="imap" tunnel="ssl" method="probed" conf="10"/></port>
<port protocol="tcp" portid="8080"><state state="open" reason="syn-ack"/>
<service name="http-proxy" method="table" conf="3"/></port>
<port protocol="udp" portid="161"><state state="open|filtered" reason="no-response"/>
<service name="snmp" method="table" conf="3"/></port>
<port protocol="tcp" portid="23"><state state="closed" reason="reset"/></port>
</ports></host>
<host><status state="down" reason="no-response"/><address addr="192.0.2.11" addrtype="ipv4"/></host>
<host><status state="up"/><address addr="2001:DB8::0:12" addrtype="ipv6"/><ports/></host>
<runstats><finished time="1795349999"/></runstats>
</nmaprun>
"""


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "scan.xml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_open_ports_of_hosts_that_are_up(tmp_path: Path) -> None:
    found, hosts, _ = parse(written(tmp_path, SCAN))
    assert hosts == ["192.0.2.10", "2001:db8::12"]
    assert found == [
        Declared("192.0.2.10", "tcp", 22, "ssh", "OpenSSH 9.2p1", "scan"),
        Declared("192.0.2.10", "tcp", 443, "https", "nginx", "scan"),
        Declared("192.0.2.10", "tcp", 993, "ssl", None, "scan"),
        Declared("192.0.2.10", "tcp", 8080, None, None, "scan"),
    ]


def test_an_interrupted_scan_counts_until_there(tmp_path: Path) -> None:
    found, _, whole = parse(written(tmp_path, SCAN[: SCAN.index('<host><status state="down"')]))
    assert len(found) == 4
    assert not whole
    assert parse(written(tmp_path, SCAN)).whole


BOMB = """<?xml version="1.0"?>
<!DOCTYPE nmaprun [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<nmaprun><host><status state="up"/><address addr="&b;" addrtype="ipv4"/></host></nmaprun>"""
OUTSIDE = """<?xml version="1.0"?>
<!DOCTYPE nmaprun [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<nmaprun><host><hostname name="x"/>&x;</host></nmaprun>"""
ITS_OWN_DTD = """<?xml version="1.0"?>
<!DOCTYPE nmaprun SYSTEM "http://192.0.2.1/nmap.dtd">
<nmaprun/>"""


@pytest.mark.parametrize("text", [BOMB, OUTSIDE, ITS_OWN_DTD])
def test_entities_are_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="entities"):
        parse(written(tmp_path, text))


@pytest.mark.parametrize(
    "text", ["", "not xml", "<html/>", "<nmaprun", b"\xff\xfe\x00", "# Nmap 7.93 scan initiated\n"]
)
def test_other_files_are_refused(text: str | bytes, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not nmap's XML"):
        parse(written(tmp_path, text))


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="No such file"):
        parse(tmp_path / "absent.xml")


def test_odd_values_are_passed_over(tmp_path: Path) -> None:
    odd = SCAN.replace('portid="22"', 'portid="99999"').replace('portid="443"', 'portid="x"')
    found, hosts, _ = parse(written(tmp_path, odd.replace("192.0.2.10", "not-an-address")))
    assert found == []
    assert hosts == ["2001:db8::12"]
    found, _, _ = parse(written(tmp_path, odd))
    assert [item.port for item in found] == [993, 8080]


def test_deep_nesting_is_harmless(tmp_path: Path) -> None:
    text = "<nmaprun>" + "<host>" * 50_000 + "</host>" * 50_000 + "</nmaprun>"
    assert parse(written(tmp_path, text)) == ([], [], True)
