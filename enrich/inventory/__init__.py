"""What a site says it runs: services files, lists of listening sockets, port scans."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Declared:
    """A service that an inventory names: what should answer on a port."""

    host: str | None
    """The host's address as text; None for any host (a services file)."""
    transport: str
    port: int
    name: str | None
    """What the inventory calls the service, in its own words."""
    program: str | None
    """The program or product behind it."""
    source: str
    """``services``, ``listening`` or ``scan``."""
