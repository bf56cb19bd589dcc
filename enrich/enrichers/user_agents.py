"""User agents: the program, version, system, device and kind that a User-Agent names, and what is odd about it.

Who sends it is asked in this order: our rules (``mappings/user_agents/*.toml``), which know what ua-parser's collection
does not or mistakes; the collection; and grammar (``fallback.toml``). ``ua.kind`` is one of

    browser   a browser, at a desk or in a living room
    mobile    a browser or program on a telephone, tablet or watch
    bot       crawler, link preview, monitor, scanner: it comes without a person
    library   HTTP library or system component that serves other programs and does not name them; so are Microsoft's
              CryptoAPI and Apple's trustd, which fetch CRLs, OCSP answers and roots for whatever program verifies
    tool      what a person or script starts for one job: curl, git, PowerShell, download managers
    updater   fetches software: system and program updates, package managers, antivirus definitions
    other     any other program (media player, BitTorrent client, game, mail, device), and whatever cannot be told

The system is the one that the text names. Browsers have frozen some: ``Windows 10`` is 10 or later, and
``Mac OS X 10.15.7`` that or later. A Darwin kernel from release 20 on, without an architecture behind it, may be
macOS's or iOS's: it stays ``Darwin``. ``ua.oddity`` says why the text is not to be believed; a browser's text that
contradicts itself is of kind other.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from enrich import fingerprints
from enrich.fingerprints import Fingerprints
from enrich.model import Enricher, Resources, Use, Work

FOLDER = "user_agents"
PROGRAMS = tuple(
    f"{FOLDER}/{name}.toml"
    for name in (
        "windows",
        "apple",
        "package_managers",
        "antivirus",
        "updaters",
        "bots",
        "libraries",
        "tools",
        "peer_to_peer",
        "media",
        "applications",
        "devices",
        "robots",
    )
)
ODDITIES, FALLBACK = f"{FOLDER}/oddities.toml", f"{FOLDER}/fallback.toml"
FAMILIES, SYSTEMS = f"{FOLDER}/families.csv", f"{FOLDER}/systems.csv"
RELEASES, LIMITS = f"{FOLDER}/releases.csv", f"{FOLDER}/limits.csv"

ADDS = ("family", "version", "os", "os_version", "device", "kind", "oddity")
KINDS = ("browser", "mobile", "bot", "library", "tool", "updater", "other")
# Numbers that tell a system's release, looked up in RELEASES under the same name.
NUMBERS = ("nt", "bits", "darwin", "apt", "apt_ubuntu", "api")
# What a rule may fill: a column; a number; the architecture behind a Darwin kernel; a distribution that stands for the
# system if SYSTEMS knows it; and `mobile = "no"` for what runs a telephone's system and is none.
FIELDS = (*ADDS, *NUMBERS, "arch", "distribution", "mobile")
LIMIT = 1024
"""Characters of a User-Agent that are looked at: real ones are shorter, and beyond them some of ua-parser's patterns
leave the regular expression engine's fast path."""

FORMAL = frozenset({"too long", "control characters", "unbalanced parentheses"})
"""Oddities of form: they do not make a browser's claim unbelievable."""

NO_DEVICES = frozenset(
    {"Other", "K", "HbbTV", "iOS-Device", "Generic Smartphone", "Generic Feature Phone", "Generic Tablet"}
)
"""What ua-parser answers in place of a device."""

_DEVICE_END = re.compile(r" Build/|;| AppleWebKit")
_ANDROID = re.compile(r"(?:^|[(; ])Android[ /](\d{1,3}(?:\.\d{1,3}){0,3})")
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,9})*")
_WORD = re.compile(r"[A-Za-z0-9_+=-]+")


@dataclass(slots=True)
class Agent:
    """What one User-Agent says; null is not known."""

    family: str | None = None
    version: str | None = None
    os: str | None = None
    os_version: str | None = None
    device: str | None = None
    kind: str | None = None
    oddity: str | None = None


def number(text: str) -> tuple[int, ...]:
    """The leading dotted number of a version, for comparing; empty if there is none."""
    found = _NUMBER.match(text)
    return tuple(map(int, found[0].split("."))) if found else ()


class Reading:
    """A User-Agent as far as the engines have read it; a blank one has no text."""

    __slots__ = ("device", "fields", "odd", "program", "raw", "system", "text", "whole")

    def __init__(self, whole: str | None) -> None:
        self.whole = whole
        self.raw = (whole or "")[:LIMIT]
        printable = self.raw.isprintable()
        text = self.raw if printable else "".join(char if char.isprintable() else " " for char in self.raw)
        self.text = text if self.raw.strip() else ""
        self.fields: dict[str, str] = {}
        self.device: Any = None
        self.program: Any = None
        self.system: Any = None
        self.odd: dict[str, str] | None = None


class Releases:
    """Systems by a number that tells their release: kernel, build, API level, package version."""

    def __init__(self, rows: Iterable[tuple[str, str, str, str, str | None]]) -> None:
        self._first: dict[str, list[tuple[int, ...]]] = {}
        self._rest: dict[str, list[tuple[tuple[int, ...], str, str | None]]] = {}
        distinct: dict[tuple[str, tuple[int, ...]], tuple[tuple[int, ...], str, str | None]] = {}
        for kind, first, last, os, version in rows:
            distinct.setdefault((kind, number(first)), (number(last), os, version))
        for (kind, first_number), rest in sorted(distinct.items()):
            self._first.setdefault(kind, []).append(first_number)
            self._rest.setdefault(kind, []).append(rest)

    def find(self, kind: str, text: str) -> tuple[str, str | None] | None:
        """The system and its release whose range holds the number, or None."""
        wanted = number(text)
        at = bisect_right(self._first[kind], wanted) - 1
        if at < 0:
            return None
        last, os, version = self._rest[kind][at]
        return (os, version) if wanted[: len(last)] <= last else None


class UserAgents:
    """The parser: tables and ua-parser's compiled engine, loaded once."""

    def __init__(self, resources: Resources) -> None:
        from ua_parser.loaders import load_lazy_builtins
        from ua_parser.regex import Resolver

        self._engine = Resolver(load_lazy_builtins())
        paths = [*resources.overlays(FOLDER), *(resources.path(name) for name in PROGRAMS)]
        rules = [rule for path in paths for rule in fingerprints.load(path, FIELDS).rules]
        self._programs = Fingerprints(FOLDER, rules, FIELDS)
        self._oddities = fingerprints.load(resources.path(ODDITIES), FIELDS)
        self._fallback = fingerprints.load(resources.path(FALLBACK), FIELDS)
        self._kinds = _first(resources.csv(FAMILIES), "family", "kind")
        self._releases = Releases(resources.csv(RELEASES).iter_rows())
        self._limits = _limits(resources.csv(LIMITS))
        systems = resources.csv(SYSTEMS)
        self._systems = _first(systems, "name", "os")
        self._mobile = set(systems.filter(pl.col("mobile") == "yes")["os"])
        self._unreleased = set(systems.filter(pl.col("release") == "no")["name"])

    def parse(self, text: str | None) -> Agent:
        """What a User-Agent says, in printable characters. Never raises; takes time linear in its first LIMIT ones."""
        return self.parse_many([text])[0]

    def parse_many(self, texts: Iterable[str | None]) -> list[Agent]:
        """`parse` for each of several texts. One engine after the other over all of them: each fills a core's cache."""
        agents = [Reading(text) for text in texts]
        said = [agent for agent in agents if agent.text]
        for agent in said:
            agent.fields = self._programs.match(agent.text) or {}
        for agent in said:
            agent.device = self._engine.de.extract(agent.text)
        for agent in said:
            agent.program = None if agent.fields.get("family") else self._engine.ua.extract(agent.text)
        for agent in said:
            agent.system = self._engine.os.extract(agent.text)
        for agent in said:
            agent.odd = self._oddities.match(agent.raw)
        return [self._read(agent) for agent in agents]

    def _read(self, reading: Reading) -> Agent:
        if not reading.text:
            return Agent() if reading.whole is None else Agent(kind="other", oddity="empty")
        fields = reading.fields
        agent = Agent(fields.get("family"), fields.get("version"), kind=fields.get("kind"))
        named = agent.family is not None
        if not named:
            fields = self._name(agent, reading)
        self._system(agent, fields, reading)
        self._device(agent, fields, reading)
        agent.oddity = fields.get("oddity") or self._oddity(agent, reading, named)
        if agent.oddity is None and len(reading.whole or "") > LIMIT:
            agent.oddity = "too long"
        if agent.kind in ("browser", "other") and agent.os in self._mobile and fields.get("mobile") != "no":
            agent.kind = "mobile"
        unbelievable = not named and agent.oddity is not None and agent.oddity not in FORMAL
        if agent.kind is None or (unbelievable and agent.kind in ("browser", "mobile")):
            agent.kind = "other"
        if agent.family:
            agent.family = agent.family.replace("%20", " ")
        return agent

    def _name(self, agent: Agent, reading: Reading) -> dict[str, str]:
        """Fill family, version and kind from ua-parser's collection, else by grammar."""
        fields, text, found = reading.fields, reading.text, reading.program
        if found is None or _is_guess(found.family, text):
            grammar = self._fallback.match(text) or {}
            agent.family, agent.version = grammar.get("family"), grammar.get("version")
            agent.kind = agent.kind or grammar.get("kind")
            return {**grammar, **fields}
        agent.family, agent.version = found.family, _version(found)
        if agent.kind is None:
            spider = _is_spider(reading.device) and found.family not in self._limits  # `Caboto` in IE's text is no bot
            agent.kind = self._kinds.get(found.family, "bot" if spider else "browser")
        return fields

    def _system(self, agent: Agent, fields: Mapping[str, str], reading: Reading) -> None:
        """Fill the system: what the rule says, what a number tells, else ua-parser's."""
        os, version = self._systems.get(fields.get("os", "").lower()), fields.get("os_version")
        if (distribution := fields.get("distribution")) is not None:
            known = self._systems.get(distribution.lower())
            os, version = (known, version) if known else (os, None)
        for kind in NUMBERS:
            if version is None and (value := fields.get(kind)) is not None:
                os, version = self._by_number(kind, value, os, "arch" in fields)
        found, text = reading.system, reading.text
        if found is not None and (os is None or version is None):
            name = found.family.lower()
            family = self._systems.get(name)
            if family is not None and os in (None, family) and not _mistaken(family, text):
                os = family
                if version is None and name not in self._unreleased:
                    version = _release(os, _version(found), text)
        agent.os, agent.os_version = os, version.replace("_", ".") if version else None

    def _by_number(self, kind: str, value: str, os: str | None, arch: bool) -> tuple[str | None, str | None]:
        if kind != "darwin":
            return self._releases.find(kind, value) or (os, "")
        if os is None and not arch:
            kernel = number(value)
            if kernel >= (20,):
                return "Darwin", value
            os = "iOS" if kernel >= (9,) else None
        found = self._releases.find("darwin_ios" if os == "iOS" else "darwin", value)
        return found or (os or "Mac OS X", "")

    def _device(self, agent: Agent, fields: Mapping[str, str], reading: Reading) -> None:
        agent.device, found, text = fields.get("device"), reading.device, reading.text
        if agent.device is not None or found is None or found.family in NO_DEVICES:
            return
        if not _is_spider(found) and not _mistaken(found.family, text):
            agent.device = _DEVICE_END.split(found.family, maxsplit=1)[0][:80]

    def _oddity(self, agent: Agent, reading: Reading, named: bool) -> str | None:
        text = reading.raw
        if (found := reading.odd) is not None and not (named and found["oddity"] == "no platform"):
            return found["oddity"]
        if named:
            return None
        if text.startswith("Mozilla/"):
            if contradiction := self._contradiction(agent, text):
                return contradiction
            if text.count("(") != text.count(")"):
                return "unbalanced parentheses"
            return "no browser" if agent.family is None and agent.kind in (None, "other") else None
        unknown = agent.family is None and agent.device is None and agent.kind is None
        return "one word" if unknown and _WORD.fullmatch(text.strip()) else None

    def _contradiction(self, agent: Agent, text: str) -> str | None:
        """What a browser's text says against itself, or None."""
        comment = text.partition("(")[2].partition(")")[0]
        if "Windows Phone" in comment or " like " in comment or "Opera" in text:
            return None
        if sum(any(name in comment for name in names) for names in _SYSTEMS) > 1:
            return "several systems"
        if _engines_disagree(text):
            return "engine and family disagree"
        system, release = number(comment.partition("Windows NT ")[2]), number(agent.version or "")[:1]
        for first, last, nt_first, nt_last in self._limits.get(agent.family or "", ()):
            if system and release and first <= release <= last and not nt_first <= system <= nt_last:
                return "browser and system disagree"
        return None


_SYSTEMS = (("Windows NT",), ("Macintosh", "Mac OS X"), ("Linux", "Android"))
_FIREFOX = re.compile(r"\brv:(\d{1,4})[\d.]{0,20}\) Gecko/[\d.]{1,20} Firefox/(\d{1,4})\.[\d.]{1,20}$")


def _engines_disagree(text: str) -> bool:
    """Whether the layout engine is not the one that the browser in the same text is built on."""
    webkit, gecko = "KHTML" in text or "ebkit" in text.lower(), "Gecko" in text.replace("like Gecko", "")
    if "Firefox/" in text and not gecko and "Servo/" not in text:
        return True
    if (firefox := _FIREFOX.search(text)) is not None:
        revision, release = int(firefox[1]), int(firefox[2])
        frozen = revision == 109 and 110 <= release < 120
        return release >= 5 and revision != release and not frozen
    if not webkit and ("Chrome/" in text or "Safari/" in text):
        return True
    msie, trident = number(text.partition("MSIE ")[2])[:1], number(text.partition("Trident/")[2])[:1]
    if (msie or trident) and (webkit or gecko):
        return True
    return bool(msie and trident) and not (7,) <= msie <= (trident[0] + 4,)


def _limits(rows: pl.DataFrame) -> dict[str, list[tuple[tuple[int, ...], ...]]]:
    """Browser releases and the Windows NT they run on, by family."""
    limits: dict[str, list[tuple[tuple[int, ...], ...]]] = {}
    for family, *numbers in rows.iter_rows():
        first, last, nt_first, nt_last = (number(text or "") for text in numbers)
        limits.setdefault(family, []).append((first, last or (10**9,), nt_first, nt_last or (10**9,)))
    return limits


def _first(rows: pl.DataFrame, key: str, value: str) -> dict[str, str]:
    """A look-up in which the first row about a key wins: a site's own rows come first."""
    return dict(reversed(list(rows.select(key, value).iter_rows())))


def _release(os: str, version: str | None, text: str) -> str | None:
    """ua-parser's release of a system, where it did not take something else for it."""
    if os == "Windows" and version == "95" and "95" not in text:
        return None  # `Win32` is no Windows 95
    if os == "Windows" and "Windows NT 5.2" in text:
        return None  # XP for x64 and Server 2003 alike
    if os == "Android":
        if "; Android 10; K)" in text:
            return None  # what Chrome says of every Android and every device
        named = _ANDROID.search(text)
        return version if named is None and "-Android/" not in text else named and named[1]  # `Telegram-Android/10.0`
    return version


def _is_guess(family: str, text: str) -> bool:
    """Whether ua-parser names the embedded browser of a platform only because nothing better was found."""
    if family == "Apple Mail":
        return "Macintosh" not in text
    return family in ("Android", "Mobile Safari UI/WKWebView") and not text.startswith("Mozilla/")


def _mistaken(answer: str, text: str) -> bool:
    """Whether ua-parser took some other word with `Quest` in it for the headset, and so for Android."""
    return answer in ("Android", "Quest") and "Quest" in text and "Oculus" not in text and "ndroid" not in text


def _is_spider(device: Any) -> bool:
    """Whether ua-parser's device says that there is none, but a robot."""
    return device is not None and device.brand == "Spider"


def _version(found: Any) -> str | None:
    """ua-parser's parts of a version as one; an empty part ends it."""
    parts: list[str] = []
    for name in ("major", "minor", "patch", "patch_minor"):
        part = getattr(found, name, None)
        if not part:
            break
        parts.append(part)
    return ".".join(parts) or None


def load(resources: Resources) -> UserAgents:
    """The parser, built once a run."""
    return resources.shared("user agents", lambda: UserAgents(resources))


def prepare(resources: Resources) -> Work:
    """Load tables and engine; the work parses each distinct User-Agent once."""
    parser = load(resources)

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        agents = parser.parse_many(keys["user_agent"])
        return pl.DataFrame({name: pl.Series([getattr(a, name) for a in agents], dtype=pl.String) for name in ADDS})

    return work


ENRICHER = Enricher(
    name="user_agents",
    doc="Program, version, system, device and kind that a User-Agent names, and what is odd about it.",
    keys={"user_agent": pl.String},
    adds=dict.fromkeys(ADDS, pl.String),
    uses=(Use(("http", "websocket", "quic"), ("user_agent",), "ua."),),
    prepare=prepare,
    tables=(*PROGRAMS, ODDITIES, FALLBACK, FAMILIES, SYSTEMS, RELEASES, LIMITS),
)
