"""A site's configuration (``--config``): read, and refused where a section or key is one that nobody reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

from enrich import registry
from enrich.errors import ConfigError, meant
from enrich.tables import Tables

SECTIONS: Mapping[str, Collection[str] | None] = {
    "tables": None,  # names of tables, which are checked as they are read
    "databases": None,  # any names, each for a file
    "domain_lists": ("directory", "lists"),
    "networks": ("local",),
    "recog": ("directory", "first"),
}
"""What may stand in a configuration: sections with their keys (None: keys of the site's choice)."""


def load(path: Path | None) -> Tables:
    """The mapping tables with those of a site's configuration over them.

    Raises ConfigError naming the file, and the section or key that nothing installed reads.
    """
    tables = Tables.load(path)
    if path is None:
        return tables
    known = {**SECTIONS, **{name: keys for item in registry.third_party() for name, keys in item.settings.items()}}
    for section, settings in tables.config.items():
        if section not in known:
            raise ConfigError(f"{path}: [{section}]: there is no such section; {meant(section, known)}")
        keys = known[section]
        if keys is None:
            continue
        for key in settings:
            if key not in keys:
                raise ConfigError(f"{path}: {section}.{key}: there is no such key; {meant(key, keys)}")
    if not isinstance(tables.settings("recog").get("first", False), bool):
        raise ConfigError(f"{path}: recog.first: expected true or false, without quotes")
    return tables
