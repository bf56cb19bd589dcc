"""The command as a process: signals, pipes that close, streams that are not there, terminals of every kind."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import time
from fcntl import ioctl
from pathlib import Path
from termios import TIOCSWINSZ

import pytest
from click.testing import CliRunner
from conftest import ROOT, Run

from enrich.cli import main
from enrich.process import behaved

ZEEK = ROOT / "examples/zeek"
PROGRAM = [sys.executable, "-m", "enrich.cli"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("process") / "out"
    done = subprocess.run([*PROGRAM, "run", str(ZEEK), "--out", str(out), "-q"], env=ENVIRONMENT, check=False)
    assert done.returncode == 0
    return out


def shell(command: str, **more: str) -> subprocess.CompletedProcess[str]:
    program = " ".join(f'"{part}"' for part in PROGRAM)
    return subprocess.run(
        ["bash", "-c", command.replace("zeek-enrich", program)],
        env={**ENVIRONMENT, **more},
        capture_output=True,
        text=True,
        check=False,
    )


def in_terminal(arguments: list[str], columns: int, **more: str) -> str:
    """What a command writes to a terminal of so many columns."""
    ours, theirs = pty.openpty()
    ioctl(ours, TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, "TERM": "xterm", **more}
    )
    os.close(theirs)
    text = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            block = os.read(ours, 1 << 16)
        except OSError:  # the other end is closed
            break
        text += block
    os.close(ours)
    assert process.wait() == 0, text
    return text.decode()


# ---- who listens


@pytest.mark.parametrize("command", ["hosts OUT --all --json", "findings OUT", "findings OUT --json", "check sites"])
def test_a_reader_that_has_enough_is_no_error(output: Path, command: str) -> None:
    command = command.replace("OUT", str(output))
    done = shell(f"zeek-enrich {command} | (read -r line; exec 0<&-; sleep 0.2); echo ${{PIPESTATUS[0]}}")
    assert done.stdout.strip() in ("0", "141")
    assert done.stderr == ""


@pytest.mark.parametrize("where", ["| true", "> /dev/full", ">&-", "2>&-", "> /dev/full 2>&1", ">&- 2>&-"])
def test_a_run_that_nobody_listens_to_is_a_run(tmp_path: Path, where: str) -> None:
    done = shell(f"zeek-enrich run {ZEEK / 'ssh.log'} --out {tmp_path / 'out'} {where}; exit ${{PIPESTATUS[0]}}")
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
    assert json.loads((tmp_path / "out" / "run.json").read_text())["rows"]["out"] > 0


@pytest.mark.parametrize(
    "command",
    [
        *("hosts OUT", "findings OUT --json", "lookup port 22", "check sites/time.csv"),
        *("--help", "--version", "run --help"),
    ],
)
def test_an_answer_that_cannot_be_written_is_told(output: Path, command: str) -> None:
    done = shell(f"zeek-enrich {command.replace('OUT', str(output))} > /dev/full")
    assert done.returncode == 4
    assert done.stderr == "zeek-enrich: standard output: No space left on device\n"


def test_standard_input_that_is_closed_is_empty(tmp_path: Path) -> None:
    done = shell(f"zeek-enrich run - --out {tmp_path / 'out'} <&-; echo $?; zeek-enrich lookup ip - <&-; echo $?")
    assert done.stderr.splitlines() == ["standard input: nothing came", "zeek-enrich: nothing could be read"]
    assert done.stdout.splitlines()[-2:] == ["3", "0"]


# ---- what stops it


def test_a_run_that_is_killed_is_not_taken_for_the_one_before(run: Run, tmp_path: Path) -> None:
    out = run(ZEEK).out
    program = """
import os, signal, sys
from enrich.cli import main
from enrich.sinks.files import OutFile
commit = OutFile.commit
def killed(self):
    commit(self)
    if self.path.name.startswith("dns"):
        os.kill(os.getpid(), signal.SIGKILL)
OutFile.commit = killed
main(sys.argv[1:])
"""
    command = [sys.executable, "-c", program, "run", str(ZEEK), "--out", str(out), "--format", "native", "-q"]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert (out / "dns.log").exists() and [*out.glob(".*.part")]
    told = CliRunner().invoke(main, ["findings", str(out)]).stderr
    assert "the last run into it failed (it has not ended: it is still at work, or was killed)" in told
    assert run(ZEEK, out=out).run["failed"] is None
    assert [*out.glob(".*.part")] == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_stopped_leaves_nothing_half_written(tmp_path: Path, number: int) -> None:
    logs, out = tmp_path / "logs", tmp_path / "out"
    logs.mkdir()
    rows = (ZEEK / "conn.log").read_text()
    (logs / "a.log").write_text(rows)
    (logs / "b.log").write_text(rows + "".join(line + "\n" for line in rows.splitlines() if line[0] != "#") * 300)
    process = subprocess.Popen(
        [*PROGRAM, "run", str(logs), "--out", str(out)], env=ENVIRONMENT, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (out / "a.ndjson").exists():
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said == "zeek-enrich: stopped; incomplete outputs were removed\n"
    assert sorted(path.name for path in out.iterdir()) == ["a.ndjson", "run.json"]
    record = json.loads((out / "run.json").read_text())
    assert record["failed"] == "interrupted"
    assert [item["outputs"] for item in record["files"]] == [["a.ndjson"], []]


@pytest.mark.parametrize("arguments", [("run", "-"), ("lookup", "ip", "-")])
@pytest.mark.parametrize("sent", [b"", b'{"ts": 1}\n'])
def test_what_waits_for_standard_input_is_stopped(tmp_path: Path, arguments: tuple[str, ...], sent: bytes) -> None:
    out = ("--out", str(tmp_path / "out")) if arguments[0] == "run" else ()
    pipe = subprocess.PIPE
    process = subprocess.Popen([*PROGRAM, *arguments, *out], env=ENVIRONMENT, stdin=pipe, stdout=pipe, stderr=pipe)
    assert process.stdin is not None and process.stderr is not None
    process.stdin.write(sent)
    process.stdin.flush()
    waiting, deadline = Path(f"/proc/{process.pid}/wchan"), time.monotonic() + 10
    while time.monotonic() < deadline and "pipe_read" not in waiting.read_text():  # where the system tells
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()
    assert process.stderr.read() == b"zeek-enrich: stopped; incomplete outputs were removed\n"
    process.communicate()


# ---- where it is seen


@pytest.mark.parametrize("command", [None, *main.commands])
def test_help_fits_80_columns(command: str | None) -> None:
    done = CliRunner().invoke(main, [*([command] if command else []), "--help"], env={"COLUMNS": "200"})
    assert done.exit_code == 0
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize("columns", [20, 40, 80, 200])
@pytest.mark.parametrize(
    "command", ["run", "hosts", "host", "findings", "explain", "check", "enrichers", "lookup", "reconcile"]
)
def test_lines_fit_any_terminal(output: Path, tmp_path: Path, columns: int, command: str) -> None:
    arguments = {
        "run": ["run", str(ZEEK), "--out", str(tmp_path / "out")],
        "hosts": ["hosts", str(output)],
        "host": ["hosts", str(output), "10.20.1.16"],
        "findings": ["findings", str(output)],
        "explain": ["explain", str(output), "CCgxIp4aDwiwUdlTs"],
        "check": ["check", "sites"],
        "enrichers": ["enrichers"],
        "lookup": ["lookup", "ip", "8.8.8.8"],
        "reconcile": ["reconcile", str(output), "--services", str(tmp_path / "services")],
    }[command]
    (tmp_path / "services").write_text("smtp 22/tcp\ndomain 53/udp\n")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", in_terminal(arguments, columns, NO_COLOR="1"))
    assert "Traceback" not in text
    assert max(len(line) for line in re.split("[\r\n]", text)) <= columns
    answer = text.replace(", …", "").rpartition("protocol ")[2] if command == "run" else text.replace(", …", "")
    assert columns < 40 or "…" not in answer


def test_the_summary_has_one_line_an_application_in_80_columns(tmp_path: Path) -> None:
    text = in_terminal(["run", str(ZEEK), "--out", str(tmp_path / "out")], 80, TERM="dumb")
    lines = text.replace("\r", "").split("\n")
    head = next(number for number, line in enumerate(lines) if line.startswith("protocol"))
    assert lines[head].split() == ["protocol", "application", "category", "flows", "%", "bytes", "wrong", "port"]
    assert lines.index("", head) - head == 1 + 15 + 1


def test_no_color_takes_every_style_away(output: Path) -> None:
    coloured = in_terminal(["findings", str(output)], 80)
    assert "\x1b[1" in coloured
    plain = in_terminal(["findings", str(output)], 80, NO_COLOR="1")
    assert "\x1b" not in plain
    assert "\x1b[1" in in_terminal(["findings", str(output)], 80, NO_COLOR="")


def test_nothing_is_cut_where_there_is_no_terminal(run: Run, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120) / ("y" * 120)
    deep.mkdir(parents=True)
    (deep / "conn.log").write_text((ZEEK / "conn.log").read_text() + "broken\n")
    outcome = run(deep, quiet=False)
    assert f"  {deep / 'conn.log'}: 1 of 856\n" in outcome.stdout
    line = len((deep / "conn.log").read_text().splitlines())
    assert f"{deep / 'conn.log'}:{line}: " in outcome.stderr
    assert "…" not in outcome.stdout + outcome.stderr


def test_each_problem_is_told_once(run: Run, tmp_path: Path) -> None:
    (tmp_path / "conn.log.gz").write_bytes(b"\x1f\x8b\x08\x00\x00")
    outcome = run(ZEEK / "ssh.log", tmp_path / "conn.log.gz", quiet=False)
    assert (outcome.stdout + outcome.stderr).count("truncated") == 1
    assert "1 file damaged (see run.json)" in outcome.stdout


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "tr_TR.UTF-8", "nonsense"])
def test_any_locale(tmp_path: Path, locale: str) -> None:
    folder = tmp_path / "ünïcode"
    folder.mkdir()
    (folder / "conn.log").write_text((ZEEK / "conn.log").read_text() + "bröken\n")
    done = shell(f"zeek-enrich run {folder} --out {folder / 'out'}; zeek-enrich hosts {folder / 'out'}", LC_ALL=locale)
    assert "Traceback" not in done.stderr
    assert "conn.log: 1 of 856" in done.stdout
    assert "10.20.1.16" in done.stdout


@pytest.mark.parametrize(("said", "status"), [((), 130), (("",), 130), ((signal.SIGTERM,), 143)])
def test_an_interruption_in_whose_words_so_ever(said: tuple[object, ...], status: int) -> None:
    @behaved
    def command() -> None:
        raise KeyboardInterrupt(*said)

    with pytest.raises(SystemExit) as stopped:
        command()
    assert stopped.value.code == status


@pytest.mark.parametrize(("rate", "text"), [(0.4, "0"), (8564, "8,564"), (9999.7, "10k"), (812_345, "812k")])
def test_a_rate_is_short(rate: float, text: str) -> None:
    from enrich.terminal import _short

    assert _short(rate) == text
