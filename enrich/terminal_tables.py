"""Hosts and findings as people see them in a terminal. Nothing from a log reaches the terminal raw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from enrich.terminal import counted, new_table, out, printable, size

Record = Mapping[str, Any]
_COLOURS = {"high": "bold red", "medium": "yellow", "low": "cyan"}
_SHOWN = 12


def _cell(value: object) -> Text:
    return Text("" if value is None else printable(str(value)))


def _indented(text: str, by: int, style: str = "") -> None:
    """A paragraph, indented also where a terminal breaks it; elsewhere one line."""
    console = out()
    if console.is_terminal:
        console.print(Padding(Text(printable(text), style=style), (0, 0, 0, by)))
    else:
        console.print(Text(" " * by + printable(text)))


def hosts(records: Sequence[Record], everybody: bool) -> None:
    """One line a host: address, name, system, services and the busiest applications."""
    console = out()
    own = [record for record in records if record["own"]]
    table = new_table("address", "name", "system", "serves", "uses")
    for record in records if everybody else own:
        table.add_row(
            _cell(record["ip"]),
            _cell(
                next(iter(record["names"]), "").partition(".")[0] if record["own"] else next(iter(record["names"]), "")
            ),
            _cell(_system(record["os"])),
            _cell(_few([_service(service) for service in record["services"]], 5)),
            _cell(_few(_uses(record), 4)),
        )
    console.print(table)
    others = len(records) - len(own)
    if others and not everybody:
        console.print(f"and {counted(others, 'server')} outside (--all lists them)", style="dim")


def host(record: Record) -> None:
    """All that is known of one host."""
    console = out()
    console.print(Text(printable(record["ip"]), style="bold"), Text(printable(", ".join(record["names"][:_SHOWN]))))
    whose = "the site's own" if record["own"] else "outside the site"
    console.print(_cell(f"{record['scope']}, {whose}; seen {_span(record)}"))
    system = record["os"]
    if system is not None:
        sure = "" if system["confidence"] is None else f" (confidence {system['confidence']:.2f})"
        console.print(Text("system ", style="bold"), _cell(_system(system) + sure))
        for item in system["evidence"]:
            _indented(item, 2)
    ports = record.get("ephemeral_ports")
    if ports:
        of = f", as of {ports['system']}" if ports["system"] else ""
        console.print(
            Text("client ports ", style="bold"),
            _cell(f"{ports['low']}-{ports['high']}, {ports['ports']} different{of}"),
        )
    _services(record["services"])
    _applications(record.get("applications", []))
    _software(record.get("software", []))
    _sites(record.get("sites", []))


def _services(services: Sequence[Record]) -> None:
    table = new_table(
        "port", "protocol", "software", "clients", "last seen", right=("port", "clients"), title="\nServes"
    )
    for item in services:
        software = " ".join(filter(None, (item.get("product"), item.get("version"))))
        table.add_row(
            _cell(f"{item['port']}/{item['transport']}"),
            _cell(item.get("protocol") or "unknown"),
            _cell(software),
            _cell(item.get("clients")),
            _cell(_time(item["last_seen"])),
        )
    _show(table)


def _applications(applications: Sequence[Record]) -> None:
    table = new_table("application", "protocol", "category", "flows", "bytes", right=("flows", "bytes"), title="\nUses")
    for item in applications[:_SHOWN]:
        table.add_row(
            _cell(item["name"]),
            _cell(item["protocol"]),
            _cell(item["category"]),
            _cell(f"{item['flows']:,}"),
            _cell(size(item["bytes"])),
        )
    _show(table, len(applications) - _SHOWN)


def _software(software: Sequence[Record]) -> None:
    table = new_table("software", "version", "source", "last seen", title="\nRuns")
    for item in software[: 2 * _SHOWN]:
        table.add_row(
            _cell(item["product"]), _cell(item.get("version")), _cell(item["source"]), _cell(_time(item["last_seen"]))
        )
    _show(table, len(software) - 2 * _SHOWN)


def _sites(sites: Sequence[Record]) -> None:
    table = new_table("site", "category", "contacts", "last seen", right=("contacts",), title="\nCalls")
    for item in sites[:_SHOWN]:
        table.add_row(
            _cell(item["product"]),
            _cell(item["category"]),
            _cell(f"{item['contacts']:,}"),
            _cell(_time(item["last_seen"])),
        )
    _show(table, len(sites) - _SHOWN)


def _show(table: Table, more: int = 0) -> None:
    if table.row_count:
        console = out()
        console.print(table)
        if more > 0:
            console.print(f"and {more:,} more (--json has all)", style="dim")


def findings(records: Sequence[Record]) -> None:
    """One paragraph a finding, the gravest first; then how many there are of each kind."""
    console = out()
    if not records:
        console.print("no findings")
        return
    for record in records:
        severity = record["severity"]
        head = Text.assemble(
            (f"{printable(severity):6} ", _COLOURS.get(severity, "")),
            (printable(record["kind"]), "bold"),
            "  ",
            _parties(record),
        )
        console.print(head)
        _indented(record["summary"], 7)
        for item in record["evidence"]:
            _indented(item, 7, "dim")
        flows = counted(record["flows"], "flow")
        _indented(f"{_span(record)}; {flows}: {_few(record['uids'], 2, record['flows'])}", 7, "dim")
    console.print()
    counts = Counter((record["severity"], record["kind"]) for record in records)
    table = new_table("severity", "kind", "findings", right=("findings",))
    for (severity, kind), count in counts.items():
        table.add_row(Text(printable(severity), style=_COLOURS.get(severity, "")), _cell(kind), _cell(count))
    console.print(table)
    console.print("zeek-enrich explain DIR UID shows the evidence behind a flow", style="dim")


def _parties(record: Record) -> str:
    text = str(record["host"])
    if record["peer"]:
        text += f" with {record['peer']}"
    if record["port"] is not None:
        text += f", port {record['port']}"
    return printable(text)


def _system(system: Record | None) -> str:
    if system is None:
        return ""
    several = system.get("several")
    if several:
        behind = f"several: {', '.join(several)}"
        return f"{system['name']}; behind it {behind}" if system["name"] else behind
    return str(system["name"] or "uncertain")


def _service(service: Record) -> str:
    name = service.get("protocol") or "unknown"
    return f"{name} {service['port']}" + ("/udp" if service["transport"] == "udp" else "")


def _uses(record: Record) -> list[str]:
    return list(dict.fromkeys(item["name"] or item["protocol"] for item in record.get("applications", [])))


def _few(items: Iterable[str], most: int, of: int = 0) -> str:
    """Some of the items, and how many more there are: of those that are listed, or of so many as ``of`` says."""
    every = list(items)
    more = max(len(every), of) - len(every[:most])
    return ", ".join(every[:most]) + (f" and {more:,} more" if more > 0 else "")


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (OverflowError, OSError, ValueError):
        return str(seconds)


def _span(record: Record) -> str:
    first, last = _time(record.get("first_seen", record.get("ts", 0))), _time(record["last_seen"])
    same = first[:10] == last[:10]
    return f"{first} to {last[11:] if same else last} UTC"
