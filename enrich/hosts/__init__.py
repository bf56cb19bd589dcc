"""Host profiles: what each host runs, serves and is. The roll-up behind ``hosts.ndjson`` and ``zeek-enrich hosts``.

The site's own hosts are profiled in full; others, as far as they serve, in a few fields. Memory is bounded by hosts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import polars as pl

from enrich.banners.knowledge import Knowledge
from enrich.flows import CONN, Border, border
from enrich.hosts.claims import Claims, reads
from enrich.hosts.flows import Flows
from enrich.hosts.profiles import Profiles
from enrich.model import Accumulator, Resources, RollUp
from enrich.systems import Systems
from enrich.systems import load as load_systems
from enrich.tally import Tally

OWN, OTHERS = 100_000, 20_000
"""So many of the site's own hosts, and so many services of others, are kept; of what is listed of hosts, twice OWN."""


class Hosts:
    """What is known of hosts so far."""

    def __init__(self, border: Border, systems: Systems, knowledge: Callable[[], Knowledge]) -> None:
        self.flows = Flows(border, OWN, OTHERS)
        self.claims = Claims(2 * OWN)
        self.systems = systems
        self.knowledge = knowledge

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Take in one batch of any log."""
        if log == "conn":
            self.flows.add(frame)
        else:
            self.claims.add(log, frame)

    @property
    def notes(self) -> list[str]:
        """What the bounds on memory left out."""
        flows, claims = self.flows, self.claims
        bounded = {
            "hosts of the site's own": flows.hosts,
            "services of the site's own hosts": flows.services,
            "services outside": flows.other_services,
            "applications": flows.applications,
            "sites": flows.sites,
            "software": claims.software,
            "User-Agents": claims.agents,
        }
        return [f"hosts: {_more_than(tally, what)}" for what, tally in bounded.items() if tally.cut]

    def results(self) -> Iterable[Mapping[str, Any]]:
        """One record a host: the site's own by address, then the others."""
        profiles = Profiles(self.flows, self.claims, self.systems, self.knowledge)
        return profiles.records()


def _more_than(tally: Tally, what: str) -> str:
    of_one = "" if tally.each is None else f", or {tally.each:,} of one host,"
    return f"more than {tally.most:,} {what}{of_one} came; those seen least were left out"


def _start(resources: Resources) -> Accumulator:
    def knowledge() -> Knowledge:
        return resources.shared("banner knowledge", lambda: Knowledge(resources.path("banners")))

    return Hosts(border(resources), load_systems(resources), knowledge)


ROLL_UP = RollUp(
    name="hosts",
    doc="What each host is, runs, serves and uses: system, services, applications, software, sites, client ports.",
    reads={"conn": CONN, **reads()},
    start=_start,
)
