"""Payload signatures: which protocol the first bytes of a flow belong to.

A table (``mappings/payload/<group>.toml``) holds ``[[signature]]`` entries with

    id         unique over all tables, kebab-case; the verdict's evidence shows it
    protocol   canonical name (``mappings/applications``)
    about      what a match means
    source     the document that the signature follows, and its section
    orig       what the originator sends first, and
    resp       what the responder sends first; with both, both must match
    either     instead of these: what one of them sends first
    transport  "tcp" or "udp"; both if absent
    ports      it means something on these ports of either side only: ["502", "6881-6889"]
    length     the message's length as the message says: "u16be@4 + 6" (16 bits at byte 4, and 6), "u16be@2 * 4 + 4"
    echo       bytes that the answer repeats: "orig[0:2] = resp[0:2]"
    strength   "certain": another protocol would have to imitate it; "likely": chance may produce it
    examples   one or more {orig, resp, port}, payloads in hexadecimal, port the responder's

Patterns are RE2 over the bytes, one character a byte (``\\x13``), and begin with ``^``; a dot is any byte and ``$`` the
payload's end. Logs keep the first CUT bytes of each direction, so ``$`` means something within these only. The
strongest match wins, then the first in file order. RE2 takes time linear in the text, whatever the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import polars as pl
import re2

from enrich.errors import TableError
from enrich.model import Resources
from enrich.tables import read_toml

FOLDER = "payload"
CUT = 64
"""Bytes of each direction that a log keeps unless a site says otherwise."""
STRENGTHS = ("certain", "likely")
SIDES = ("orig", "resp", "either")
TRANSPORTS = ("tcp", "udp")
RESULT = {"protocol": pl.String, "strength": pl.String, "rule": pl.String}

_KEYS = {"id", "protocol", "about", "source", "transport", "ports", "length", "echo", "strength", "examples", *SIDES}
_ID = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_LENGTH = re.compile(r"u(8|16|24|32)(be|le)?@(\d+)(?: ([*/]) ([1-9]\d*))?(?: \+ (\d+))?")
_ECHO = re.compile(r"orig\[(\d+):(\d+)\] = resp\[(\d+):(\d+)\]")
_SET_MEMORY = 32 << 20  # bytes that each automaton over all patterns may take
_SENTINEL = -1


class Found(NamedTuple):
    """A protocol, how strongly the payload says so, and the signature that matched."""

    protocol: str
    strength: str
    rule: str


@dataclass(frozen=True, slots=True)
class Length:
    """A message's length as a number within it: ``number * factor // divisor + constant``."""

    offset: int
    size: int
    order: Literal["big", "little"]
    factor: int = 1
    divisor: int = 1
    constant: int = 0

    @classmethod
    def parse(cls, text: str) -> Length:
        """Parse e.g. ``u16be@4 + 6``. Raises ValueError."""
        found = _LENGTH.fullmatch(text)
        if found is None or (found[1] != "8") != bool(found[2]):
            raise ValueError(f"length {text!r} is not of the form u16be@4 + 6")
        scale = {found[4]: int(found[5] or 1)}
        return cls(
            offset=int(found[3]),
            size=int(found[1]) // 8,
            order="little" if found[2] == "le" else "big",
            factor=scale.get("*", 1),
            divisor=scale.get("/", 1),
            constant=int(found[6] or 0),
        )

    def holds(self, payload: bytes) -> bool:
        """Whether the payload is as long as it says; where the log cut it, at least as long as what is left."""
        number = payload[self.offset : self.offset + self.size]
        if len(number) < self.size:
            return False
        stated = int.from_bytes(number, self.order) * self.factor // self.divisor + self.constant
        return stated == len(payload) or stated > len(payload) >= CUT


@dataclass(frozen=True, slots=True)
class Echo:
    """Bytes of the first payload that the answer repeats."""

    orig: slice
    resp: slice

    @classmethod
    def parse(cls, text: str) -> Echo:
        """Parse e.g. ``orig[0:2] = resp[0:2]``. Raises ValueError."""
        found = _ECHO.fullmatch(text)
        if found is None:
            raise ValueError(f"echo {text!r} is not of the form orig[0:2] = resp[0:2]")
        first, last, other, end = map(int, found.groups())
        if last - first != end - other or last <= first:
            raise ValueError(f"echo {text!r} compares pieces of different lengths")
        return cls(slice(first, last), slice(other, end))

    def holds(self, orig: bytes, resp: bytes) -> bool:
        """Whether the answer repeats the bytes."""
        piece = orig[self.orig]
        return len(piece) == self.orig.stop - self.orig.start and piece == resp[self.resp]


@dataclass(frozen=True, slots=True)
class Example:
    """A flow's first payloads and its responder port."""

    orig: bytes
    resp: bytes
    port: int | None


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a table."""

    id: str
    protocol: str
    about: str
    source: str
    strength: str
    patterns: tuple[tuple[str, str], ...]
    transport: str | None = None
    ports: frozenset[int] = frozenset()
    length: Length | None = None
    echo: Echo | None = None
    examples: tuple[Example, ...] = field(default=(), repr=False)

    def allows(self, port: int | None, other: int | None) -> bool:
        """Whether the signature means anything on these ports, the one or the other."""
        return not self.ports or port in self.ports or other in self.ports

    def accepts(self, matched: Sequence[bytes]) -> bool:
        """Whether the payloads that the patterns match (the originator's first) are all that the signature wants."""
        if self.patterns[0][0] == "either":
            return self.length is None or any(self.length.holds(payload) for payload in matched)
        if len(matched) < len(self.patterns):
            return False
        if self.length is not None and not all(self.length.holds(payload) for payload in matched):
            return False
        return self.echo is None or self.echo.holds(*matched)


class _Automaton:
    """All patterns of one transport and side, matched in one pass."""

    __slots__ = ("_owners", "_patterns", "_set")

    def __init__(self, patterns: Sequence[tuple[int, bytes]], memory: int) -> None:
        """``patterns`` with their owners' numbers; ``memory`` in bytes."""
        # When the automaton runs out of memory it reports nothing, not even this pattern that always matches.
        self._patterns = [*patterns, (_SENTINEL, b"^")]
        self._owners = [owner for owner, _ in self._patterns]
        self._set: Any = re2.Set.MatchSet(_options(memory))
        for _, pattern in self._patterns:
            self._set.Add(pattern)
        try:
            self._set.Compile()
        except re2.error:  # the memory does not even hold the program
            self._set = None

    def hits(self, payload: bytes) -> set[int]:
        """The owners of the patterns that match."""
        owners = {self._owners[hit] for hit in self._set.Match(payload)} if self._set is not None else set()
        if _SENTINEL not in owners:  # one by one then: slower and just as right
            owners = {owner for owner, pattern in self._patterns if re2.match(pattern, payload, _options())}
        owners.discard(_SENTINEL)
        return owners


class Payloads:
    """Signatures, ready to identify first payloads."""

    def __init__(self, signatures: Iterable[Signature], set_memory: int = _SET_MEMORY) -> None:
        """Compile all patterns; raises TableError for one that is not RE2."""
        # The strongest first, so that the lowest number among those that match is the best one.
        self.signatures = sorted(signatures, key=lambda signature: STRENGTHS.index(signature.strength))
        patterns: dict[tuple[str, str], list[tuple[int, bytes]]] = {
            (transport, side): [] for transport in TRANSPORTS for side in ("orig", "resp")
        }
        for at, signature in enumerate(self.signatures):
            for wanted, text in signature.patterns:
                for (transport, side), list_ in patterns.items():
                    if signature.transport in (None, transport) and wanted in (side, "either"):
                        list_.append((at, _checked(signature, wanted, text)))
        self._automata = {key: _Automaton(list_, set_memory) for key, list_ in patterns.items()}

    def identify(
        self, transport: str, port: int | None, orig: bytes, resp: bytes, orig_port: int | None = None
    ) -> Found | None:
        """The protocol of a flow by its first payloads (empty for a silent side); None if no signature matches."""
        best = next(self.matches(transport, port, orig, resp, orig_port), None)
        return None if best is None else Found(best.protocol, best.strength, best.id)

    def matches(
        self, transport: str, port: int | None, orig: bytes, resp: bytes, orig_port: int | None = None
    ) -> Iterator[Signature]:
        """All signatures that match, the best one first."""
        if transport not in TRANSPORTS:
            return
        sent = self._automata[transport, "orig"].hits(orig)
        received = self._automata[transport, "resp"].hits(resp)
        for at in sorted(sent | received):
            signature = self.signatures[at]
            matched = [payload for payload, hits in ((orig, sent), (resp, received)) if at in hits]
            if signature.allows(port, orig_port) and signature.accepts(matched):
                yield signature

    def identify_many(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Identify many flows at once.

        Takes columns ``transport`` (string), ``resp_port`` and ``orig_port`` (integers), ``orig`` and ``resp`` (first
        payloads in hexadecimal, null or empty for a silent side; what is not hexadecimal counts as silent). Returns
        ``protocol``, ``strength`` and ``rule`` (strings, null where no signature matches) in the same order.
        """
        rows = frame.select(
            pl.col("transport").fill_null(""),
            "resp_port",
            *(pl.col(side).str.decode("hex", strict=False).fill_null(b"") for side in ("orig", "resp")),
            "orig_port",
        ).iter_rows()
        found = [self.identify(*row) or (None, None, None) for row in rows]
        return pl.DataFrame(found, schema=RESULT, orient="row")

    def check(self, signatures: Iterable[Signature] | None = None) -> int:
        """Run the examples of these signatures (all, if none) and return how many there are; raises TableError."""
        count = 0
        for signature in self.signatures if signatures is None else signatures:
            for number, example in enumerate(signature.examples, 1):
                where = f"{FOLDER}: {signature.id}: example {number}"
                for transport in (signature.transport,) if signature.transport else TRANSPORTS:
                    best = next(self.matches(transport, example.port, example.orig, example.resp), None)
                    if best is None:
                        raise TableError(f"{where}: is not matched over {transport}")
                    if best.id != signature.id:
                        raise TableError(f"{where}: is matched over {transport} by {best.id}")
                count += 1
        return count


def _checked(signature: Signature, side: str, text: str) -> bytes:
    try:
        pattern = text.encode("ascii")
        re2.compile(pattern, _options())
    except (re2.error, UnicodeEncodeError) as error:
        raise TableError(f"{FOLDER}: {signature.id}: {side}: not an RE2 pattern: {error}") from error
    return pattern


def load(resources: Resources) -> Payloads:
    """Load all tables once a run, the site's own (``[tables] payload``) first."""

    def build() -> Payloads:
        paths = [*resources.overlays(FOLDER), *(resources.path(name) for name in resources.names(FOLDER, ".toml"))]
        signatures: dict[str, Signature] = {}
        for path in paths:
            for signature in read(path):
                signatures.setdefault(signature.id, signature)
        return Payloads(signatures.values())

    return resources.shared("payload signatures", build)


def read(path: Path) -> list[Signature]:
    """Read one table; raises TableError naming the table and the signature."""
    name = f"{FOLDER}/{path.name}" if path.parent.name == FOLDER else str(path)
    out = []
    for number, entry in enumerate(read_toml(path).get("signature", []), 1):
        try:
            out.append(_signature(entry))
        except (KeyError, TypeError, ValueError) as error:
            ident = entry.get("id", number) if isinstance(entry, dict) else number
            reason = f"lacks {error}" if isinstance(error, KeyError) else error
            raise TableError(f"{name}: signature {ident}: {reason}") from error
    return out


def _signature(entry: dict[str, Any]) -> Signature:
    unknown = sorted(set(entry) - _KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}")
    if _ID.fullmatch(entry["id"]) is None:
        raise ValueError("the id is not kebab-case")
    patterns = tuple((side, entry[side]) for side in SIDES if side in entry)
    if not patterns or ("either" in entry and len(patterns) > 1):
        raise ValueError("needs either, or orig, resp or both")
    for side, pattern in patterns:
        if not pattern.startswith("^"):
            raise ValueError(f"{side} does not begin with ^")
    transport = entry.get("transport")
    if "echo" in entry and len(patterns) < 2:
        raise ValueError("echo needs both orig and resp")
    if transport not in (None, *TRANSPORTS):
        raise ValueError(f"transport {transport!r} is neither tcp nor udp")
    if entry["strength"] not in STRENGTHS:
        raise ValueError(f"strength {entry['strength']!r} is none of: {', '.join(STRENGTHS)}")
    if not entry["examples"]:
        raise ValueError("has no examples")
    return Signature(
        id=entry["id"],
        protocol=entry["protocol"],
        about=entry["about"],
        source=entry["source"],
        strength=entry["strength"],
        patterns=patterns,
        transport=transport,
        ports=frozenset(_ports(entry.get("ports", ()))),
        length=Length.parse(entry["length"]) if "length" in entry else None,
        echo=Echo.parse(entry["echo"]) if "echo" in entry else None,
        examples=tuple(
            Example(bytes.fromhex(item.get("orig", "")), bytes.fromhex(item.get("resp", "")), item.get("port"))
            for item in entry["examples"]
        ),
    )


def _ports(texts: Iterable[str]) -> Iterator[int]:
    for text in texts:
        first, _, last = text.partition("-")
        yield from range(int(first), int(last or first) + 1)


def _options(memory: int = 8 << 20) -> Any:
    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1
    options.dot_nl = True
    options.never_capture = True
    options.log_errors = False
    options.max_mem = memory
    return options
