"""The command line. Click lives here and nowhere else; what is heavy is imported by the command that needs it."""

from __future__ import annotations

import click

from enrich.cli import knowledge, logs, outputs
from enrich.process import behaved


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


for _command in (*logs.COMMANDS, *knowledge.COMMANDS, *outputs.COMMANDS):
    main.add_command(_command)
