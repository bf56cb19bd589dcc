"""Directories in the domain-list-community format: one file a list of domains, named by its file.

A line holds one rule; ``#`` begins a comment:

    domain:example.com @ads         the domain and what lies under it; ``domain:`` may be left out
    full:www.example.com            this name alone
    keyword:example                 any name that contains it
    regexp:^cdn[0-9]+\\.example\\.   any name that it is found in; RE2, as in Go
    include:other @ads @-cn         the rules of another list: those with ``ads`` and without ``cn``

``@name`` marks a rule, ``&list`` puts it into another list as well. The format: https://github.com/v2fly/domain-list-community.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import re2

from enrich.errors import ConfigError, TableError
from enrich.model import Resources

SECTION = "domain_lists"
GROUPS = ("category-", "geolocation-", "tld-", "private")
"""Lists named so gather sites of a kind; they name no application, and are used only where the site asks for them."""

_DOMAIN = re.compile(r"[a-z0-9_]+(?:-+[a-z0-9_]+)*(?:\.[a-z0-9_]+(?:-+[a-z0-9_]+)*)*")
_KEYWORD = re.compile(r"[a-z0-9._-]+")


class Rule(NamedTuple):
    """One rule: its kind (domain, full, keyword or regexp), its value and its attributes."""

    kind: str
    value: str
    attributes: frozenset[str]


class Include(NamedTuple):
    """A line that includes another list, and where it stands."""

    name: str
    wanted: frozenset[str]
    unwanted: frozenset[str]
    where: str

    def takes(self, rule: Rule) -> bool:
        """Whether the filters let a rule through."""
        return self.wanted <= rule.attributes and not self.unwanted & rule.attributes


@dataclass(slots=True)
class DomainList:
    """One list: its own rules (and those that other lists put into it) and what it includes."""

    name: str
    rules: list[Rule] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)


_NONE: frozenset[str] = frozenset()


def load(resources: Resources) -> list[tuple[str, list[Rule]]]:
    """The lists that the site's configuration names (``[domain_lists] directory``), with all their rules; else none.

    ``lists`` in that section chooses lists by name, each with what it includes. Without it every list stands for the
    rules that it states itself, except those that name no application (GROUPS).

    Raises ConfigError for a wrong setting and TableError, naming file and line, for a wrong list.
    """
    settings = resources.settings(SECTION)
    directory = resources.setting_path(SECTION, "directory")
    if directory is None:
        return []
    if not directory.is_dir():
        raise ConfigError(f"{SECTION}.directory: not a folder: {directory}")
    chosen = settings.get("lists")
    if chosen is not None and not (isinstance(chosen, list) and all(isinstance(name, str) for name in chosen)):
        raise ConfigError(f"{SECTION}.lists: expected a list of names in quotes")
    lists = read(directory)
    for name in chosen or ():
        if name not in lists:
            raise ConfigError(f"{SECTION}.lists: no list is called {name!r} in {directory}")
    if chosen is not None:
        return flatten(lists, chosen)
    return [(name, one.rules) for name, one in sorted(lists.items()) if not name.startswith(GROUPS)]


def read(directory: Path) -> dict[str, DomainList]:
    """All lists of a directory by name. Raises TableError naming file and line."""
    lists: dict[str, DomainList] = {}
    for path in sorted(directory.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            _read_list(path, lists)
    for one in lists.values():
        for include in one.includes:
            if include.name not in lists:
                raise TableError(f"{include.where}: there is no list {include.name!r} to include")
    _check_cycles(lists)
    return lists


def flatten(lists: dict[str, DomainList], names: Sequence[str]) -> list[tuple[str, list[Rule]]]:
    """The rules of the chosen lists, each rule in one of them only.

    What several of them hold goes to the one that states it itself, and of several that include it to the one that is
    nearest to it; then the first in the order of ``names`` has it.
    """
    owner: dict[tuple[str, str], tuple[int, int]] = {}
    held: list[dict[tuple[str, str], Rule]] = []
    for at, name in enumerate(names):
        rules: dict[tuple[str, str], Rule] = {}
        for depth, rule in _all_rules(lists, name):
            key = rule[:2]
            rules.setdefault(key, rule)
            if key not in owner or (depth, at) < owner[key]:
                owner[key] = (depth, at)
        held.append(rules)
    return [(name, [rule for key, rule in held[at].items() if owner[key][1] == at]) for at, name in enumerate(names)]


def _all_rules(lists: dict[str, DomainList], name: str) -> Iterator[tuple[int, Rule]]:
    """The rules of a list and of those it includes, with how many includes lie between."""
    ahead: list[tuple[int, str, tuple[Include, ...]]] = [(0, name, ())]
    seen: set[tuple[str, tuple[Include, ...]]] = {(name, ())}
    for depth, current, filters in ahead:
        for rule in lists[current].rules:
            if all(include.takes(rule) for include in filters):
                yield depth, rule
        for include in lists[current].includes:
            narrowed = (*filters, include) if include.wanted or include.unwanted else filters
            if (include.name, narrowed) not in seen:
                seen.add((include.name, narrowed))
                ahead.append((depth + 1, include.name, narrowed))


def _check_cycles(lists: dict[str, DomainList]) -> None:
    done: set[str] = set()
    for start, first in lists.items():
        trail = [] if start in done else [(start, iter(first.includes))]
        while trail:
            include = next(trail[-1][1], None)
            if include is None:
                done.add(trail.pop()[0])
                continue
            on_trail = [name for name, _ in trail]
            if include.name in on_trail:
                cycle = [*on_trail[on_trail.index(include.name) :], include.name]
                raise TableError(f"{include.where}: lists include one another: {' > '.join(cycle)}")
            if include.name not in done:
                trail.append((include.name, iter(lists[include.name].includes)))


def _read_list(path: Path, lists: dict[str, DomainList]) -> None:
    name = path.name.lower()
    one = lists.setdefault(name, DomainList(name))
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{path}:{number}"
        kind, colon, value = words[0].partition(":")
        if not colon:
            kind, value = "domain", kind
        attributes, affiliations = _marks(words[1:], where) if len(words) > 1 else (_NONE, [])
        if kind == "include":
            if affiliations:
                raise TableError(f"{where}: an include has no affiliation")
            unwanted = frozenset(mark[1:] for mark in attributes if mark.startswith("-"))
            wanted = frozenset(mark for mark in attributes if not mark.startswith("-"))
            one.includes.append(Include(value.lower(), wanted, unwanted, where))
            continue
        rule = Rule(kind, _value(kind, value, where), attributes)
        one.rules.append(rule)
        for target in affiliations:
            lists.setdefault(target, DomainList(target)).rules.append(rule)


def _marks(words: Iterable[str], where: str) -> tuple[frozenset[str], list[str]]:
    """The attributes and affiliations behind a rule."""
    attributes: list[str] = []
    affiliations: list[str] = []
    for word in words:
        if word[0] not in "@&" or len(word) == 1:
            raise TableError(f"{where}: {word!r} is neither an attribute (@…) nor an affiliation (&…)")
        (attributes if word[0] == "@" else affiliations).append(word[1:].lower())
    return frozenset(attributes), affiliations


def _value(kind: str, value: str, where: str) -> str:
    if kind in ("domain", "full", "keyword"):
        folded = value.lower().rstrip(".") if kind != "keyword" else value.lower()
        pattern = _KEYWORD if kind == "keyword" else _DOMAIN
        if len(folded) > 253 or pattern.fullmatch(folded) is None:
            raise TableError(f"{where}: {value!r} is no {'part of a host name' if kind == 'keyword' else 'host name'}")
        return folded
    if kind != "regexp":
        raise TableError(f"{where}: {kind!r} is none of: domain, full, keyword, regexp, include")
    try:
        re2.compile(value, _quiet())
    except re2.error as error:
        raise TableError(f"{where}: not a regular expression of RE2: {value}") from error
    return value


def _quiet() -> re2.Options:
    options = re2.Options()
    options.log_errors = False
    return options
