"""Threads that each do their own kind of work, in order, while others do theirs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

T = TypeVar("T")
U = TypeVar("U")


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


def ahead(items: Iterator[T], work: Callable[[T], U], threads: int = 1) -> Generator[U, None, None]:
    """What ``work`` makes of each item, in the order of the items.

    While one result is in use, one more thread reads the items that come next and ``threads`` work on them. Close it to
    have them stopped.
    """

    def made(item: T | None) -> U | None:
        return None if item is None else work(item)

    coming: deque[Future[U | None]] = deque()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(threads) as workers:

        def fetch() -> None:
            read = reader.submit(next, items, None)
            coming.append(workers.submit(lambda: made(read.result())))

        try:
            for _ in range(threads + 1):
                fetch()
            while (result := coming.popleft().result()) is not None:
                fetch()
                yield result
        finally:
            for future in coming:
                future.cancel()
