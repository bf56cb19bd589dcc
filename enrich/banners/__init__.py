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
from enrich.banners.knowledge import Fields, Knowledge, fold
from enrich.banners.recog import Recog
from enrich.errors import TableError
from enrich.fingerprints import Fingerprints


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
"""The fields of a banner."""
RULE_FIELDS = frozenset((*FIELDS, "codename", "package", "windows_build"))
"""What a rule may fill: the fields of a banner, and hints that `Knowledge.complete` turns into a release."""

_SOFTWARE = ("product", "version", "vendor", "cpe")
_SYSTEM = ("os", "os_version", "os_vendor", "os_product")
_ALONE = ("hardware", "protocol", "hostname")
_EMPTY = Banner()


class Banners:
    """Reads the banners of every service there is a table for."""

    def __init__(
        self, directory: Path, recog: Path | None = None, recog_first: bool = False, overlays: Sequence[Path] = ()
    ) -> None:
        """`directory` is `mappings/banners`; `recog` a Recog `xml/` directory, asked after ours or before.

        The one asked first wins; the other fills what it leaves open. `overlays` are a site's own tables, each named
        after its service (`ssh.toml`); their rules come before ours. Raises TableError for a directory without tables.
        """
        self._directory = directory
        self._overlays = tuple(overlays)
        self._rules: dict[str, tuple[Fingerprints, ...]] = {}
        self._knowledge: Knowledge | None = None
        self._recog = Recog(recog) if recog is not None else None
        self._recog_first = recog_first
        self.services: tuple[str, ...] = tuple(sorted(path.stem for path in directory.glob("*.toml")))
        if not self.services:
            raise TableError(f"{fingerprints.table_name(directory)}: holds no fingerprint table (*.toml)")
        for path in self._overlays:
            if path.stem not in self.services:
                known = ", ".join(self.services)
                raise TableError(f"{path}: is not named after a service that is known ({known})")

    def parse(self, service: str, value: str) -> Banner:
        """What one banner says. With or without its protocol's prefix; an unknown service gives an empty Banner."""
        tables = self._rules.get(service)
        if not tables:
            if service not in self.services:
                return _EMPTY
            tables = self._load_rules(service)
        knowledge = self._knowledge or self._load_knowledge()
        text, protocol = grammar.strip(service, value)
        ruled = tables[0].match(text)
        for table in tables[1:]:
            ruled = ruled if ruled is not None else table.match(text)
        if ruled is None:
            found = grammar.parse(service, text, knowledge)
        else:
            found = _merge(grammar.parse(service, text, knowledge, ruled), ruled, knowledge)
        if protocol:
            found["protocol"] = protocol
        knowledge.complete(found)
        if self._recog is not None:
            found = self._with_recog(service, text, found, knowledge)
        if not text.isprintable() or "  " in text:
            found = {name: _printable(value) for name, value in found.items()}
        return Banner(**{name: value for name, value in found.items() if value})

    def prepare(self, service: str) -> None:
        """Read what a site has of its own for a service; all else waits for the first banner. Raises TableError."""
        if any(path.stem == service for path in self._overlays):
            self._load_rules(service)
        if self._recog is not None:
            self._recog.files(service)

    def _with_recog(self, service: str, text: str, ours: Fields, knowledge: Knowledge) -> Fields:
        theirs = self._recog.match(service, text) if self._recog is not None else None
        if not theirs:
            return ours
        guessed = knowledge.product(ours.get("product", ""), ours.get("vendor", "")) is None
        if guessed and "product" in theirs:  # a name that only grammar found yields to one that somebody has curated
            ours = {name: value for name, value in ours.items() if name not in _SOFTWARE}
        return _filled(theirs, ours) if self._recog_first else _filled(ours, theirs)

    def parse_many(self, service: str, values: Sequence[str]) -> list[Banner]:
        """`parse` for each of several values, in their order."""
        return [self.parse(service, value) for value in values]

    def _load_knowledge(self) -> Knowledge:
        self._knowledge = Knowledge(self._directory)
        return self._knowledge

    def _load_rules(self, service: str) -> tuple[Fingerprints, ...]:
        name = f"{service}.toml"
        paths = [*(path for path in self._overlays if path.name == name), self._directory / name]
        self._rules[service] = tuple(fingerprints.load(path, RULE_FIELDS) for path in paths)
        return self._rules[service]


def check_table(path: Path, knowledge: Knowledge | None = None) -> tuple[int, int]:
    """Validate one fingerprint table and run its examples; how many rules and examples it has. Raises TableError.

    Products and systems of `set` must be in the vocabulary: `knowledge`, or the tables beside `path`.
    """
    rules = fingerprints.load(path, RULE_FIELDS)
    vocabulary = knowledge if knowledge is not None else Knowledge(path.parent)
    for rule in rules.rules:
        _check_vocabulary(f"{rules.name}: {rule.id}", dict(rule.constants), vocabulary)
    return len(rules.rules), rules.check()


def _merge(found: Fields, ruled: Fields, knowledge: Knowledge) -> Fields:
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


def _filled(first: Fields, second: Fields) -> Fields:
    """`first`, and what `second` knows about another matter: a product's fields and a system's are not mixed."""
    filled = {name: value for name, value in first.items() if value}
    for group in (_SOFTWARE, _SYSTEM, *((name,) for name in _ALONE)):
        same = fold(first.get(group[0], "")) in ("", fold(second.get(group[0], "")))
        for name in group:
            if same and second.get(name):
                filled.setdefault(name, second[name])
    return filled


def _check_vocabulary(where: str, constants: dict[str, str], knowledge: Knowledge) -> None:
    product, system = constants.get("product"), constants.get("os")
    if product and knowledge.product(product, constants.get("vendor", "")) is None:
        raise TableError(f"{where}: product {product!r} is not in products.csv (with that vendor)")
    if system and not system.endswith(" Firmware") and knowledge.system(system) is None:
        raise TableError(f"{where}: system {system!r} is not in systems.csv")


def _printable(text: str) -> str:
    """Text of a banner without control characters: what is shown must not steer a terminal."""
    if text.isprintable() and "  " not in text:
        return text.strip()
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(text.split())
