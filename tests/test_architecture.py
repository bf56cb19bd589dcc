"""Dependencies point one way, each thing has one home, and one column name has one type everywhere."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from enrich import registry
from enrich.columns import COLUMNS, TYPES
from enrich.model import Enricher

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "enrich"

# From the bottom up. A module may import from any layer below its own, and from its own unless that is APART.
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "errors",
        "model",
        "batch",
        "icmp",
        "ip_numbers",
        "json_texts",
        "keyed",
        "machine",
        "names",
        "options",
        "progress",
        "runs",
        "scratch",
        "sha1",
        "workers",
    ),
    ("dns_answers", "protocol_sets", "tally", "texts"),
    ("columns", "fingerprints", "mmdb", "prefixes"),
    ("tables",),
    # What is known: mapping tables as objects.
    (
        "applications",
        "banners",
        "domain_lists",
        "inferences",
        "inventory",
        "logs",
        "networks",
        "payload",
        "ports",
        "systems",
    ),
    ("flows",),
    ("verdict",),
    ("enrichers", "sources", "shapes", "sinks"),
    ("flow_states", "ftp_replies", "ip_protocols", "survey", "hosts", "findings", "traffic"),
    ("registry",),
    ("configuration", "engine", "report", "state"),
    ("file_pass", "first_pass", "written"),
    ("pipeline", "frames", "lookups", "explain", "checks", "exports", "docs", "reconcile"),
    ("captures",),
    ("terminal", "terminal_tables", "terminal_reconcile"),
    ("process",),
    ("cli",),
)
APART = ("enrichers", "sinks")
"""Packages whose modules never import one another."""

HOMES = {
    "click": ("cli",),
    "rich": ("terminal", "terminal_tables", "terminal_reconcile"),
    "pandas": ("frames",),
    "zat": (),
}
"""Where a library may be imported; one that is not named may be anywhere."""


def modules() -> dict[str, ast.Module]:
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix("__init__").rstrip("."): ast.parse(
            path.read_text("utf-8")
        )
        for path in PACKAGE.rglob("*.py")
    }


MODULES = modules()


def imported(tree: ast.Module) -> Iterator[str]:
    """Dotted names of what a module imports, also inside functions; not what is only imported for types."""
    skipped = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own(tree: ast.Module) -> set[str]:
    """Our own modules among the imports."""
    found = set()
    for name in imported(tree):
        parts = name.split(".")
        if parts[0] == "enrich":
            for end in (len(parts), len(parts) - 1):
                if (module := ".".join(parts[1:end])) in MODULES:
                    found.add(module)
                    break
    return found - {""}


def layer(module: str) -> int:
    top = module.partition(".")[0]
    places = [number for number, names in enumerate(LAYERS) if top in names]
    assert places, f"{module} is in no layer: say in tests/test_architecture.py where it belongs"
    return places[0]


@pytest.mark.parametrize("module", sorted(set(MODULES) - {""}))
def test_a_module_imports_from_below(module: str) -> None:
    for other in own(MODULES[module]):
        assert layer(other) <= layer(module), f"{module} imports {other}, which is above it"
        package, theirs = module.partition(".")[0], other.partition(".")[0]
        if package == theirs and package in APART:
            assert other == package, f"{module} imports {other}: modules of {package} stand alone"


def test_no_module_imports_itself_in_a_circle() -> None:
    edges = {module: own(tree) for module, tree in MODULES.items()}
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, f"a circle: {' -> '.join((*path, module))}"
        if module not in done:
            for other in sorted(edges[module]):
                visit(other, (*path, module))
            done.add(module)

    for module in MODULES:
        if module:
            visit(module, ())


def test_the_model_imports_nothing_local() -> None:
    assert own(MODULES["model"]) == own(MODULES["errors"]) == set()


def test_libraries_keep_to_their_homes() -> None:
    for module, tree in MODULES.items():
        for name in imported(tree):
            homes = HOMES.get(name.partition(".")[0])
            assert homes is None or module.partition(".")[0] in homes, f"{module} imports {name}"


def test_enrichers_do_no_input_or_output() -> None:
    for module, tree in MODULES.items():
        if not module.startswith("enrichers."):
            continue
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = {call.id for call in calls if isinstance(call, ast.Name)}
        methods = {call.attr for call in calls if isinstance(call, ast.Attribute)}
        assert "open" not in names, module
        assert not {"read_text", "read_bytes", "write_text", "write_bytes"} & methods, module


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_modules_are_short(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= 450, "a module of more than about 400 lines is asking to be two"


def test_a_column_is_named_once_and_never_below_a_field_of_zeeks() -> None:
    names = [column.name for column in COLUMNS]
    assert len(names) == len(set(names))
    for name in names:
        assert name == name.lower()
        assert name.isidentifier() or all(part.isidentifier() for part in name.split("."))
    zeek = {"client", "server", "service", "id", "host", "user_agent", "version", "orig_h", "note", "query", "path"}
    assert not {name.partition(".")[0] for name in names if "." in name} & zeek
    for shorter, longer in pairwise(sorted(names)):
        assert not longer.startswith(f"{shorter}."), f"{longer} is below {shorter}"


def added() -> list[tuple[Enricher, str, pl.DataType | type[pl.DataType]]]:
    return [
        (enricher, use.prefix + name, kind)
        for enricher in registry.BUILT_IN
        for use in enricher.uses
        for name, kind in enricher.adds.items()
        if not (use.prefix + name).startswith("_")
    ]


def test_every_column_of_an_enricher_is_in_the_vocabulary_with_its_type() -> None:
    for enricher, name, kind in added():
        assert name in TYPES, f"{enricher.name} adds {name}, which columns.py does not name"
        assert TYPES[name] == kind, f"{enricher.name} adds {name} as {kind}; columns.py says {TYPES[name]}"


def test_no_two_enrichers_add_one_column_to_one_log() -> None:
    seen: dict[tuple[str, str], str] = {}
    for enricher in registry.BUILT_IN:
        for use in enricher.uses:
            for log in use.logs:
                for name in enricher.adds:
                    first = seen.setdefault((log, use.prefix + name), enricher.name)
                    assert first == enricher.name, f"{first} and {enricher.name} add {use.prefix + name} to {log}"


def test_the_pieces_of_a_use_fit_together() -> None:
    for enricher in registry.BUILT_IN:
        for use in enricher.uses:
            assert len(use.columns) == len(enricher.keys), enricher.name
        for table in enricher.tables:
            assert (ROOT / "mappings" / table).exists(), f"{enricher.name} names {table}"
