"""The banner enrichers: each log's banner under its own prefix, and a site's own rules before ours."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from enrich.columns import CARRIERS, TYPES
from enrich.enrichers.banners import ENRICHERS
from enrich.errors import TableError
from enrich.model import Resources
from enrich.tables import Tables

RULE = """
[table]
source = "us"
licence = "ours"
date = "2026-01-01"
[[fingerprint]]
id = "gate"
about = "our own gate"
match = '^Gate_(?P<version>[0-9.]+)'
set = { product = "Gatehouse" }
examples = [{ text = "Gate_1.2", fields = { version = "1.2" } }]
"""


def parse(tables: Resources, name: str, banner: str | None) -> dict[str, object]:
    enricher = next(enricher for enricher in ENRICHERS if enricher.name == name)
    work = enricher.prepare(tables)
    cells = {key: [banner if key == "banner" else None] for key in enricher.keys}
    return work(pl.DataFrame(cells, schema=dict(enricher.keys))).row(0, named=True)


def site(folder: Path, name: str) -> Tables:
    (folder / name).write_text(RULE)
    return Tables(config={"tables": {"banners": name}}, config_path=folder / "site.toml")


def test_both_sides_of_ssh() -> None:
    for side in ("ssh_client", "ssh_server"):
        found = parse(Tables(), side, "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3")
        assert (found["product"], found["version"]) == ("OpenSSH", "9.2p1")
        assert (found["os"], found["os_version"], found["protocol"]) == ("Debian", "12", "2.0")


def test_no_banner_says_nothing() -> None:
    for enricher in ENRICHERS:
        assert set(parse(Tables(), enricher.name, None).values()) == {None}


def test_every_column_is_in_the_vocabulary() -> None:
    for enricher in ENRICHERS:
        assert set(enricher.columns()) <= TYPES.keys()
    assert len(ENRICHERS) == len({carrier.prefix for carrier in CARRIERS})


def test_a_site_s_own_rules_come_first(tmp_path: Path) -> None:
    banner = "SSH-2.0-Gate_1.2"
    assert parse(Tables(), "ssh_server", banner)["product"] != "Gatehouse"
    found = parse(site(tmp_path, "ssh.toml"), "ssh_server", banner)
    assert (found["product"], found["version"], found["protocol"]) == ("Gatehouse", "1.2", "2.0")


def test_a_table_for_no_service_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"our-ssh\.toml: is not named after a service"):
        parse(site(tmp_path, "our-ssh.toml"), "ssh_server", "SSH-2.0-Gate_1.2")


def test_a_ftp_reply_is_a_banner_only_where_its_code_says_so() -> None:
    """An FTP log carries every reply; a server presents itself with 220 (RFC 959 section 5.4)."""
    enricher = next(item for item in ENRICHERS if item.name == "ftp_server")
    keys = pl.DataFrame({"banner": ["(vsFTPd 3.0.3)"] * 2, "condition": ["220", "230"]})
    found = enricher.prepare(Tables())(keys)
    assert found["product"].to_list() == ["vsFTPd", None]


def test_the_banner_log_names_its_services_itself() -> None:
    enricher = next(item for item in ENRICHERS if item.name == "banner")
    keys = pl.DataFrame(
        {
            "banner": ["+OK Dovecot (Debian) ready.", "+OK Dovecot (Debian) ready.", "@RSYNCD: 32.0", "220 x"],
            "condition": ["resp", "orig", "resp", "resp"],
            "service": ["pop3", "pop3", None, "nobody knows"],
        }
    )
    found = enricher.prepare(Tables())(keys)
    assert found["product"].to_list() == ["Dovecot", None, None, None]


def column(name: str, keys: dict[str, list[str | None]]) -> list[str | None]:
    enricher = next(item for item in ENRICHERS if item.name == name)
    frame = pl.DataFrame(keys, schema=dict(enricher.keys))
    return enricher.prepare(Tables())(frame)["product"].to_list()


def test_a_last_reply_stands_in_where_the_greeting_is_not_logged() -> None:
    """Stock Zeek logs no greeting; how a server accepts a message is its own wording."""
    queued = "250 2.0.0 Ok: queued as 29FA22CC629"
    keys = {"banner": ["mx ESMTP Exim 4.96", None, None], "instead": [queued, queued, "250 Ok"]}
    assert column("smtp_server", keys) == ["Exim", "Postfix", None]


def test_a_relayed_message_says_nothing_of_the_host_that_hands_it_on() -> None:
    keys = {"banner": ["PHPMailer 6.8.0"] * 2, "condition": [None, "from a by b"]}
    assert column("smtp_client", keys) == ["PHPMailer", None]


def test_what_stands_behind_and_before_a_web_server() -> None:
    assert column("http_backend", {"banner": ["PHP/8.1.2", "ASP.NET"]}) == ["PHP", "ASP.NET"]
    via = ["1.1 a (edge/9), 1.1 b (squid/6.1)", "1.1 host.example", "1.1 varnish"]
    assert column("http_proxy", {"banner": via}) == ["Squid", None, "Varnish Cache"]


def test_what_zeek_parsed_is_parsed_by_its_type() -> None:
    """software.log: a browser is the User-Agent's matter, what no type is known for is left alone."""
    keys = {
        "banner": ["Microsoft-IIS/7.5", "OpenSSH_8.9p1 Ubuntu-3", "Mozilla/5.0 (X11)", "x/1"],
        "service": ["HTTP::SERVER", "SSH::CLIENT", "HTTP::BROWSER", None],
    }
    assert column("software", keys) == ["IIS", "OpenSSH", None, None]
