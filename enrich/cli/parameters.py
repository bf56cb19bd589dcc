"""Arguments and options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


class _Output(click.Path):
    """A file or folder to write to. An empty name, as an unset variable gives one, is not the current folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


output_of_a_run = click.argument(
    "directory", type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR"
)
out = click.option("--out", required=True, type=_Output(file_okay=False, path_type=Path), help="Directory to write to.")
format_ = click.option(
    "--format",
    "format_",
    type=click.Choice(["ndjson", "native", "parquet"]),
    default="ndjson",
    show_default=True,
    help="ndjson: one object a line; native: the input's own form with columns appended; parquet: typed columns.",
)
config = click.option(
    "--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The site's own tables (TOML)."
)
state = click.option(
    "--state",
    type=_Output(dir_okay=False, path_type=Path),
    help="What earlier runs learned: read first, replaced at the end. Made if it is not there.",
)
as_json = click.option("--json", "as_json", is_flag=True, help="JSON, one object a line, instead of tables.")
quiet = click.option("--quiet", "-q", is_flag=True, help="No progress and no summary; problems only.")
