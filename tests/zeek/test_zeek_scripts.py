"""What holds of the Zeek package's files on every machine, with Zeek or without."""

import configparser
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "zeek-scripts").glob("*.zeek"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_script_parses(path: Path) -> None:
    zeekscript = pytest.importorskip("zeekscript", reason="the parser for Zeek scripts, zeekscript, is not installed")
    script = zeekscript.Script(path)
    assert script.parse(), script.get_error()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_every_field_and_option_says_what_it_is(path: Path) -> None:
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        if "&log" in line or re.match(r"\toption ", line):
            assert lines[number - 1].lstrip().startswith("##"), f"{path.name}:{number + 1}: {line}"


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_fields_added_to_stock_records_are_optional(path: Path) -> None:
    for name, body in re.findall(r"^redef record (\S+) \+= \{\n(.*?)^\};", path.read_text(), re.M | re.S):
        fields = re.findall(r"^\t\w+: .*;$", body, re.M)
        assert fields
        assert all("&optional" in field for field in fields), f"{path.name}: {name}"


def test_scripts_load_what_exists() -> None:
    loaded = set()
    for path in SCRIPTS:
        for name in re.findall(r"^@load(?:-sigs)? \./(\S+)$", path.read_text(), re.M):
            target = path.parent / (name if name.endswith(".sig") else f"{name}.zeek")
            assert target.is_file(), f"{path.name} loads {name}"
            loaded.add(target.name)
    everything = {path.name for path in path.parent.iterdir() if path.suffix in {".zeek", ".sig"}}
    assert everything - loaded == {"__load__.zeek", "packet-sizes.zeek"}


def test_signatures_call_functions_that_exist() -> None:
    functions = set(re.findall(r"^function (\w+)\(", "".join(path.read_text() for path in SCRIPTS), re.M))
    for path in (ROOT / "zeek-scripts").glob("*.sig"):
        called = re.findall(r"^  eval ZeekEnrich::(\w+)$", path.read_text(), re.M)
        assert called
        assert set(called) <= functions


def test_metadata_points_to_the_scripts() -> None:
    metadata = configparser.ConfigParser(interpolation=None)
    metadata.read(ROOT / "zkg.meta")
    package = metadata["package"]
    assert (ROOT / package["script_dir"] / "__load__.zeek").is_file()
    for word in package["test_command"].split():
        if "/" in word:
            assert (ROOT / word).exists(), word
