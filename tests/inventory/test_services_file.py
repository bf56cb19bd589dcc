"""Services files."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from enrich.inventory import Declared
from enrich.inventory.services_file import parse

TEXT = """\
# Network services, Internet style
tcpmux\t\t1/tcp\t\t\t\t# TCP port service multiplexer
ssh             22/tcp                          # SSH Remote Login Protocol
domain          53/udp          nameserver
http-alt 8080/tcp webcache
  indented 9/sctp
broken 70000/tcp
nothing
ddp 4/ddp
"""


def test_names_ports_and_transports() -> None:
    assert list(parse(TEXT)) == [
        Declared(None, "tcp", 1, "tcpmux", None, "services"),
        Declared(None, "tcp", 22, "ssh", None, "services"),
        Declared(None, "udp", 53, "domain", None, "services"),
        Declared(None, "tcp", 8080, "http-alt", None, "services"),
        Declared(None, "sctp", 9, "indented", None, "services"),
    ]


@given(st.text(max_size=200))
def test_no_text_breaks_it(text: str) -> None:
    list(parse(text))
