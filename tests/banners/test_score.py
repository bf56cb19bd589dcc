"""The built-in tables on labelled banners of the real world, where those lie beside the repository."""

from __future__ import annotations

import csv
import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from enrich.banners import Banners

ROOT = Path(__file__).parents[2]


def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("score_banners", ROOT / "bench" / "score_banners.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["score_banners"] = module
    spec.loader.exec_module(module)
    return module


SCORE = bench()


@pytest.mark.skipif(not SCORE.LABELS.exists(), reason="the labelled banners are not beside the repository")
@pytest.mark.parametrize(("field", "right"), [("product", 0.85), ("version", 0.90), ("os*", 0.75)])
def test_right_where_stated_and_hardly_ever_wrong(field: str, right: float) -> None:
    banners = Banners(SCORE.TABLES)
    with SCORE.LABELS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = Counter(SCORE.judge(field, row, banners.parse(row["service"], row["banner"])) for row in rows)
    stated = counts["right"] + counts["wrong"] + counts["null"]
    assert counts["right"] / stated >= right
    assert counts["wrong"] / stated <= 0.02
