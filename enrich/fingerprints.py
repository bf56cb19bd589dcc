"""Fingerprint tables: regular expressions that turn a line of text into named fields, with their own examples.

A table is a TOML file: a `[table]` section (source, licence, date) and `[[fingerprint]]` entries with

    id        unique in the file, kebab-case
    about     unique, what a match means
    match     an RE2 pattern; a named group whose name is a field fills that field, any other is for templates
    set       constants by field; `{group}` inside a constant is replaced by that group ("" says: no value)
    examples  one or more {text, fields}; `fields` lists every field that groups or templates fill

Rules are tried in file order and the first that matches wins. RE2 takes time linear in the text, whatever the text.
This module knows nothing of what the fields mean.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import re2

from enrich.errors import TableError

_SET_MEMORY = 64 << 20  # bytes that the automaton over all patterns of one table may take
_ID = re2.compile(r"^[a-z0-9]+(?:-[a-z0-9]+)*$")
_PLACEHOLDER = re2.compile(r"\{([A-Za-z_][A-Za-z0-9_.]*)\}")


Spans = list[tuple[int, int]]  # begin and end of the match and of each group, in bytes; (-1, -1) for none


class Pattern:
    """One RE2 pattern, searched in UTF-8 bytes (four times faster than in `str`); groups come back as text."""

    __slots__ = ("_search", "names")

    def __init__(self, pattern: str, *, ignore_case: bool = False) -> None:
        """Compile `pattern`; raises ValueError when it is not RE2 syntax."""
        try:
            compiled = re2.compile(pattern.encode(), _options(ignore_case))
        except re2.error as error:
            raise ValueError(_reason(error)) from error
        self._search = searcher(compiled)
        named = sorted((index, name.decode()) for name, index in compiled.groupindex.items())
        self.names: tuple[tuple[str, int], ...] = tuple((name, index) for index, name in named)

    def found(self, text: bytes) -> bool:
        """Whether anything matches."""
        return self._search(text) is not None

    def groups(self, text: bytes) -> tuple[str, ...] | None:
        """All groups of the first match ("" for one that took no part), or None when nothing matches."""
        spans = self._search(text)
        if spans is None:
            return None
        return tuple([text[start:end].decode("utf-8", "replace") if start >= 0 else "" for start, end in spans[1:]])

    def first_group(self, text: bytes) -> tuple[str, int] | None:
        """Group 1 of the first match and the byte offset where it ends, or None when nothing matches."""
        spans = self._search(text)
        if spans is None:
            return None
        start, end = spans[1]
        return text[start:end].decode("utf-8", "replace"), end

    def captures(self, text: bytes) -> dict[str, str]:
        """The named groups that took part in the first match, blanks trimmed, empty ones left out."""
        if not self.names:
            return {}
        spans = self._search(text)
        found: dict[str, str] = {}
        for name, index in self.names if spans is not None else ():
            start, end = spans[index]  # type: ignore[index]
            if start < end and (value := text[start:end].decode("utf-8", "replace").strip()):
                found[name] = value
        return found


def searcher(compiled: Any) -> Callable[[bytes], Spans | None]:
    """A search that gives the spans of the first match of a compiled RE2 pattern, or None.

    google-re2 wraps RE2 in an object that costs as much as the search itself; the RE2 inside it answers at once. That
    one is no public name, so its absence only makes this slower.
    """
    inner = getattr(getattr(compiled, "_regexp", None), "Match", None)
    anchor = getattr(getattr(re2, "_Anchor", None), "UNANCHORED", None)
    if inner is None or anchor is None:
        return partial(_public_search, compiled, compiled.groups)
    return partial(_inner_search, inner, anchor)


def _inner_search(inner: Callable[..., Spans], anchor: Any, text: bytes) -> Spans | None:
    spans = inner(anchor, text, 0, len(text))
    return spans if spans[0][0] >= 0 else None


def _public_search(compiled: Any, count: int, text: bytes) -> Spans | None:
    match = compiled.search(text)
    return None if match is None else [match.span(group) for group in range(count + 1)]


class Matcher:
    """Several RE2 patterns searched at once; says which one, in order, matches first.

    One automaton (RE2::Set) answers for all patterns in a single pass. It may run out of its memory budget, and then
    reports no match instead of an error; so an empty pattern that always matches rides along, and when even that one
    is missing from the answer the patterns are tried one by one, which is slower and just as right.
    """

    __slots__ = ("_match", "_patterns", "_sentinel", "_set")

    def __init__(self, patterns: Sequence[str], *, ignore_case: bool = False, set_memory: int = _SET_MEMORY) -> None:
        """Compile `patterns` (RE2 syntax); raises ValueError("<position>: <reason>") for one that does not compile."""
        self._patterns: list[Pattern] = []
        for position, pattern in enumerate(patterns):
            try:
                self._patterns.append(Pattern(pattern, ignore_case=ignore_case))
            except ValueError as error:
                raise ValueError(f"{position}: {error}") from error
        options = _options(ignore_case)
        options.max_mem = set_memory
        self._set: Any = re2.Set.SearchSet(options)
        for pattern in patterns:
            self._set.Add(pattern.encode())
        self._sentinel: int = self._set.Add(b"")
        try:
            self._set.Compile()
        except re2.error:  # the budget does not even hold the program
            self._set = None
        # As for `searcher`: the set inside the wrapper, where it can be had.
        self._match: Any = getattr(getattr(self._set, "_set", None), "Match", getattr(self._set, "Match", None))

    def __getitem__(self, position: int) -> Pattern:
        """One of the patterns."""
        return self._patterns[position]

    def first(self, text: bytes) -> int | None:
        """The lowest position whose pattern is found in `text` (UTF-8), or None."""
        found = self._match(text) if self._match is not None else None
        if not found or self._sentinel not in found:
            return next((i for i, pattern in enumerate(self._patterns) if pattern.found(text)), None)
        lowest = min(found)
        return None if lowest == self._sentinel else int(lowest)


@dataclass(frozen=True, slots=True)
class Example:
    """One text that a rule must match first, and the fields that its groups and templates must then give."""

    text: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Template:
    """A constant with groups in it: `pieces` alternates text and group names, and begins and ends with text."""

    pieces: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Template | None:
        """The template that `text` is, or None when no `{group}` is in it."""
        pieces: list[str] = []
        end = 0
        for found in _PLACEHOLDER.finditer(text):
            pieces += (text[end : found.start()], found.group(1))
            end = found.end()
        return cls((*pieces, text[end:])) if pieces else None

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the groups it needs."""
        return self.pieces[1::2]

    def fill(self, captured: Mapping[str, str]) -> str:
        """The text with groups filled in, "" when none of them took part in the match."""
        if not any(name in captured for name in self.groups):
            return ""
        return "".join(captured.get(piece, "") if n % 2 else piece for n, piece in enumerate(self.pieces)).strip()


@dataclass(frozen=True, slots=True)
class Rule:
    """One fingerprint: a pattern, constants (`set`) and templates, and the examples that prove it."""

    id: str
    about: str
    match: str
    constants: Mapping[str, str]
    templates: Mapping[str, Template]
    examples: tuple[Example, ...]


class Fingerprints:
    """The rules of one table, ready to run."""

    __slots__ = ("_fields", "_matcher", "name", "rules")

    def __init__(self, name: str, rules: Sequence[Rule], fields: Collection[str] | None = None) -> None:
        """`name` is what error messages call the table; `fields` as for `load`."""
        self.name = name
        self.rules = tuple(rules)
        try:
            self._matcher = Matcher([rule.match for rule in self.rules])
        except ValueError as error:
            position, _, reason = str(error).partition(": ")
            raise TableError(f"{name}: {self.rules[int(position)].id}: match: {reason}") from error
        groups = [{name for name, _ in self._matcher[position].names} for position in range(len(self.rules))]
        self._fields = frozenset(fields if fields is not None else _open_fields(self.rules, groups))
        for rule, names in zip(self.rules, groups, strict=True):
            self._validate(rule, names)

    def match(self, text: str) -> dict[str, str] | None:
        """The fields that the first matching rule gives for `text`, or None. A field may be "": known to be none."""
        found = self.first(text)
        return None if found is None else found[1]

    def first(self, text: str) -> tuple[Rule, dict[str, str]] | None:
        """The first rule that matches `text` and the fields it gives, or None."""
        encoded = text.encode("utf-8", "replace")
        position = self._matcher.first(encoded)
        if position is None:
            return None
        rule = self.rules[position]
        fields = dict(rule.constants)
        captured = self._matcher[position].captures(encoded)
        fields.update((name, value) for name, value in captured.items() if name in self._fields)
        for name, template in rule.templates.items():
            filled = template.fill(captured)
            if filled:
                fields[name] = filled
        return rule, fields

    def check(self) -> int:
        """Run every example and return how many there are; raises TableError for the first that fails."""
        count = 0
        for rule in self.rules:
            for number, example in enumerate(rule.examples, 1):
                self._check_example(rule, f"{self.name}: {rule.id}: example {number}", example)
                count += 1
        return count

    def _check_example(self, rule: Rule, where: str, example: Example) -> None:
        found = self.first(example.text)
        if found is None:
            raise TableError(f"{where}: {example.text!r} is not matched")
        matched, fields = found
        if matched is not rule:
            raise TableError(f"{where}: {example.text!r} is matched by the earlier rule {matched.id}")
        given = {name: value for name, value in fields.items() if rule.constants.get(name) != value}
        if given != dict(example.fields):
            raise TableError(f"{where}: gives {given!r}, and not {dict(example.fields)!r}")

    def _validate(self, rule: Rule, groups: set[str]) -> None:
        where = f"{self.name}: {rule.id}"
        unknown = sorted({*rule.constants, *rule.templates} - self._fields)
        if unknown:
            raise TableError(f"{where}: set: unknown field {unknown[0]!r} (known: {', '.join(sorted(self._fields))})")
        used = {name for template in rule.templates.values() for name in template.groups}
        if used - groups:
            raise TableError(f"{where}: set: no group is named {sorted(used - groups)[0]!r}")
        idle = groups - used - self._fields
        if idle:
            raise TableError(f"{where}: match: the group {sorted(idle)[0]!r} is neither a field nor used in a template")


def load(path: Path, fields: Collection[str] | None = None) -> Fingerprints:
    """Read and validate one fingerprint table; its examples run with `Fingerprints.check`. Raises TableError.

    `fields` are the names a rule may fill; without them, any constant and any group that no template uses is a field.
    """
    name = table_name(path)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TableError(f"{name}: cannot be read: {error}") from error
    header = content.get("table")
    missing = [key for key in ("source", "licence", "date") if not isinstance(header, dict) or not header.get(key)]
    if missing:
        raise TableError(f"{name}: [table] lacks {', '.join(missing)}")
    entries = content.get("fingerprint", [])
    if not isinstance(entries, list) or set(content) - {"table", "fingerprint"}:
        raise TableError(f"{name}: holds more than [table] and [[fingerprint]]")
    rules = [_rule(name, number, entry) for number, entry in enumerate(entries, 1)]
    for key in ("id", "about"):
        seen: set[str] = set()
        for rule in rules:
            value = str(getattr(rule, key))
            if value in seen:
                raise TableError(f"{name}: {rule.id}: {key} {value!r} is not unique")
            seen.add(value)
    return Fingerprints(name, rules, fields)


def table_name(path: Path) -> str:
    """What messages call a table: its path from `mappings/` on, or as given when it lies elsewhere."""
    parts = path.parts
    return "/".join(parts[len(parts) - 1 - parts[::-1].index("mappings") :]) if "mappings" in parts else str(path)


def _open_fields(rules: Sequence[Rule], groups: Sequence[set[str]]) -> set[str]:
    used = {name for rule in rules for template in rule.templates.values() for name in template.groups}
    constants = {name for rule in rules for name in (*rule.constants, *rule.templates)}
    return constants | (set[str]().union(*groups) - used)


def _rule(name: str, number: int, entry: object) -> Rule:
    if not isinstance(entry, dict):
        raise TableError(f"{name}: fingerprint {number}: is not a table")
    ident = entry.get("id")
    if not isinstance(ident, str) or _ID.search(ident) is None:
        raise TableError(f"{name}: fingerprint {number}: id {ident!r} is not kebab-case")
    where = f"{name}: {ident}"
    unknown = sorted(set(entry) - {"id", "about", "match", "set", "examples"})
    if unknown:
        raise TableError(f"{where}: unknown key {unknown[0]!r}")
    for key in ("about", "match"):
        if not isinstance(entry.get(key), str) or not entry[key]:
            raise TableError(f"{where}: {key} is missing")
    constants = _strings(f"{where}: set", entry.get("set", {}))
    templates = {key: parsed for key, value in constants.items() if (parsed := Template.parse(value)) is not None}
    examples = entry.get("examples")
    if not isinstance(examples, list) or not examples:
        raise TableError(f"{where}: has no examples")
    return Rule(
        id=ident,
        about=entry["about"],
        match=entry["match"],
        constants={key: value for key, value in constants.items() if key not in templates},
        templates=templates,
        examples=tuple(_example(f"{where}: example {n}", example) for n, example in enumerate(examples, 1)),
    )


def _example(where: str, entry: object) -> Example:
    if not isinstance(entry, dict) or set(entry) - {"text", "fields"} or not isinstance(entry.get("text"), str):
        raise TableError(f"{where}: must be text and fields")
    return Example(entry["text"], _strings(where, entry.get("fields", {})))


def _strings(where: str, value: object) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise TableError(f"{where}: must be a table of strings")
    return dict(value)


def _options(ignore_case: bool) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    return options


def _reason(error: Exception) -> str:
    detail = error.args[0] if error.args else error
    return detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
