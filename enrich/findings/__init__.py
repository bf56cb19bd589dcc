"""What deserves a look: the roll-up behind ``findings.ndjson`` and ``zeek-enrich findings``.

Each kind is one detector, documented with its thresholds in ``mappings/findings.toml``. A detector sees every batch of
the logs it reads and gives its findings at the end; none without the uids of its flows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import polars as pl

from enrich import applications
from enrich.errors import TableError
from enrich.findings.case import Finding
from enrich.findings.changes import BannerChanged, NewService, UserAgentConflict
from enrich.findings.contacts import AntivirusSilent, TorrentUser
from enrich.findings.ports import ObsoleteProtocol, PortContradiction, PrivilegedClientPort, TftpAcrossBorder
from enrich.flows import CONN, RECORD, Border, border
from enrich.model import Accumulator, Remembering, Resources, RollUp
from enrich.ports import REGISTRY
from enrich.systems import load as load_systems

TABLE = "findings.toml"
SEVERITIES = ("high", "medium", "low")


class Bounded(Protocol):
    """What gives up some of what it follows where that becomes too much, and counts it."""

    @property
    def cut(self) -> int:
        """How often that was."""


class Detector(Protocol):
    """One kind of finding."""

    @property
    def bounded(self) -> Sequence[Bounded]:
        """What it follows: where some of that is given up, findings may be missing."""

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Look at one batch of any log, as :class:`enrich.flows.Border` prepares it."""

    def findings(self) -> Iterator[Finding]:
        """Its findings, when all batches have come."""


class Findings:
    """Shows batches to every detector and gathers what they found."""

    def __init__(self, border: Border, detectors: Mapping[str, Detector], most: int) -> None:
        """``detectors`` by the kind of their findings, of which no more than ``most`` are kept."""
        self.border, self.detectors, self.most = border, detectors, most
        self.notes: list[str] = []
        """What the bounds on findings left out; known after :meth:`results`."""
        self.forgotten: list[str] = []
        self._remembering = [detector for detector in detectors.values() if isinstance(detector, Remembering)]
        self.schemas = {name: schema for part in self._remembering for name, schema in part.schemas.items()}

    def add(self, log: str, frame: pl.DataFrame) -> None:
        """Take in one batch of any log."""
        records = self.border.flows(frame) if log == "conn" else self.border.records(frame)
        if records is not None:
            for detector in self.detectors.values():
                detector.add(log, records)

    def results(self) -> Iterable[Mapping[str, Any]]:
        """The findings: the gravest first, then in the order of time."""
        found = []
        for kind, detector in self.detectors.items():
            own = list(detector.findings())
            if any(part.cut for part in detector.bounded):
                self.notes.append(f"findings: more came than can be followed at once; some of {kind} may be missing")
            if len(own) > self.most:
                kept = f"the {self.most:,} with most flows were kept, the others are not told later"
                self.notes.append(f"findings: {len(own):,} of {kind}; {kept}")
                own = sorted(own, key=lambda finding: -finding.flows)[: self.most]
            found += own
        found.sort(key=lambda item: (SEVERITIES.index(item.severity), item.ts, item.kind, item.host, item.summary))
        return (finding.record() for finding in found)

    def remember(self, tables: Mapping[str, pl.DataFrame], since: float) -> None:
        """Take in what :meth:`rows` gave in an earlier run."""
        for part in self._remembering:
            part.remember({name: tables[name] for name in part.schemas}, since)

    def rows(self, now: float, age: float) -> dict[str, pl.DataFrame]:
        """What the next run is to know."""
        tables = {name: rows for part in self._remembering for name, rows in part.rows(now, age).items()}
        self.forgotten = [note for part in self._remembering for note in part.forgotten]
        return tables


def _start(resources: Resources) -> Accumulator:
    table = resources.toml(TABLE)
    catalogue = applications.load(resources)
    for kind in kinds(resources):
        severity = table[kind]["severity"]
        for one in severity.values() if isinstance(severity, dict) else [severity]:
            if one not in SEVERITIES:
                raise TableError(f"{TABLE}: {kind}.severity: {one!r}: expected one of {', '.join(SEVERITIES)}")
    try:
        detectors: dict[str, Detector] = {
            "port_contradiction": PortContradiction(table, catalogue, resources.csv(REGISTRY)),
            "obsolete_protocol": ObsoleteProtocol(table, catalogue),
            "privileged_client_port": PrivilegedClientPort(table),
            "tftp_across_border": TftpAcrossBorder(table),
            "antivirus_silent": AntivirusSilent(table),
            "torrent_user": TorrentUser(table),
            "new_service": NewService(table, catalogue),
            "banner_changed": BannerChanged(table),
            "user_agent_conflict": UserAgentConflict(table, load_systems(resources)),
        }
        most = table["limits"]["findings"]
    except (KeyError, TypeError, ValueError) as error:
        raise TableError(f"{TABLE}: {error!r}: a threshold is missing or malformed") from error
    return Findings(border(resources), detectors, most)


def kinds(resources: Resources) -> list[str]:
    """All kinds of findings, as the table that documents them lists them."""
    return [name for name, section in resources.toml(TABLE).items() if "severity" in section]


def _reads() -> dict[str, frozenset[str]]:
    reads = {"conn": CONN}
    for detector in (ObsoleteProtocol, BannerChanged, UserAgentConflict):
        for log, columns in detector.READS.items():
            reads[log] = reads.get(log, RECORD) | columns
    return reads


ROLL_UP = RollUp(
    name="findings",
    doc="What deserves a look: contradictions, obsolete protocols, silent antivirus, torrents, new services, changes.",
    reads=_reads(),
    start=_start,
)
