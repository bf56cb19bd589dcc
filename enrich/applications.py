"""Protocols and applications: their names and aliases, the ports they claim and the names they are known by."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import re2

from enrich import domain_lists
from enrich.domain_lists import Rule
from enrich.errors import TableError, meant
from enrich.fingerprints import Matcher
from enrich.model import Resources
from enrich.names import Suffixes, host_name
from enrich.tables import read_toml

FOLDER = "applications"
MAX_TEXT = 2048  # characters of a text that are searched: no program says who it is behind them
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?/(tcp|udp|sctp)")
_VERSION = re.compile(r"[0-9a-f?]{1,8}")
_MEMO = 100_000  # distinct texts whose application is remembered


class Spoken(NamedTuple):
    """What an ALPN name stands for: a protocol, an application, or an application with the protocol it speaks."""

    protocol: str | None
    application: str | None


@dataclass(frozen=True, slots=True)
class Protocol:
    """One application-layer protocol."""

    name: str
    category: str
    aliases: tuple[str, ...]
    logs: tuple[str, ...]
    ports: tuple[tuple[int, int, str], ...]
    alpn: tuple[str, ...]
    carrier: bool
    peers: bool
    over: tuple[str, ...]
    versions: tuple[str, ...]
    ip: tuple[int, ...]
    obsolete: str | None


@dataclass(frozen=True, slots=True)
class Application:
    """One application and what it is known by."""

    name: str
    category: str
    aliases: tuple[str, ...]
    domains: tuple[str, ...]
    keywords: tuple[str, ...]
    patterns: tuple[str, ...]
    user_agents: tuple[str, ...]
    certificates: tuple[str, ...]
    alpn: tuple[str, ...]
    protocol: str | None
    examples: tuple[str, ...]


class Catalogue:
    """All protocols and applications, and the ways to find one."""

    def __init__(
        self,
        protocols: Sequence[Protocol],
        applications: Sequence[Application],
        lists: Sequence[tuple[str, Sequence[Rule]]] = (),
    ) -> None:
        """``lists``: more rules for host names (:mod:`enrich.domain_lists`), each for an application or a new name."""
        self.protocols = {protocol.name: protocol for protocol in protocols}
        self.applications = {application.name: application for application in applications}
        self.by_alias = {protocol.name: protocol.name for protocol in protocols}
        for protocol in protocols:
            for alias in protocol.aliases:
                self.by_alias.setdefault(alias, protocol.name)
        self.by_log = {log: protocol.name for protocol in reversed(protocols) for log in protocol.logs}
        self.by_port: dict[tuple[int, str], str] = {}
        for protocol in protocols:
            for first, last, transport in protocol.ports:
                for port in range(first, last + 1):
                    self.by_port.setdefault((port, transport), protocol.name)
        self.usual_transport = {protocol.name: protocol.ports[0][2] for protocol in protocols if protocol.ports}
        of_ip = [(number, protocol) for protocol in protocols for number in protocol.ip]
        self.by_ip = {number: protocol.name for number, protocol in reversed(of_ip)}
        # What logs call them: the first number is that of the name.
        self.ip_numbers = {name: p.ip[0] for p in protocols if p.ip for name in (p.name, *p.aliases)}
        self.by_alpn: dict[str, Spoken] = {}
        for application in applications:
            for alpn in application.alpn:
                self.by_alpn.setdefault(alpn, Spoken(application.protocol, application.name))
        for protocol in protocols:
            for alpn in protocol.alpn:
                self.by_alpn.setdefault(alpn, Spoken(protocol.name, None))
        # What a carrier negotiates for itself (h2, http/1.1, h3) says no more than the carrier does.
        self._telling_alpn = {
            alpn: alpn
            for alpn, spoken in self.by_alpn.items()
            if spoken.application is not None or not self.protocols[str(spoken.protocol)].carrier
        }
        self._agents = Patterns(
            (pattern, application.name, pattern) for application in applications for pattern in application.user_agents
        )
        self._certificates = Patterns(
            (pattern, application.name, pattern) for application in applications for pattern in application.certificates
        )
        self._by_agent: dict[str, str | None] = {}
        self._by_certificate: dict[str, str | None] = {}
        self._name_by_sight = {
            _by_sight(name): application.name
            for application in reversed(applications)
            for name in (*application.aliases, application.name)
        }
        laid_over = [(self._canonical_application(name), rules) for name, rules in lists]
        self.by_domain = Suffixes(
            chain(
                ((domain, known.name) for known in applications for domain in known.domains),
                ((rule.value, name) for name, rules in laid_over for rule in rules if rule.kind == "domain"),
            )
        )
        others = [(rule, name) for name, rules in laid_over for rule in rules if rule.kind != "domain"]
        self.by_name = {rule.value: name for rule, name in reversed(others) if rule.kind == "full"}
        self._words = Patterns(
            chain(
                ((re2.escape(word), known.name, word) for known in applications for word in known.keywords),
                ((pattern, known.name, pattern) for known in applications for pattern in known.patterns),
                ((re2.escape(rule.value), name, rule.value) for rule, name in others if rule.kind == "keyword"),
                ((rule.value, name, rule.value) for rule, name in others if rule.kind == "regexp"),
            )
        )

    def canonical(self, alias: str) -> str | None:
        """The protocol that Zeek, Suricata or IANA calls so."""
        return self.by_alias.get(alias)

    def runs_over(self, protocol: str, transport: str) -> bool:
        """Whether a protocol is one of that transport. IANA gave most names both TCP and UDP (RFC 6335 section 7.2)."""
        transports = {own for _, _, own in self.protocols[protocol].ports}
        return not transports or transport in transports

    def agree(self, asserted: str, observed: Collection[str]) -> bool:
        """Whether what was observed of a flow may be what its port asserts: the same, around it or inside it."""
        over = self.protocols[asserted].over if asserted in self.protocols else ()
        return any(
            name == asserted or name in over or (name in self.protocols and asserted in self.protocols[name].over)
            for name in observed
        )

    def application_of(self, name: str) -> tuple[str, str] | None:
        """The application that a folded host name belongs to, with the name, suffix or words that say so.

        A rule for the very name comes first, then the longest suffix, then keywords and patterns.
        """
        if name in self.by_name:
            return self.by_name[name], name
        found = self.by_domain.find(name)
        return (found[1], found[0]) if found is not None else self._words.find(name)

    def application_of_agent(self, user_agent: str) -> str | None:
        """The application that sends this User-Agent."""
        found = self._agents.find(user_agent)
        return None if found is None else found[0]

    def agents_many(self, user_agents: pl.Series) -> pl.Series:
        """The application of each User-Agent, as strings; each distinct one is looked up once."""
        return _many(user_agents, self._by_agent, self.application_of_agent)

    def application_of_certificate(self, text: str) -> str | None:
        """The application whose servers show such a certificate: its subject and issuer, parted by `` < ``.

        Both as logs write distinguished names. A certificate signed by its own key has the same on both sides.
        """
        found = self._certificates.find(text)
        return None if found is None else found[0]

    def certificates_many(self, subjects: pl.Series, issuers: pl.Series) -> pl.Series:
        """The application of each certificate; null for those that another did not sign."""
        texts = pl.DataFrame({"subject": subjects, "issuer": issuers}).select(
            pl.when(pl.col("subject") != pl.col("issuer")).then(pl.concat_str("subject", pl.lit(" < "), "issuer"))
        )
        return _many(texts.to_series(), self._by_certificate, self.application_of_certificate)

    def application_of_example(self, example: str) -> str | None:
        """The application of a table's example: ``ua:`` and a User-Agent, ``cert:`` and a certificate, or a name."""
        kind, colon, text = example.partition(":")
        if not colon:
            found = self.application_of(host_name(example) or "")
            return None if found is None else found[0]
        return self.application_of_agent(text) if kind == "ua" else self.application_of_certificate(text)

    def telling_alpn(self, names: pl.Series) -> pl.Series:
        """Negotiated names that say more than that TLS or QUIC carries HTTP; null for all others."""
        return names.replace_strict(self._telling_alpn, default=None, return_dtype=pl.String)

    def unheard_of(self, protocol: str, versions: pl.Series) -> pl.Series:
        """Which of the versions that a log tells, hexadecimal numbers among other texts, the protocol never had.

        Its analyzer then took something else for it. Where the tables list none, none is.
        """
        if not self.protocols[protocol].versions:
            return pl.Series([False]).new_from_index(0, len(versions))
        known = "|".join(version.zfill(8).replace("?", ".") for version in self.protocols[protocol].versions)
        number = versions.str.to_lowercase()
        return number.str.contains("^[0-9a-f]{1,8}$") & ~number.str.zfill(8).str.contains(f"^(?:{known})$")

    def category(self, protocol: str | None, application: str | None) -> str | None:
        """The category of a verdict: the application's, else the protocol's."""
        if application in self.applications:
            return self.applications[application].category
        if application in self.protocols:
            return self.protocols[application].category
        return self.protocols[protocol].category if protocol in self.protocols else None

    def _canonical_application(self, name: str) -> str:
        """Our name for what a domain list calls so, else its own name as we write names."""
        return self._name_by_sight.get(_by_sight(name)) or re.sub("[^a-z0-9]+", "_", name.lower()).strip("_")


class PatternError(TableError):
    """A pattern of an application is not RE2."""

    def __init__(self, application: str, reason: str) -> None:
        super().__init__(reason)
        self.application = application


class Patterns:
    """RE2 patterns searched all at once; the first that is found gives its application."""

    def __init__(self, entries: Iterable[tuple[str, str, str]]) -> None:
        """``entries``: pattern, application, and how the pattern is shown. Raises PatternError for what is not RE2."""
        self._entries = list(entries)
        try:
            self._matcher = Matcher([pattern for pattern, _, _ in self._entries])
        except ValueError as error:
            position, _, reason = str(error).partition(": ")
            pattern, application, _ = self._entries[int(position)]
            raise PatternError(application, f"{application}: {pattern}: {reason}") from error

    def find(self, text: str) -> tuple[str, str] | None:
        """The application of the first pattern that is found in a text, and that pattern."""
        position = self._matcher.first(text[:MAX_TEXT].encode("utf-8", "replace"))
        return None if position is None else self._entries[position][1:]


def _many(texts: pl.Series, known: dict[str, str | None], find: Callable[[str], str | None]) -> pl.Series:
    """What is found for each text; ``known`` remembers, up to a bound."""
    distinct = texts.unique().drop_nulls().to_list()
    if len(known) > _MEMO:
        known.clear()
    known.update({text: find(text) for text in distinct if text not in known})
    found = {text: application for text in distinct if (application := known[text]) is not None}
    return texts.replace_strict(found, default=None, return_dtype=pl.String)


def _by_sight(name: str) -> str:
    """Names that differ only in case and in signs between words are the same to a reader."""
    return re.sub("[^a-z0-9]+", "", name.lower())


def load(resources: Resources) -> Catalogue:
    """Load the catalogue once a run, the site's own tables (``[tables] applications``) first."""
    return resources.shared("catalogue", lambda: _load(resources))


def _load(resources: Resources) -> Catalogue:
    protocols: dict[str, Protocol] = {}
    applications: dict[str, Application] = {}
    tables: dict[str, Path] = {}
    paths = [*resources.overlays(FOLDER), *(resources.path(name) for name in resources.names(FOLDER, ".toml"))]
    for path in paths:
        table = read_toml(path)
        try:
            _known_keys(table)
            for protocol in map(_protocol, table.get("protocol", [])):
                protocols.setdefault(protocol.name, protocol)
            for application in map(_application, table.get("application", [])):
                applications.setdefault(application.name, application)
                tables.setdefault(application.name, path)
        except ValueError as error:
            raise TableError(f"{path}: {error}") from error
        except KeyError as error:
            raise TableError(f"{path}: every entry needs name and category") from error
    lists = domain_lists.load(resources)
    try:
        return Catalogue(list(protocols.values()), list(applications.values()), lists)
    except PatternError as error:
        raise TableError(f"{tables.get(error.application, domain_lists.SECTION)}: {error}") from error


def _protocol(entry: dict[str, Any]) -> Protocol:
    return Protocol(
        name=_text(entry, "name"),
        category=_text(entry, "category"),
        aliases=_texts(entry, "aliases"),
        logs=_texts(entry, "logs"),
        ports=tuple(_ports(entry)),
        alpn=_texts(entry, "alpn"),
        carrier=_flag(entry, "carrier"),
        peers=_flag(entry, "peers"),
        over=_texts(entry, "over"),
        versions=_versions(entry),
        ip=_ip(entry),
        obsolete=_text(entry, "obsolete") if "obsolete" in entry else None,
    )


def _application(entry: dict[str, Any]) -> Application:
    return Application(
        name=_text(entry, "name"),
        category=_text(entry, "category"),
        aliases=_texts(entry, "aliases"),
        domains=_texts(entry, "domains"),
        keywords=_texts(entry, "keywords"),
        patterns=_texts(entry, "patterns"),
        user_agents=_texts(entry, "user_agents"),
        certificates=_texts(entry, "certificates"),
        alpn=_texts(entry, "alpn"),
        protocol=_text(entry, "protocol") if "protocol" in entry else None,
        examples=_texts(entry, "examples"),
    )


_ENTRIES = {
    "protocol": {field.name for field in fields(Protocol)},
    "application": {field.name for field in fields(Application)},
}
"""What a table holds beside ``[table]``, and the keys that each has."""


def _known_keys(table: dict[str, Any]) -> None:
    for section, entries in table.items():
        if section == "table":
            continue
        if section not in _ENTRIES:
            raise ValueError(f"{section}: there is no such section; {meant(section, _ENTRIES)}")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise ValueError(f"{section}: expected entries that begin with [[{section}]]")
        for entry in entries:
            for key in entry.keys() - _ENTRIES[section]:
                name = f"{entry['name']}: " if "name" in entry else ""
                raise ValueError(f"{name}{key}: there is no such key; {meant(key, _ENTRIES[section])}")


def _expected(entry: dict[str, Any], key: str, what: str) -> ValueError:
    return ValueError(f"{entry['name']}: {key}: expected {what}")


def _text(entry: dict[str, Any], key: str) -> str:
    text = entry[key]
    if not isinstance(text, str) or not text:
        raise _expected(entry, key, "a text")
    return text


def _flag(entry: dict[str, Any], key: str) -> bool:
    flag = entry.get(key, False)
    if not isinstance(flag, bool):
        raise _expected(entry, key, "true or false, without quotes")
    return flag


def _texts(entry: dict[str, Any], key: str) -> tuple[str, ...]:
    texts = entry.get(key, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _expected(entry, key, "a list of texts")
    return tuple(texts)


def _versions(entry: dict[str, Any]) -> tuple[str, ...]:
    versions = _texts(entry, "versions")
    if not all(_VERSION.fullmatch(version) for version in versions):
        raise _expected(entry, "versions", "hexadecimal numbers of up to eight digits, ? for any")
    return versions


def _ip(entry: dict[str, Any]) -> tuple[int, ...]:
    numbers = entry.get("ip", [])
    if not isinstance(numbers, list) or not all(type(number) is int and 0 <= number <= 255 for number in numbers):
        raise _expected(entry, "ip", "a list of protocol numbers, from 0 to 255")
    return tuple(numbers)


def _ports(entry: dict[str, Any]) -> Iterator[tuple[int, int, str]]:
    for text in _texts(entry, "ports"):
        match = _PORTS.fullmatch(text)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if match is None or not first <= last <= 65535:
            raise _expected(entry, "ports", f"such as 22/tcp or 6881-6889/udp, not {text!r}")
        yield first, last, match[3]
