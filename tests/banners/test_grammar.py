from __future__ import annotations

from pathlib import Path

import pytest

from enrich.banners import grammar
from enrich.banners.knowledge import Knowledge
from enrich.banners.tokens import Token, tokens

KNOWLEDGE = Knowledge(Path(__file__).parents[2] / "mappings" / "banners")


@pytest.mark.parametrize(
    ("service", "value", "expected"),
    [
        ("ssh", "SSH-2.0-OpenSSH_9.2p1\r\n", ("OpenSSH_9.2p1", "2.0")),
        ("ssh", "SSH-1.99-Cisco-1.25", ("Cisco-1.25", "1.99")),
        ("ssh", "OpenSSH_9.2p1", ("OpenSSH_9.2p1", "")),
        ("ssh", "SSH-\x1b[31m-OpenSSH_9.2p1", ("OpenSSH_9.2p1", "")),
        ("rfb", "003.889  x", ("003.889  x", "")),
        ("smtp", "220 mx ESMTP", ("mx ESMTP", "")),
        ("smtp", "220-mx ESMTP Exim 4.96\r\n220-no spam\r\n220 please", ("mx ESMTP Exim 4.96\nno spam\nplease", "")),
        ("smtp", "220", ("", "")),
        ("smtp", "2200 is no code", ("2200 is no code", "")),
        ("ftp", "220 (vsFTPd 3.0.3)", ("(vsFTPd 3.0.3)", "")),
        ("ftp", "(vsFTPd 3.0.3)", ("(vsFTPd 3.0.3)", "")),
        ("imap", "* OK Dovecot ready.", ("Dovecot ready.", "")),
        ("pop3", "+OK Dovecot ready.", ("Dovecot ready.", "")),
        ("nntp", "200 news ready", ("news ready", "")),
        ("http_server", "Server: nginx", ("nginx", "")),
        ("http_server", "X-Powered-By: PHP/8.2", ("PHP/8.2", "")),
        ("rfb", "RFB 003.889\n", ("RFB 003.889", "003.889")),
        ("rfb", "003.008", ("RFB 003.008", "003.008")),
        ("irc", ":irc.example 002 nick :Your host is irc.example", ("Your host is irc.example", "")),
        ("irc", "004 irc.example ngircd-26.1", ("irc.example ngircd-26.1", "")),
        ("telnet", "Ubuntu 14.04\\r\\nlogin:", ("Ubuntu 14.04\r\nlogin:", "")),
        ("telnet", "Ubuntu 14.04\\x0d\\x0alogin:", ("Ubuntu 14.04\r\nlogin:", "")),
    ],
)
def test_prefixes_go_and_may_be_absent(service: str, value: str, expected: tuple[str, str]) -> None:
    assert grammar.strip(service, value) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("nginx/1.22.1", [Token("nginx", "1.22.1")]),
        ("Apache/2.4.57 (Debian) OpenSSL/3.0.11", [Token("Apache", "2.4.57"), Token("OpenSSL", "3.0.11")]),
        ("Apache Tomcat/9.0.5", [Token("Apache Tomcat", "9.0.5")]),
        ("Mongrel 1.1.5", [Token("Mongrel", "1.1.5")]),
        ("TeamSpeak Server v3.13.3 beta", [Token("TeamSpeak Server", "3.13.3"), Token("beta", "")]),
        ("Linux/3.4, UPnP/1.0, X/2", [Token("Linux", "3.4"), Token("UPnP", "1.0"), Token("X", "2")]),
        ("a (b (c) d) e/1", [Token("a", ""), Token("e", "1")]),
        ("Intel(R) Thing 7.1", [Token("Intel Thing", "7.1")]),
        ("gateway/v2", [Token("gateway", "v2")]),
        ("branch/master", [Token("branch", "")]),
        ("", []),
        ("((((", []),
        ("/", [Token("/", "")]),
    ],
)
def test_product_tokens(header: str, expected: list[Token]) -> None:
    assert tokens(header) == expected


def test_tokens_are_few_and_short() -> None:
    assert len(tokens("a/1 " * 500)) == 16
    assert tokens("long name " * 50) == []


@pytest.mark.parametrize(
    ("service", "text", "expected"),
    [
        ("smtp", "mx.example.com ESMTP Postfix", {"hostname": "mx.example.com", "product": "Postfix"}),
        ("smtp", "mx ESMTP (Unheard 1.2.3) ready", {"hostname": "mx", "product": "Unheard", "version": "1.2.3"}),
        ("smtp", "mx ESMTP (Unheard Of 1.2.3) ready", {"hostname": "mx"}),
        ("smtp", "Postfix ESMTP ready", {"product": "Postfix"}),
        ("ftp", "Unheard FTP Server 4.5.6 ready", {"product": "Unheard", "version": "4.5.6"}),
        ("ftp", "Unheard v4.5.6 ready", {"product": "Unheard", "version": "4.5.6"}),
        (
            "ftp",
            "192.0.2.7 NcFTPd Server 2.8.5 ready",
            {"hostname": "192.0.2.7", "product": "NcFTPd Server", "version": "2.8.5"},
        ),
        ("imap", "[CAPABILITY IMAP4rev1] Dovecot ready.", {"product": "Dovecot"}),
        ("ssh", "Unheard_2.1-beta on FreeBSD", {"product": "Unheard", "version": "2.1-beta", "os": "FreeBSD"}),
        ("ssh", "3.4 UnheardSSH", {"product": "UnheardSSH", "version": "3.4"}),
        ("mysql", "8.0.36", {"product": "MySQL", "version": "8.0.36"}),
        ("mysql", "Host is blocked", {}),
        ("http_server", "Unheard/1.2 (Win32)", {"product": "Unheard", "version": "1.2", "os": "Win32"}),
        (
            "http_server",
            "Linux/3.4 UPnP/1.0 Unheard/2",
            {"product": "Unheard", "version": "2", "os": "Linux", "os_version": "3.4"},
        ),
        ("http_server", "192.0.2.1:8080", {}),
        ("telnet", "Welcome to Solaris 10", {"os": "Solaris", "os_version": "10"}),
        ("rfb", "RFB 003.008", {}),
    ],
)
def test_grammar_alone(service: str, text: str, expected: dict[str, str]) -> None:
    assert grammar.parse(service, text, KNOWLEDGE) == expected


def test_what_a_rule_has_settled_is_not_looked_for() -> None:
    text = "mx.example.com ESMTP Postfix 3.7 (Ubuntu)"
    assert grammar.parse("smtp", text, KNOWLEDGE, ("product", "version", "os")) == {"hostname": "mx.example.com"}
    assert grammar.parse("smtp", text, KNOWLEDGE, ("product", "version"))["os"] == "Ubuntu"
