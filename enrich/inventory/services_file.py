"""Services files, such as /etc/services: a name, a port and its transport, other names (services(5))."""

from __future__ import annotations

import re
from collections.abc import Iterator

from enrich.inventory import Declared

_LINE = re.compile(r"\s*([!-\"$-~]+)\s+([0-9]{1,5})/(tcp|udp|sctp|dccp)\b", re.ASCII)


def parse(text: str) -> Iterator[Declared]:
    """The services of a file, in its order; comments and lines of another form are passed over."""
    for line in text.splitlines():
        found = _LINE.match(line)
        if found and int(found[2]) <= 0xFFFF:
            yield Declared(None, found[3], int(found[2]), found[1], None, "services")
