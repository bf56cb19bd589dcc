"""Threads beside the main one: order, bounds, errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from enrich.workers import Worker, ahead


def test_jobs_are_done_in_their_order_by_one_other_thread() -> None:
    done: list[tuple[int, int]] = []
    with Worker(3) as worker:
        for number in range(20):
            worker.later(lambda number=number: done.append((number, threading.get_ident())))  # type: ignore[misc]
        worker.settle()
        assert [number for number, _ in done] == list(range(20))
    assert len({thread for _, thread in done} - {threading.get_ident()}) == 1


def test_whoever_brings_too_much_waits() -> None:
    go, done = threading.Event(), []
    with Worker(2) as worker:
        for number in range(2):
            worker.later(lambda number=number: (go.wait(10), done.append(number))[1])  # type: ignore[misc]
        assert done == []
        threading.Timer(0.05, go.set).start()
        worker.later(lambda: done.append(2))
        assert done[0] == 0  # the third had to wait for the first


def test_what_a_job_raises_comes_back() -> None:
    def fail() -> None:
        raise OSError("no room")

    with Worker(1) as worker:
        worker.later(fail)
        with pytest.raises(OSError, match="no room"):
            worker.settle()


def test_after_an_error_what_waits_is_not_done() -> None:
    go, started, done = threading.Event(), threading.Event(), []

    def first() -> None:
        started.set()
        go.wait(10)
        done.append(1)

    def raise_while_jobs_wait() -> None:
        with Worker(5) as worker:
            worker.later(first)
            worker.later(lambda: done.append(2))
            started.wait(10)
            threading.Timer(0.05, go.set).start()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        raise_while_jobs_wait()
    assert done == [1]


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_what_is_made_of_items_comes_in_their_order(threads: int) -> None:
    made: set[int] = set()

    def items() -> Iterator[int]:
        for number in range(1, 30):
            made.add(threading.get_ident())
            yield number
        raise ValueError("broken")

    def work(number: int) -> int:
        made.add(threading.get_ident())
        time.sleep(0.002 * (number % 3))  # the later of two may well be done first
        return number * number

    found = []
    with pytest.raises(ValueError, match="broken"):
        for item in ahead(items(), work, threads):
            found.append(item)
    assert found == [number * number for number in range(1, 30)]
    assert threading.get_ident() not in made


def test_several_threads_work_at_a_time() -> None:
    both = threading.Barrier(2)
    assert len(list(ahead(iter(range(4)), lambda _: both.wait(10), threads=2))) == 4


def test_no_more_is_read_than_is_worked_on() -> None:
    read: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    for number in ahead(items(), lambda number: number, threads=2):
        assert len(read) <= number + 5


def test_what_the_work_raises_comes_back() -> None:
    def work(number: int) -> float:
        return 1 / (3 - number)

    with pytest.raises(ZeroDivisionError):
        list(ahead(iter(range(10)), work, threads=2))


def test_closed_it_does_no_more() -> None:
    worked: list[int] = []
    pairs = ahead(iter(range(1000)), lambda number: (number, worked.append(number)), threads=2)  # type: ignore[func-returns-value]
    next(pairs)
    pairs.close()
    done = len(worked)
    assert done <= 5
    time.sleep(0.05)
    assert len(worked) == done
