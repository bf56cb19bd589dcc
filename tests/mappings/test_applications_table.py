"""The tables of protocols and applications hold together: read as TOML, without the code that uses them."""

import csv
import re
import tomllib
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import re2

TABLES = sorted((Path(__file__).parents[2] / "mappings" / "applications").glob("*.toml"))

CATEGORIES = set(  # the closed vocabulary of `app.category`
    re.findall(
        r"\w+",
        """
        advertising antivirus app_store cdn certificate cloud conferencing connectivity_check crypto_mining database
        development directory dns doh dynamic_dns file_sharing file_transfer game industrial iot licensing mail
        messaging network_service os_update other package_repository proxy remote_access routing security social
        software_update speed_test streaming stun support_forum telemetry time torrent_index torrent_tracker tracking
        tunnel voice vpn web
        """,
    )
)
PROTOCOL_KEYS = {
    "peers",
    "versions",
    "ip",
    "name",
    "category",
    "aliases",
    "logs",
    "ports",
    "alpn",
    "carrier",
    "over",
    "obsolete",
}
APPLICATION_KEYS = {
    "name",
    "category",
    "aliases",
    "domains",
    "keywords",
    "patterns",
    "user_agents",
    "certificates",
    "alpn",
    "protocol",
    "examples",
}
PLAIN_BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0"
NAME = re.compile(r"[a-z0-9]+(_[a-z0-9]+)*")
DOMAIN = re.compile(r"(?=.{4,253}$)([a-z0-9_]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*[a-z0-9]")
PORT = re.compile(r"(?P<first>[0-9]{1,5})(-(?P<last>[0-9]{1,5}))?/(?P<transport>tcp|udp|sctp)")


def read(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def entries(kind: str) -> list[dict[str, Any]]:
    return [entry for path in TABLES for entry in read(path).get(kind, [])]


PROTOCOLS = entries("protocol")
APPLICATIONS = entries("application")
INFERRED = {
    row["application"]
    for row in csv.DictReader(
        line
        for line in (TABLES[0].parents[1] / "inferences.csv").read_text("utf-8").splitlines()
        if not line.startswith("#")
    )
}
DOMAINS = {domain: entry["name"] for entry in APPLICATIONS for domain in entry.get("domains", [])}


def repeated(values: list[str]) -> list[str]:
    return sorted(value for value, count in Counter(values).items() if count > 1)


def owner(host: str) -> str | None:
    """The application with the longest domain that `host` is or lies under."""
    labels = host.split(".")
    suffixes = (".".join(labels[start:]) for start in range(len(labels)))
    return next((DOMAINS[suffix] for suffix in suffixes if suffix in DOMAINS), None)


def applications_of_host(host: str) -> set[str]:
    """The owner of the host name, else every application with a keyword or pattern in it; a good table names one."""
    if name := owner(host):
        return {name}
    return {
        entry["name"]
        for entry in APPLICATIONS
        if any(word in host for word in entry.get("keywords", []))
        or any(re2.search(pattern, host) for pattern in entry.get("patterns", []))
    }


def applications_of_user_agent(user_agent: str) -> set[str]:
    """Every application with a pattern in `user_agent`; a good table names one."""
    return {
        entry["name"]
        for entry in APPLICATIONS
        if any(re2.search(pattern, user_agent) for pattern in entry.get("user_agents", []))
    }


def applications_of_certificate(text: str) -> set[str]:
    """Every application with a pattern for certificates in `subject < issuer`; a good table names one."""
    return {
        entry["name"]
        for entry in APPLICATIONS
        if any(re2.search(pattern, text) for pattern in entry.get("certificates", []))
    }


BY_KIND = {"ua": applications_of_user_agent, "cert": applications_of_certificate}


def test_there_is_knowledge_enough() -> None:
    assert len(PROTOCOLS) >= 200
    assert len(APPLICATIONS) >= 400


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_a_table_says_where_it_comes_from(path: Path) -> None:
    content = read(path)
    assert content.keys() <= {"table", "protocol", "application"}
    table = content["table"]
    assert table["source"] and table["licence"]
    date.fromisoformat(table["date"])


@pytest.mark.parametrize("kind, keys", [("protocol", PROTOCOL_KEYS), ("application", APPLICATION_KEYS)])
def test_entries_are_well_formed(kind: str, keys: set[str]) -> None:
    for entry in entries(kind):
        assert entry.keys() <= keys, entry
        assert NAME.fullmatch(entry["name"]), entry["name"]
        assert entry["category"] in CATEGORIES, entry["name"]
        for key, value in entry.items():
            if isinstance(value, list):
                of = int if key == "ip" else str
                assert value and all(isinstance(item, of) and item for item in value), (entry["name"], key)
                assert not repeated(value), (entry["name"], key)
            elif key in ("carrier", "peers"):
                assert value is True, entry["name"]
            else:
                assert isinstance(value, str) and value.strip() == value != "", (entry["name"], key)


def test_a_protocol_has_one_name() -> None:
    """Names and aliases, compared as log values are: lower case, with no regard to `-` and `_`."""
    names = [name for entry in PROTOCOLS for name in {entry["name"], *entry.get("aliases", [])}]
    assert all(name == name.lower() and " " not in name for name in names)
    by_sight = {
        (re.sub(r"[^a-z0-9]", "", name), entry["name"])
        for entry in PROTOCOLS
        for name in (entry["name"], *entry.get("aliases", []))
    }
    assert not repeated([name for name, _ in by_sight])
    assert not [entry["name"] for entry in PROTOCOLS if entry["name"] in entry.get("aliases", [])]


def test_a_port_has_one_claimant() -> None:
    claims: list[str] = []
    for entry in PROTOCOLS:
        for claim in entry.get("ports", []):
            match = PORT.fullmatch(claim)
            assert match, claim
            first, last = int(match["first"]), int(match["last"] or match["first"])
            assert 0 < first <= last < 65536 and (match["last"] is None or first < last), claim
            claims += [f"{port}/{claim.partition('/')[2]}" for port in range(first, last + 1)]
    assert not repeated(claims)


def test_well_known_ports_assert_what_everybody_expects() -> None:
    claims = {port: entry["name"] for entry in PROTOCOLS for port in entry.get("ports", [])}
    for port, name in {
        "22/tcp": "ssh",
        "25/tcp": "smtp",
        "53/udp": "dns",
        "80/tcp": "http",
        "443/tcp": "tls",
        "443/udp": "quic",
        "445/tcp": "smb",
        "993/tcp": "imap",
        "1433/tcp": "tds",
        "3389/tcp": "rdp",
    }.items():
        assert claims[port] == name


def test_every_service_in_use_asserts_a_protocol() -> None:
    """By a port that a protocol claims, or by a name that is a protocol's."""
    names = {name for entry in PROTOCOLS for name in (entry["name"], *entry.get("aliases", []))}
    claims = {
        (port, match["transport"])
        for entry in PROTOCOLS
        for claim in entry.get("ports", [])
        if (match := PORT.fullmatch(claim))
        for port in range(int(match["first"]), int(match["last"] or match["first"]) + 1)
    }
    path = TABLES[0].parents[1] / "ports" / "in_use.csv"
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    for row in csv.DictReader(lines):
        ports = range(int(row["port"]), int(row["last_port"] or row["port"]) + 1)
        missing = {(port, row["transport"]) for port in ports} - claims
        assert row["name"] in names or not missing, (row["name"], sorted(missing))


def test_application_names_and_domains_are_unique() -> None:
    names = [name for entry in APPLICATIONS for name in (entry["name"], *entry.get("aliases", []))]
    assert not repeated([re.sub(r"[^a-z0-9]", "", name) for name in names])
    assert not repeated([domain for entry in APPLICATIONS for domain in entry.get("domains", [])])


def test_a_negotiated_name_stands_for_one_thing() -> None:
    """ALPN names are case-sensitive octets, and none is another's but for its case (RFC 7301)."""
    names = [name for entry in (*PROTOCOLS, *APPLICATIONS) for name in entry.get("alpn", [])]
    assert not repeated([name.lower() for name in names])


def test_domains_are_host_names_and_each_is_needed() -> None:
    for domain, name in DOMAINS.items():
        assert DOMAIN.fullmatch(domain), (name, domain)
        assert owner(domain.partition(".")[2]) != name, f"{domain} is covered by a shorter domain of {name}"


def test_keywords_are_long_enough_to_be_unmistakable() -> None:
    for entry in APPLICATIONS:
        for word in entry.get("keywords", []):
            assert len(word) >= 5 and word == word.lower(), (entry["name"], word)


def test_a_log_speaks_of_one_protocol() -> None:
    logs = [log for entry in PROTOCOLS for log in entry.get("logs", [])]
    assert not repeated(logs)
    assert {"ssl", "dns", "http", "ssh", "smb_files"} <= set(logs)


def test_what_a_protocol_runs_inside_is_a_protocol() -> None:
    names = {entry["name"] for entry in PROTOCOLS}
    for entry in PROTOCOLS:
        assert set(entry.get("over", [])) <= names - {entry["name"]}, entry["name"]


def test_an_application_can_be_recognised_and_speaks_a_known_protocol() -> None:
    protocols = {entry["name"] for entry in PROTOCOLS}
    for entry in APPLICATIONS:
        recognised = entry.keys() & {"domains", "keywords", "user_agents", "alpn"} or entry["name"] in INFERRED
        assert recognised, entry["name"]
        assert entry.get("protocol", "tls") in protocols, entry["name"]


def test_examples_resolve_to_their_application() -> None:
    for entry in APPLICATIONS:
        assert entry.get("examples") or entry["name"] in INFERRED, entry["name"]
        for example in entry.get("examples", []):
            kind, mark, value = example.partition(":")
            found = BY_KIND[kind](value) if mark else applications_of_host(example)
            assert found == {entry["name"]}, (example, found)


def test_every_kind_of_evidence_has_its_example() -> None:
    """A rule for User-Agents or certificates is matched by at least one example, and so is a domain or keyword."""
    for entry in APPLICATIONS:
        agents = [example for example in entry.get("examples", []) if example.startswith("ua:")]
        certificates = [example for example in entry.get("examples", []) if example.startswith("cert:")]
        hosts = [example for example in entry.get("examples", []) if ":" not in example]
        assert bool(certificates) == bool(entry.get("certificates")), entry["name"]
        assert bool(agents) == bool(entry.get("user_agents")), entry["name"]
        assert bool(hosts) == bool(entry.keys() & {"domains", "keywords", "patterns"}), entry["name"]


def test_user_agents_are_linear_time_patterns_that_do_not_match_everything() -> None:
    for entry in APPLICATIONS:
        for pattern in entry.get("user_agents", []):
            compiled = re2.compile(pattern)
            assert not compiled.search(""), (entry["name"], pattern)
            assert not compiled.search(PLAIN_BROWSER), (entry["name"], pattern)


def test_patterns_of_host_names_match_no_name_that_people_chose() -> None:
    chosen = [*DOMAINS, *(f"www.{domain}" for domain in DOMAINS)]
    chosen += ["www.just24x7.com", "www.ip2location.com", "www.look4blog.com", "www.facebook.com", "www.4shared.com"]
    for entry in APPLICATIONS:
        for pattern in entry.get("patterns", []):
            compiled = re2.compile(pattern)
            others = [name for name in chosen if owner(name) != entry["name"]]
            assert [name for name in others if compiled.search(name)] == [], (entry["name"], pattern)
