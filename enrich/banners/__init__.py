"""What a service says it is: product, version, vendor, system and hardware of a banner.

Three layers, each for what the one before cannot know: the protocol's grammar (`grammar`, `tokens`), the fingerprint
rules of `mappings/banners/<service>.toml` and the knowledge tables beside them (`knowledge`), and a user's own Recog
directory (`recog`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from enrich import fingerprints
from enrich.banners import grammar
from enrich.banners.knowledge import Knowledge
from enrich.errors import TableError
from enrich.fingerprints import Fingerprints

_HINTS = frozenset(("codename", "package", "windows_build"))  # what `Knowledge.complete` turns into releases


@dataclass(frozen=True, slots=True)
class Banner:
    """What one banner says; None where it says nothing. Text as in the closed vocabulary where that knows it."""

    product: str | None = None
    version: str | None = None
    vendor: str | None = None
    os: str | None = None  # as a person calls it: "Debian", "Windows Server 2016", "IOS"
    os_version: str | None = None
    hardware: str | None = None  # vendor and model, as far as known: "Axis P1346"
    cpe: str | None = None  # CPE 2.3 of the product
    protocol: str | None = None  # protocol version: "2.0" of SSH-2.0
    hostname: str | None = None
    os_vendor: str | None = None  # "Debian"
    os_product: str | None = None  # "Linux" for every Linux distribution


FIELDS = tuple(field.name for field in fields(Banner))
"""The fields of a banner; a rule may fill them and the hints `codename`, `package`, `windows_build`."""

_EMPTY = Banner()


class Banners:
    """Reads the banners of every service there is a table for."""

    def __init__(self, directory: Path, recog: Path | None = None, recog_first: bool = False) -> None:
        """`directory` is `mappings/banners`; `recog` a Recog `xml/` directory, asked after ours or before."""
        self._directory = directory
        self._rules: dict[str, Fingerprints | None] = {}
        self._knowledge: Knowledge | None = None
        self.services: tuple[str, ...] = tuple(sorted(path.stem for path in directory.glob("*.toml")))
        if not self.services:
            raise TableError(f"{fingerprints.table_name(directory)}: holds no fingerprint table (*.toml)")

    def parse(self, service: str, value: str) -> Banner:
        """What one banner says. With or without its protocol's prefix; an unknown service gives an empty Banner."""
        if not value or service not in self.services:
            return _EMPTY
        knowledge = self._knowledge or self._load_knowledge()
        rules = self._rules[service] if service in self._rules else self._load_rules(service)
        text, protocol = grammar.strip(service, value)
        ruled = rules.match(text) if rules is not None else None
        if ruled is None:
            found = grammar.parse(service, text, knowledge)
        else:
            found = _merge(grammar.parse(service, text, knowledge, ruled), ruled, knowledge)
        if protocol:
            found["protocol"] = protocol
        knowledge.complete(found)
        if not text.isprintable() or "  " in text:
            found = {name: _printable(value) for name, value in found.items()}
        return Banner(**{name: value for name, value in found.items() if value})

    def parse_many(self, service: str, values: Sequence[str]) -> list[Banner]:
        """`parse` for each of several values, in their order."""
        return [self.parse(service, value) for value in values]

    def check(self) -> int:
        """Run every rule's examples, and see that constants are of the vocabulary; the number of examples."""
        knowledge = self._load_knowledge()
        count = 0
        for service in self.services:
            rules = self._load_rules(service)
            if rules is not None:
                count += rules.check()
                for rule in rules.rules:
                    _check_vocabulary(f"{rules.name}: {rule.id}", dict(rule.constants), knowledge)
        return count

    def _load_knowledge(self) -> Knowledge:
        self._knowledge = Knowledge(self._directory)
        return self._knowledge

    def _load_rules(self, service: str) -> Fingerprints | None:
        path = self._directory / f"{service}.toml"
        self._rules[service] = fingerprints.load(path, {*FIELDS, *_HINTS}) if path.exists() else None
        return self._rules[service]


def _merge(found: dict[str, str], ruled: dict[str, str], knowledge: Knowledge) -> dict[str, str]:
    """Rules over grammar. Grammar's version stays only beside the product that it belongs to."""
    if "version" in found and "product" in ruled:
        named = found.get("product", "")
        known = knowledge.product(named)
        if ruled["product"] not in (named, known.name if known is not None else None):
            del found["version"]
    if "os" in ruled or "codename" in ruled or "windows_build" in ruled:
        found.pop("os_version", None)
    found.update(ruled)
    return found


def _check_vocabulary(where: str, constants: dict[str, str], knowledge: Knowledge) -> None:
    product, system = constants.get("product"), constants.get("os")
    if product and knowledge.product(product, constants.get("vendor", "")) is None:
        raise TableError(f"{where}: product {product!r} is not in products.csv (with that vendor)")
    if system and not system.endswith(" Firmware") and knowledge.system(system) is None:
        raise TableError(f"{where}: system {system!r} is not in systems.csv")


def _printable(text: str) -> str:
    """Text of a banner without control characters: what is shown must not steer a terminal."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())
