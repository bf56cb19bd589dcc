"""Host names as they are told."""

from __future__ import annotations

import polars as pl
import pytest

from enrich.names import host_name, host_names, registered_domain


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("example.org", "example.org"),
        ("wWw.GitHub.cOm.", "www.github.com"),
        ("tracker.example.org:6969", "tracker.example.org"),
        ("intranet:80", "intranet"),
        ("_ldap._tcp.example.org", "_ldap._tcp.example.org"),
        ("xx==.t.example.com", "xx==.t.example.com"),
        ("www.bücher.example", "www.bücher.example"),
        ("198.51.100.7", None),
        ("198.51.100.7:8080", None),
        ("[2001:db8::1]:443", None),
        ("2001:db8::1", None),
        ("::", None),
        (".", None),
        ("", None),
        (None, None),
    ],
)
def test_a_name_has_no_port_no_capitals_and_is_no_address(text: str | None, name: str | None) -> None:
    assert host_names(pl.Series([text], dtype=pl.String)).to_list() == [name]


@pytest.mark.parametrize(
    ("text", "name", "domain"),
    [
        ("www.Bücher.example.org", "www.xn--bcher-kva.example.org", "example.org"),
        ("straße.de:443", "xn--strae-oqa.de", "xn--strae-oqa.de"),
        ("www.пример.рф.", "www.xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"),
        ("a\u0301.example", "xn--1ca.example", "xn--1ca.example"),
        ("www.xn--e1afmkfd.xn--p1ai", "www.xn--e1afmkfd.xn--p1ai", "xn--e1afmkfd.xn--p1ai"),
        ("www。bücher．example", "www.xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("ü" * 260, None, None),
    ],
)
def test_a_name_in_unicode_is_looked_up_as_dns_has_it(text: str, name: str | None, domain: str | None) -> None:
    assert (host_name(text), registered_domain(text)) == (name, domain)
