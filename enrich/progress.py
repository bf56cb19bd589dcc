"""How a run tells those who wait for it how far it is."""

from __future__ import annotations


class Progress:
    """Where a run tells how far it is; this one tells nobody."""

    def start(self, phase: str, total: int) -> None:
        """Begin a phase over ``total`` bytes of input."""

    def advance(self, read: int, rows: int) -> None:
        """So many more bytes and rows are done."""

    def problem(self, text: str) -> None:
        """Something the user has to know, as it happens."""
