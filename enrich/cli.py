"""The command line. Click lives here and nowhere else; what is heavy is imported by the command that needs it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from enrich.machine import keep_memory, use_cores
from enrich.process import EXIT_SOME, behaved, say, tell


class _Output(click.Path):
    """A file or folder to write to. An empty name, as an unset variable gives one, is not the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


# What several commands share.
_output_of_a_run = click.argument(
    "directory", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR"
)
_out = click.option(
    "--out", required=True, type=_Output(file_okay=False, path_type=Path), help="Directory to write to."
)
_config = click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The site's own tables (TOML)."
)
_state = click.option(
    "--state",
    type=_Output(dir_okay=False, path_type=Path),
    help="What earlier runs learned: read first, replaced at the end. Made if it is not there.",
)
_quiet = click.option("--quiet", "-q", is_flag=True, help="No progress and no summary; problems only.")


class _Program(click.Group):
    """All of a command, its ``--help`` too, behaves as :func:`enrich.process.behaved` says."""

    make_context = behaved(click.Group.make_context)
    invoke = behaved(click.Group.invoke)


@click.group(cls=_Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="zeek-enrich", prog_name="zeek-enrich")
def main() -> None:
    """Say what application every flow in Zeek and Suricata logs really is, on what evidence, and how sure.

    \b
    Examples:
      zeek-enrich run /var/log/zeek/current --out enriched
      zcat conn.log.gz | zeek-enrich run - --out enriched
      zeek-enrich lookup banner ssh 'SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3'
    """


@main.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@_out
@click.option(
    "--format",
    "format_",
    type=click.Choice(["ndjson", "native", "parquet"]),
    default="ndjson",
    show_default=True,
    help="ndjson: one object a line; native: the input's own form with columns appended; parquet: typed columns.",
)
@click.option("--compress", type=click.Choice(["none", "gzip", "zstd"]), default="none", show_default=True)
@_config
@click.option("--only", metavar="NAME,...", help="Run these enrichers only (see: zeek-enrich enrichers).")
@click.option(
    "--logs", metavar="LOG,...", help="Write these logs only, e.g. conn,http. The others still give evidence."
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Use N of the processor's cores (default: all).")
@_state
@_quiet
def run(
    inputs: tuple[str, ...],
    out: Path,
    format_: str,
    compress: str,
    config: Path | None,
    only: str | None,
    logs: str | None,
    jobs: int | None,
    state: Path | None,
    quiet: bool,
) -> None:
    """Enrich files, directory trees or standard input (-): Zeek TSV or JSON, Suricata EVE; plain, gzip or zstd.

    The output mirrors the input, beside rejects.ndjson (what could not be read) and run.json (the record of the run).

    \b
    Exit status:
      0 all well                     3 nothing could be read
      1 some input was rejected      4 the output could not be written
      2 wrong usage

    \b
    Examples:
      zeek-enrich run examples/zeek --out enriched
      zeek-enrich run /var/log/zeek/2026-11-21 --out enriched --format parquet
      zeek-enrich run /var/log/suricata/eve.json --out enriched --format native
      zeek-enrich run conn.09*.log.gz dns.09*.log.gz --out nine --state site.state
    """
    keep_memory()
    if jobs is not None:
        use_cores(jobs)
    from enrich.options import Options
    from enrich.pipeline import Run
    from enrich.terminal import Bar, summary

    if format_ == "parquet" and compress != "none":
        raise click.UsageError("--compress is for ndjson and native; parquet is compressed by itself")
    options = Options(
        inputs, out, format_, compress, config, _split("--only", only), frozenset(_split("--logs", logs)), state
    )
    with Bar(quiet) as bar:
        report = Run(options, bar)()
    if not quiet:
        tell(lambda: summary(report, out))
    raise SystemExit(report.status)


def _split(option: str, text: str | None) -> tuple[str, ...]:
    names = tuple(name for name in (text or "").replace(" ", "").split(",") if name)
    if text is not None and not names:  # an unset variable, perhaps, and not all there are
        raise click.UsageError(f"{option} names nothing; leave it away for all")
    return names


@main.command()
@click.argument("what", nargs=-1, required=True, metavar="port|banner|ua|site|ip [SERVICE] VALUE")
@_config
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
    while lines := stream.readlines(1 << 20):
        values = [line.rstrip(b"\r\n").decode("utf-8", "backslashreplace") for line in lines]
        for found in look_up(kind, rest[:-1], values, tables):
            wrong |= "error" in found
            click.echo(json.dumps(found, ensure_ascii=True))
    raise SystemExit(EXIT_SOME if wrong else 0)


@main.command()
def enrichers() -> None:
    """List what is installed: each enricher with what it reads, what it adds and its tables."""
    from enrich import registry
    from enrich.terminal import list_enrichers

    list_enrichers(registry.enrichers(), registry.ROLL_UPS)


@main.command()
@click.argument("tables", nargs=-1, metavar="[TABLE...]")
@_config
@click.option(
    "--recog", type=click.Path(exists=True, file_okay=False, path_type=Path), help="A Recog xml directory to check."
)
def check(tables: tuple[str, ...], config: Path | None, recog: Path | None) -> None:
    """Validate mapping tables and run their embedded examples: all, or those named, e.g. sites banners/ssh.toml."""
    from enrich import configuration
    from enrich.checks import check_tables
    from enrich.terminal import list_checks

    results = check_tables(configuration.load(config), tables, recog)
    raise SystemExit(list_checks(results))


@main.command()
@_output_of_a_run
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


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@_out
@click.option(
    "--with",
    "analyzer",
    type=click.Choice(["auto", "zeek", "suricata"]),
    default="auto",
    show_default=True,
    help="What reads the captures; auto: Zeek if it is installed, else Suricata.",
)
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="SECONDS", help="Most time a capture may take."
)
@click.option(
    "--format", "format_", type=click.Choice(["ndjson", "native", "parquet"]), default="ndjson", show_default=True
)
@_config
@_state
@_quiet
def pcap(
    files: tuple[Path, ...],
    out: Path,
    analyzer: str,
    timeout: float | None,
    format_: str,
    config: Path | None,
    state: Path | None,
    quiet: bool,
) -> None:
    """Run the installed Zeek or Suricata on packet captures and enrich the logs; several captures get a folder each.

    Captures given together count as one site's: what is learned of a server in one holds in the others.

    \b
    Examples:
      zeek-enrich pcap capture.pcap --out enriched
      zeek-enrich pcap captures/*.pcapng --out enriched --with suricata
      zeek-enrich pcap ring-0917.pcap --out enriched --state site.state
    """
    from enrich import captures
    from enrich.options import Options
    from enrich.terminal import Bar, summary

    options = Options((), out, format_, config=config, state=state)
    with Bar(quiet) as bar:
        report, problems = captures.run(files, options, analyzer, timeout, bar)
    if not quiet:
        tell(lambda: summary(report, out))
    raise SystemExit(report.status or int(bool(problems)))


@main.command()
@click.argument("target", type=click.Choice(["zeek", "intel", "suricata"]))
@_out
@click.option(
    "--category", "categories", multiple=True, metavar="NAME", help="Only sites of this category; repeatable."
)
@_config
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


@main.command()
@_output_of_a_run
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
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of tables.")
@_config
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
    import json

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
    report = compare(inventory, seen_in(directory), tables)
    if as_json:
        click.echo(json.dumps(report.records(), ensure_ascii=True))
        return
    from enrich.terminal_reconcile import reconciliation

    reconciliation(report)


@main.command()
@_output_of_a_run
@click.argument("ip", required=False)
@click.option("--all", "everybody", is_flag=True, help="Also the servers outside the site.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def hosts(directory: Path, ip: str | None, everybody: bool, as_json: bool) -> None:
    """Show what each host runs, serves and is: DIR is a run's output. With IP, all that is known of one host.

    \b
    Examples:
      zeek-enrich hosts enriched
      zeek-enrich hosts enriched 10.20.1.12
    """
    from enrich import terminal_tables
    from enrich.written import records

    if (caveat := records.caveat(directory)) is not None:
        say(caveat)
    found = [records.host(directory, ip)] if ip else records.read(directory, "hosts")
    if as_json:
        _json_lines(found)
    elif ip:
        terminal_tables.host(found[0])
    else:
        terminal_tables.hosts(found, everybody)


@main.command()
@_output_of_a_run
@click.option("--kind", help="Only this kind, e.g. port_contradiction.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
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
    if (caveat := records.caveat(directory)) is not None:
        say(caveat)
    found = [record for record in records.read(directory, "findings") if kind in (None, record["kind"])]
    if as_json:
        _json_lines(found)
    else:
        terminal_tables.findings(found)


def _json_lines(found: Iterable[Mapping[str, Any]]) -> None:
    import json

    for record in found:
        click.echo(json.dumps(record, ensure_ascii=True))


if __name__ == "__main__":
    main()
