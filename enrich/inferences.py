"""What a port of an organisation's own network stands for, where network or port alone say less."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from enrich.errors import TableError
from enrich.model import Resources

TABLE = "inferences.csv"
COLUMNS = ("network", "port", "last_port", "transport", "protocol", "application")
TRANSPORTS = frozenset({"tcp", "udp", "sctp"})


class Inference(NamedTuple):
    """What is inferred; at least one of the two is known."""

    protocol: str | None
    application: str | None


class Inferences:
    """Inferences by network, transport and port: rows of a network first, then rows for any; in the table's order."""

    def __init__(self, rows: Iterable[tuple[str | None, ...]]) -> None:
        """``rows`` in the order of COLUMNS. Raises TableError for a bad one."""
        self._rules: dict[tuple[str | None, str], list[tuple[int, int, Inference]]] = {}
        for row in rows:
            network, first, last, transports, protocol, application = row
            named = (transports or "").split("+")
            if not TRANSPORTS.issuperset(named):
                raise TableError(f"{TABLE}: {_shown(row)}: transport is one of {', '.join(sorted(TRANSPORTS))}")
            low, high = _port(first), _port(last or first)
            if low is None or high is None or low > high:
                raise TableError(f"{TABLE}: {_shown(row)}: not a range of ports")
            if protocol is None and application is None:
                raise TableError(f"{TABLE}: {_shown(row)}: neither protocol nor application")
            for transport in named:
                rules = self._rules.setdefault((network, transport), [])
                rules.append((low, high, Inference(protocol, application)))

    def find(self, network: str | None, transport: str | None, port: int | None) -> Inference | None:
        """What a server's port stands for; ``network``: the application whose own network the server lies in."""
        if transport is None or port is None:
            return None
        for place in (network, None) if network is not None else (None,):
            for low, high, inference in self._rules.get((place, transport), ()):
                if low <= port <= high:
                    return inference
        return None


def load(resources: Resources) -> Inferences:
    """The inferences, once a run; the site's own rows (``[tables] "inferences.csv"``) come first."""
    return resources.shared("inferences", lambda: Inferences(resources.csv(TABLE).select(COLUMNS).iter_rows()))


def _port(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() and len(text) <= 5 and 0 < int(text) < 65536 else None


def _shown(row: tuple[str | None, ...]) -> str:
    return ",".join(cell or "" for cell in row)
