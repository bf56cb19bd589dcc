"""Commands over what the tool knows: its enrichers and its tables."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from enrich.cli import parameters
from enrich.machine import let_interrupt
from enrich.process import EXIT_SOME


@click.command()
@click.argument("what", nargs=-1, required=True, metavar="port|banner|ua|site|ip [SERVICE] VALUE")
@parameters.config
def lookup(what: tuple[str, ...], config: Path | None) -> None:
    """Look one thing up in the tables. With - for VALUE: one value a line in, one JSON object a line out.

    What the tables do not know has no values. A malformed VALUE is wrong usage; on standard input it gets an object
    with its error, and the exit status is 1 in the end.

    \b
    Examples:
      zeek-enrich lookup port 22/tcp
      zeek-enrich lookup banner ssh 'SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3'
      zeek-enrich lookup ua 'curl/8.5.0'
      zeek-enrich lookup site update.eset.com
      zeek-enrich lookup ip 198.41.0.4
      cut -f2 hosts.txt | zeek-enrich lookup ip -
    """
    import json

    from enrich import configuration
    from enrich.lookups import KINDS, look_up
    from enrich.sources.discover import shown
    from enrich.terminal import printable, record

    kind, *rest = what
    if kind not in KINDS or len(rest) != (2 if kind == "banner" else 1):
        forms = [f"{name} SERVICE VALUE" if name == "banner" else f"{name} VALUE" for name in KINDS]
        raise click.UsageError(f"{printable(' '.join(what))}: expected {', '.join(forms[:-1])} or {forms[-1]}")
    tables = configuration.load(config)
    value = shown(rest[-1])
    if value != "-":
        found = next(look_up(kind, rest[:-1], [value], tables))
        if "error" in found:
            raise click.UsageError(f"{kind} {value!r}: {found['error']}")
        record(found)
        return
    stream, wrong = sys.stdin.buffer, False
    let_interrupt()
    while lines := stream.readlines(1 << 20):
        values = [line.rstrip(b"\r\n").decode("utf-8", "backslashreplace") for line in lines]
        for found in look_up(kind, rest[:-1], values, tables):
            wrong |= "error" in found
            click.echo(json.dumps(found, ensure_ascii=True))
    raise SystemExit(EXIT_SOME if wrong else 0)


@click.command()
def enrichers() -> None:
    """List what is installed: each enricher with what it reads, what it adds and its tables.

    \b
    Examples:
      zeek-enrich enrichers
      zeek-enrich run examples/zeek --out ports --only addresses,ports
    """
    from enrich import registry
    from enrich.terminal import list_enrichers

    list_enrichers(registry.enrichers(), registry.ROLL_UPS)


@click.command()
@click.argument("tables", nargs=-1, metavar="[TABLE...]")
@parameters.config
@click.option(
    "--recog", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A Recog xml directory to check."
)
def check(tables: tuple[str, ...], config: Path | None, recog: Path | None) -> None:
    """Validate mapping tables and run their embedded examples: all, or those named, and a site's own with --config.

    \b
    Examples:
      zeek-enrich check
      zeek-enrich check sites banners/ssh.toml
      zeek-enrich check --config site.toml
    """
    from enrich import configuration
    from enrich.checks import check_tables
    from enrich.terminal import list_checks

    results = check_tables(configuration.load(config), tables, recog)
    raise SystemExit(list_checks(results))


@click.command()
@click.argument("target", type=click.Choice(["zeek", "intel", "suricata"]))
@parameters.out
@click.option(
    "--category", "categories", multiple=True, metavar="NAME", help="Only sites of this category; repeatable."
)
@parameters.config
def export(target: str, out: Path, categories: tuple[str, ...], config: Path | None) -> None:
    """Write the sites tables for what watches live.

    \b
    zeek      sites.tsv: the table that zeek-scripts/sites.zeek tags logs by
              (redef ZeekEnrich::sites_file)
    intel     sites.intel: for Zeek's Intel framework, which matches whole
              names only (redef Intel::read_files)
    suricata  sites.rules with its datasets: alerts on names in DNS, TLS, HTTP
              and QUIC (Suricata 7)

    \b
    Examples:
      zeek-enrich export zeek --out /usr/local/zeek/share/zeek-enrich
      zeek-enrich export suricata --out rules --category crypto_mining
    """
    from enrich import configuration, exports

    chosen = exports.sites_of(configuration.load(config), categories)
    for path in exports.write(target, chosen, out):
        click.echo(path)
    click.echo(f"{len(chosen):,} sites", err=True)


COMMANDS = (lookup, enrichers, check, export)
