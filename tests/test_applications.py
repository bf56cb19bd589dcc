"""The catalogue: one place that knows protocols and applications by ports, names, User-Agents and negotiated names."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from enrich import applications
from enrich.applications import Catalogue, Patterns, Spoken
from enrich.errors import TableError
from enrich.tables import Tables


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return applications.load(Tables())


def site(tmp_path: Path, text: str) -> Tables:
    (tmp_path / "own.toml").write_text(text, "utf-8")
    return Tables(config={"tables": {"applications": "own.toml"}}, config_path=tmp_path / "site.toml")


def test_every_example_comes_out_as_its_application(catalogue: Catalogue) -> None:
    examples = [
        (application.name, example)
        for application in catalogue.applications.values()
        for example in application.examples
    ]
    for name, example in examples:
        assert catalogue.application_of_example(example) == name, example
    assert sum(example.startswith("ua:") for _, example in examples) > 100


def test_what_said_so_is_told(catalogue: Catalogue) -> None:
    assert catalogue.application_of("r3---sn-4g5e6nzl.googlevideo.com") == ("youtube", "googlevideo.com")
    keyword = next(word for application in catalogue.applications.values() for word in application.keywords)
    assert catalogue.application_of(f"x-{keyword}-x.test") is not None
    found = catalogue.application_of(f"x-{keyword}-x.test")
    assert found is not None and found[1] == keyword
    assert catalogue.application_of("nobody.test") is None


@pytest.mark.parametrize(
    "name, application",
    [
        ("www.e6r5p57kbafwrxj3plz.com", "tor"),
        ("www.t4mzq7ab2ydk.net", "tor"),
        ("www.g6ghvisevf3ibuu5.net", None),
        ("www.b2b4u.com", None),
        ("e6r5p57kbafwrxj3plz.com", None),
        ("www.e6r5p57kbafwrxj3plz.org", None),
        ("www.iphonefans24.com", None),
        ("www.e1r5p08kbafw9xj3plz.com", None),
        ("www.just24x7.com", None),
    ],
)
def test_tor_s_random_names(catalogue: Catalogue, name: str, application: str | None) -> None:
    """Base32 has no 0, 1, 8 and 9, and Tor's names end in .com and .net."""
    found = catalogue.application_of(name)
    assert (found and found[0]) == application


def test_user_agents_of_a_column(catalogue: Catalogue) -> None:
    agents = pl.Series(["WhatsApp/2.22.11.82 A", None, "", "curl/8.5.0", "WhatsApp/2.22.11.82 A", "Viber/16.7.0.4"])
    found = catalogue.agents_many(agents)
    assert found.dtype == pl.String
    assert found.to_list() == ["whatsapp", None, None, None, "whatsapp", "viber"]
    assert catalogue.agents_many(pl.Series([None, None], dtype=pl.String)).to_list() == [None, None]
    assert catalogue.agents_many(pl.Series([], dtype=pl.String)).to_list() == []


def test_certificates_of_a_column(catalogue: Catalogue) -> None:
    relay, other = "CN=www.bqk3tzl5mhxw.net", "CN=www.y2ruwc6vpgna4s.com"
    subjects = pl.Series([relay, relay, None, "CN=www.example.com,O=Example"])
    issuers = pl.Series([other, relay, other, "CN=CA,O=Example"])
    assert catalogue.certificates_many(subjects, issuers).to_list() == ["tor", None, None, None]


def test_negotiated_names_that_tell(catalogue: Catalogue) -> None:
    """HTTP inside TLS or QUIC is what everybody expects; it says no more than these do."""
    names = pl.Series(["imap", "h2", "http/1.1", "h3", None, "nobody's", "dot"])
    assert catalogue.telling_alpn(names).to_list() == ["imap", None, None, None, None, None, "dot"]


def test_a_browser_says_nothing_of_the_application(catalogue: Catalogue) -> None:
    browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
    assert catalogue.application_of_agent(browser) is None


def test_a_long_or_odd_user_agent_costs_little_and_means_nothing(catalogue: Catalogue) -> None:
    assert catalogue.application_of_agent("a" * 1_000_000 + " WhatsApp/2.22") is None
    assert catalogue.application_of_agent("\ud800\x00\x1b[31m") is None
    assert catalogue.application_of_agent("WhatsApp/2.22 \udcff") == "whatsapp"


@pytest.mark.parametrize(
    "alpn, expected",
    [
        ("imap", Spoken("imap", None)),
        ("pop3", Spoken("pop3", None)),
        ("xmpp-client", Spoken("xmpp", None)),
        ("mqtt", Spoken("mqtt", None)),
        ("stun.turn", Spoken("stun", None)),
        ("nnsp", Spoken("nntp", None)),
        ("co", Spoken("coap", None)),
        ("h2", Spoken("http", None)),
        ("http/1.1", Spoken("http", None)),
        ("dot", Spoken(None, "doh_dot")),
        ("h3-fb-05", Spoken(None, "facebook")),
    ],
)
def test_negotiated_names(catalogue: Catalogue, alpn: str, expected: Spoken) -> None:
    assert catalogue.by_alpn[alpn] == expected


def test_a_site_s_own_entries_come_first(tmp_path: Path) -> None:
    tables = site(
        tmp_path,
        """
        [[application]]
        name = "intranet"
        category = "web"
        domains = ["facebook.com", "intra.test"]
        patterns = ['^srv[0-9]+\\.lan$']
        user_agents = ['^WhatsApp/', '^Intranet/']
        alpn = ["intra", "imap"]
        protocol = "http"
        [[protocol]]
        name = "plant"
        category = "industrial"
        alpn = ["plant"]
        ports = ["80/tcp"]
        """,
    )
    own = applications.load(tables)
    names = ("www.facebook.com", "a.intra.test", "srv7.lan", "www.instagram.com")
    assert [(own.application_of(name) or ("",))[0] for name in names] == [
        "intranet",
        "intranet",
        "intranet",
        "instagram",
    ]
    assert own.application_of_agent("WhatsApp/2.22") == own.application_of_agent("Intranet/1") == "intranet"
    assert own.by_alpn["intra"] == own.by_alpn["imap"] == Spoken("http", "intranet")
    assert own.by_alpn["plant"] == Spoken("plant", None)
    assert own.by_port[80, "tcp"] == "plant"


@pytest.mark.parametrize("field", ["patterns", "user_agents"])
def test_a_pattern_that_is_not_linear_time_is_named(tmp_path: Path, field: str) -> None:
    tables = site(tmp_path, f"""[[application]]\nname = "bad"\ncategory = "web"\n{field} = ['(a)\\1']\n""")
    with pytest.raises(TableError, match=r"bad: \(a\)\\1"):
        applications.load(tables)


def test_the_first_pattern_that_is_found_wins() -> None:
    patterns = Patterns([("b+", "second", "b"), ("a", "first", "a"), ("b", "never", "b")])
    assert patterns.find("ab") == ("second", "b")
    assert patterns.find("xa") == ("first", "a")
    assert patterns.find("") is None
    assert Patterns([]).find("anything") is None


@pytest.mark.parametrize(
    ("version", "unheard_of"),
    [
        ("1", False), ("0", False), ("00000001", False), ("ff00001d", False), ("6b3343cf", False), ("a0a0a0a", False),
        ("BABAFAEA", False), ("51303436", False), ("Q046", False), ("quicv2", False), ("draft-29", False),
        ("faceb002", False), ("101", True), ("1b02042a", True), ("63736172", True), ("67818000", True), (None, None),
    ],
)  # fmt: skip
def test_versions_that_a_protocol_never_had(catalogue: Catalogue, version: str | None, unheard_of: bool | None) -> None:
    assert catalogue.unheard_of("quic", pl.Series([version], dtype=pl.String)).to_list() == [unheard_of]


def test_of_a_protocol_without_versions_every_version_is_one(catalogue: Catalogue) -> None:
    assert catalogue.unheard_of("ssh", pl.Series(["2", "63736172", None])).to_list() == [False, False, False]
