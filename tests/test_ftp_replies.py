"""What Suricata takes for FTP, and what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from enrich import ftp_replies, payload
from enrich.tables import Tables

POP3 = [
    (None, None, ["+OK ready"]),
    ("USER", "alice", ["+OK password required"]),
    ("PASS", "secret", ["-ERR [AUTH] no"]),
    ("LIST", None, ["+OK", "1 16196", "."]),
    ("QUIT", None, None),
]
IRC = [
    ("USER", "alice 0 * :Alice", [":irc.example.net NOTICE * :*** Looking up your hostname..."]),
    (None, None, [":irc.example.net 001 alice :Welcome to the network"]),
]
FTP = [(None, None, ["220 ready"]), ("USER", "alice", ["331 Password, please"]), ("QUIT", None, None)]
UNKNOWN = [("USER", "alice", ["What do you want?"])]


def events(port: int, dialogue: list[tuple[str | None, str | None, list[str] | None]]) -> list[dict[str, Any]]:
    shared = {"timestamp": "2026-11-22T12:00:00.000000+0000", "flow_id": port, "proto": "TCP"}
    shared |= {"src_ip": "10.0.0.1", "src_port": 50000, "dest_ip": "10.0.0.2", "dest_port": port}
    counted = {"pkts_toserver": 9, "pkts_toclient": 9, "bytes_toserver": 900, "bytes_toclient": 1200}
    out = [shared | {"event_type": "flow", "app_proto": "ftp", "flow": counted}]
    for command, argument, replies in dialogue:
        coded = [line for line in replies or () if line[:3].isdigit()]
        told = {"command": command, "command_data": argument}
        if replies:
            told |= {"reply": [line[4:] if line in coded else line for line in replies]}
        if coded:
            told |= {"completion_code": [line[:3] for line in coded]}
        out.append(shared | {"event_type": "ftp", "ftp": {key: value for key, value in told.items() if value}})
    return out


@pytest.mark.parametrize("port", [110, 8000, 21])
@pytest.mark.parametrize(("dialogue", "protocol"), [(POP3, "pop3"), (IRC, "irc"), (FTP, "ftp")])
def test_a_dialogue_is_known_by_its_replies(
    tmp_path: Path, run: Callable[..., Any], dialogue: list[Any], protocol: str, port: int
) -> None:
    path = tmp_path / "eve.json"
    path.write_text("".join(json.dumps(event) + "\n" for event in events(port, dialogue)))
    [flow] = run(path).records("eve.conn.ndjson")
    assert flow["app.protocol"] == protocol
    observed = {item for item in flow["app.evidence"] if not item.startswith("port:")}
    assert observed == ({"log:ftp", "dpi:ftp"} if protocol == "ftp" else {f"log_alone:{protocol}"})


def corrected(**columns: Any) -> list[str | None]:
    frame = pl.DataFrame({"id.resp_p": [2121], **{name: [value] for name, value in columns.items()}})
    spoken = pl.Series(["ftp"] * frame.height)
    return ftp_replies.corrected(frame, spoken, lambda: payload.load(Tables())).to_list()


def test_what_is_neither_coded_nor_known_is_unknown() -> None:
    [(command, argument, [reply])] = UNKNOWN
    assert corrected(command=command, arg=argument, reply_msg=reply) == [None]


@pytest.mark.parametrize(
    "columns",
    [
        {"command": "USER", "arg": "alice"},
        {"command": "USER", "reply_msg": None},
        {"reply_code": 220, "reply_msg": "+OK, said a strange server"},
        {"reply_code": "220", "reply_msg": "ready"},
    ],
)
def test_what_may_be_ftp_stays_so(columns: dict[str, Any]) -> None:
    assert corrected(**columns) == ["ftp"]
