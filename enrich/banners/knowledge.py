"""What is known beside the rules: products, systems, and the releases that package versions and builds give away.

Small CSV tables in the banners directory; names compare after folding case, spaces and punctuation:

    vendors.csv          makers that put their name in front of a product's
    products.csv         product, vendor, names seen in banners, services, CPE, the only system it runs on
    systems.csv          system, its vendor and product ("Linux" for a distribution), names seen in banners
    releases.csv         product + version (+ package revision) as a system packages it -> its release
    codenames.csv        code name of a release (`jammy`) -> system and release
    windows_builds.csv   build of a component of Windows -> Windows release
    exchange_builds.csv  build of Exchange -> product
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import re2

from enrich.banners.words import is_generic
from enrich.errors import TableError
from enrich.fingerprints import Pattern, table_name

T = TypeVar("T")
_MOST_VENDOR = 30  # characters of a maker's name
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789.-")
Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Product:
    """One product of the closed vocabulary."""

    name: str
    vendor: str
    cpe: str  # "a:openbsd:openssh", or ""
    os: str  # the only system it runs on, or ""


@dataclass(frozen=True, slots=True)
class System:
    """One operating system of the closed vocabulary; `product` is "Linux" for a Linux distribution."""

    name: str
    vendor: str
    product: str


@lru_cache(maxsize=4096)
def fold(name: str) -> str:
    """Case, spaces and punctuation folded away."""
    return "".join(filter(str.isalnum, name.casefold()))


class NameFinder:
    """Finds the first known name in a text, as a whole word, case folded; the longest where several begin."""

    __slots__ = ("_pattern",)

    def __init__(self, names: list[str]) -> None:
        ordered = sorted(set(names), key=lambda name: (-len(name), name))
        either = "|".join(re2.escape(name) for name in ordered)
        self._pattern = Pattern(rf"(?i)(?:^|[^a-z0-9])({either})(?:[^a-z]|$)") if ordered else None

    def find(self, text: bytes) -> tuple[str, int] | None:
        """The name as it stands in `text` and the byte offset where it ends, or None."""
        if self._pattern is None:
            return None
        return self._pattern.first_group(text)


class Knowledge:
    """The tables of one directory, loaded and cross-checked."""

    def __init__(self, directory: Path) -> None:
        """Read the tables; raises TableError for a malformed row."""
        self._products: dict[str, Product] = {}
        self._pairs: dict[tuple[str, str], Product] = {}
        self._systems: dict[str, System] = {}
        self._vendors: dict[str, str] = {}
        self._names: dict[str, list[str]] = {}
        self._finders: dict[str, NameFinder] = {}
        self._releases: dict[tuple[str, str, str], list[tuple[str, str]]] = {}
        self._codenames: dict[str, tuple[str, str]] = {}
        self._windows: dict[str, tuple[str, str]] = {}
        self._exchange: dict[str, str] = {}
        self._load_systems(directory / "systems.csv")
        self._load_products(directory / "products.csv")
        self._load_vendors(directory / "vendors.csv")
        self._load_releases(directory)

    def _load_systems(self, path: Path) -> None:
        names: list[str] = []
        for where, row in _rows(path, ("os", "os_vendor", "os_product", "names")):
            system = System(row["os"], row["os_vendor"], row["os_product"])
            for name in (row["os"], *_split(row["names"])):
                if self._systems.setdefault(fold(name), system) != system:
                    raise TableError(f"{where}: {name!r} already names {self._systems[fold(name)].name}")
            names.extend(_split(row["names"]))
        self.systems = NameFinder(names)

    def _load_products(self, path: Path) -> None:
        listed: list[Product] = []
        for where, row in _rows(path, ("product", "vendor", "names", "services", "cpe", "os")):
            product = Product(row["product"], row["vendor"], row["cpe"], row["os"])
            if product.os:
                self._known_system(where, product.os)
            pair = (fold(product.vendor), fold(product.name))
            if self._pairs.setdefault(pair, product) is not product:
                raise TableError(f"{where}: {product.vendor} {product.name} is listed twice")
            listed.append(product)
            for name in _split(row["names"]):
                if self._products.setdefault(fold(name), product) is not product:
                    raise TableError(f"{where}: {name!r} already names {self._products[fold(name)].name}")
                for service in row["services"].split():
                    self._names.setdefault(service, []).append(name)
        for product in listed:  # a product goes by its own name where no other claims that, and that says something
            if not is_generic(product.name):
                self._products.setdefault(fold(product.name), product)

    def _load_vendors(self, path: Path) -> None:
        """Names of makers, folded. One that is a product's name too (nginx) is no word in front of another product."""
        for _, row in _rows(path, ("vendor", "names")):
            self._vendors.update((fold(name), row["vendor"]) for name in (row["vendor"], *_split(row["names"])))
        for vendor in (*(p.vendor for p in self._pairs.values()), *(s.vendor for s in self._systems.values())):
            if vendor and fold(vendor) not in self._products and fold(vendor) not in self._systems:
                self._vendors.setdefault(fold(vendor), vendor)

    def _load_releases(self, directory: Path) -> None:
        for where, row in _rows(directory / "releases.csv", ("product", "version", "package", "os", "os_version")):
            self._known_system(where, row["os"])
            key = (fold(row["product"]), row["version"].casefold(), fold(row["os"]))
            self._releases.setdefault(key, []).append((row["package"], row["os_version"]))
        for rows in self._releases.values():
            rows.sort(key=lambda entry: -len(entry[0]))
        for where, row in _rows(directory / "codenames.csv", ("codename", "os", "os_version")):
            self._known_system(where, row["os"])
            self._codenames[row["codename"].casefold()] = (row["os"], row["os_version"])
        for where, row in _rows(directory / "windows_builds.csv", ("build", "os", "os_version")):
            self._known_system(where, row["os"])
            self._windows[row["build"]] = (row["os"], row["os_version"])
        for _, row in _rows(directory / "exchange_builds.csv", ("build", "product")):
            self._exchange[row["build"]] = row["product"]

    def _known_system(self, where: str, name: str) -> None:
        if fold(name) not in self._systems:
            raise TableError(f"{where}: system {name!r} is not in systems.csv")

    def finder(self, service: str) -> NameFinder:
        """Finds the product names that are known to appear in the free text of `service`'s banners."""
        if service not in self._finders:
            self._finders[service] = NameFinder(self._names.get(service, []))
        return self._finders[service]

    def product(self, name: str, vendor: str = "") -> Product | None:
        """The product that goes by `name` (of `vendor`, where one is given)."""
        if vendor:
            return self._pairs.get((fold(vendor), fold(name)))
        return self._products.get(fold(name))

    def split_vendor(self, name: str) -> tuple[str, str]:
        """The maker that a name begins with and the rest of it; ("", name) where it begins with none."""
        ends = [i for i, c in enumerate(name[:_MOST_VENDOR]) if c in " -_"][:3]
        for end in (len(name), *reversed(ends)):
            vendor = self._vendors.get(fold(name[:end])) if end <= _MOST_VENDOR else None
            if vendor is not None:
                return vendor, name[end + 1 :]
        return "", name

    def system(self, name: str) -> System | None:
        """The system that goes by `name`."""
        return self._systems.get(fold(name))

    def complete(self, fields: Fields) -> None:
        """Make names canonical and add what follows from them: vendor, system, release, CPE.

        The hints `codename`, `package` and `windows_build` are used up.
        """
        package = fields.pop("package", "")
        codename = fields.pop("codename", "").casefold()
        build = fields.pop("windows_build", "")
        if codename in self._codenames:
            fields["os"], release = self._codenames[codename]
            if release:
                fields["os_version"] = release
        if build:
            self._windows_release(fields, build)
        product = self._complete_product(fields)
        name = fields.get("os", "")
        system = self._systems.get(fold(name)) if name else None
        if system is not None:
            fields["os"] = system.name
            fields.setdefault("os_vendor", system.vendor)
            fields.setdefault("os_product", system.product)
            if product is not None and "os_version" not in fields:
                self._package_release(fields, product, system, package)
        elif name:
            fields.setdefault("os_product", name)

    def _complete_product(self, fields: Fields) -> Product | None:
        name = fields.get("product")
        if not name:
            return None
        product = self.product(name, fields.get("vendor", ""))
        if product is None:
            return None
        fields["product"] = product.name
        if product.vendor:
            fields.setdefault("vendor", product.vendor)
        if product.os:
            fields.setdefault("os", product.os)
        version = fields.get("version", "")
        if fold(product.name) == "exchangeserver" and version:
            fields["product"] = _longest_prefix(self._exchange, version) or product.name
        if product.cpe and "cpe" not in fields:
            fields["cpe"] = cpe(product.cpe, version)
        return product

    def _windows_release(self, fields: Fields, build: str) -> None:
        release = _longest_prefix(self._windows, build)
        if release is not None:
            fields["os"] = release[0]
            if release[1]:
                fields["os_version"] = release[1]

    def _package_release(self, fields: Fields, product: Product, system: System, package: str) -> None:
        release = debian_release(package) if system.vendor in ("Debian", "Raspbian") else ""
        if release:
            fields["os_version"] = release
            return
        key = (fold(product.name), fields.get("version", "").casefold(), fold(system.name))
        for prefix, release in self._releases.get(key, ()):
            if package.startswith(prefix):
                fields["os_version"] = release
                return


def debian_release(package: str) -> str:
    """The release in the revision of a Debian package (`2+deb12u3` is Debian 12), or ""."""
    before, mark, after = package.rpartition("deb")
    number, updated, _ = after.partition("u")
    return number if mark and before[-1:] in ("+", "~") and updated and number.isdecimal() else ""


def cpe(name: str, version: str) -> str:
    """A CPE 2.3 formatted string (NISTIR 7695 section 6.2) from "a:vendor:product" and a version, `*` when unknown.

    OpenSSH's portable releases (`9.2p1`) have their `p1` in the update field, and patches (`_hpn13v11`) have no place.
    """
    number, update = version.casefold(), "*"
    if not _PLAIN.issuperset(number):
        words = number.replace("_", " ").split()
        number = "".join(c if c in _PLAIN else "\\" + c for c in words[0]) if words else ""
    if name == "a:openbsd:openssh" and "p" in number:
        number, _, patch = number.partition("p")
        update = "p" + patch
    return f"cpe:2.3:{name}:{number or '*'}:{update}:*:*:*:*:*:*"


def _longest_prefix(table: dict[str, T], dotted: str) -> T | None:
    parts = dotted.split(".")[:8]
    return next((table[key] for n in range(len(parts), 0, -1) if (key := ".".join(parts[:n])) in table), None)


def _split(names: str) -> list[str]:
    return [name.strip() for name in names.split("|") if name.strip()]


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[str, dict[str, str]]]:
    name = table_name(path)
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{name}: cannot be read: {error}") from error
    header = [line for line in lines if line.startswith("#")]
    for key in ("source", "licence", "date"):
        if not any(line.startswith(f"# {key}:") for line in header):
            raise TableError(f"{name}: lacks the comment `# {key}: …`")
    rows = csv.reader(line for line in lines if not line.startswith("#"))
    if tuple(next(rows, ())) != columns:
        raise TableError(f"{name}: columns must be {','.join(columns)}")
    for row in rows:
        if not row:
            continue
        where = f"{name}: {row[0]}"
        if len(row) != len(columns) or not row[0].strip():
            raise TableError(f"{where}: has {len(row)} values for {len(columns)} columns")
        yield where, {column: value.strip() for column, value in zip(columns, row, strict=True)}
