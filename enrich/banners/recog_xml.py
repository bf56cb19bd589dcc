"""Reads Recog's XML files with a parser that refuses document type declarations, and so all entities but XML's five."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from enrich.errors import TableError
from enrich.fingerprints import Template

# `^` and `$` match at line ends, as in Ruby, for which Recog is written; both of these let `.` match a line end there.
_FLAGS = {"REG_ICASE": "i", "REG_DOT_NEWLINE": "s", "REG_MULTILINE": "s"}
_LARGEST = 64 << 20  # bytes of one file


@dataclass(frozen=True, slots=True)
class Example:
    """One text that a fingerprint must match, and the fields it must then give."""

    text: str
    expected: dict[str, str]


@dataclass(slots=True)
class Fingerprint:
    """One `<fingerprint>`: an RE2 pattern with its flags, constants and templates by name, captures by group number."""

    line: int
    pattern: str
    description: str = ""
    constants: dict[str, str] = field(default_factory=dict)
    templates: dict[str, Template] = field(default_factory=dict)
    captures: dict[str, int] = field(default_factory=dict)
    examples: list[Example] = field(default_factory=list)


@dataclass(slots=True)
class Document:
    """One file: what text its fingerprints are for (`matches`), the protocol they tell of, and the fingerprints."""

    matches: str = ""
    protocol: str = ""
    fingerprints: list[Fingerprint] = field(default_factory=list)


class _HeaderRead(Exception):
    """The root element was read, which is all that was wanted."""


def read(path: Path) -> Document:
    """The whole file; raises TableError when it cannot be read, is not XML or declares a document type."""
    return _Reader(path, header_only=False).document


def read_header(path: Path) -> Document:
    """The root element's attributes alone, without fingerprints; raises TableError like `read`."""
    return _Reader(path, header_only=True).document


class _Reader:
    """Expat's events gathered into a Document."""

    def __init__(self, path: Path, *, header_only: bool) -> None:
        self.document = Document()
        self._path = path
        self._header_only = header_only
        self._text: list[str] = []
        self._attributes: dict[str, str] = {}
        self._root = False
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        self._parser = parser
        try:
            if path.stat().st_size > _LARGEST:
                raise self._error("is larger than a fingerprint file can be")
            with path.open("rb") as file:
                parser.ParseFile(file)
        except _HeaderRead:
            pass
        except OSError as error:
            raise self._error(f"cannot be read: {error.strerror or error}") from error
        except expat.ExpatError as error:
            raise self._error(f"is not XML: {error}") from error
        if not self._root:
            raise self._error("is not a file of fingerprints")

    def _error(self, reason: str) -> TableError:
        return TableError(f"{self._path.name}: {reason}")

    def _doctype(self, *_declaration: object) -> None:
        raise self._error("declares a document type, which a fingerprint file has no use for")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._text.clear()
        self._attributes = attributes
        if not self._root:
            if name != "fingerprints":
                raise self._error(f"is not a file of fingerprints: its root is <{name}>")
            self._root = True
            self.document.matches = attributes.get("matches", "")
            self.document.protocol = attributes.get("protocol", "")
            if self._header_only:
                raise _HeaderRead
        elif name == "fingerprint":
            line = self._parser.CurrentLineNumber
            self.document.fingerprints.append(Fingerprint(line, _pattern(attributes)))
        elif name == "param" and self.document.fingerprints:
            self._param(self.document.fingerprints[-1], attributes)

    def _end(self, name: str) -> None:
        if not self.document.fingerprints:
            return
        fingerprint = self.document.fingerprints[-1]
        if name == "description":
            fingerprint.description = " ".join("".join(self._text).split())
        elif name == "example":
            expected = {key: value for key, value in self._attributes.items() if not key.startswith("_")}
            fingerprint.examples.append(Example(self._example_text(), expected))

    def _param(self, fingerprint: Fingerprint, attributes: dict[str, str]) -> None:
        name, position = attributes.get("name", ""), attributes.get("pos", "")
        if not name or not position.isascii() or not position.isdigit():
            raise self._error(f"line {self._parser.CurrentLineNumber}: a param needs a name and a pos")
        if int(position) == 0:
            value = attributes.get("value", "")
            template = Template.parse(value)
            if template is None:
                fingerprint.constants[name] = value
            else:
                fingerprint.templates[name] = template
        else:
            fingerprint.captures[name] = int(position)

    def _example_text(self) -> str:
        text = "".join(self._text)
        if "_filename" in self._attributes:
            name = self._attributes["_filename"]
            file = self._path.parent / self._path.stem / name
            if Path(name).name != name or not file.is_file():
                raise self._error(f"line {self._parser.CurrentLineNumber}: there is no example file {name!r}")
            return _decoded(file.read_bytes())
        if self._attributes.get("_encoding") == "base64":
            try:
                return _decoded(base64.b64decode("".join(text.split()), validate=True))
            except binascii.Error as error:
                raise self._error(f"line {self._parser.CurrentLineNumber}: not base64: {error}") from error
        return text


def _pattern(attributes: dict[str, str]) -> str:
    flags = {_FLAGS.get(flag.strip(), "") for flag in attributes.get("flags", "").split(",")}
    return f"(?m{''.join(sorted(flags))}){attributes.get('pattern', '')}"


def _decoded(raw: bytes) -> str:
    """Bytes as text: UTF-8 where they are that, else a character a byte, which patterns can name as `\\x84`."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
