"""What a name that no table knows can still say, told from words that only look like the name of software.

A token with a version (`Foo/1.2`) names a product by the grammar of its protocol. Alone, or in free text, a word is as
often a host name, a maker's name, a model or a greeting, so it says nothing. A maker in front (`Citrix Web PN Server`)
is split off as the vendor, and what is left can be a model.
"""

from __future__ import annotations

from enrich.banners.knowledge import Fields, Knowledge
from enrich.banners.words import is_generic
from enrich.fingerprints import Pattern

_LONGEST = 40  # characters of a name
_MOST_WORDS = 4  # of a name after its maker
_VERSION = Pattern(r"^[vVrR]?\d[\w.+~:-]*(?: \S+)?$")
_MODEL = Pattern(r"^[A-Z]{1,8}[a-z]?-?\d[\w-]*$")
_WORD = Pattern(r"^[A-Za-z][\w.+'&-]*$")
_IDENTIFIER = Pattern(r"(?i)^(?:[0-9a-f]{6,}|[a-z]{1,3}\d{3,}\w*|x+)$")


def guess(name: str, version: str, knowledge: Knowledge) -> Fields:
    """Product, vendor or hardware that an unknown name with `version` ("" for none) stands for; often nothing."""
    if not name or len(name) > _LONGEST:
        return {}
    vendor, rest = knowledge.split_vendor(name)
    found = {"vendor": vendor} if vendor else {}
    if vendor and _is(_MODEL, rest):
        return _model(vendor, rest, version)
    words = (rest.replace("-", " ").replace("_", " ") if vendor else rest).split()
    while words and not vendor and is_generic(words[-1]):
        words.pop()
    if not words or len(words) > (_MOST_WORDS if vendor else 1) or not all(_is(_WORD, word) for word in words):
        return found
    unlikely = not _is(_VERSION, version) if version else not vendor or any(map(str.isdigit, rest))
    product = " ".join(words)
    if unlikely or len(product) < 2 or is_generic(product) or _is(_IDENTIFIER, product):
        return found
    found["product"] = product
    return {**found, "version": version} if version else found


def _model(vendor: str, model: str, version: str) -> Fields:
    """A maker and a model: what has a version there is the firmware."""
    found = {"hardware": f"{vendor} {model}"}
    return {**found, "os_vendor": vendor, "os_version": version} if _is(_VERSION, version) else found


def _is(pattern: Pattern, text: str) -> bool:
    return pattern.found(text.encode("utf-8", "replace"))
