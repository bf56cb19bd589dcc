"""Protocols and applications: their names and aliases, the ports they claim and the names they are known by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from enrich.errors import TableError
from enrich.model import Resources
from enrich.names import Suffixes
from enrich.tables import read_toml

FOLDER = "applications"


@dataclass(frozen=True, slots=True)
class Protocol:
    """One application-layer protocol."""

    name: str
    category: str
    aliases: tuple[str, ...]
    ports: tuple[tuple[int, int, str], ...]
    carrier: bool
    obsolete: str | None


@dataclass(frozen=True, slots=True)
class Application:
    """One application and what it is known by."""

    name: str
    category: str
    domains: tuple[str, ...]
    keywords: tuple[str, ...]
    user_agents: tuple[str, ...]
    alpn: tuple[str, ...]
    protocol: str | None
    examples: tuple[str, ...]


class Catalogue:
    """All protocols and applications, and the ways to find one."""

    def __init__(self, protocols: list[Protocol], applications: list[Application]) -> None:
        self.protocols = {protocol.name: protocol for protocol in protocols}
        self.applications = {application.name: application for application in applications}
        self.by_alias = {protocol.name: protocol.name for protocol in protocols}
        for protocol in protocols:
            for alias in protocol.aliases:
                self.by_alias.setdefault(alias, protocol.name)
        self.by_port: dict[tuple[int, str], str] = {}
        for protocol in protocols:
            for first, last, transport in protocol.ports:
                for port in range(first, last + 1):
                    self.by_port.setdefault((port, transport), protocol.name)
        self.by_domain = Suffixes(
            (domain, application.name) for application in applications for domain in application.domains
        )
        self.keywords = [(word, application.name) for application in applications for word in application.keywords]

    def canonical(self, alias: str) -> str | None:
        """The protocol that Zeek, Suricata or IANA calls so."""
        return self.by_alias.get(alias)

    def application_of(self, name: str) -> tuple[str, str] | None:
        """The application that a folded host name belongs to, with the suffix or keyword that says so."""
        found = self.by_domain.find(name)
        if found is not None:
            return found[1], found[0]
        return next(((application, word) for word, application in self.keywords if word in name), None)

    def category(self, protocol: str | None, application: str | None) -> str | None:
        """The category of a verdict: the application's, else the protocol's."""
        if application in self.applications:
            return self.applications[application].category
        if application in self.protocols:
            return self.protocols[application].category
        return self.protocols[protocol].category if protocol in self.protocols else None


def load(resources: Resources) -> Catalogue:
    """Load the catalogue once a run, the site's own tables (``[tables] applications``) first."""
    return resources.shared("catalogue", lambda: _load(resources))


def _load(resources: Resources) -> Catalogue:
    protocols: dict[str, Protocol] = {}
    applications: dict[str, Application] = {}
    paths = [*resources.overlays(FOLDER), *(resources.path(name) for name in resources.names(FOLDER, ".toml"))]
    for path in paths:
        table = read_toml(path)
        try:
            for protocol in map(_protocol, table.get("protocol", [])):
                protocols.setdefault(protocol.name, protocol)
            for application in map(_application, table.get("application", [])):
                applications.setdefault(application.name, application)
        except (KeyError, TypeError, ValueError) as error:
            raise TableError(f"{path}: {error!r}: every entry needs name, category and examples") from error
    return Catalogue(list(protocols.values()), list(applications.values()))


def _protocol(entry: dict[str, Any]) -> Protocol:
    return Protocol(
        name=entry["name"],
        category=entry["category"],
        aliases=tuple(entry.get("aliases", ())),
        ports=tuple(_ports(entry.get("ports", ()))),
        carrier=entry.get("carrier", False),
        obsolete=entry.get("obsolete"),
    )


def _ports(texts: list[str]) -> Iterator[tuple[int, int, str]]:
    for text in texts:
        numbers, _, transport = text.partition("/")
        first, _, last = numbers.partition("-")
        yield int(first), int(last or first), transport


def _application(entry: dict[str, Any]) -> Application:
    return Application(
        name=entry["name"],
        category=entry["category"],
        domains=tuple(entry.get("domains", ())),
        keywords=tuple(entry.get("keywords", ())),
        user_agents=tuple(entry.get("user_agents", ())),
        alpn=tuple(entry.get("alpn", ())),
        protocol=entry.get("protocol"),
        examples=tuple(entry.get("examples", ())),
    )
