"""What connections tell of hosts: services, applications, subsidiary sites, names, client ports."""

from __future__ import annotations

import polars as pl

from enrich.flows import NO_HOST, Border, among, pick
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

    def add(self, frame: pl.DataFrame) -> None:
        """Count one conn batch."""
        flows = self.border.flows(frame)
        if flows is not None:
            self._hosts(flows)
            self._clients(flows)
            self._servers(flows)

    def _hosts(self, flows: pl.DataFrame) -> None:
        for side, there in (("orig", pl.col("_orig_own")), ("resp", pl.col("_resp_own") & pl.col("_open"))):
            self.hosts.add(pick(flows, there, "ts", ip=f"id.{side}_h", scope=f"{side}.scope"))

    def _clients(self, flows: pl.DataFrame) -> None:
        announced = (pl.col("proto") == "udp") & among(pl.col("resp.scope"), NO_HOST)
        spoken = pl.col("_orig_own") & (pl.col("_open") | announced.fill_null(False))
        named = pl.col("app.protocol").is_not_null() | pl.col("app.name").is_not_null()
        self.applications.add(
            pick(
                flows,
                spoken & named,
                "ts",
                "bytes",
                ip="id.orig_h",
                protocol="app.protocol",
                name="app.name",
                category="app.category",
                confidence="app.confidence",
            )
        )
        called = spoken & pl.col("site.category").is_not_null()
        self.sites.add(pick(flows, called, "ts", ip="id.orig_h", category="site.category", product="site.product"))
        chosen = pl.col("_orig_own") & (pl.col("proto") == "tcp") & pl.col("_oriented") & (pl.col("id.orig_p") >= 1024)
        ports = pick(flows, chosen, ip="id.orig_h", port="id.orig_p")
        self.client_ports.add(ports)
        self.port_extremes.add(ports)

    def _servers(self, flows: pl.DataFrame) -> None:
        tcp, udp = pl.col("proto") == "tcp", pl.col("proto") == "udp"
        known = pl.col("_observed") | (udp & pl.col("app.asserted").is_not_null()) | (tcp & pl.col("_oriented"))
        transient = among(pl.col("app.protocol"), _TRANSIENT).fill_null(False) & (pl.col("id.resp_p") >= 1024)
        served = flows.with_columns((pl.col("_open") & (tcp | udp) & known & ~transient).alias("_served"))
        service = {"ip": "id.resp_h", "port": "id.resp_p", "transport": "proto", "protocol": "app.protocol"}
        service["confidence"] = "app.confidence"
        own = pl.col("_served") & pl.col("_resp_own")
        others = pl.col("_served") & ~pl.col("_resp_own")
        found = pick(served, own, "ts", client="id.orig_h", **service)
        self.services.add(found)
        self.clients.add(found)
        self.other_services.add(pick(served, others, "ts", scope="resp.scope", **service))
        proxied = among(pl.col("port.service"), _PROXIES).fill_null(False)
        for tally, there in ((self.names, own), (self.other_names, others)):
            named = there & pl.col("resp.name").is_not_null() & ~proxied
            tally.add(pick(served, named, "ts", ip="id.resp_h", name="resp.name"))
