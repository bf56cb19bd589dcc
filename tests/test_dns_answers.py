"""DNS answers by client, address and time."""

from __future__ import annotations

import time

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from enrich.dns_answers import Answers
from enrich.runs import MOST

GRACE = 100
Answer = tuple[int, int, int, int]


def asked(answers: list[Answer], queries: list[tuple[int, int]], *, step: int, most: int = MOST) -> list[int]:
    """The names that Answers gives for (key, time), when answers (key, time, ttl, name) come ``step`` at a time."""
    memory = Answers(grace=GRACE, most=most)
    for start in range(0, len(answers), step):
        keys, times, ttls, names = zip(*answers[start : start + step], strict=True)
        memory.add(
            np.array(keys, np.uint64),
            pl.Series(times, dtype=pl.Float64),
            pl.Series(ttls, dtype=pl.Float64),
            np.array(names, np.uint64),
        )
    keys_, times_ = zip(*queries, strict=True)
    return memory.get(np.array(keys_, np.uint64), pl.Series(times_, dtype=pl.Float64)).tolist()


def plainly(answers: list[Answer], key: int, when: int) -> set[int]:
    """The names that the latest answers for this key before a time give, if these still hold."""
    earlier = [answer for answer in answers if answer[0] == key and answer[1] <= when]
    latest = max((since for _, since, _, _ in earlier), default=0)
    held = [answer for answer in earlier if answer[1] == latest]
    return {name for _, since, ttl, name in held if when <= since + ttl + GRACE}


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 400), st.just(50), st.integers(1, 3)),
        min_size=1,
        max_size=25,
        unique_by=lambda answer: answer[:2],
    ),
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 700)), min_size=1, max_size=20),
    st.integers(1, 25),
)
def test_the_latest_answer_that_still_holds(answers: list[Answer], queries: list[tuple[int, int]], step: int) -> None:
    answers.sort(key=lambda answer: answer[1])
    for (key, when), name in zip(queries, asked(answers, queries, step=step), strict=True):
        expected = plainly(answers, key, when)
        assert {name} - {0} == expected, (key, when)


ANSWERS = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 400), st.integers(0, 90), st.integers(1, 3)), min_size=1, max_size=25
)


@given(
    ANSWERS, st.lists(st.tuples(st.integers(1, 3), st.integers(1, 700)), min_size=1, max_size=20), st.integers(1, 25)
)
def test_in_any_order(answers: list[Answer], queries: list[tuple[int, int]], step: int) -> None:
    """The name is the latest that was told before, also where one and the same time has several."""
    for (key, when), name in zip(queries, asked(answers, queries, step=step), strict=True):
        earlier = [answer for answer in answers if answer[0] == key and answer[1] <= when]
        latest = max((since for _, since, _, _ in earlier), default=0)
        assert name in {told for _, since, _, told in earlier if since == latest} | {0}


@given(
    ANSWERS,
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 700)), min_size=1, max_size=20),
    st.integers(1, 25),
    st.sampled_from([1, 2, 3, 7]),
)
@settings(deadline=None)  # files take the time that the disk needs
def test_any_bound_of_memory(answers: list[Answer], queries: list[tuple[int, int]], step: int, most: int) -> None:
    few = asked(answers, queries, step=step, most=most)
    assert few == asked(answers, queries, step=len(answers))


@given(ANSWERS, st.sampled_from([1, 2, 3, 7]))
@settings(deadline=None)  # files take the time that the disk needs
def test_what_is_held_is_the_same_with_any_bound_of_memory(answers: list[Answer], most: int) -> None:
    rows = []
    for bound in (most, MOST):
        memory = Answers(grace=GRACE, most=bound)
        for key, since, ttl, name in answers:
            times, ttls = (pl.Series([value], dtype=pl.Float64) for value in (since, ttl))
            memory.add(np.array([key], np.uint64), times, ttls, np.array([name], np.uint64))
        rows.append(pl.concat(memory.rows()).rows())
        assert len(memory) == len(rows[-1])
    assert rows[0] == rows[1]


def test_an_answer_holds_as_long_as_the_longest_of_those_that_repeat_it() -> None:
    answers = [(7, 1000, 500, 1), (7, 1010, 10, 1), (7, 1300, 10, 1)]
    assert asked(answers, [(7, 1250), (7, 1600), (7, 1601)], step=1) == [1, 1, 0]


def test_answers_that_repeat_at_one_time_take_no_memory() -> None:
    memory = Answers(most=1000)
    for _ in range(20):
        keys = np.full(1000, 5, np.uint64)
        names = np.tile(np.array([1, 2], np.uint64), 500)
        memory.add(keys, pl.Series([10.0] * 1000), pl.Series([60.0] * 1000), names)
        assert memory._runs._pending <= 1000
    assert memory._runs._aside == []
    assert memory.get(np.array([5], np.uint64), pl.Series([11.0])).tolist() == [2]


def test_nothing_is_known_before_the_first_answer_or_after_the_last_has_lapsed() -> None:
    answers = [(7, 1000, 60, 1), (7, 5000, 60, 2)]
    queries = [(7, 999), (7, 1000), (7, 1160), (7, 1161), (7, 5000), (8, 1000), (2**64 - 1, 1000)]
    assert asked(answers, queries, step=2) == [0, 1, 1, 0, 2, 0, 0]


def test_answers_within_a_second_count_from_when_they_came() -> None:
    times, names = pl.Series([1795305600.100001, 1795305600.100003]), np.array([1, 2], np.uint64)
    asking = pl.Series([1795305600.1, 1795305600.100001, 1795305600.100002, 1795305600.100003, 1795305601.0])
    for order in ([0, 1], [1, 0]):
        memory = Answers()
        memory.add(np.full(2, 7, np.uint64), times.gather(order), pl.Series([60.0, 60.0]), names[order])
        assert memory.get(np.full(5, 7, np.uint64), asking).tolist() == [0, 1, 1, 2, 2]


def test_an_address_of_very_many_names_costs_little() -> None:
    number = 200_000
    answers = [(7, at, 60, at) for at in range(1, number + 1)]
    began = time.process_time()
    assert asked(answers, [(7, number)] * 10_000, step=number) == [number] * 10_000
    assert time.process_time() - began < 20  # one by one, this takes minutes


def test_what_has_no_time_is_no_answer_and_has_none() -> None:
    memory = Answers(grace=GRACE)
    keys, names = np.array([1, 1], np.uint64), np.array([7, 8], np.uint64)
    memory.add(keys, pl.Series([None, 50.0]), pl.Series([60.0, 60.0]), names)
    assert memory.get(np.array([1, 1, 1], np.uint64), pl.Series([None, 60.0, 0.0])).tolist() == [0, 8, 0]
