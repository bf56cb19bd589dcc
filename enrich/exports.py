"""The sites tables for programs that watch live: Zeek's input and Intel frameworks, Suricata's datasets.

Each export is a few files, written whole or not at all, so that a program that reads them again on a change never
sees half a file.
"""

from __future__ import annotations

import base64
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from enrich.enrichers import sites
from enrich.errors import ConfigError
from enrich.model import Resources
from enrich.sinks.files import Folder

_SID = 9_000_000
_SIDS = 900_000
"""Rules are numbered within this range, by what they match, so that a rule keeps its number from export to export."""


@dataclass(frozen=True, slots=True)
class Site:
    """A domain (it stands for all names below it too), what kind of site it is, and whose."""

    domain: str
    category: str
    product: str | None


Files = Iterator[tuple[str, str]]


def sites_of(resources: Resources, categories: Collection[str] = ()) -> list[Site]:
    """All sites, or those of some categories, by domain; the first row that names a domain counts.

    Raises ConfigError for a category that no table has.
    """
    known = [Site(domain, *value) for domain, value in sorted(sites.load(resources).by_domain.items())]
    unknown = sorted(set(categories) - {site.category for site in known})
    if unknown:
        there = ", ".join(sorted({site.category for site in known}))
        raise ConfigError(f"no site is of category {unknown[0]!r}; there are: {there}")
    return [site for site in known if not categories or site.category in categories]


def write(target: str, chosen: Sequence[Site], out: Path) -> list[Path]:
    """Write sites for ``zeek``, ``intel`` or ``suricata`` into a folder; the files written. Raises OutputError."""
    folder = Folder(out)
    try:
        files = []
        for name, text in TARGETS[target](chosen):
            file = folder.open(PurePosixPath(name))
            file.write(text.encode())
            files.append(file)
        for file in files:
            file.commit()
        return [file.path for file in files]
    finally:
        folder.discard()


def _zeek(chosen: Sequence[Site]) -> Files:
    rows = [f"{site.domain}\t{site.category}\t{site.product or '-'}\n" for site in chosen]
    yield "sites.tsv", "".join(["#fields\tdomain\tcategory\tproduct\n", *rows])


def _intel(chosen: Sequence[Site]) -> Files:
    rows = [f"{site.domain}\tIntel::DOMAIN\tzeek-enrich\t{_description(site)}\n" for site in chosen]
    yield "sites.intel", "".join(["#fields\tindicator\tindicator_type\tmeta.source\tmeta.desc\n", *rows])


def _description(site: Site) -> str:
    return f"{site.category}: {site.product}" if site.product else site.category


# Suricata's protocol, the buffer that holds the name, and whether it comes as the client wrote it.
_BUFFERS = (
    ("dns", "dns.query", True),
    ("tls", "tls.sni", True),
    ("http", "http.host", False),
    ("quic", "quic.sni", True),
)


def _suricata(chosen: Sequence[Site]) -> Files:
    """A dataset for each category and number of labels, and a rule for each of them and each buffer.

    A dataset knows whole strings only; so a rule takes as many labels from the end of the name as its dataset's
    domains have. Where a name is of a site and of another site within it, the rules of both fire.
    """
    sets: dict[tuple[str, int], list[str]] = defaultdict(list)
    for site in chosen:
        sets[site.category, site.domain.count(".") + 1].append(site.domain)
    rules, numbers = [], set[int]()
    for (category, labels), domains in sorted(sets.items()):
        name = f"sites-{category}-{labels}"
        yield f"{name}.lst", "".join(base64.b64encode(domain.encode()).decode() + "\n" for domain in domains)
        size = 1 << max(len(domains) - 1, 64).bit_length()
        dataset = f"dataset:isset,{name},type string,load {name}.lst,hashsize {size}"
        for protocol, buffer, as_written in _BUFFERS:
            number = _SID + zlib.crc32(f"{name} {protocol}".encode()) % _SIDS
            while number in numbers:
                number += 1
            numbers.add(number)
            fold = "to_lowercase; " if as_written else ""
            ending = r"([^.]+" + r"\.[^.]+" * (labels - 1) + r")\.?$"
            rules.append(
                f'alert {protocol} any any -> any any (msg:"site {category} ({buffer})"; {buffer}; {fold}'
                f'pcrexform:"{ending}"; {dataset}; metadata:site_category {category}; sid:{number}; rev:1;)\n'
            )
    yield "sites.rules", "".join(rules)


TARGETS: dict[str, Callable[[Sequence[Site]], Files]] = {"zeek": _zeek, "intel": _intel, "suricata": _suricata}
