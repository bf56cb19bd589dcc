"""What third parties' enrichers may not be: broken, something else, or another's namesake."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import EntryPoint

import polars as pl
import pytest

from enrich import registry
from enrich.errors import ConfigError
from enrich.model import Enricher, Use

GOOD = Enricher(
    name="colours",
    doc="A colour for each address.",
    keys={"ip": pl.String},
    adds={"colour": pl.String},
    uses=(Use(("conn",), ("id.resp_h",), "paint."),),
    prepare=lambda _: lambda keys: keys.select(pl.lit("red").alias("colour")),
)
NAMESAKE = replace(GOOD, name="ports")
INTRUDER = replace(GOOD, uses=(Use(("conn",), ("id.resp_h",), "app."),), adds={"protocol": pl.String})
NOTHING = "not an enricher"


def offer(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    found = [EntryPoint(f"{number}", f"{__name__}:{name}", registry.GROUP) for number, name in enumerate(names)]
    monkeypatch.setattr(registry, "entry_points", lambda group: found if group == registry.GROUP else [])


def test_a_good_one_comes_last(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "GOOD")
    assert registry.enrichers()[-1] == GOOD
    assert registry.enrichers(("colours",)) == [GOOD]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["MISSING"], "cannot be loaded"),
        (["NOTHING"], "not an enrich.model.Enricher"),
        (["NAMESAKE"], "is called ports, as another one is"),
        (["GOOD", "GOOD"], "is called colours, as another one is"),
        (["INTRUDER"], "adds app.protocol, a column of zeek-enrich itself"),
    ],
)
def test_what_cannot_be_used_is_named(monkeypatch: pytest.MonkeyPatch, names: list[str], reason: str) -> None:
    offer(monkeypatch, *names)
    with pytest.raises(ConfigError, match=reason):
        registry.enrichers()


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"no enricher is called 'colours'; there are: .*verdict"):
        registry.enrichers(("colours",))


def test_names_of_the_built_in_are_unique() -> None:
    names = [item.name for item in (*registry.BUILT_IN, *registry.ROLL_UPS)]
    assert len(names) == len(set(names))
