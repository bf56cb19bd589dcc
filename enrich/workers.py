"""Threads that work while others do, each on a kind of work or on items of its own; what comes of it is in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self, TypeVar, overload

T = TypeVar("T")
U = TypeVar("U")
_END = object()


class Worker:
    """One thread that does jobs in their order. No more than ``most`` are undone, the one at work among them.

    Whoever brings one more waits. What a job raises is raised to whoever brings a later one, or calls :meth:`settle`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._thread = ThreadPoolExecutor(max_workers=1)
        self._jobs: deque[Future[None]] = deque()

    def later(self, job: Callable[[], None]) -> None:
        """Have a job done."""
        self._jobs.append(self._thread.submit(job))
        while len(self._jobs) > self._most:
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


@overload
def ahead(items: Iterator[T]) -> Generator[T, None, None]: ...
@overload
def ahead(items: Iterator[T], work: Callable[[T], U], threads: int = 1) -> Generator[U, None, None]: ...
def ahead(
    items: Iterator[Any], work: Callable[[Any], Any] | None = None, threads: int = 1
) -> Generator[Any, None, None]:
    """What ``work`` makes of each item (the items themselves without), in the order of the items.

    While one result is in use, one more thread reads the items that come next and ``threads`` work on them. Close it to
    have them stopped.
    """
    coming: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(threads) as workers:

        def worked(read: Future[Any]) -> Any:
            item = read.result()
            return item if item is _END or work is None else work(item)

        def fetch() -> None:
            read = reader.submit(next, items, _END)
            coming.append(read if work is None else workers.submit(worked, read))

        try:
            for _ in range(1 if work is None else threads + 1):
                fetch()
            while (result := coming.popleft().result()) is not _END:
                fetch()
                yield result
        finally:
            for future in coming:
                future.cancel()
