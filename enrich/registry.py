"""The enrichers in their order: the built-in ones, then third parties' (entry-point group ``enrich.enrichers``).

An entry point names an :class:`enrich.model.Enricher`. An enricher may read what an earlier one added. Columns whose
name begins with ``_`` are evidence for later ones and are not written out.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from enrich import findings, hosts, traffic
from enrich.columns import TYPES
from enrich.enrichers import (
    addresses,
    applications,
    banners,
    behavior,
    community_id,
    networks,
    payload,
    ports,
    sites,
    sizes,
    user_agents,
    verdict,
)
from enrich.errors import ConfigError
from enrich.model import Enricher, RollUp

GROUP = "enrich.enrichers"
BUILT_IN: tuple[Enricher, ...] = (
    addresses.ENRICHER,
    ports.ENRICHER,
    ports.PORT_CLASS,
    behavior.ENRICHER,
    sites.ENRICHER,
    sites.DOMAINS,
    user_agents.ENRICHER,
    *banners.ENRICHERS,
    payload.ENRICHER,
    applications.NAMES,
    applications.PORTS,
    networks.ENRICHER,
    sizes.ENRICHER,
    verdict.ENRICHER,
    community_id.ENRICHER,
)


def third_party() -> list[Enricher]:
    """The enrichers that installed packages offer. Raises ConfigError for one that cannot be used."""
    found: list[Enricher] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            enricher = entry.load()
        except Exception as error:
            raise ConfigError(f"enricher {entry.name} ({entry.value}) cannot be loaded: {error}") from error
        if not isinstance(enricher, Enricher):
            raise ConfigError(f"enricher {entry.name} ({entry.value}) is not an enrich.model.Enricher")
        if any(enricher.name == other.name for other in (*BUILT_IN, *found)):
            raise ConfigError(f"enricher {entry.name} ({entry.value}) is called {enricher.name}, as another one is")
        clash = sorted(set(enricher.columns()) & TYPES.keys())
        if clash:
            raise ConfigError(f"enricher {entry.name} ({entry.value}) adds {clash[0]}, a column of zeek-enrich itself")
        found.append(enricher)
    return found


def enrichers(only: tuple[str, ...] = ()) -> list[Enricher]:
    """All enrichers in their order, or those named (``--only``), with what they read from. Raises ConfigError."""
    every = [*BUILT_IN, *third_party()]
    if not only:
        return every
    unknown = sorted(set(only) - {enricher.name for enricher in every})
    if unknown:
        names = ", ".join(enricher.name for enricher in every)
        raise ConfigError(f"no enricher is called {unknown[0]!r}; there are: {names}")
    return [enricher for enricher in every if enricher.name in only]


ROLL_UPS: tuple[RollUp, ...] = (traffic.ROLL_UP, hosts.ROLL_UP, findings.ROLL_UP)
