"""Port scans: nmap's XML (``nmap -oX``, nmap.dtd)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

from enrich.errors import SourceError
from enrich.inventory import Declared

_CHUNK = 1 << 16
_TEXT = 200
"""Characters of a name or product to keep."""


class _Scan:
    """Collects open ports while the XML goes by; memory grows with what is open, not with the file."""

    def __init__(self) -> None:
        self.found: list[Declared] = []
        self.hosts: list[str] = []
        self.is_nmap = False
        self._up = True
        self._addresses: list[str] = []
        self._port: tuple[str, int] | None = None
        self._open = False
        self._service: Mapping[str, str] = {}
        self._ports: list[tuple[str, int, str | None, str | None]] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        """An element begins."""
        if name == "nmaprun":
            self.is_nmap = True
        elif name == "host":
            self._up, self._addresses, self._ports = True, [], []
        elif name == "status":
            self._up = attributes.get("state") != "down"
        elif name == "address" and attributes.get("addrtype") in ("ipv4", "ipv6"):
            with suppress(ValueError):
                self._addresses.append(str(ip_address(attributes.get("addr", ""))))
        elif name == "port":
            number = attributes.get("portid", "")
            valid = number.isdecimal() and len(number) <= 5 and int(number) <= 0xFFFF
            self._port = (attributes.get("protocol", "").lower()[:8], int(number)) if valid else None
            self._open, self._service = False, {}
        elif name == "state" and self._port is not None:
            self._open = attributes.get("state") == "open"
        elif name == "service" and self._port is not None:
            self._service = attributes

    def end(self, name: str) -> None:
        """An element ends."""
        if name == "port" and self._port is not None:
            if self._open:
                self._ports.append((*self._port, *_service(self._service)))
            self._port = None
        elif name == "host" and self._up:
            self.hosts += self._addresses
            self.found += [
                Declared(address, transport, port, service, product, "scan")
                for address in self._addresses
                for transport, port, service, product in self._ports
            ]


def _service(attributes: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The service's name, and what nmap found behind it. Names that nmap only looked up by port are left out."""
    product = " ".join(filter(None, (attributes.get("product"), attributes.get("version"))))[:_TEXT] or None
    name = attributes.get("name")
    if name is None or attributes.get("method") != "probed":
        return None, product
    # nmap sees through TLS: the service is what it found within.
    return ("https" if name == "http" else "ssl") if attributes.get("tunnel") == "ssl" else name[:_TEXT], product


class Scan(NamedTuple):
    """The open ports of a scan, the addresses of the hosts that were up, and whether it ran to its end."""

    found: list[Declared]
    hosts: list[str]
    whole: bool


def parse(path: Path) -> Scan:
    """Read a scan; one that was interrupted ends in the middle, and what it found until then counts.

    Raises SourceError for what is not nmap's XML. Entities of the file's own are refused: no scan has any.
    """
    scan, whole = _Scan(), True
    parser = expat.ParserCreate()

    def refuse(*_: object) -> int:
        raise SourceError(f"{path}: declares XML entities; nmap writes none")

    def doctype(_: str, system: str | None, public: str | None, has_internal_subset: int) -> None:
        if has_internal_subset or system is not None or public is not None:
            refuse()

    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.StartElementHandler = scan.start
    parser.EndElementHandler = scan.end
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    except expat.ExpatError as error:
        if not scan.is_nmap:
            raise SourceError(f"{path}: is not nmap's XML (nmap -oX): {error}") from error
        whole = False
    if not scan.is_nmap:
        raise SourceError(f"{path}: is not nmap's XML (nmap -oX)")
    return Scan(scan.found, scan.hosts, whole)
