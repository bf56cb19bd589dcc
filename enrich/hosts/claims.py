"""What hosts say of themselves in every other log: software, systems, names."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from enrich.batch import timed
from enrich.columns import BANNER_LOGS, SOFTWARE_TYPES
from enrich.flows import Pick
from enrich.tally import Tally

_HOST = {"orig": "id.orig_h", "resp": "id.resp_h"}
_BANNER = ("product", "version", "vendor", "os", "os_version", "hostname")
# What stands behind a web server may run on another machine: its product counts, as Zeek counts it, not its system.
_BACKEND, _BACKEND_FIELDS = "http_backend", ("product", "version", "vendor")
_LOGGED = "software"
_UA = ("ua.family", "ua.version", "ua.os", "ua.os_version", "ua.kind")
_SYN = ("syn_ttl", "syn_window", "syn_mss", "syn_wscale", "syn_options")
_VERSION = tuple(f"version.{part}" for part in ("major", "minor", "minor2", "minor3"))
_SOURCES = {kind: source for kind, (_, source) in SOFTWARE_TYPES.items()}
SOFTWARE = ("ip", "port", "source", "product", "version", "vendor", "os", "os_version")
AGENT = ("ip", "family", "version", "os", "os_version", "kind")
SYN = ("ip", "ttl", "window", "mss", "scale", "options")


def reads() -> Mapping[str, frozenset[str]]:
    """The columns of each log that say something of hosts."""
    wanted: dict[str, set[str]] = {
        "http": {"id.orig_h", *_UA, *(f"{_BACKEND}.{name}" for name in _BACKEND_FIELDS)},
        "dhcp": {"assigned_addr", "client_addr", "host_name", "vendor_class", "client_software"},
        "ntlm": {"id.orig_h", "id.resp_h", "hostname", "server_nb_computer_name", "server_dns_computer_name"},
        "snmp": {"id.resp_h", "display_string"},
        _LOGGED: {"host", "host_p", "software_type", "name", "unparsed_version", *_VERSION}
        | {f"{_LOGGED}.{name}" for name in _BANNER},
        "syn": {"id.orig_h", *_SYN},
    }
    for log, prefix in BANNER_LOGS:
        side = "orig" if _of_client(prefix) else "resp"
        fields = {f"{prefix}{name}" for name in _BANNER}
        wanted.setdefault(log, set()).update({_HOST[side], "id.resp_p", *fields})
    wanted["banner"] |= {"service", "direction", "id.orig_h", "id.orig_p"}
    return {log: frozenset(columns | {"ts"}) for log, columns in wanted.items()}


def _of_client(prefix: str) -> bool:
    return prefix.endswith("_client.")


class Claims:
    """Counts what the logs say of hosts, within bounds."""

    def __init__(self, most: int) -> None:
        self.software = Tally(SOFTWARE, most=most, each=200)
        self.agents = Tally(AGENT, most=most, each=200)
        self.names = Tally(("ip", "name"), most=most, each=16)
        self.systems = Tally(("ip", "source", "text"), most=most, each=16)
        self.syns = Tally(SYN, most=most, each=64)

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Count one batch of a log."""
        if "ts" not in frame.columns:
            return
        frame = timed(frame)
        if log == "banner":
            frame = _turned(frame)
        for name, prefix in BANNER_LOGS:
            if name == log:
                self._banner(frame, log, prefix)
        if log == "http":
            behind = {name: f"{_BACKEND}.{name}" for name in _BACKEND_FIELDS}
            backends = _as(frame, {"ip": "id.resp_h", "port": "", **behind}, ("port",), told=("product",))
            self._product(backends.with_columns(pl.lit(_BACKEND).alias("source")))
            agents = dict(zip(AGENT, ("id.orig_h", *_UA), strict=True))
            self.agents.add(_as(frame, agents, told=("family", "os")))
        elif log == "dhcp":
            self._dhcp(frame)
        elif log == "ntlm":
            for ip, name in (
                ("id.orig_h", "hostname"),
                ("id.resp_h", "server_nb_computer_name"),
                ("id.resp_h", "server_dns_computer_name"),
            ):
                self._name(_as(frame, {"ip": ip, "name": name}))
        elif log == "snmp":
            self._system(frame, "snmp", "id.resp_h", "display_string")
        elif log == _LOGGED:
            self._software(frame)
        elif log == "syn":
            shapes = _as(frame, dict(zip(SYN, ("id.orig_h", *_SYN), strict=True)), (*SYN[1:5],))
            self.syns.add(shapes.filter(pl.col("ttl").is_not_null() & pl.col("window").is_not_null()))

    def _banner(self, frame: pl.DataFrame, log: str, prefix: str) -> None:
        client = _of_client(prefix)
        fields = {name: f"{prefix}{name}" for name in _BANNER}
        where = {"ip": _HOST["orig" if client else "resp"], "port": "" if client else "id.resp_p"}
        columns = {**where, "source": "service" if log == "banner" else "", **fields}
        found = _as(frame, columns, ("port",), told=("product", "os", "hostname"))
        service = pl.col("source").str.split(",").list.last() + "_server"
        source = pl.lit(prefix.rstrip(".")) if log != "banner" else pl.coalesce(service, pl.lit("banner"))
        found = found.with_columns(source.alias("source"))
        self._product(found)
        self._name(found.select("ts", "ip", name="hostname"))

    def _product(self, found: pl.DataFrame) -> None:
        missing = (pl.lit(None, pl.String).alias(name) for name in SOFTWARE if name not in found.columns)
        whole = found.with_columns(missing)
        self.software.add(whole.filter(pl.any_horizontal(pl.col("product", "os").is_not_null())))

    def _dhcp(self, frame: pl.DataFrame) -> None:
        addresses = [pl.col(name) for name in ("assigned_addr", "client_addr") if name in frame.columns]
        if not addresses:
            return
        frame = frame.with_columns(pl.coalesce(addresses).alias("ip"))
        self._name(_as(frame, {"ip": "ip", "name": "host_name"}))
        for column in ("vendor_class", "client_software"):
            self._system(frame, "dhcp", "ip", column)

    def _software(self, frame: pl.DataFrame) -> None:
        """What software.log lists: as its text reads here and is called in other logs, else as Zeek has it."""
        parts = [pl.col(name).cast(pl.String) for name in _VERSION if name in frame.columns]
        number = pl.concat_str(parts, separator=".", ignore_nulls=True) if parts else pl.lit(None, pl.String)
        fields = {name: f"{_LOGGED}.{name}" for name in _BANNER}
        where = {"ip": "host", "port": "host_p", "source": "software_type"}
        told = frame.with_columns(pl.when(number != "").then(number).alias("_number"))
        told = _as(
            told, {**where, "name": "name", "number": "_number", "text": "unparsed_version", **fields}, ("port",)
        )
        read = pl.col("product").is_not_null()
        source = pl.col("source").replace_strict(_SOURCES, default=_LOGGED, return_dtype=pl.String)
        served = source.str.ends_with("_server") | (source == _LOGGED)
        backend = source == _BACKEND
        found = told.with_columns(
            source,
            pl.when(served).then("port").alias("port"),
            pl.when(read).then("product").otherwise("name").alias("product"),
            pl.when(read).then("version").otherwise("number").alias("version"),
            *(pl.when(~backend).then(name).alias(name) for name in ("os", "os_version")),
        )
        self._product(found)
        self._name(found.filter(~backend).select("ts", "ip", name="hostname"))
        # A system that the text names as a banner is believed as one, and not a second time.
        self._system(told.filter(pl.col("os").is_null()), _LOGGED, "ip", "text")

    def _name(self, frame: pl.DataFrame) -> None:
        self.names.add(frame.filter(pl.col("name").is_not_null() & (pl.col("name") != "")))

    def _system(self, frame: pl.DataFrame, source: str, ip: str, column: str) -> None:
        if column in frame.columns:
            told = _as(frame, {"ip": ip, "text": column}).with_columns(pl.lit(source).alias("source"))
            self.systems.add(told.filter(pl.col("text").is_not_null()))


def _turned(frame: pl.DataFrame) -> pl.DataFrame:
    """banner.log with the greeting side as responder, also where Zeek took the server for the client."""
    if not {"direction", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p"} <= {*frame.columns}:
        return frame
    swapped = pl.col("direction") == "orig"
    sides = (
        pl.when(swapped).then(f"id.orig_{part}").otherwise(f"id.resp_{part}").alias(f"id.resp_{part}") for part in "hp"
    )
    return frame.with_columns(sides)


def _as(
    frame: pl.DataFrame, columns: Mapping[str, str], numbers: tuple[str, ...] = (), told: tuple[str, ...] = ()
) -> pl.DataFrame:
    """The named columns (null where the log lacks one) and ``ts``, of rows with a host and something of ``told``."""
    kinds = {name: pl.Int64 if name in numbers else pl.String for name in columns}
    chosen = (
        (
            pl.col(column).cast(kinds[name], strict=False) if column in frame.columns else pl.lit(None, kinds[name])
        ).alias(name)
        for name, column in columns.items()
    )
    names = pl.col(columns["ip"]).is_not_null() if columns["ip"] in frame.columns else pl.lit(False)
    if told:
        there = [columns[name] for name in told if columns[name] in frame.columns]
        names &= pl.any_horizontal(pl.col(there).is_not_null()) if there else pl.lit(False)
    return Pick(names, "ts", *chosen)(frame)
