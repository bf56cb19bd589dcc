"""Mapping tables and the site's configuration: the one implementation of :class:`enrich.model.Resources`.

A shipped table lies under ``mappings/`` (inside the wheel: ``enrich/mappings/``). A site lays its own tables over the
shipped ones with ``[tables]`` in its configuration; a site's rows come first, and in every table the first row that
speaks about a key wins.
"""

from __future__ import annotations

import io
import ipaddress
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar

import polars as pl

from enrich.errors import ConfigError, EnrichError, TableError, meant
from enrich.mmdb import Database

T = TypeVar("T")
_HERE = Path(__file__).resolve().parent
MAPPINGS = _HERE / "mappings" if (_HERE / "mappings").is_dir() else _HERE.parent / "mappings"

_KEYS = {
    "sites": ("domain", "category"),
    "networks": ("prefix", "application"),
    "ports/in_use.csv": ("port", "transport", "name"),
    "ports/iana.csv": ("port", "transport", "name"),
    "ports/care.csv": ("port", "transport", "group", "note"),
    "addresses/special.csv": ("prefix", "scope"),
    "inferences.csv": ("port", "transport"),
    "refinements.csv": ("observed", "port", "transport", "protocol"),
}
"""Columns that no row of a site's own table may leave empty."""


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdecimal() and int(text) <= 65535


def _is_prefix(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


_Form = tuple[str | Callable[[str], bool], str]
"""What a text is like, as a pattern or a test, and what was expected of one that is not."""
_PORT: _Form = (_is_port, "expected a port, from 0 to 65535")
_PREFIX: _Form = (_is_prefix, "expected a network and no address in it, such as 198.51.100.0/24")
_PORTS: Mapping[str, _Form] = {
    "port": _PORT,
    "last_port": _PORT,
    "transport": (
        r"(tcp|udp|sctp|dccp)(\+(tcp|udp|sctp|dccp))*",
        "expected tcp, udp, sctp or dccp, or such as tcp+udp",
    ),
}
_FORMS: Mapping[str, Mapping[str, _Form]] = {
    "sites": {"domain": (r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?", "expected a domain, such as example.org")},
    "networks": {"prefix": _PREFIX},
    "addresses/special.csv": {"prefix": _PREFIX},
    **dict.fromkeys(("ports/in_use.csv", "ports/iana.csv", "ports/care.csv", "inferences.csv"), _PORTS),
    "refinements.csv": {"port": _PORT, "transport": (r"tcp|udp|sctp|dccp", "expected tcp, udp, sctp or dccp")},
}
"""What a site's own values have to look like, since others would never match."""

LAID_OVER = (
    *("addresses/special.csv", "applications", "banners", "behavior.toml", "evidence.toml", "findings.toml"),
    *("inferences.csv", "inventory.toml", "logs.csv", "networks", "payload", "ports/care.csv", "ports/iana.csv"),
    *("ports/in_use.csv", "refinements.csv", "sites", "sizes.csv", "systems.toml", "user_agents"),
    *("user_agents/families.csv", "user_agents/limits.csv", "user_agents/releases.csv", "user_agents/systems.csv"),
)
"""Tables, and folders of tables as one, that a site may lay its own over."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a table's facts come from: who says so, under which licence, as of when."""

    source: str
    licence: str
    date: str


@dataclass(slots=True)
class Tables:
    """The mapping tables with a site's own laid over them. Read on first use, then kept."""

    config: Mapping[str, Any] = field(default_factory=dict)
    config_path: Path | None = None
    root: Path = MAPPINGS
    _cache: dict[str, Any] = field(default_factory=dict)
    _lock: RLock = field(default_factory=RLock)

    @classmethod
    def load(cls, config: Path | None) -> Tables:
        """Read a site's configuration file (TOML). Raises ConfigError naming file and reason."""
        if config is None:
            return cls()
        try:
            settings = tomllib.loads(config.read_text("utf-8"))
        except OSError as error:
            raise ConfigError(f"{config}: {error.strerror or error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{config}: not valid TOML: {error}") from error
        for section, value in settings.items():
            if not isinstance(value, dict):
                raise ConfigError(f"{config}: {section}: expected a section such as [tables]")
        for name in settings.get("tables", {}):
            if name not in LAID_OVER:
                raise ConfigError(f"{config}: tables.{name}: no such table to lay over; {meant(name, LAID_OVER)}")
        return cls(config=settings, config_path=config)

    def settings(self, section: str) -> Mapping[str, Any]:
        """Return a section of the site's configuration; empty if there is none."""
        value: Mapping[str, Any] = self.config.get(section, {})
        return value

    def setting_path(self, section: str, key: str) -> Path | None:
        """Return a path named in the configuration, relative to the configuration file. Raises ConfigError."""
        value = self.settings(section).get(key)
        if value is None:
            return None
        if not isinstance(value, str):
            raise ConfigError(f"{self.config_path}: {section}.{key}: expected a path in quotes")
        path = (self.config_path.parent if self.config_path else Path()) / value
        if not path.exists():
            raise ConfigError(f"{self.config_path}: {section}.{key}: no such file or folder: {value}")
        return path

    def path(self, name: str) -> Path:
        """Return where ``mappings/<name>`` lies."""
        return self.root / name

    def names(self, folder: str, suffix: str) -> list[str]:
        """Return the names of the tables of a folder, sorted, e.g. ``sites/antivirus.csv``."""
        return sorted(f"{folder}/{path.name}" for path in (self.root / folder).glob(f"*{suffix}"))

    def csv(self, name: str) -> pl.DataFrame:
        """Return the CSV table ``mappings/<name>``, the site's own rows first; all strings, empty cells null."""
        return self.shared(name, lambda: self._laid_over(name, read_csv(self.root / name)))

    def folder(self, name: str) -> pl.DataFrame:
        """Return all CSV tables of the folder ``mappings/<name>`` as one, the site's own rows first."""

        def build() -> pl.DataFrame:
            shipped = [read_csv(self.root / table) for table in self.names(name, ".csv")]
            return self._laid_over(name, pl.concat(shipped, how="diagonal"))

        return self.shared(name, build)

    def toml(self, name: str) -> dict[str, Any]:
        """Return the TOML table ``mappings/<name>``, the site's own values in the place of the shipped ones."""

        def build() -> dict[str, Any]:
            table = read_toml(self.root / name)
            for path in reversed(self.overlays(name)):
                for section, values in read_toml(path).items():
                    known = table.get(section)
                    if not isinstance(known, dict) or not isinstance(values, dict):
                        raise TableError(f"{path}: {section}: no such section; there are: {', '.join(table)}")
                    unknown = sorted(set(values) - set(known))
                    if unknown and section != "table":
                        raise TableError(f"{path}: {section}.{unknown[0]}: no such key; there are: {', '.join(known)}")
                    for key, value in values.items() if section != "table" else ():
                        if not _is_like(value, known[key]):
                            raise TableError(f"{path}: {section}.{key}: expected {_kind(known[key])}")
                    table[section] = {**known, **values}
            return table

        return self.shared(name, build)

    def overlays(self, name: str) -> list[Path]:
        """Return the site's own files for a table or folder (``[tables]`` in the configuration)."""
        paths: list[Path] = []
        value = self.settings("tables").get(name, [])
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, str):
                raise ConfigError(f"{self.config_path}: tables.{name}: expected a path in quotes, or a list of them")
            path = (self.config_path.parent if self.config_path else Path()) / item
            if not path.is_file():
                raise ConfigError(f"{self.config_path}: tables.{name}: no such file: {item}")
            paths.append(path)
        return paths

    def shared(self, name: str, build: Callable[[], T]) -> T:
        """Build something once and keep it. Raises TableError where a site's own tables are malformed."""
        with self._lock:
            if name not in self._cache:
                with self.blamed():
                    self._cache[name] = build()
            value: T = self._cache[name]
            return value

    @contextmanager
    def blamed(self) -> Iterator[None]:
        """What fails here fails because of the site's own tables, if it has any: raise TableError."""
        try:
            yield
        except EnrichError:
            raise
        except Exception as error:
            own = ", ".join(self.settings("tables"))
            if not own:
                raise
            reason = (str(error) or repr(error)).splitlines()[0]
            raise TableError(f"{self.config_path}: a table for {own} is malformed: {reason}") from error

    def _laid_over(self, name: str, shipped: pl.DataFrame) -> pl.DataFrame:
        own = []
        for path in self.overlays(name):
            frame = read_csv(path)
            unknown = sorted(set(frame.columns) - set(shipped.columns))
            if unknown:
                raise TableError(
                    f"{path}: unknown column {unknown[0]!r}; expected some of: {', '.join(shipped.columns)}"
                )
            for column in _KEYS.get(name, ()):
                if column not in frame.columns:
                    raise TableError(f"{path}: there is no column {column}; every row needs one")
                if frame[column].null_count():
                    line = _line_of_row(path, int(frame[column].is_null().arg_max() or 0))
                    raise TableError(f"{path}, line {line}: every row needs a value in column {column}")
            for column, (form, expected) in _FORMS.get(name, {}).items():
                wrong = _wrong(frame[column], form) if column in frame.columns else pl.Series([False])
                if wrong.any():
                    row = int(wrong.arg_max() or 0)
                    raise TableError(f"{path}, line {_line_of_row(path, row)}: {frame[column][row]!r}: {expected}")
            own.append(frame)
        return pl.concat([*own, shipped], how="diagonal")


def read_csv(path: Path) -> pl.DataFrame:
    """Read a CSV table: ``#`` comment lines, a header row, then rows; all strings, empty cells null."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error
    body = "".join(f"{line}\n" for line in text.split("\n") if _is_content(line))
    if not body.strip():
        raise TableError(f"{path}: no header row; the first row that is not a comment must name the columns")
    try:
        return pl.read_csv(io.StringIO(body), infer_schema=False, null_values=[""])
    except pl.exceptions.PolarsError as error:
        raise TableError(f"{path}: {str(error).splitlines()[0]}") from error


def _is_content(line: str) -> bool:
    return bool(line) and not line.startswith("#")


def _line_of_row(path: Path, row: int) -> int:
    """Where a row stands in its file, comments and empty lines counted; both from the first, row 0 and line 1."""
    lines = [number for number, line in enumerate(path.read_text("utf-8").split("\n"), 1) if _is_content(line)]
    return lines[row + 1]


def _wrong(values: pl.Series, form: str | Callable[[str], bool]) -> pl.Series:
    """Which values are not of a form; null is none of them."""
    if isinstance(form, str):
        return ~values.str.contains(f"^(?:{form})$")
    return pl.Series([value is not None and not form(value) for value in values], dtype=pl.Boolean)


def _is_like(value: object, known: object) -> bool:
    """Whether a value is of the kind of the one whose place it takes."""
    if isinstance(known, dict):
        return isinstance(value, dict) and all(
            key in known and _is_like(item, known[key]) for key, item in value.items()
        )
    if isinstance(known, list):
        return isinstance(value, list) and all(not known or any(_is_like(item, one) for one in known) for item in value)
    return _kind(value) == _kind(known)


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, dict):
        return f"a section of {', '.join(value)}"
    if isinstance(value, list):
        return f"a list, such as {value[:2]}" if value else "a list"
    return "a number" if isinstance(value, (int, float)) else "a text"


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML table."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error


def provenance(path: Path) -> Source:
    """Return the source, licence and date that a table names. Raises TableError if one is missing."""
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path}: cannot be read: {error}") from error
    if path.suffix == ".toml":
        found = {key: str(value) for key, value in _first_section(path, text).items()}
    else:
        pairs = (re.match(r"# (source|licence|date): *(.+)", line) for line in text.split("\n", 40)[:40])
        found = {pair[1]: pair[2] for pair in pairs if pair}
    missing = {"source", "licence", "date"} - found.keys()
    if missing:
        raise TableError(f"{path}: does not name its {', '.join(sorted(missing))}")
    return Source(found["source"], found["licence"], found["date"])


def _first_section(path: Path, text: str) -> dict[str, Any]:
    """The ``[table]`` section alone: a table may be long, and this is read of all of them at the end of every run."""
    section = re.search(r"^\[table\]\s*$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    try:
        return tomllib.loads(section[1]) if section else {}
    except tomllib.TOMLDecodeError as error:
        raise TableError(f"{path}: [table]: {error}") from error


def tables_used(tables: Tables) -> list[dict[str, str]]:
    """The shipped tables with their dates, then the site's own, for the record of a run."""
    shipped = sorted(path for pattern in ("*.csv", "*.toml") for path in tables.root.rglob(pattern))
    used = [{"table": path.relative_to(tables.root).as_posix(), "date": _date(path)} for path in shipped]
    own = [path for name in tables.settings("tables") for path in tables.overlays(name)]
    used += [{"table": path.name, "date": "the site's own"} for path in own]
    named = (tables.setting_path("databases", key) for key in tables.settings("databases"))
    return used + [{"table": path.name, "date": _built(path)} for path in named if path is not None]


def _date(path: Path) -> str:
    try:
        return provenance(path).date
    except TableError:
        return "unknown"


def _built(path: Path) -> str:
    try:
        return Database(path).built
    except ConfigError:  # damaged since it was read
        return "unknown"
