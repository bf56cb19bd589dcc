"""Lists of sockets: what ``ss -tulpn`` (Linux) and ``netstat -an`` (Linux, BSD, macOS, Windows) print.

They differ in columns and in how an address and a port are joined, but each line of a socket begins with its
transport (``ss`` leaves it away when asked for one transport only) and holds two endpoints, the local one first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv6Address, ip_address

from enrich.inventory import Declared

Address = IPv4Address | IPv6Address
Ports = Callable[[str, str], int | None]
"""The port that a service name stands for, by name and transport."""

_TRANSPORT = re.compile(r"(tcp|udp|sctp|dccp)(?:4|6|46|64|l|l6)?", re.IGNORECASE)
_LISTENING = frozenset({"listen", "listening", "unconn"})
_PROGRAM = re.compile(r'users:\(\("([^"]{1,64})"|\b[0-9]+/([^\s/]{1,64})(?:\s|$)')
_WINDOWS_PROGRAM = re.compile(r"\s*\[([^\]\s]{1,64})\]\s*$")
_ANY = frozenset({"*", "0.0.0.0", "::", ""})


@dataclass(slots=True)
class Sockets:
    """The sockets of one host's list."""

    listening: list[Declared] = field(default_factory=list)
    """Without a host where the socket takes every address."""
    addresses: set[Address] = field(default_factory=set)
    """The host's own addresses, as far as its sockets name them; not those of its loopback."""
    unknown: set[str] = field(default_factory=set)
    """Service names that no table knows; run the program with -n."""


@dataclass(frozen=True, slots=True)
class _Endpoint:
    address: Address | None
    port: str


def parse(text: str, ports: Ports) -> Sockets:
    """Read a list of sockets; what is no socket line (titles, UNIX sockets) is passed over."""
    found = Sockets()
    with_transport, named = True, True
    for line in text.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] in ("State", "Netid"):  # the title of ss
            with_transport = words[0] == "Netid"
            continue
        # `netstat -b` of Windows names the program in a line of its own, below the socket.
        program = _WINDOWS_PROGRAM.match(line)
        if program is not None:
            if not named:
                found.listening[-1] = replace(found.listening[-1], program=program[1])
            named = True
            continue
        transport = _transport(words, with_transport)
        if transport is not None:
            before = len(found.listening)
            _add(found, transport, line, words, ports)
            named = len(found.listening) == before
    return found


def _transport(words: list[str], with_transport: bool) -> str | None:
    found = _TRANSPORT.fullmatch(words[0])
    if found is not None:
        return found[1].lower()
    if not with_transport and words[0] in ("LISTEN", "UNCONN", "ESTAB"):
        return "udp" if words[0] == "UNCONN" else "tcp"
    return None


def _add(found: Sockets, transport: str, line: str, words: list[str], ports: Ports) -> None:
    endpoints = [endpoint for word in words[1:] if (endpoint := _endpoint(word)) is not None][:2]
    if not endpoints:
        return
    local = endpoints[0]
    if local.address is not None and not local.address.is_loopback and not local.address.is_multicast:
        found.addresses.add(local.address)
    waits = bool({word.strip("()").lower() for word in words[1:]} & _LISTENING)
    if not waits:  # states are words of the user's language in Windows, and UDP has none: who it talks to tells
        peer = endpoints[1] if len(endpoints) > 1 else _Endpoint(None, "*")
        waits = peer.address is None and peer.port in ("*", "0")
    if not waits or local.port == "*":
        return
    port = int(local.port) if local.port.isdecimal() else ports(local.port, transport)
    if port is None or port > 0xFFFF:
        found.unknown.add(local.port)
        return
    program = _PROGRAM.search(line)
    host = None if local.address is None else str(local.address)
    name = (program[1] or program[2].rstrip(":")) if program else None
    found.listening.append(Declared(host, transport, port, None, name, "listening"))


def _endpoint(word: str) -> _Endpoint | None:
    """An address and a port, joined by a colon or (BSD, macOS) by a dot; None for any other word."""
    for separator in ":.":
        address, found, port = word.rpartition(separator)
        if not found or not re.fullmatch(r"\*|[0-9]{1,5}|[A-Za-z][A-Za-z0-9_+-]*", port):
            continue
        address = address.partition("%")[0].strip("[]")
        if address in _ANY:
            return _Endpoint(None, port)
        try:
            return _Endpoint(_plain(ip_address(address)), port)
        except ValueError:
            continue
    return None


def _plain(address: Address) -> Address:
    """An IPv4 address written as IPv6 (``::ffff:192.0.2.1``), as itself."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address


def placed(sockets: Sockets, hosts: Iterable[str]) -> list[Declared]:
    """The listening sockets with their hosts: those that take every address stand for each of the host's addresses.

    Sockets of the loopback are left out: nobody sees them from outside.
    """
    out = []
    for socket in sockets.listening:
        if socket.host is None:
            out += [replace(socket, host=host) for host in hosts]
        elif not ip_address(socket.host).is_loopback:
            out.append(socket)
    return out
