"""The Zeek package under the machine's own Zeek: what it logs, and that it leaves all else alone."""

import shlex
import shutil
import subprocess
from collections.abc import Callable
from configparser import ConfigParser
from functools import cache
from pathlib import Path

import pytest
from dialogs import Capture

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "zeek-scripts"
SELF_TEST = Path(__file__).with_name("selftest.zeek")
SITE_A = ROOT / "tests" / "data" / "zeek-package" / "site-a.pcap"
OWN_LOGS = {"banner", "payload", "syn"}
WROTE_THE_KEPT_LOGS = "8.2."
OF_ZEEK_ITSELF = {"packet_filter", "reporter"}
LOG_ALL = "redef ZeekEnrich::payload_known_interval = 0 secs; redef ZeekEnrich::syn_interval = 0 secs;"

Row = dict[str, str]
Logs = dict[str, list[Row]]
Run = Callable[..., Logs]


def read_log(path: Path) -> list[Row]:
    """Read a log in Zeek's default format; fields that are unset are left out."""
    fields: list[str] = []
    rows = []
    for line in path.read_text("latin-1").splitlines():
        if line.startswith("#fields\t"):
            fields = line.split("\t")[1:]
        elif not line.startswith("#"):
            rows.append({name: value for name, value in zip(fields, line.split("\t"), strict=True) if value != "-"})
    return rows


@pytest.fixture(scope="module")
def zeek() -> str:
    """Zeek's path; who needs it skips without."""
    found = shutil.which("zeek")
    if found is None:
        pytest.skip("zeek is not on the PATH")
    return found


def zeek_in(zeek: str, folder: Path, capture: Path, *arguments: str | Path) -> set[str]:
    """Run Zeek with deterministic identifiers and give its complaints."""
    command = [zeek, "-D", "-C", "-r", str(capture), *map(str, arguments)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return {
        line for line in done.stderr.splitlines() if not line.endswith(("processing suspended", "processing continued"))
    }


@pytest.fixture(scope="module")
def complaints(zeek: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], set[str]]:
    """What Zeek's stock scripts complain of on a capture."""
    return cache(lambda capture: zeek_in(zeek, tmp_path_factory.mktemp("stock"), capture))


@pytest.fixture(scope="module")
def run(zeek: str, tmp_path_factory: pytest.TempPathFactory, complaints: Callable[[Path], set[str]]) -> Run:
    """Run Zeek with scripts on a capture, expect no complaint that the stock scripts have not, and read its logs."""

    def run_zeek(capture: Path, *arguments: str | Path) -> Logs:
        folder = tmp_path_factory.mktemp("zeek")
        assert zeek_in(zeek, folder, capture, *arguments) <= complaints(capture)
        return {path.stem: read_log(path) for path in folder.glob("*.log")}

    return run_zeek


@pytest.fixture(scope="module")
def stock(run: Run) -> Logs:
    return run(SITE_A)


@pytest.fixture(scope="module")
def enriched(run: Run) -> Logs:
    return run(SITE_A, SCRIPTS)


@pytest.fixture(scope="module")
def unsparing(run: Run) -> Logs:
    """Logs in which no line is spared."""
    return run(SITE_A, SCRIPTS, "-e", LOG_ALL)


@pytest.fixture(scope="module")
def dialogs(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Logs:
    capture = Capture()
    capture.tcp(21, [("<", b"220-Welcome\r\n220 ready\r\n"), (">", b"USER a\r\n")])
    capture.tcp(119, [("<", b"200 news.example InterNetNews NNRP server INN 2.7.1 ready\r\n"), (">", b"QUIT\r\n")])
    will_echo = b"\xff\xfd\x18\xff\xfd\x20"
    terminal_type = b"\xff\xfa\x18\x01\xff\xf0"
    capture.tcp(
        23,
        [
            ("<", will_echo),
            (">", b"\xff\xfb\x18"),
            ("<", terminal_type + b"\x1b[2J\r\n  *****\r\n  ExampleOS 4.2 (router)\r\nlogin: "),
            (">", b"x"),
        ],
    )
    capture.tcp(
        6667,
        [
            ("<", b":irc.example NOTICE * :*** Looking up your hostname\r\n"),
            (">", b"NICK a\r\nUSER a 0 * :a\r\n"),
            (
                "<",
                b":irc.example 001 a :Welcome\r\n:irc.example 002 a :Your host is irc.example, running version x-3\r\n",
            ),
        ],
    )
    mysql = b"\x0a8.0.36-0ubuntu0.22.04.1\0" + bytes(4) + b"abcdefgh\0\xff\xf7\xff\x02\0\xff\xc1\x15" + bytes(10)
    mysql += b"abcdefghijkl\0mysql_native_password\0"
    capture.tcp(3306, [("<", len(mysql).to_bytes(3, "little") + b"\0" + mysql)])
    capture.tcp(5900, [("<", b"RFB 003.008\n"), (">", b"RFB 003.008\n")])
    capture.tcp(7777, [("<", b"OK MPD 0.23.5\n"), (">", b"ping\n")])
    capture.tcp(7778, [("<", b"A" * 400 + b"\n")])
    capture.tcp(7779, [(">", b"hello\n"), ("<", b"text after the client spoke\n")])
    capture.tcp(7780, [("<", b"\x01\x02\x03binary\n")])
    capture.tcp(55555, [(">", b"+OK Dovecot ready.\r\n"), ("<", b"QUIT\r\n")], handshake=False)
    capture.tcp(7781, [(">", bytes(range(256)))], options=bytes.fromhex("020405b4" + "01" * 3 + "00"))
    capture.tcp(7782, [(">", b"x")], options=bytes.fromhex("fe04f989" + "0500" + "0101"))
    capture.udp(3478, [(">", bytes.fromhex("000100002112a442") + bytes(12)), ("<", b"\x01\x01answer")])
    return run(
        capture.write(tmp_path_factory.mktemp("dialogs") / "dialogs.pcap"),
        SCRIPTS,
        SCRIPTS / "packet-sizes.zeek",
        "-e",
        LOG_ALL,
    )


def by_port(rows: list[Row]) -> dict[str, Row]:
    return {row["id.resp_p"]: row for row in rows}


@pytest.mark.parametrize("name", sorted(path.stem for path in SCRIPTS.glob("*.zeek")))
@pytest.mark.parametrize("bare", [False, True], ids=["default", "bare"])
def test_each_script_stands_alone(run: Run, name: str, bare: bool) -> None:
    logs = run(SITE_A, *["-b"] * bare, SCRIPTS / f"{name}.zeek")
    assert bare or logs["conn"]


def test_stock_logs_and_fields_are_unchanged(stock: Logs, enriched: Logs) -> None:
    assert set(enriched) == set(stock) | OWN_LOGS
    for name, rows in stock.items():
        if name in OF_ZEEK_ITSELF:
            continue
        fields = {field for row in rows for field in row}
        without_new = [{field: value for field, value in row.items() if field in fields} for row in enriched[name]]
        assert sorted(map(repr, without_new)) == sorted(map(repr, rows)), name


@pytest.mark.usefixtures("zeek")
def test_test_command_of_the_package() -> None:
    metadata = ConfigParser(interpolation=None)
    metadata.read(ROOT / "zkg.meta")
    command = shlex.split(metadata["package"]["test_command"])
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_test_command_can_fail(zeek: str, tmp_path: Path) -> None:
    capture = Capture()
    capture.tcp(80, [(">", b"GET / HTTP/1.0\r\n\r\n")])
    command = [zeek, "-C", "-r", str(capture.write(tmp_path / "web.pcap")), str(SCRIPTS), str(SELF_TEST)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "failed: smtp has lines" in done.stdout.splitlines()
    assert "failed: conn has lines" not in done.stdout


def test_logs_kept_for_the_other_tests_are_what_zeek_writes(zeek: str, enriched: Logs) -> None:
    version = subprocess.run([zeek, "--version"], capture_output=True, text=True, check=True).stdout
    if WROTE_THE_KEPT_LOGS not in version:
        pytest.skip(f"the kept logs are by Zeek {WROTE_THE_KEPT_LOGS}; here is {version.strip()}")
    kept = {path.stem: read_log(path) for path in SITE_A.parent.glob("*.log")}
    assert kept == {name: rows for name, rows in enriched.items() if name not in OF_ZEEK_ITSELF}


def test_smtp(enriched: Logs) -> None:
    greetings = {(row["id.resp_h"], row["greeting"]) for row in enriched["smtp"] if "greeting" in row}
    assert ("10.20.0.25", "mail1.corp.example ESMTP Postfix (Debian/GNU)") in greetings
    replies = [row["ehlo_reply"].split(",") for row in enriched["smtp"] if row["id.resp_h"] == "10.20.0.25"]
    assert all(reply[0] == "mail1.corp.example" and "PIPELINING" in reply for reply in replies)


def test_http(enriched: Logs) -> None:
    servers = {(row["id.resp_h"], row.get("server")) for row in enriched["http"]}
    assert ("198.51.100.10", "nginx/1.22.1") in servers
    assert ("198.51.100.40", "Apache/2.4.71 (Debian)") in servers
    vias = {row["via"] for row in enriched["http"] if "via" in row}
    assert vias == {"1.1 bastion (tinyproxy/1.11.1)"}


def test_banners_of_real_servers(enriched: Logs) -> None:
    banners = {(row["id.resp_p"], row.get("service"), row["banner"]) for row in enriched["banner"]}
    assert ("21", "ftp", "220 (vsFTPd 3.0.3)") in banners
    assert ("110", "pop3", "+OK Dovecot (Debian) ready.") in banners
    assert ("3306", "mysql", "5.5.5-10.11.19-MariaDB-0+deb12u1") in banners
    assert any(port == "143" and banner.startswith("* OK [CAPABILITY IMAP4rev1") for port, _, banner in banners)
    assert any("running version ngircd-26.1" in banner for port, _, banner in banners if port == "6667")
    assert not any(service == "ssh" for _, service, _ in banners)


def test_banners(dialogs: Logs) -> None:
    banners = [(row["id.resp_p"], row["direction"], row["banner"]) for row in dialogs["banner"]]
    assert sorted(banners) == sorted(
        [
            ("21", "resp", "220-Welcome"),
            ("119", "resp", "200 news.example InterNetNews NNRP server INN 2.7.1 ready"),
            ("23", "resp", "ExampleOS 4.2 (router)"),
            ("6667", "resp", ":irc.example NOTICE * :*** Looking up your hostname"),
            ("6667", "resp", ":irc.example 002 a :Your host is irc.example, running version x-3"),
            ("3306", "resp", "8.0.36-0ubuntu0.22.04.1"),
            ("5900", "resp", "RFB 003.008"),
            ("7777", "resp", "OK MPD 0.23.5"),
            ("7778", "resp", "A" * 256),
            ("55555", "orig", "+OK Dovecot ready."),
        ]
    )


def test_first_payloads(dialogs: Logs) -> None:
    payloads = by_port(dialogs["payload"])
    assert payloads["7779"]["orig_payload"] == "hello."
    assert payloads["7779"]["orig_payload_hex"] == b"hello\n".hex()
    assert payloads["7779"]["resp_payload"] == "text after the client spoke."
    assert payloads["7781"]["orig_payload_hex"] == bytes(range(64)).hex()
    assert payloads["7781"]["orig_payload"] == "." * 32 + "".join(map(chr, range(32, 64)))
    assert "resp_payload" not in payloads["7781"]
    assert payloads["3478"]["proto"] == "udp"
    assert payloads["3478"]["orig_payload_hex"].startswith("000100002112a442")
    assert payloads["3478"]["resp_payload"] == "..answer"


def test_every_flow_with_data_has_one_payload(unsparing: Logs) -> None:
    with_data = {
        row["uid"]
        for row in unsparing["conn"]
        if row["proto"] in {"tcp", "udp"}
        and ("d" in row.get("history", "").lower() or {row.get("orig_bytes", "0"), row.get("resp_bytes", "0")} != {"0"})
    }
    uids = [row["uid"] for row in unsparing["payload"]]
    assert len(uids) == len(set(uids))
    assert set(uids) <= with_data
    assert len(uids) > 0.98 * len(with_data)


def test_a_known_service_has_one_payload_and_an_unknown_one_all(enriched: Logs, unsparing: Logs) -> None:
    services = {row["uid"]: row.get("service") for row in enriched["conn"]}
    kept = {row["uid"] for row in enriched["payload"]}
    assert {row["uid"] for row in unsparing["payload"] if services[row["uid"]] is None} <= kept

    def servers(logs: Logs) -> list[tuple[str, str, str]]:
        known = [row for row in logs["payload"] if services[row["uid"]]]
        return [(row["id.resp_h"], row["id.resp_p"], row["proto"]) for row in known]

    assert len(servers(enriched)) == len(set(servers(enriched)))
    assert set(servers(enriched)) == set(servers(unsparing))
    assert len(servers(enriched)) < len(servers(unsparing))


def test_what_payloads_to_log_is_a_setting(run: Run, unsparing: Logs) -> None:
    script = SCRIPTS / "first-payload.zeek"
    every = {row["uid"]: row for row in unsparing["payload"]}

    def chosen(setting: str) -> set[str]:
        redefs = f"redef ZeekEnrich::payload_known_interval = 0 secs; redef ZeekEnrich::{setting};"
        return {row["uid"] for row in run(SITE_A, script, "-e", redefs)["payload"]}

    assert chosen("payload_exclude_ports += {53/udp}") == {
        uid for uid, row in every.items() if (row["id.resp_p"], row["proto"]) != ("53", "udp")
    }
    http = {row["uid"] for row in unsparing["conn"] if "http" in row.get("service", "").split(",")}
    assert http & every.keys()
    assert chosen('payload_exclude_services += {"http"}') == every.keys() - http
    assert chosen("payload_exclude_subnets += {10.20.0.0/16}") == {
        uid for uid, row in every.items() if not (row["id.orig_h"] + " " + row["id.resp_h"]).count("10.20.")
    }
    sample = chosen("payload_one_in = 4")
    assert 0.1 * len(every) < len(sample) < 0.5 * len(every)
    assert sample <= every.keys()


def test_syn(dialogs: Logs) -> None:
    syn = by_port(dialogs["syn"])["7777"]
    assert {name: value for name, value in syn.items() if "_" in name and "." not in name} == {
        "syn_ttl": "64",
        "syn_window": "64240",
        "syn_mss": "1460",
        "syn_wscale": "7",
        "syn_options": "mss,sok,ts,nop,ws",
        "syn_df": "T",
        "syn_size": "60",
        "synack_ttl": "128",
        "synack_window": "64240",
        "synack_mss": "1460",
        "synack_wscale": "8",
        "synack_options": "mss,nop,ws,nop,nop,sok",
        "synack_df": "T",
        "synack_size": "52",
    }


def test_odd_tcp_options(dialogs: Logs) -> None:
    syn = by_port(dialogs["syn"])
    assert syn["7781"]["syn_options"] == "mss,nop,nop,nop,eol+0"
    assert syn["7782"]["syn_options"] == "?254,sack"
    assert "55555" not in syn


def test_every_handshake_has_one_syn_line(unsparing: Logs) -> None:
    handshakes = {row["uid"] for row in unsparing["conn"] if row["proto"] == "tcp" and "S" in row.get("history", "")}
    uids = [row["uid"] for row in unsparing["syn"]]
    assert len(uids) == len(set(uids))
    assert handshakes <= set(uids)
    assert all("syn_options" in row for row in unsparing["syn"] if "syn_ttl" in row)


def stacks(rows: list[Row]) -> list[tuple[str, ...]]:
    """Host and stack of each SYN and SYN+ACK."""
    return [
        (
            row[host],
            *(row.get(f"{packet}_{name}", "") for name in ("ttl", "window", "mss", "wscale", "options", "size")),
        )
        for row in rows
        for packet, host in (("syn", "id.orig_h"), ("synack", "id.resp_h"))
        if f"{packet}_ttl" in row
    ]


def test_a_stack_is_logged_once(enriched: Logs, unsparing: Logs) -> None:
    spared = stacks(enriched["syn"])
    assert len(spared) == len(set(spared))
    assert set(spared) == set(stacks(unsparing["syn"]))
    assert len(spared) < len(stacks(unsparing["syn"]))


def test_packet_sizes(dialogs: Logs) -> None:
    flows = by_port(dialogs["conn"])
    assert flows["7779"]["orig_sizes"] == "6"
    assert flows["7779"]["resp_sizes"] == "28"
    assert flows["23"]["resp_sizes"] == "6,54"
    assert flows["3478"]["orig_sizes"] == "20"
    assert flows["3478"]["resp_sizes"] == "8"


def test_community_id(enriched: Logs) -> None:
    assert all(row["community_id"].startswith("1:") for row in enriched["conn"])


def test_json_is_a_setting(zeek: str, tmp_path: Path, complaints: Callable[[Path], set[str]]) -> None:
    assert zeek_in(zeek, tmp_path, SITE_A, SCRIPTS, "-e", "redef ZeekEnrich::json_logs = T;") <= complaints(SITE_A)
    logs = [path for path in tmp_path.glob("*.log") if path.stem not in OF_ZEEK_ITSELF]
    assert {"conn", *OWN_LOGS} <= {path.stem for path in logs}
    assert all(line.startswith("{") for path in logs for line in path.read_text().splitlines())


SITES = "#fields\tdomain\tcategory\tproduct\n{}"

# Input is read while packets are processed; a capture would be over first.
WAIT_FOR_SITES = """
event zeek_init() {{ suspend_processing(); }}
event Input::end_of_data(name: string, source: string) {{ {then} }}
"""


# A file that changes, then another file.
WATCH_SITES = """
redef exit_only_after_terminate = T;
global reads = 0;
event Input::end_of_data(name: string, source: string)
	{
	local a = ZeekEnrich::site_of("www.a.example");
	local b = ZeekEnrich::site_of("b.example.");
	print |ZeekEnrich::sites|, a$category, b$category;
	switch ( ++reads )
		{
		case 1: system("mv next.tsv sites.tsv"); break;
		case 2: Config::set_value("ZeekEnrich::sites_file", "other.tsv"); break;
		case 3: terminate(); break;
		}
	}
"""


def tagged(rows: list[Row], name: str) -> set[tuple[str, str | None, str | None]]:
    return {(row[name], row.get("site_category"), row.get("site_product")) for row in rows if name in row}


def test_sites(run: Run, tmp_path: Path) -> None:
    sites = tmp_path / "sites.tsv"
    sites.write_text(
        SITES.format(
            "example.com\tcdn\t-\ncorp.example\tother\tcorp\nmail1.corp.example\tmail\tpostfix\norp.example\twrong\t-\n"
        )
    )
    wait = tmp_path / "wait.zeek"
    wait.write_text(WAIT_FOR_SITES.format(then="continue_processing();"))
    logs = run(SITE_A, SCRIPTS, wait, "-e", f'redef ZeekEnrich::sites_file = "{sites}";')
    for row in [*logs["dns"], *logs["http"], *logs["ssl"]]:
        name = row.get("query") or row.get("server_name") or row.get("host", "").split(":")[0]
        match name.lower().split("."):
            case [*_, "mail1", "corp", "example"]:
                expected = ("mail", "postfix")
            case [*_, "corp", "example"]:
                expected = ("other", "corp")
            case [*_, "example", "com"]:
                expected = ("cdn", None)
            case _:
                expected = (None, None)
        assert (row.get("site_category"), row.get("site_product")) == expected, name
    assert {"cdn", "other"} <= {category for _, category, _ in tagged(logs["dns"], "query")}
    assert any(category for _, category, _ in tagged(logs["http"], "host"))
    assert any(category for _, category, _ in tagged(logs["ssl"], "server_name"))


def test_sites_are_read_again_when_they_change(zeek: str, tmp_path: Path) -> None:
    for name, domain, category in (
        ("sites", "a.example", "cdn"),
        ("next", "b.example", "vpn"),
        ("other", "a.example", "game"),
    ):
        (tmp_path / f"{name}.tsv").write_text(SITES.format(f"{domain}\t{category}\t-\n"))
    (tmp_path / "watch.zeek").write_text(WATCH_SITES)
    command = [zeek, str(SCRIPTS), "watch.zeek", "-e", 'redef ZeekEnrich::sites_file = "sites.tsv";']
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.splitlines() == ["1, cdn, ", "1, , vpn", "1, game, "], done.stderr
