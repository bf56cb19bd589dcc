"""Small sites for tests: logs written line by line, and what a run makes of them."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

DAY = 86400.0
START = 1_700_000_000.0


class Site:
    """A folder of Zeek JSON logs. Times are seconds after START."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.logs: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.count = 0

    def flow(self, orig: str, resp: str, port: int, at: float = 0.0, service: str | None = None, **fields: Any) -> str:
        """A conversation that was answered, unless the fields say otherwise; its uid."""
        self.count += 1
        uid = f"C{self.count}"
        record = {
            "ts": START + at,
            "uid": uid,
            "id.orig_h": orig,
            "id.orig_p": 40000 + self.count % 10000,
            "id.resp_h": resp,
            "id.resp_p": port,
            "proto": "tcp",
            "service": service,
            "conn_state": "SF",
            "orig_pkts": 12,
            "orig_ip_bytes": 2400,
            "resp_pkts": 12,
            "resp_ip_bytes": 6400,
        }
        self.logs["conn"].append(record | fields)
        return uid

    def log(self, name: str, uid: str, **fields: Any) -> None:
        """A record of another log that belongs to a flow."""
        flow = next(record for record in reversed(self.logs["conn"]) if record["uid"] == uid)
        shared = {key: flow[key] for key in ("ts", "uid", "id.orig_h", "id.orig_p", "id.resp_h", "id.resp_p")}
        self.logs[name].append(shared | fields)

    def web(self, orig: str, host: str, at: float, resp: str = "198.51.100.7", agent: str | None = None) -> str:
        """A request for a page by HTTP."""
        uid = self.flow(orig, resp, 80, at, "http")
        self.log("http", uid, host=host, uri="/", method="GET", status_code=200, user_agent=agent)
        return uid

    def write(self) -> Path:
        """Write the logs in the order of time; their folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, records in self.logs.items():
            ordered = sorted(records, key=lambda record: record["ts"])
            lines = [
                json.dumps({key: value for key, value in record.items() if value is not None}) for record in ordered
            ]
            (self.folder / f"{name}.log").write_text("\n".join(lines) + "\n", "utf-8")
        return self.folder
