"""Threads that each do their own kind of work, in order, while others do theirs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")


class Worker:
    """One thread that does jobs in their order; whoever brings more than ``waiting`` waits.

    What a job raises is raised to whoever brings a later one, or calls :meth:`settle`.
    """

    def __init__(self, waiting: int) -> None:
        self._waiting = waiting
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._jobs: deque[Future[None]] = deque()

    def later(self, job: Callable[[], None]) -> None:
        """Have a job done."""
        self._jobs.append(self._thread.submit(job))
        while len(self._jobs) > self._waiting:
            self._jobs.popleft().result()

    def settle(self) -> None:
        """Wait until all jobs are done."""
        while self._jobs:
            self._jobs.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=error is not None)


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; the next one is made by another thread while this one is worked on."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item
