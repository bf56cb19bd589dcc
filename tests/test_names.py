"""Host names as they are told."""

from __future__ import annotations

import polars as pl
import pytest

from enrich.names import host_names


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
