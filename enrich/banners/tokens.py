"""Product tokens: `Apache/2.4.57 (Debian) OpenSSL/3.0.11`, the form of Server and User-Agent in HTTP, RTSP and SIP.

RFC 9110 section 10.2.4 has `product *( RWS ( product / comment ) )` with `product = token ["/" version]`. Real servers
also write spaces into names (`Apache Tomcat/9.0.5`), a space before the version (`Mongrel 1.1.5`), commas between
tokens, and UPnP's `system/version UPnP/1.0 product/version` (UPnP Device Architecture 1.1 section 1.2.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from enrich.banners.guess import guess
from enrich.banners.knowledge import Fields, Knowledge
from enrich.banners.words import COMPONENTS

_MOST_TOKENS = 16
_MOST_NAME = 60  # characters of a name that is still a name
_PROTOCOLS = frozenset(("upnp", "dlnadoc", "http", "dlna", "sip", "rtsp"))
_MARKS = ("(R)", "(r)", "(TM)", "(tm)", "®", "™")


@dataclass(frozen=True, slots=True)
class Token:
    """One product of a header: its name, and its version or ""."""

    name: str
    version: str


def tokens(text: str) -> list[Token]:
    """The product tokens of a header in order, at most 16; comments are left out."""
    for mark in _MARKS:
        if mark in text:
            text = text.replace(mark, "")
    found: list[Token] = []
    name: list[str] = []
    for word in _without_comments(text).replace(",", " , ").replace(";", " ; ").split():
        if len(found) >= _MOST_TOKENS:
            return found
        if word in (",", ";"):
            _push(found, name, "")
        elif "/" in word and word[0] != "/":
            left, _, right = word.partition("/")
            if _is_version(left) and name:
                _push(found, name, word)
            else:
                name.append(left)
                _push(found, name, right)
        elif _is_version(word) and name:
            _push(found, name, word)
        else:
            name.append(word)
    _push(found, name, "")
    return found


def _push(found: list[Token], name: list[str], version: str) -> None:
    joined = " ".join(name)
    name.clear()
    if joined and len(joined) <= _MOST_NAME:
        if version[:1] in ("v", "V") and version[1:2].isdigit() and "." in version:
            version = version[1:]
        found.append(Token(joined, version.removesuffix("-release") if any(map(str.isdigit, version)) else ""))


def _without_comments(text: str) -> str:
    if "(" not in text:
        return text
    kept: list[str] = []
    for number, piece in enumerate(text.split("(")):
        _, closed, rest = piece.rpartition(")")
        kept.append(piece if number == 0 else rest if closed else "")
    return " ; ".join(kept)  # a comment ends its product


def _is_version(word: str) -> bool:
    return word[:1].isdigit() or (word[:1] in ("v", "V") and word[1:2].isdigit())


def parse_tokens(text: str, knowledge: Knowledge, service: str) -> Fields:
    """Product and version of a header: the first known product, else the first token that can be one."""
    candidates = tokens(text)
    upnp = next((i for i, token in enumerate(candidates) if token.name.casefold().endswith("upnp")), None)
    if upnp is not None:
        candidates = candidates[upnp + 1 :]
    for number, token in enumerate(candidates):
        if knowledge.product(token.name) is not None:
            if token.name.casefold() not in COMPONENTS:
                return _fields(token)
            before = (_guessed(other, knowledge) for other in candidates[:number] if other.version)
            return next((fields for fields in before if "product" in fields), _fields(token))
        first = knowledge.product(token.name.partition(" ")[0]) if " " in token.name else None
        if first is not None and len(first.name) > 3 and not number:
            return {"product": first.name}
    found = knowledge.finder(service).find(text.encode("utf-8", "replace"))
    if found is not None:
        known = next((token for token in candidates if found[0].casefold() in token.name.casefold()), None)
        return {"product": found[0]} | ({"version": known.version} if known is not None and known.version else {})
    return next(filter(None, (_guessed(token, knowledge) for token in candidates)), {})


def _guessed(token: Token, knowledge: Knowledge) -> Fields:
    if token.name.casefold() in _PROTOCOLS or not _is_name(token.name) or knowledge.system(token.name) is not None:
        return {}
    return guess(token.name, token.version, knowledge)


def _fields(token: Token) -> Fields:
    return {"product": token.name, "version": token.version} if token.version else {"product": token.name}


def _is_name(name: str) -> bool:
    """Whether a word can be a product: it has letters, and is no address, identifier or sentence."""
    letters = sum(map(str.isalpha, name))
    if letters < 2 or ":" in name or "=" in name:
        return False
    return "." not in name and letters * 2 >= len(name)
