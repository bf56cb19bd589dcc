"""The shipped tables: every example, and what whole banners come to."""

from __future__ import annotations

from pathlib import Path

import pytest

from enrich.banners import FIELDS, Banner, Banners, check_table
from enrich.banners.knowledge import Knowledge
from enrich.errors import TableError

TABLES = Path(__file__).parents[2] / "mappings" / "banners"
BANNERS = Banners(TABLES)
KNOWLEDGE = Knowledge(TABLES)


@pytest.mark.parametrize("path", sorted(TABLES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_example_matches_its_own_rule_first(path: Path) -> None:
    rules, examples = check_table(path, KNOWLEDGE)
    assert 0 < rules <= examples


def test_the_services_that_are_promised_are_there() -> None:
    promised = "ssh smtp ftp imap pop3 http_server telnet mysql nntp rtsp sip rfb irc ldap http_via mailer smtp_reply"
    assert set(promised.split()) == set(BANNERS.services)


@pytest.mark.parametrize(
    ("service", "value", "expected"),
    [
        ("ssh", "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3", "OpenSSH 9.2p1 OpenBSD Debian 12"),
        ("ssh", "OpenSSH_8.9p1 Ubuntu-3ubuntu0.10", "OpenSSH 8.9p1 OpenBSD Ubuntu 22.04"),
        ("ssh", "SSH-2.0-OpenSSH_7.4p1 Raspbian-10+deb9u3", "OpenSSH 7.4p1 OpenBSD Raspbian 9"),
        ("ssh", "SSH-2.0-OpenSSH_for_Windows_8.1", "OpenSSH 8.1 OpenBSD Windows -"),
        ("ssh", "SSH-2.0-OpenSSH_9.6p1 Ubuntu-3ubuntu13.5", "OpenSSH 9.6p1 OpenBSD Ubuntu 24.04"),
        ("ssh", "SSH-2.0-OpenSSH_9.6", "OpenSSH 9.6 OpenBSD - -"),
        ("ssh", "SSH-2.0-NobodyKnows_3.1", "NobodyKnows 3.1 - - -"),
        ("smtp", "220 mail.example.com ESMTP Postfix (Debian/GNU)", "Postfix - Postfix Debian -"),
        ("smtp", "220-mail.example.com ESMTP Exim 4.96\r\n220 no unsolicited mail", "Exim 4.96 Exim - -"),
        ("smtp", "220 ex1 Microsoft ESMTP MAIL Service ready at Tue", "Exchange-Server - Microsoft Windows -"),
        ("smtp", "220 mail.example.com ESMTP", "- - - - -"),
        ("ftp", "220 (vsFTPd 3.0.3)", "vsFTPd 3.0.3 vsFTPd-Project - -"),
        (
            "ftp",
            "220-Welcome\r\n220 ProFTPD 1.3.5e Server (Debian) [192.0.2.1]",
            "ProFTPD 1.3.5e ProFTPD-Project Debian -",
        ),
        ("imap", "* OK [CAPABILITY IMAP4rev1 AUTH=PLAIN] Dovecot (Ubuntu) ready.", "Dovecot - Dovecot Ubuntu -"),
        ("pop3", "+OK Dovecot (Debian) ready.", "Dovecot - Dovecot Debian -"),
        ("http_server", "Server: Apache/2.4.52 (Ubuntu)", "HTTPD 2.4.52 Apache Ubuntu 22.04"),
        ("http_server", "Microsoft-IIS/8.5", "IIS 8.5 Microsoft Windows-Server-2012-R2 -"),
        ("http_server", "Apache/2.4.6 (CentOS) OpenSSL/1.0.2k-fips PHP/5.4.16", "HTTPD 2.4.6 Apache CentOS 7"),
        ("http_server", "PHP/8.1.2", "PHP 8.1.2 PHP - -"),
        ("http_server", "Nobody/1.0 (known) Knows/2", "Nobody 1.0 - - -"),
        ("telnet", "Ubuntu 14.04.1 LTS\\r\\nserver login:", "- - - Ubuntu 14.04.1"),
        ("mysql", "5.5.5-10.11.19-MariaDB-0+deb12u1", "MariaDB 10.11.19 MariaDB Debian 12"),
        ("mysql", "8.0.36-0ubuntu0.22.04.1", "MySQL 8.0.36 Oracle Ubuntu 22.04"),
        ("nntp", "200 news.example.com InterNetNews NNRP server INN 2.5.3 ready", "INN 2.5.3 ISC - -"),
        ("rtsp", "Server: GStreamer RTSP server", "GStreamer-RTSP-Server - GStreamer - -"),
        ("sip", "FreeSWITCH-mod_sofia/1.10.7-release~64bit", "FreeSWITCH 1.10.7 FreeSWITCH - -"),
        ("rfb", "RFB 003.008", "- - - - -"),
        ("irc", "004 irc.example.org ngircd-26.1 abBcC abehi", "ngIRCd 26.1 ngIRCd - -"),
    ],
)
def test_whole_banners(service: str, value: str, expected: str) -> None:
    found = BANNERS.parse(service, value)
    given = (found.product, found.version, found.vendor, found.os, found.os_version)
    assert " ".join((part or "-").replace(" ", "-") for part in given) == expected


def test_protocol_host_name_hardware_and_cpe() -> None:
    ssh = BANNERS.parse("ssh", "SSH-1.99-OpenSSH_7.4p1 Raspbian-10+deb9u3")
    assert (ssh.protocol, ssh.hardware) == ("1.99", "Raspberry Pi")
    assert ssh.cpe == "cpe:2.3:a:openbsd:openssh:7.4:p1:*:*:*:*:*:*"
    assert BANNERS.parse("smtp", "220 mx1.example.com ESMTP Postfix").hostname == "mx1.example.com"
    assert BANNERS.parse("smtp", "220 mx1 ESMTP Postfix").hostname == "mx1"
    assert BANNERS.parse("telnet", "Debian GNU/Linux 9\r\nweb1 login:").hostname == "web1"
    assert BANNERS.parse("rfb", "RFB 003.008").protocol == "003.008"
    assert BANNERS.parse("irc", "002 :Your host is irc.example.org, running version x").hostname == "irc.example.org"


def test_a_distribution_is_the_system_and_linux_its_product() -> None:
    found = BANNERS.parse("smtp", "220 mail.example.com ESMTP Postfix (Ubuntu)")
    assert (found.os, found.os_vendor, found.os_product) == ("Ubuntu", "Ubuntu", "Linux")


@pytest.mark.parametrize(
    "value", ["", " ", "\x00", "220", "220 ", "SSH-", "SSH-2.0-", "* OK", "+OK", "(", "/", "[", "Server:"]
)
@pytest.mark.parametrize("service", BANNERS.services)
def test_nothing_said_is_nothing_found(service: str, value: str) -> None:
    found = BANNERS.parse(service, value)
    assert (found.product, found.version) == (None, None)


def test_an_unknown_service_says_nothing() -> None:
    assert BANNERS.parse("gopher", "anything") == Banner()


def test_many_are_read_in_order() -> None:
    values = ["SSH-2.0-OpenSSH_9.2p1", "", "SSH-2.0-dropbear_2020.81"]
    assert [found.version for found in BANNERS.parse_many("ssh", values)] == ["9.2p1", None, "2020.81"]


def test_a_site_lays_its_own_rules_over_ours(tmp_path: Path) -> None:
    own = tmp_path / "ssh.toml"
    own.write_text(
        '[table]\nsource = "site"\nlicence = "none"\ndate = "2026-01-01"\n[[fingerprint]]\nid = "own"\nabout = "own"\n'
        'match = \'^Appliance_(?P<version>[0-9]+)\'\nset = { product = "Site Appliance", vendor = "Site" }\n'
        'examples = [{ text = "Appliance_7", fields = { version = "7" } }]\n',
        "utf-8",
    )
    banners = Banners(TABLES, overlays=[own])
    assert banners.parse("ssh", "SSH-2.0-Appliance_7").product == "Site Appliance"
    assert banners.parse("ssh", "SSH-2.0-OpenSSH_9.2p1").product == "OpenSSH"


def test_a_rule_outside_the_vocabulary_is_an_error(tmp_path: Path) -> None:
    own = tmp_path / "ssh.toml"
    for value, message in (('product = "Nonesuch"', "not in products.csv"), ('os = "Nonesuch"', "not in systems.csv")):
        own.write_text(
            '[table]\nsource = "s"\nlicence = "l"\ndate = "d"\n'
            '[[fingerprint]]\nid = "own"\nabout = "own"\nmatch = "x"\n'
            f'set = {{ {value} }}\nexamples = [{{ text = "x" }}]\n',
            "utf-8",
        )
        with pytest.raises(TableError, match=message):
            check_table(own, KNOWLEDGE)


def test_a_directory_without_tables_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="holds no fingerprint table"):
        Banners(tmp_path)


def test_the_fields_of_a_banner_are_a_contract() -> None:
    assert FIELDS[:9] == ("product", "version", "vendor", "os", "os_version", "hardware", "cpe", "protocol", "hostname")
