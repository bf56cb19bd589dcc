"""An enricher of a third party: connections to the site's own servers say who owns them and how much they matter.

The site's list is a CSV table with the columns `network,owner,criticality`, where `network` is an address or a prefix
of either family; the longest prefix wins. The configuration names it:

    [assets]
    file = "assets.csv"
"""

from __future__ import annotations

import ipaddress
from pathlib import Path

import polars as pl

from enrich.errors import ConfigError
from enrich.model import Enricher, Resources, Use, Work

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Asset = tuple[str | None, str | None]

CRITICALITIES = ("low", "medium", "high", "crown_jewel")
ADDS = {"owner": pl.String, "criticality": pl.String}


def prepare(resources: Resources) -> Work:
    """Read the site's list; the work looks up each distinct address. Raises ConfigError for a list that is wrong."""
    path = resources.setting_path("assets", "file")
    assets = {} if path is None else read(path)
    lengths = sorted({(network.version, network.prefixlen) for network in assets}, reverse=True)

    def asset(text: str | None) -> Asset:
        try:
            address = ipaddress.ip_address(text or "")
        except ValueError:
            return None, None
        for version, length in lengths:
            if version == address.version:
                network = ipaddress.ip_network((address, length), strict=False)
                if network in assets:
                    return assets[network]
        return None, None

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        return pl.DataFrame([asset(address) for address in keys["address"]], schema=ADDS, orient="row")

    return work


def read(path: Path) -> dict[Network, Asset]:
    """The site's list: owner and criticality by network."""
    try:
        table = pl.read_csv(path, comment_prefix="#", infer_schema=False).select("network", "owner", "criticality")
        assets: dict[Network, Asset] = {ipaddress.ip_network(row[0]): row[1:] for row in table.iter_rows()}
    except (pl.exceptions.PolarsError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error
    for network, (_, criticality) in assets.items():
        if criticality not in CRITICALITIES:
            raise ConfigError(f"{path}: {network}: criticality is one of {', '.join(CRITICALITIES)}")
    return assets


ENRICHER = Enricher(
    name="assets",
    doc="Owner and criticality of the responder, from the site's own list of servers.",
    keys={"address": pl.String},
    adds=ADDS,
    uses=(Use(logs=("conn",), columns=("id.resp_h",), prefix="asset."),),
    prepare=prepare,
    settings={"assets": ("file",)},
)
