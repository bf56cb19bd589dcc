"""``zeek-enrich check``: every mapping table validated, its provenance read, its embedded examples run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from enrich import applications, banners, fingerprints, inferences, networks, payload
from enrich.banners.knowledge import Knowledge
from enrich.enrichers import sites
from enrich.enrichers.banners import FOLDER as BANNERS
from enrich.enrichers.ports import CARE
from enrich.errors import TableError
from enrich.inferences import Inferences
from enrich.names import host_name
from enrich.prefixes import Prefixes
from enrich.services import IN_USE, REGISTRY, expand
from enrich.tables import Tables, provenance, read_csv, read_toml

VALUE_OF_PREFIX = {"addresses": "scope", networks.FOLDER: "application"}


@dataclass(frozen=True, slots=True)
class Result:
    """One table: what was found in it, or what is wrong with it."""

    table: str
    found: str = ""
    problem: str | None = None


def check_tables(tables: Tables, names: tuple[str, ...] = (), recog: Path | None = None) -> Iterator[Result]:
    """Check the tables whose name begins with one of ``names`` (all, if none), the site's own included."""
    known = sorted({*_shipped(tables)})
    chosen = [name for name in known if not names or any(name.startswith(wanted) for wanted in names)]
    for wanted in names:
        if not any(name.startswith(wanted) for name in known):
            yield Result(wanted, problem=f"no such table; there are: {', '.join(known)}")
    for name in chosen:
        yield _checked(name, lambda name=name: _check(name, tables))  # type: ignore[misc]
    if not names:
        for folder in ("sites", applications.FOLDER, networks.FOLDER, inferences.TABLE, IN_USE, REGISTRY, CARE):
            for path in tables.overlays(folder):
                yield _checked(str(path), lambda path=path: _check_own(path))  # type: ignore[misc]
    if recog is not None:
        from enrich.banners.recog import check_recog

        yield from (Result(item.table, item.found, item.problem) for item in check_recog(recog))


def _shipped(tables: Tables) -> list[str]:
    files = [path for pattern in ("*.csv", "*.toml") for path in tables.root.rglob(pattern)]
    return [path.relative_to(tables.root).as_posix() for path in files]


def _checked(name: str, check: Callable[[], str]) -> Result:
    try:
        return Result(name, check())
    except TableError as error:
        return Result(name, problem=str(error))


def _check(name: str, tables: Tables) -> str:
    path = tables.path(name)
    source = provenance(path)
    found = _check_own(path)
    folder = name.partition("/")[0]
    if folder == "sites":
        found = f"{found}, {_examples(read_csv(path), tables)} examples"
    elif name in (IN_USE, REGISTRY, CARE):
        found = f"{expand(read_csv(path), name).height:,} ports"
    elif folder == applications.FOLDER:
        found = _check_applications(path, tables)
    elif folder == payload.FOLDER:
        signatures = payload.read(path)
        found = f"{len(signatures)} signatures, {payload.load(tables).check(signatures)} examples"
    elif folder == BANNERS and path.suffix == ".toml":
        knowledge = tables.shared("banner knowledge", lambda: Knowledge(path.parent))
        found = "{} rules, {} examples".format(*banners.check_table(path, knowledge))
    elif name == inferences.TABLE:
        Inferences(read_csv(path).select(inferences.COLUMNS).iter_rows())
    elif folder in VALUE_OF_PREFIX:
        Prefixes(read_csv(path).select("prefix", VALUE_OF_PREFIX[folder]).iter_rows())
    return f"{found}; {source.date}"


def _check_own(path: Path) -> str:
    if path.suffix == ".csv":
        return f"{read_csv(path).height:,} rows"
    table = read_toml(path)
    if "fingerprint" in table:
        rules = fingerprints.load(path)
        return f"{len(rules.rules)} rules, {rules.check()} examples"
    return f"{sum(len(value) for value in table.values() if isinstance(value, (list, dict)))} entries"


def _examples(frame: pl.DataFrame, tables: Tables) -> int:
    known = sites.load(tables)
    for domain, category, product, example in frame.select("domain", "category", "product", "example").iter_rows():
        folded = host_name(example)
        got = known.find(folded) if folded else None
        if got is None or got[0] != domain or got[1] != (category, product):
            raise TableError(f"{domain}: example {example!r} gives {got}")
    return frame.height


def _check_applications(path: Path, tables: Tables) -> str:
    catalogue = applications.load(tables)
    entries = read_toml(path).get("application", [])
    for entry in entries:
        if entry.keys() & {"domains", "keywords", "patterns", "user_agents"} and not entry.get("examples"):
            raise TableError(f"{path}: {entry['name']}: has no example")
        for example in entry.get("examples", ()):
            if example.startswith("ua:"):
                found = catalogue.application_of_agent(example.removeprefix("ua:"))
            else:
                found, _ = catalogue.application_of(host_name(example) or "") or (None, None)
            if found != entry["name"]:
                raise TableError(f"{path}: {entry['name']}: example {example!r} gives {found}")
    return f"{len(read_toml(path).get('protocol', []))} protocols, {len(entries)} applications"
