"""zeek-enrich from Python: a log as a DataFrame, our columns beside its own.

python examples/pandas_example.py [DIRECTORY OF ZEEK LOGS]
"""

import sys
from pathlib import Path

import enrich

logs = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "zeek"
conn = enrich.read(logs / "conn.log")
others = {name: enrich.read(logs / f"{name}.log") for name in ("dns", "http", "ssl", "ssh")}

flows = enrich.enrich_frame(conn, log="conn", others=others)
print(flows[["id.resp_h", "id.resp_p", "app.protocol", "app.name", "app.confidence"]].head(10).to_string())
print()
print(flows.groupby(["app.protocol"], dropna=False).size().sort_values(ascending=False).head(10).to_string())
