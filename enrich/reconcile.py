"""What hosts declare, listen on and were seen to serve, held against one another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from enrich import applications
from enrich.errors import SourceError
from enrich.inventory import Declared, nmap, services_file, sockets
from enrich.model import Resources
from enrich.ports import services
from enrich.written.services import PRIVATE, Seen

TABLE = "inventory.toml"
Key = tuple[str, str, int]
_LARGEST = 64 << 20
"""Bytes of a services file or list of sockets to read; a longer one is none."""


@dataclass(frozen=True, slots=True)
class Undeclared:
    """A service that was seen, and that no inventory of its host names."""

    seen: Seen
    name: str | None
    """What the services files call its port."""


@dataclass(frozen=True, slots=True)
class Contradicted:
    """A service that was seen to speak another protocol than an inventory's name says."""

    seen: Seen
    declared: Declared
    expected: str


@dataclass(slots=True)
class Report:
    """What the comparison found."""

    undeclared: list[Undeclared] = field(default_factory=list)
    never_seen: list[Declared] = field(default_factory=list)
    contradicted: list[Contradicted] = field(default_factory=list)
    agreeing: int = 0
    """Services that were seen and that an inventory of their host names, without contradiction."""
    named: int = 0
    """Ports that services files name, and how many of these were seen."""
    named_seen: int = 0

    def records(self) -> dict[str, Any]:
        """The report for machines."""
        return {
            "undeclared": [_seen(item.seen) | {"name": item.name} for item in self.undeclared],
            "never_seen": [asdict(item) for item in self.never_seen],
            "contradicted": [
                asdict(item.declared) | {"expected": item.expected} | _seen(item.seen) for item in self.contradicted
            ],
            "agreeing": self.agreeing,
            "named": self.named,
            "named_seen": self.named_seen,
        }


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "host": seen.host,
        "transport": seen.transport,
        "port": seen.port,
        "protocol": seen.protocol,
        "observed": sorted(seen.observed),
        "flows": seen.flows,
        "clients": seen.clients,
        "first_seen": seen.first_seen,
        "last_seen": seen.last_seen,
    }


@dataclass(slots=True)
class Inventory:
    """All that inventories declare."""

    declared: list[Declared] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    """Hosts that an inventory is about, also where nothing of them is open."""
    notes: list[str] = field(default_factory=list)
    """What to know of the inventories."""

    def add_services(self, path: Path) -> None:
        """Read a services file. Raises SourceError if it names no service."""
        found = list(services_file.parse(_text(path)))
        if not found:
            raise SourceError(f"{path}: names no service; expected lines such as: ssh  22/tcp")
        self.declared += found

    def add_listening(self, path: Path, addresses: Sequence[str], resources: Resources) -> None:
        """Read a host's list of sockets; its addresses, where none are given, are those that its sockets name.

        Raises SourceError for another kind of file, and where it does not tell whose it is.
        """
        found = sockets.parse(_text(path), _ports(resources))
        if not found.listening:
            unknown = f" (not numbers: {', '.join(sorted(found.unknown)[:5])}; add -n)" if found.unknown else ""
            raise SourceError(f"{path}: lists no listening socket{unknown}; expected ss -tulpn or netstat -an")
        own = [_address(path, text) for text in addresses] or sorted(map(str, found.addresses))
        if not own:
            raise SourceError(f"{path}: does not tell which host it is of; write ADDRESS={path}")
        self.hosts |= set(own)
        self.declared += sockets.placed(found, own)

    def add_scan(self, path: Path) -> None:
        """Read nmap's XML. Raises SourceError for anything else, and for a scan that found no host."""
        found, hosts, whole = nmap.parse(path)
        if not hosts:
            raise SourceError(
                f"{path}: no host of the scan was up{'' if whole else ', as far as it goes: it breaks off'}"
            )
        if not whole:
            self.notes.append(f"{path}: the scan breaks off: of hosts that it does not reach it says nothing")
        self.declared += [item for item in found if item.host is not None]
        self.hosts |= set(hosts)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(_LARGEST + 1)  # a device has no size to ask for
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    if len(data) > _LARGEST:
        raise SourceError(f"{path}: is too large for a list of services or sockets")
    # PowerShell's redirection writes UTF-16.
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig", "replace")


def _address(path: Path, text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise SourceError(f"{text}={path}: {text!r} is not an address") from None


def _ports(resources: Resources) -> sockets.Ports:
    """Ports by name, for lists that were made without ``-n``."""
    rows = services(resources).select("service", "transport", "port").iter_rows()
    known: dict[tuple[str, str], int] = {}
    for name, transport, port in rows:
        known.setdefault((name, transport), port)
    return lambda name, transport: known.get((name, transport))


class Comparison:
    """Decides whether a name and what was seen agree."""

    def __init__(self, resources: Resources) -> None:
        table = resources.toml(TABLE)["compare"]
        self._catalogue = applications.load(resources)
        self._hides = frozenset(table["hides"])
        self._accompanies = frozenset(table["accompanies"])
        self.passing = frozenset(table["passing"])
        self._alike = [frozenset(group) for group in table["alike"]]

    def expected(self, name: str | None) -> str | None:
        """The protocol that an inventory's name stands for; None for a name nobody knows."""
        return self._catalogue.canonical(name.lower()) if name else None

    def contradicts(self, expected: str, observed: Collection[str]) -> bool:
        """Whether the protocols that were observed speak against the one that is expected."""
        alike = {expected}.union(*(group for group in self._alike if expected in group))
        if alike & set(observed) or self._hides & set(observed):
            return False
        return bool(set(observed) - self._accompanies)


def compare(inventory: Inventory, seen: Mapping[Key, Seen], resources: Resources) -> Report:
    """Hold what was seen against an inventory.

    Hosts are those that a list of sockets or a scan is about; where there is neither, all private ones. A services file
    says what ports are called and not that anything runs there: what only it names is not missed.
    """
    comparison, report = Comparison(resources), Report()
    of_host: dict[Key, list[Declared]] = defaultdict(list)
    names: dict[tuple[str, int], Declared] = {}
    for item in inventory.declared:
        if item.host is None:
            names.setdefault((item.transport, item.port), item)
        else:
            of_host[item.host, item.transport, item.port].append(item)
    report.named, used = len(names), set[tuple[str, int]]()
    for key, service in sorted(seen.items(), key=lambda pair: _order(pair[0])):
        if service.host not in inventory.hosts if inventory.hosts else service.scope not in PRIVATE:
            continue
        port = (service.transport, service.port)
        named = names.get(port)
        used |= {port} & names.keys()
        declared = of_host.get(key, []) if inventory.hosts else [named] if named else []
        if not declared and not comparison.passing.issuperset(service.protocols or ("",)):
            report.undeclared.append(Undeclared(service, named.name if named else None))
        against = _against(comparison, service, [*of_host.get(key, []), *([named] if named else [])])
        report.contradicted += against
        report.agreeing += bool(declared and not against)
    unseen = [items[0] for key, items in of_host.items() if key not in seen]
    report.never_seen = sorted(unseen, key=lambda item: _order((item.host or "", item.transport, item.port)))
    report.named_seen = len(used)
    return report


def _against(comparison: Comparison, service: Seen, named: Iterable[Declared]) -> list[Contradicted]:
    out: dict[str, Contradicted] = {}
    for item in named:
        expected = comparison.expected(item.name)
        if expected is not None and comparison.contradicts(expected, service.observed):
            out.setdefault(expected, Contradicted(service, item, expected))
    return list(out.values())


def _order(key: Key) -> tuple[int, int, str, int]:
    address = ip_address(key[0])
    return address.version, int(address), key[1], key[2]
