"""What the engine shows to the roll-ups, and when."""

from __future__ import annotations

import time
from dataclasses import replace

import polars as pl
import pytest

from enrich import engine
from enrich.batch import Batch, Form
from enrich.engine import Engine
from enrich.tables import Tables
from enrich.workers import ahead


def flow(uid: str, **more: object) -> pl.DataFrame:
    columns = {"ts": 1.0, "uid": uid, "id.orig_h": "10.0.0.1", "id.resp_h": "10.0.0.2", "id.resp_p": 80, **more}
    return pl.DataFrame({name: [value] for name, value in columns.items()})


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> tuple[Engine, list[tuple[str, list[str]]]]:
    """An engine, and what its roll-ups were shown: the log and the uids."""
    seen: list[tuple[str, list[str]]] = []

    def show(_: Engine, log: str, frame: pl.DataFrame) -> None:
        seen.append((log, frame["uid"].to_list()))

    monkeypatch.setattr(engine, "_ENOUGH", 3)
    monkeypatch.setattr(Engine, "_show", show)
    return Engine(Tables()), seen


def show(machine: Engine, log: str, frame: pl.DataFrame) -> None:
    machine.roll_up(log, machine.for_roll_ups(log, frame))


def test_few_rows_wait_for_more_of_their_log(shown: tuple[Engine, list[tuple[str, list[str]]]]) -> None:
    machine, seen = shown
    for at in range(4):
        show(machine, "conn", flow(f"C{at}"))
        show(machine, "ssl", flow(f"S{at}", version="TLSv12"))
        show(machine, "unheard_of", flow(f"U{at}"))
    assert seen == [("conn", ["C0", "C1", "C2"]), ("ssl", ["S0", "S1", "S2"])]
    assert [roll_up.name for roll_up, _ in machine.results()] == ["traffic", "hosts", "findings"]
    assert seen[2:] == [("conn", ["C3"]), ("ssl", ["S3"])]


def test_other_columns_do_not_wait_together(shown: tuple[Engine, list[tuple[str, list[str]]]]) -> None:
    machine, seen = shown
    show(machine, "conn", flow("C1"))
    show(machine, "conn", flow("C2", service="ssl"))
    assert seen == [("conn", ["C1"])]


def test_one_thread_at_a_time_does_an_enricher_s_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the same work has the addresses of both sides, and two threads have a batch each."""
    machine, inside, most = Engine(Tables(), ("addresses",)), 0, 0
    [addresses] = machine.enrichers

    def work(keys: pl.DataFrame) -> pl.DataFrame:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        time.sleep(0.02)
        inside -= 1
        return pl.DataFrame({name: [None] * keys.height for name in addresses.adds}, schema=dict(addresses.adds))

    monkeypatch.setattr(machine, "enrichers", [replace(addresses, prepare=lambda _: work)])
    batches = [
        Batch("ssh", Form.TSV, pl.DataFrame({"id.orig_h": [f"10.0.0.{at}"], "id.resp_h": [f"10.1.0.{at}"]}))
        for at in range(10)
    ]
    assert len(list(ahead(iter(batches), machine.enrich, threads=2))) == 10
    assert most == 1
