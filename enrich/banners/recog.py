"""A directory of Recog fingerprints (https://github.com/rapid7/recog, its `xml/` folder) as a banner table.

Recog's own semantics: the first fingerprint of a file that matches wins; a `param` with `pos="0"` is a constant and
any other a capture; `{service.version}` inside a value is that other value; names beginning with `_tmp.` only serve
such values; `^` and `$` match at line ends (as in Ruby, for which Recog is written), and `flags` add to the pattern.

Patterns run on RE2, in linear time. What RE2 cannot run (look-around, back-references) is listed and never matches:
a backtracking engine would let whoever sends the banner choose how long it takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from enrich.banners.knowledge import cpe
from enrich.banners.recog_xml import Example, Fingerprint, read, read_header
from enrich.errors import TableError
from enrich.fingerprints import Matcher, Template

MATCHES: dict[str, tuple[str, ...]] = {
    "ssh": ("ssh.banner",),
    "smtp": ("smtp.banner",),
    "ftp": ("ftp.banner",),
    "imap": ("imap4.banner",),
    "pop3": ("pop3.banner",),
    "nntp": ("nntp.banner",),
    "telnet": ("telnet.banner", "telnet_banners"),
    "http_server": ("http_header.server", "http_header.x-powered-by"),
    "mysql": ("mysql.banners",),
    "rtsp": ("rtsp_header.server",),
    "sip": ("sip_header.server", "sip_header.user_agent"),
    "ldap": ("ldap.search_result",),
}
"""What Recog calls the text of each of our services: `matches` of a file, or its name where that is absent."""

_LONGEST_SHOWN = 3  # failures or patterns named in one line of a report

Fields = dict[str, str]


@dataclass(frozen=True, slots=True)
class Report:
    """What one file holds (`found`) and, if examples fail or it cannot be read, what is wrong (`problem`)."""

    table: str
    found: str = ""
    problem: str | None = None
    fingerprints: int = 0
    examples: int = 0
    not_run: tuple[str, ...] = ()
    failures: tuple[str, ...] = ()


class RecogFile:
    """One XML file of fingerprints, ready to match."""

    def __init__(self, path: Path) -> None:
        """Read `path`; raises TableError when it is not an XML file of fingerprints or declares a DTD."""
        document = read(path)
        self.name = path.name
        self.protocol = document.protocol
        self.fingerprints: list[Fingerprint] = []
        self.not_run: list[str] = []
        for fingerprint in document.fingerprints:
            try:
                Matcher([fingerprint.pattern])
            except ValueError as error:
                reason = str(error).partition(": ")[2]
                self.not_run.append(f"line {fingerprint.line} ({fingerprint.description}): {reason}")
            else:
                self.fingerprints.append(fingerprint)
        self._matcher = Matcher([fingerprint.pattern for fingerprint in self.fingerprints])

    def match(self, text: str) -> Fields | None:
        """Recog's fields (`service.product`, `os.version`, …) of the first fingerprint that matches, or None."""
        encoded = text.encode("utf-8", "replace")
        position = self._matcher.first(encoded)
        groups = None if position is None else self._matcher[position].groups(encoded)
        return None if position is None or groups is None else self._fields(self.fingerprints[position], groups)

    def _fields(self, fingerprint: Fingerprint, groups: tuple[str, ...]) -> Fields:
        found: Fields = {"service.protocol": self.protocol} if self.protocol else {}
        found |= fingerprint.constants
        for name, number in fingerprint.captures.items():
            value = groups[number - 1] if number <= len(groups) else ""
            if value:
                found[name] = value
        for name, template in fingerprint.templates.items():
            value = _filled(name, template, found)
            if value:
                found[name] = value
        return {name: value for name, value in found.items() if not name.startswith("_tmp.")}

    def check(self) -> Report:
        """Run every example of every fingerprint that RE2 can run; it must match its own fingerprint, and so give."""
        failures: list[str] = []
        count = 0
        for position, fingerprint in enumerate(self.fingerprints):
            for example in fingerprint.examples:
                count += 1
                failure = self._failure(position, example)
                if failure:
                    failures.append(f"line {fingerprint.line} ({fingerprint.description}): {failure}")
        return _report(self.name, len(self.fingerprints) + len(self.not_run), count, self.not_run, failures)

    def _failure(self, position: int, example: Example) -> str:
        groups = self._matcher[position].groups(example.text.encode("utf-8", "replace"))
        if groups is None:
            return f"{example.text[:60]!r} is not matched"
        fields = self._fields(self.fingerprints[position], groups)
        given = {name: fields.get(name, "") for name in example.expected}
        wrong = {name: value for name, value in given.items() if value != example.expected[name]}
        return f"{example.text[:60]!r} gives {wrong!r}, and not as its attributes say" if wrong else ""


class Recog:
    """A user's Recog directory; files are read when a service first needs them, and be it by two threads at a time."""

    def __init__(self, directory: Path) -> None:
        """`directory` holds Recog's XML files, or a folder `xml` that does; raises TableError when it has none."""
        self._paths = _xml_files(directory)
        self._files: dict[str, list[RecogFile]] = {}

    def match(self, service: str, text: str) -> Fields | None:
        """The fields of a banner as this package calls them, from the first file that matches it, or None."""
        for file in self.files(service):
            found = file.match(text)
            if found is not None:
                return banner_fields(found)
        return None

    @cached_property
    def _by_matches(self) -> dict[str, list[Path]]:
        found: dict[str, list[Path]] = {}
        for path in self._paths:
            found.setdefault(read_header(path).matches or path.stem, []).append(path)
        return found

    def files(self, service: str) -> list[RecogFile]:
        """The files for a service, read now if they were not yet. Raises TableError."""
        if service not in self._files:
            wanted = MATCHES.get(service, ())
            self._files[service] = [RecogFile(path) for name in wanted for path in self._by_matches.get(name, ())]
        return self._files[service]


def check_recog(directory: Path) -> Iterator[Report]:
    """One report a file, in order of name: fingerprints, examples that ran and failed, patterns that cannot run."""
    for path in _xml_files(directory):
        try:
            yield RecogFile(path).check()
        except TableError as error:
            yield Report(path.name, problem=str(error))


def banner_fields(found: Fields) -> Fields:
    """Recog's field names turned into those of a Banner; a Linux distribution is the system, its name the vendor's."""
    system, system_vendor = found.get("os.product", ""), found.get("os.vendor", "")
    fields = {
        "product": found.get("service.product", ""),
        "version": found.get("service.version", ""),
        "vendor": found.get("service.vendor", ""),
        "os": system_vendor if (system == "Linux" and system_vendor) or not system else system,
        "os_version": found.get("os.version", ""),
        "os_vendor": system_vendor,
        "os_product": system,
        "hardware": " ".join(part for name in ("hw.vendor", "hw.product") if (part := found.get(name, ""))),
        "hostname": found.get("host.name", ""),
        "cpe": _cpe23(found.get("service.cpe23", "")),
    }
    return {name: value for name, value in fields.items() if value}


def _cpe23(uri: str) -> str:
    """A CPE 2.3 formatted string from the CPE 2.2 URI (`cpe:/a:vendor:product:version`) that Recog has."""
    if not uri.startswith("cpe:/"):
        return uri if uri.startswith("cpe:2.3:") else ""
    part, _, rest = uri[len("cpe:/") :].partition(":")
    vendor, _, rest = rest.partition(":")
    product, _, version = rest.partition(":")
    if not part or not vendor or not product:
        return ""
    return cpe(f"{part}:{vendor}:{product}", "" if version == "-" else version)


def _filled(name: str, template: Template, found: Fields) -> str:
    """A template filled in. Without a value that it needs, a CPE says `-` for a version and any other field is ""."""
    missing = [key for key in template.groups if key not in found]
    if not missing:
        return template.fill(found)
    if name.endswith(".cpe23") and all("version" in key for key in missing):
        return template.fill(found | dict.fromkeys(missing, "-"))
    return ""


def _xml_files(directory: Path) -> list[Path]:
    for folder in (directory, directory / "xml"):
        paths = sorted(folder.glob("*.xml")) if folder.is_dir() else []
        if paths:
            return paths
    raise TableError(f"{directory}: holds no Recog fingerprints (*.xml)")


def _report(name: str, fingerprints: int, examples: int, not_run: list[str], failures: list[str]) -> Report:
    found = f"{fingerprints} fingerprints, {examples} examples"
    if not_run:
        found += f"; {len(not_run)} not run (beyond linear time): {_listed(not_run)}"
    problem = f"{name}: {len(failures)} examples fail: {_listed(failures)}" if failures else None
    return Report(name, found, problem, fingerprints, examples, tuple(not_run), tuple(failures))


def _listed(items: list[str]) -> str:
    more = len(items) - _LONGEST_SHOWN
    return "; ".join(items[:_LONGEST_SHOWN]) + (f"; and {more} more" if more > 0 else "")
