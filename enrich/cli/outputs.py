"""Commands over what a run wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from enrich.cli import parameters
from enrich.process import say


@click.command()
@parameters.output_of_a_run
@click.argument("uid")
@click.option(
    "--config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The site's own tables; without it those that the run used.",
)
def explain(directory: Path, uid: str, config: Path | None) -> None:
    """Show every piece of evidence behind one verdict: DIR is a run's output, UID the flow's uid (or flow_id).

    \b
    Example:
      zeek-enrich explain enriched CBEZBP1aZ3A58ummp9
    """
    from enrich.explain import find
    from enrich.terminal import explanation

    explanation(find(directory, uid, config))


@click.command()
@parameters.output_of_a_run
@click.argument("ip", required=False)
@click.option("--all", "everybody", is_flag=True, help="Also the servers outside the site.")
@parameters.as_json
def hosts(directory: Path, ip: str | None, everybody: bool, as_json: bool) -> None:
    """Show what each host runs, serves and is: DIR is a run's output. With IP, all that is known of one host.

    \b
    Examples:
      zeek-enrich hosts enriched
      zeek-enrich hosts enriched 10.20.1.12
    """
    from enrich import terminal_tables
    from enrich.written import records

    _caution(directory)
    found = [records.host(directory, ip)] if ip else records.read(directory, "hosts")
    if as_json:
        _as_lines(found)
    elif ip:
        terminal_tables.host(found[0])
    else:
        terminal_tables.hosts(found, everybody)


@click.command()
@parameters.output_of_a_run
@click.option("--kind", metavar="KIND", help="Only this kind, e.g. port_contradiction.")
@parameters.as_json
def findings(directory: Path, kind: str | None, as_json: bool) -> None:
    """Show what deserves a look, the gravest first: DIR is a run's output.

    \b
    Examples:
      zeek-enrich findings enriched
      zeek-enrich findings enriched --json | jq .summary
    """
    from enrich import terminal_tables
    from enrich.errors import ConfigError
    from enrich.findings import kinds
    from enrich.tables import Tables
    from enrich.written import records

    if kind is not None and kind not in (known := kinds(Tables())):
        raise ConfigError(f"--kind: no finding is called {kind!r}; there are: {', '.join(known)}")
    _caution(directory)
    found = [record for record in records.read(directory, "findings") if kind in (None, record["kind"])]
    if as_json:
        _as_lines(found)
    else:
        terminal_tables.findings(found)


@click.command()
@parameters.output_of_a_run
@click.option(
    "--services", multiple=True, metavar="FILE", help="What ports are called, e.g. /etc/services; repeatable."
)
@click.option(
    "--listening",
    multiple=True,
    metavar="[ADDRESS=]FILE",
    help="What a host listens on: ss -tulpn or netstat -an, and whose it is if the list does not tell; repeatable.",
)
@click.option("--scan", multiple=True, metavar="FILE", help="What a port scan found: nmap -oX; repeatable.")
@parameters.as_json
@parameters.config
def reconcile(
    directory: Path,
    services: tuple[str, ...],
    listening: tuple[str, ...],
    scan: tuple[str, ...],
    as_json: bool,
    config: Path | None,
) -> None:
    """Compare what hosts declare and listen on with what a run saw them serve: DIR is a run's output.

    Says which services nobody declared, which declared ones were never seen, and which speak another protocol than
    their name. Looks at the hosts that the lists and scans are about; without these, at all private ones. A services
    file says what ports are called, not what runs: what only it names is not missed, and the ports are counted.

    \b
    Examples:
      zeek-enrich reconcile enriched --services /etc/services
      ss -tulpn > ss.txt
      zeek-enrich reconcile enriched --listening 192.0.2.10=ss.txt
      nmap -sV -oX scan.xml 192.0.2.0/24
      zeek-enrich reconcile enriched --scan scan.xml --json
    """
    from enrich import configuration
    from enrich.reconcile import Inventory, compare
    from enrich.written.services import services as seen_in

    if not (services or listening or scan):
        raise click.UsageError("name what to compare with: --services, --listening or --scan")
    if "" in (*services, *scan, *(name.rpartition("=")[2] for name in listening)):
        raise click.UsageError("the name of a file is empty")
    tables, inventory = configuration.load(config), Inventory()
    for name in services:
        inventory.add_services(Path(name))
    for name in listening:
        address, equals, path = name.rpartition("=")
        inventory.add_listening(Path(path), [address] if equals else [], tables)
    for name in scan:
        inventory.add_scan(Path(name))
    for note in inventory.notes:
        say(note)
    _caution(directory)
    report = compare(inventory, seen_in(directory), tables)
    if as_json:
        _as_lines([report.records()])
        return
    from enrich.terminal_reconcile import reconciliation

    reconciliation(report)


def _caution(directory: Path) -> None:
    """Say what to know before what a run wrote is believed."""
    from enrich.written import records

    if (caveat := records.caveat(directory)) is not None:
        say(caveat)


def _as_lines(records: Iterable[Mapping[str, Any]]) -> None:
    import json

    for record in records:
        click.echo(json.dumps(record, ensure_ascii=True))


COMMANDS = (explain, hosts, findings, reconcile)
