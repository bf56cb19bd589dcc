"""``zeek-enrich check``: every mapping table validated, its provenance read, its embedded examples run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from enrich import applications, banners, fingerprints, inferences, logs, networks, payload
from enrich.banners.knowledge import Knowledge
from enrich.engine import Engine
from enrich.enrichers import sites
from enrich.enrichers.banners import FOLDER as BANNERS
from enrich.enrichers.ports import CARE
from enrich.errors import ConfigError, EnrichError, TableError, meant
from enrich.inferences import Inferences
from enrich.ip_numbers import ip_numbers
from enrich.logs import Logs
from enrich.mmdb import Database
from enrich.names import host_name
from enrich.ports import IN_USE, REGISTRY, expand
from enrich.prefixes import Prefixes
from enrich.tables import Tables, provenance, read_csv, read_toml

_ASKED = ("1.1.1.1", "8.8.8.8", "2001:4860:4860::8888")
VALUE_OF_PREFIX = {"addresses": "scope", networks.FOLDER: "application"}


@dataclass(frozen=True, slots=True)
class Result:
    """One table: what was found in it, or what is wrong with it."""

    table: str
    found: str = ""
    problem: str | None = None


def check_tables(tables: Tables, names: tuple[str, ...] = (), recog: Path | None = None) -> Iterator[Result]:
    """Check the tables whose name begins with one of ``names``, and the site's own over them; without, all there is.

    All there is includes the site's databases, and everything together, as a run loads it. The shipped ones are
    checked as they are shipped: what a site's own say instead is no fault of theirs. Raises ConfigError for a name that
    no table's begins with, before anything is checked.
    """
    known = sorted({*_shipped(tables)})
    for wanted in names:
        if not any(name.startswith(wanted) for name in known):
            folders = sorted({name.partition("/")[0] + "/" for name in known if "/" in name})
            near = meant(wanted, [*known, *folders]).partition("there are: ")[0]
            top = [*folders, *(name for name in known if "/" not in name)]
            raise ConfigError(f"check: no table is called {wanted!r}; {near}there are: {', '.join(top)}")
    chosen = [name for name in known if not names or any(name.startswith(wanted) for wanted in names)]
    shipped = Tables(root=tables.root) if tables.config else tables
    for name in chosen:
        yield _checked(name, shipped.path(name), name, shipped)
    for name in tables.settings("tables"):
        if not names or any(one == name or one.startswith(f"{name}/") for one in chosen):
            for path in tables.overlays(name):
                yield _checked(str(path), path, name, tables)
    if tables.config and not names:
        yield _together(tables)
    for name in tables.settings("databases") if not names else ():
        yield _database(name, tables)
    if recog is not None:
        from enrich.banners.recog import check_recog

        yield from (Result(item.table, item.found, item.problem) for item in check_recog(recog))


def _together(tables: Tables) -> Result:
    """Load everything as a run does, the site's own tables over the shipped ones."""
    label = f"{tables.config_path}: all together"
    try:
        engine = Engine(tables)
        for log in {log for enricher in engine.enrichers for use in enricher.uses for log in use.logs}:
            engine.prepare(log)
        return Result(label, f"{len(engine.enrichers)} enrichers")
    except EnrichError as error:
        return Result(label, problem=str(error))


def _database(name: str, tables: Tables) -> Result:
    """Open a database of the site's own, and ask it."""
    try:
        database = Database(tables.setting_path("databases", name) or Path())
        database.of(ip_numbers(pl.Series(_ASKED)))
        return Result(str(database.path), f"database {database.kind}; {database.built}")
    except ConfigError as error:
        return Result(f"databases.{name}", problem=str(error))


def _shipped(tables: Tables) -> list[str]:
    files = [path for pattern in ("*.csv", "*.toml") for path in tables.root.rglob(pattern)]
    return [path.relative_to(tables.root).as_posix() for path in files]


def _checked(label: str, path: Path, name: str, tables: Tables) -> Result:
    try:
        found = _check(path, name, tables)
        return Result(label, f"{found}; {provenance(path).date}" if path == tables.path(name) else found)
    except TableError as error:
        return Result(label, problem=str(error))
    except Exception as error:  # whatever a malformed table does to the code that reads it
        return Result(label, problem=f"malformed: {type(error).__name__}: {str(error).splitlines()[0]}")


def _check(path: Path, name: str, tables: Tables) -> str:
    """Check a table as what ``name``, a shipped table or folder, is."""
    found = _check_own(path)
    folder = name.partition("/")[0]
    if folder == "sites":
        found = f"{found}, {_examples(_rows(path, name, tables), tables)} examples"
    elif name in (IN_USE, REGISTRY, CARE):
        found = f"{expand(_rows(path, name, tables), str(path)).height:,} ports"
    elif folder == applications.FOLDER:
        found = _check_applications(path, tables)
    elif folder == payload.FOLDER:
        signatures = payload.read(path)
        found = f"{len(signatures)} signatures, {payload.load(tables).check(signatures)} examples"
    elif folder == BANNERS and path.suffix == ".toml":
        knowledge = tables.shared("banner knowledge", lambda: Knowledge(tables.path(BANNERS)))
        found = "{} rules, {} examples".format(*banners.check_table(path, knowledge))
    elif name == logs.TABLE:
        found = f"{Logs.of(_rows(path, name, tables).select('log', 'fields').iter_rows()).check()} sets of fields"
    elif name == inferences.TABLE:
        Inferences(_rows(path, name, tables).select(inferences.COLUMNS).iter_rows())
    elif folder in VALUE_OF_PREFIX:
        Prefixes(_rows(path, name, tables).select("prefix", VALUE_OF_PREFIX[folder]).iter_rows())
    return found


def _rows(path: Path, name: str, tables: Tables) -> pl.DataFrame:
    """The rows of a table; a site's own may leave out columns of the shipped one."""
    own = read_csv(path)
    if path == tables.path(name):
        return own
    shipped = tables.folder(name) if tables.path(name).is_dir() else tables.csv(name)
    return pl.concat([own, shipped.clear()], how="diagonal")


def _check_own(path: Path) -> str:
    if path.suffix == ".csv":
        return f"{read_csv(path).height:,} rows"
    table = read_toml(path)
    if "fingerprint" in table:
        rules = fingerprints.load(path)
        return f"{len(rules.rules)} rules, {rules.check()} examples"
    return f"{sum(len(value) for value in table.values() if isinstance(value, (list, dict)))} entries"


def _examples(frame: pl.DataFrame, tables: Tables) -> int:
    """Look up each row's example, which a site's own table may do without; the number of examples."""
    known = sites.load(tables)
    given = frame.select("domain", "category", "product", "example").drop_nulls("example")
    for domain, category, product, example in given.iter_rows():
        folded = host_name(example)
        got = known.find(folded) if folded else None
        if got is None or got[0] != domain or got[1] != (category, product):
            raise TableError(f"{domain}: example {example!r} gives {got}")
    return given.height


def _check_applications(path: Path, tables: Tables) -> str:
    catalogue = applications.load(tables)
    entries = read_toml(path).get("application", [])
    for entry in entries:
        if entry.keys() & {"domains", "keywords", "patterns", "user_agents", "certificates"} and not entry.get(
            "examples"
        ):
            raise TableError(f"{path}: {entry['name']}: has no example")
        for example in entry.get("examples", ()):
            found = catalogue.application_of_example(example)
            if found != entry["name"]:
                raise TableError(f"{path}: {entry['name']}: example {example!r} gives {found}")
    return f"{len(read_toml(path).get('protocol', []))} protocols, {len(entries)} applications"
