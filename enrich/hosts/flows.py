"""What connections tell of hosts: services, applications, subsidiary sites, names, client ports."""

from __future__ import annotations

import polars as pl

from enrich.flows import NO_HOST, Border, Pick, among, pick
from enrich.tally import Distinct, Extremes, Tally

# What is named in a proxy's flows are the servers behind it.
_PROXIES = ("http_proxy", "socks")
# Ports of a connection's data alone, not services.
_TRANSIENT = ("ftp_data", "tftp")
_SERVICE = ("ip", "port", "transport", "protocol")


class Flows:
    """Counts conn batches. The site's own hosts in full, others as servers only; both within bounds."""

    def __init__(self, border: Border, own: int, others: int) -> None:
        self.border = border
        self.hosts = Tally(("ip", "scope"), most=own)
        self.services = Tally(_SERVICE, ("confidence",), most=2 * own, each=500)
        self.applications = Tally(
            ("ip", "protocol", "name", "category"), ("bytes", "confidence"), most=2 * own, each=1000
        )
        self.sites = Tally(("ip", "category", "product"), most=2 * own, each=1000)
        self.names = Tally(("ip", "name"), most=2 * own, each=16)
        self.clients = Distinct(("ip", "port", "transport"), "client", values=False)
        self.client_ports = Distinct(("ip",), "port", size=64)
        self.port_extremes = Extremes(("ip",), "port", most=own)
        self.other_services = Tally((*_SERVICE, "scope"), ("confidence",), most=others, each=50)
        self.other_names = Tally(("ip", "name"), most=others, each=4)
        self._by_pick = {
            "orig": (self.hosts,),
            "resp": (self.hosts,),
            "applications": (self.applications,),
            "sites": (self.sites,),
            "ports": (self.client_ports, self.port_extremes),
            "services": (self.services, self.clients),
            "other_services": (self.other_services,),
            "names": (self.names,),
            "other_names": (self.other_names,),
        }

    def add(self, frame: pl.DataFrame) -> None:
        """Count one conn batch."""
        flows = self.border.flows(frame)
        if flows is None:
            return
        found = zip(_PICKS, pick(flows, *_PICKS.values()), strict=True)
        for name, rows in found:
            for tally in self._by_pick[name]:
                tally.add(rows)


def _picks() -> dict[str, Pick]:
    """What is counted of flows."""
    tcp, udp, opened, own = pl.col("_tcp"), pl.col("_udp"), pl.col("_open"), pl.col("_resp_own")
    announced = (udp & among(pl.col("resp.scope"), NO_HOST)).fill_null(False)
    spoken = pl.col("_orig_own") & (opened | announced)
    named = pl.col("app.protocol").is_not_null() | pl.col("app.name").is_not_null()
    application = {"protocol": "app.protocol", "name": "app.name", "category": "app.category"}
    site = {"category": "site.category", "product": "site.product"}
    from_port = pl.col("_orig_own") & tcp & pl.col("_oriented") & (pl.col("id.orig_p") >= 1024)
    known = pl.col("_observed") | (udp & pl.col("app.asserted").is_not_null()) | (tcp & pl.col("_oriented"))
    transient = (pl.col("id.resp_p") >= 1024) & among(pl.col("app.protocol"), _TRANSIENT).fill_null(False)
    served = opened & (tcp | udp) & known & ~transient & pl.col("id.resp_p").is_not_null()
    service = {"ip": "id.resp_h", "port": "id.resp_p", "transport": "proto", "protocol": "app.protocol"}
    service["confidence"] = "app.confidence"
    proxied = among(pl.col("port.service"), _PROXIES).fill_null(False)
    told = served & pl.col("resp.name").is_not_null() & ~proxied
    return {
        "orig": Pick(pl.col("_orig_own"), "ts", ip="id.orig_h", scope="orig.scope"),
        "resp": Pick(own & opened, "ts", ip="id.resp_h", scope="resp.scope"),
        "applications": Pick(spoken & named, "ts", "bytes", ip="id.orig_h", confidence="app.confidence", **application),
        "sites": Pick(spoken & pl.col("site.category").is_not_null(), "ts", ip="id.orig_h", **site),
        "ports": Pick(from_port, ip="id.orig_h", port="id.orig_p"),
        "services": Pick(served & own, "ts", client="id.orig_h", **service),
        "other_services": Pick(served & ~own, "ts", scope="resp.scope", **service),
        "names": Pick(told & own, "ts", ip="id.resp_h", name="resp.name"),
        "other_names": Pick(told & ~own, "ts", ip="id.resp_h", name="resp.name"),
    }


_PICKS = _picks()
