"""ICMP messages that answer one another (RFC 792, 950, 1256; for IPv6 RFC 2710, 4443, 4620, 4861, 6275).

Zeek writes a message's type as the originator's port and, as the responder's, the type of its answer, or its code
where nothing answers it. Community ids are made of the same two numbers.
"""

from __future__ import annotations

_PAIRS = ((8, 0), (10, 9), (13, 14), (15, 16), (17, 18))
_PAIRS6 = ((128, 129), (130, 131), (133, 134), (135, 136), (139, 140), (144, 145))

ANSWERS = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
"""The type of an ICMP message and of the one that answers it, both ways."""

ANSWERS6 = {a: b for pair in _PAIRS6 for a, b in (pair, pair[::-1])}
"""The same of ICMPv6."""
