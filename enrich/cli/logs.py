"""Commands that enrich logs: those there are, and those that are made of captures."""

from __future__ import annotations

from math import isfinite
from pathlib import Path

import click

from enrich.cli import parameters
from enrich.machine import keep_memory, use_cores
from enrich.process import tell


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@parameters.out
@parameters.format_
@click.option("--compress", type=click.Choice(["none", "gzip", "zstd"]), default="none", show_default=True)
@parameters.config
@click.option("--only", metavar="NAME,...", help="Run these enrichers only (see: zeek-enrich enrichers).")
@click.option(
    "--logs", metavar="LOG,...", help="Write these logs only, e.g. conn,http. The others still give evidence."
)
@click.option("--jobs", type=click.IntRange(min=1), metavar="N", help="Use N of the processor's cores (default: all).")
@parameters.state
@parameters.quiet
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


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@parameters.out
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
@parameters.format_
@parameters.config
@parameters.state
@parameters.quiet
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
    if timeout is not None and not isfinite(timeout):
        raise click.UsageError(f"--timeout: {timeout} is no number of seconds")
    keep_memory()
    from enrich import captures
    from enrich.options import Options
    from enrich.terminal import Bar, summary

    options = Options((), out, format_, config=config, state=state)
    with Bar(quiet) as bar:
        report, problems = captures.run(files, options, analyzer, timeout, bar)
    if not quiet:
        tell(lambda: summary(report, out))
    raise SystemExit(report.status or int(bool(problems)))


COMMANDS = (run, pcap)
