"""Networks that organisations run for their own applications: which application an address in one of them is."""

from __future__ import annotations

from enrich.errors import TableError
from enrich.model import Resources
from enrich.prefixes import Prefixes

FOLDER = "networks"


def load(resources: Resources) -> Prefixes:
    """Application by address, once a run; the site's own prefixes (``[tables] networks``) come first."""
    return resources.shared("application networks", lambda: _load(resources))


def _load(resources: Resources) -> Prefixes:
    rows = resources.folder(FOLDER).select("prefix", "application")
    if rows.null_count().sum_horizontal().item():
        raise TableError(f"{FOLDER}: every row needs a prefix and an application")
    try:
        return Prefixes(rows.iter_rows())
    except TableError as error:
        raise TableError(f"{FOLDER}: {error}") from error
