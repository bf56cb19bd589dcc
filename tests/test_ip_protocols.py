"""What IP's header says of a flow, as each kind of log tells it."""

from __future__ import annotations

import polars as pl
import pytest

from enrich import applications
from enrich.ip_protocols import ip_protocols
from enrich.tables import Tables

KNOWN = applications.load(Tables()).ip_numbers
FLOWS = [
    # proto, ip_proto, id.resp_h, the number; the last without ip_proto
    ("tcp", 6, "192.0.2.1", None, None),
    ("udp", None, "192.0.2.1", None, None),
    ("icmp", 1, "192.0.2.1", 1, 1),
    ("icmp", 58, "2001:db8::1", 58, 58),
    ("icmp", None, "2001:db8::1", 58, 58),
    ("unknown_transport", 47, "192.0.2.1", 47, None),
    ("unknown_transport", None, "192.0.2.1", None, None),
    ("gre", None, "192.0.2.1", 47, 47),
    ("esp", None, "2001:db8::1", 50, 50),
    ("089", None, "192.0.2.1", 89, 89),
    ("256", None, "192.0.2.1", None, None),
    ("sctp", None, "192.0.2.1", None, None),
    (None, 1, "192.0.2.1", None, None),
]


@pytest.mark.parametrize("kind", [pl.Int64, pl.String, None])
def test_by_number_or_by_name(kind: type[pl.DataType] | None) -> None:
    columns = ["proto", "ip_proto", "id.resp_h", "with", "without"]
    flows = pl.DataFrame(FLOWS, columns, orient="row")
    read = flows.drop("ip_proto") if kind is None else flows.with_columns(pl.col("ip_proto").cast(kind))
    assert ip_protocols(read, KNOWN).to_list() == flows["without" if kind is None else "with"].to_list()


def test_of_nothing_there_is_nothing() -> None:
    assert ip_protocols(pl.DataFrame({"uid": ["C1"]}), KNOWN).to_list() == [None]
    assert ip_protocols(pl.DataFrame({"proto": ["icmp"]}), KNOWN).to_list() == [1]
    assert ip_protocols(pl.DataFrame(schema={"proto": pl.String}), KNOWN).to_list() == []
