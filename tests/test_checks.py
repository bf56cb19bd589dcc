"""``zeek-enrich check``: what is shipped passes, and a wrong example of any kind of table is found and named."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import mmdb
import pytest
from click.testing import CliRunner
from conftest import ROOT

from enrich.checks import check_tables
from enrich.cli import main
from enrich.tables import MAPPINGS, Tables


def test_every_shipped_table_passes_and_is_looked_at() -> None:
    results = list(check_tables(Tables()))
    assert [result for result in results if result.problem is not None] == []
    shipped = {
        path.relative_to(MAPPINGS).as_posix() for path in MAPPINGS.rglob("*") if path.suffix in (".csv", ".toml")
    }
    assert {result.table for result in results} == shipped


@pytest.mark.parametrize(
    ("table", "right", "wrong"),
    [
        ("banners/ssh.toml", 'text = "OpenSSH_7.1p1 Microsoft', 'text = "7.1p1 Microsoft'),
        ("user_agents/tools.toml", "text = 'curl/", "text = 'lurc/"),
        ("applications/streaming.toml", 'examples = ["', 'examples = ["x.example.org", "'),
        ("sites/time.csv", ",ntp.ubuntu.com", ",ntp.example.org"),
        ("payload/mail.toml", 'orig = "', 'orig = "ff'),
    ],
)
def test_a_wrong_example_fails(tmp_path: Path, table: str, right: str, wrong: str) -> None:
    root = tmp_path / "mappings"
    shutil.copytree(MAPPINGS, root, ignore=shutil.ignore_patterns("*.mmdb"))
    text = (root / table).read_text("utf-8")
    assert right in text
    (root / table).write_text(text.replace(right, wrong, 1), "utf-8")
    (result,) = check_tables(Tables(root=root), (table,))
    assert result.problem is not None
    assert "example" in result.problem


@pytest.mark.parametrize(
    ("table", "right", "wrong", "reason"),
    [
        ("sites/time.csv", "domain,", "name,", "malformed"),
        ("networks/google.csv", "prefix,", "net,", "malformed: ColumnNotFoundError"),
        ("ports/care.csv", "port,", "porter,", "malformed"),
        ("ports/in_use.csv", "\n80,", "\n80x,", "not a port or range"),
        ("addresses/special.csv", "10.0.0.0/8", "10.0.0.0/88", "10.0.0.0/88"),
        (
            "applications/streaming.toml",
            "category = ",
            "kategory = ",
            "kategory: there is no such key; do you mean category",
        ),
        ("payload/mail.toml", "strength = ", "strength == ", "cannot be read"),
        ("evidence.toml", "[table]", "[tables]", "does not name its date, licence, source"),
        ("behavior.toml", "[thresholds]", "[thresholds", "cannot be read"),
        ("user_agents/tools.toml", "match = ", "match = '(' #", "match: missing"),
    ],
)
def test_a_broken_table_is_named_and_never_a_traceback(
    tmp_path: Path, table: str, right: str, wrong: str, reason: str
) -> None:
    root = tmp_path / "mappings"
    shutil.copytree(MAPPINGS, root, ignore=shutil.ignore_patterns("*.mmdb"))
    text = (root / table).read_text("utf-8")
    assert right in text
    (root / table).write_text(text.replace(right, wrong, 1), "utf-8")
    (result,) = check_tables(Tables(root=root), (table,))
    assert result.table == table
    assert re.search(reason, result.problem or "passed"), result


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.8])
def test_a_truncated_table_is_a_result_like_any_other(tmp_path: Path, keep: float) -> None:
    root = tmp_path / "mappings"
    shutil.copytree(MAPPINGS, root, ignore=shutil.ignore_patterns("*.mmdb"))
    names = [path for path in sorted(root.rglob("*")) if path.suffix in (".csv", ".toml")]
    for path in names:
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * keep)])
        name = path.relative_to(root).as_posix()
        results = list(check_tables(Tables(root=root), (name,)))
        assert [result.table for result in results] == [name]
        assert keep or results[0].problem is not None
        path.write_bytes(data)


OWN = {
    "sites": ("domain,category,product,example\nours.example,cdn,ours,www.ours.example\n", "1 examples"),
    "ports/in_use.csv": ("port,last_port,transport,name\n7000,7002,tcp,ours\n", "3 ports"),
}


@pytest.mark.parametrize("name", OWN)
def test_a_site_s_own_tables_are_checked_too(tmp_path: Path, name: str) -> None:
    own, found = OWN[name]
    (tmp_path / "own.csv").write_text(own)
    (tmp_path / "site.toml").write_text(f'[tables]\n"{name}" = "own.csv"\n')
    *_, result, together = check_tables(Tables.load(tmp_path / "site.toml"))
    assert together.problem is None
    assert result.table == str(tmp_path / "own.csv")
    assert result.problem is None
    assert found in result.found


@pytest.mark.parametrize(
    ("name", "own", "reason"),
    [
        ("sites", "domain,category,example\na.example,cdn,b.example\n", "a.example: example 'b.example' gives"),
        ("sites", "domain,category\n,cdn\n", "line 2: every row needs a value in column domain"),
        ("sites", "category\ncdn\n", "no column domain"),
        ("sites", "domain,colour\nx,red\n", "unknown column 'colour'"),
        (
            "sites",
            "domain,category\na.example,cdn\n*.b.example,cdn\n",
            r"own.csv, line 3: '\*\.b\.example': expected a",
        ),
        ("sites", "domain,category\nhttp://b.example/,cdn\n", "line 2: 'http://b.example/': expected a domain"),
        ("ports/in_use.csv", "port,transport,name\n7000,foo,x\n", "line 2: 'foo': expected tcp, udp, sctp or dccp"),
        ("ports/in_use.csv", "port,transport,name\nmany,tcp,x\n", "own.csv, line 2: 'many': expected a port"),
        ("ports/in_use.csv", "port,transport,name\n1,tcp,x\n70000,tcp,x\n", "line 3: '70000': expected a port"),
        ("ports/in_use.csv", "port,last_port,transport,name\n7,٧,tcp,x\n", "line 2: '٧': expected a port"),
        ("ports/in_use.csv", "port,last_port,transport,name\n9,8,tcp,x\n", "^ports/in_use.csv: not a port or range"),
        ("ports/in_use.csv", "port,name\n1,x\n", "no column transport"),
        ("networks", "prefix,application\n10.0.0.0/88,x\n", "own.csv, line 2: '10.0.0.0/88': expected a network"),
        ("networks", "prefix,application\n10.0.0.1/8,x\n", "line 2: '10.0.0.1/8': expected a network and no"),
    ],
)
def test_a_mistake_in_a_site_s_own_table_is_found(tmp_path: Path, name: str, own: str, reason: str) -> None:
    (tmp_path / "own.csv").write_text(own)
    (tmp_path / "site.toml").write_text(f'[tables]\n"{name}" = "own.csv"\n')
    problems = [result.problem for result in check_tables(Tables.load(tmp_path / "site.toml")) if result.problem]
    assert problems
    assert any(re.search(reason, problem) for problem in problems), problems
    conn = MAPPINGS.parent / "examples/zeek/conn.log"
    done = CliRunner().invoke(
        main, ["run", str(conn), "--out", str(tmp_path / "out"), "--config", str(tmp_path / "site.toml")]
    )
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in (0, 2, 3)


def test_what_a_site_s_own_tables_take_over_is_no_fault_of_the_shipped(tmp_path: Path) -> None:
    (tmp_path / "sites.csv").write_text("domain,category,example\navast.com,tracking,avast.com\n")
    entry = 'name = "ours"\ncategory = "web"\ndomains = ["avast.com"]\nexamples = ["www.avast.com"]\n'
    (tmp_path / "ours.toml").write_text(f"[[application]]\n{entry}")
    (tmp_path / "site.toml").write_text('[tables]\nsites = "sites.csv"\napplications = "ours.toml"\n')
    results = list(check_tables(Tables.load(tmp_path / "site.toml")))
    assert [result for result in results if result.problem] == []
    assert {str(tmp_path / "sites.csv"), str(tmp_path / "ours.toml")} <= {result.table for result in results}


def test_a_table_that_is_named_is_checked_with_a_site_s_own_over_it(tmp_path: Path) -> None:
    (tmp_path / "sites.csv").write_text("domain,category\nhttp://b.example/,cdn\n")
    (tmp_path / "site.toml").write_text('[tables]\nsites = "sites.csv"\n')
    tables = Tables.load(tmp_path / "site.toml")
    named = {result.table: result.problem is None for result in check_tables(tables, ("sites/time.csv",))}
    assert named == {"sites/time.csv": True, str(tmp_path / "sites.csv"): False}
    assert str(tmp_path / "sites.csv") not in {result.table for result in check_tables(tables, ("ports",))}


@pytest.mark.parametrize("text", ['[networks]\nlocal = ["bad"]\n', '[domain_lists]\ndirectory = "none"\n'])
def test_a_configuration_that_a_run_refuses_is_one_fault_of_its_own(tmp_path: Path, text: str) -> None:
    (tmp_path / "site.toml").write_text(text)
    faults = [result for result in check_tables(Tables.load(tmp_path / "site.toml")) if result.problem]
    assert [fault.table for fault in faults] == [f"{tmp_path / 'site.toml'}: all together"]


@pytest.mark.parametrize("key", ["patterns", "user_agents", "certificates"])
def test_a_site_s_own_pattern_that_is_none_is_told_with_its_file(tmp_path: Path, key: str) -> None:
    own = tmp_path / "ours.toml"
    own.write_text(f'[[application]]\nname = "ours"\ncategory = "web"\n{key} = ["(("]\nexamples = ["ua:x"]\n')
    (tmp_path / "site.toml").write_text('[tables]\napplications = "ours.toml"\n')
    problems = [result.problem for result in check_tables(Tables.load(tmp_path / "site.toml")) if result.problem]
    assert problems == [f"{own}: ours: ((: missing ): (("] * 2


@pytest.mark.parametrize(
    ("name", "near"),
    [("nosuch", ""), ("site/", "do you mean sites/? "), ("banner/ssh.toml", "do you mean banners/ssh.toml? ")],
)
def test_a_table_that_is_not_there_is_wrong_usage_and_nothing_is_checked(name: str, near: str) -> None:
    done = CliRunner().invoke(main, ["check", "sites/time.csv", name])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert f"no table is called {name!r}; {near}there are: addresses/, applications/, banners/, " in done.stderr
    assert "sites/, user_agents/, behavior.toml, " in done.stderr


def test_a_site_s_databases_are_opened(tmp_path: Path) -> None:
    mmdb.write(tmp_path / "good.mmdb", {"8.8.8.0/24": {"country": "US"}}, kind="Ours")
    (tmp_path / "bad.mmdb").write_bytes(b"nothing of the kind")
    (tmp_path / "site.toml").write_text('[databases]\ngood = "good.mmdb"\nbad = "bad.mmdb"\ngone = "gone.mmdb"\n')
    good, bad, gone = list(check_tables(Tables.load(tmp_path / "site.toml")))[-3:]
    assert (good.table, good.found, good.problem) == (str(tmp_path / "good.mmdb"), "database Ours; 1970-01-01", None)
    assert bad.table == "databases.bad"
    assert "not a MaxMind-format database" in str(bad.problem)
    assert "no such file" in str(gone.problem)


MALFORMED = {
    "applications": [
        ('[[protocol]]\nname = "x"\ncategory = "web"\nports = ["99999/tcp"]\n', "x: ports: expected such as 22/tcp"),
        ('[[protocol]]\nname = "x"\ncategory = "web"\nports = ["80-70/tcp"]\n', "or 6881-6889/udp, not '80-70/tcp'"),
        ('[[protocol]]\nname = "x"\ncategory = "web"\nports = ["80/foo"]\n', "ports: expected such as"),
        ('[[application]]\nname = "x"\ncategory = "web"\ndomains = "x.example"\n', "domains: expected a list of texts"),
        ('[[application]]\nname = 3\ncategory = "web"\n', "3: name: expected a text"),
        ('[[application]]\nname = "x"\ncategory = 3\n', "x: category: expected a text"),
        ('[[application]]\nname = "x"\ncategory = "web"\nprotocol = 5\n', "x: protocol: expected a text"),
        ('[[protocol]]\nname = "x"\ncategory = 3\n', "x: category: expected a text"),
        ('[[protocol]]\nname = "x"\ncategory = "web"\nobsolete = 3\n', "x: obsolete: expected a text"),
        ('[[protocol]]\nname = "x"\ncategory = "web"\ncarrier = "x"\n', "x: carrier: expected true or false"),
        ('[[protocol]]\nname = "x"\ncategory = "web"\nversions = ["("]\n', "x: versions: expected hexadecimal numbers"),
        ('[[protocol]]\nname = "x"\ncategory = "web"\nip = 47\n', "x: ip: expected a list of protocol numbers"),
        ('[[protocol]]\nname = "x"\ncategory = "web"\nip = [true]\n', "x: ip: expected a list of protocol numbers"),
        ('[[protocol]]\nname = "x"\ncategory = "web"\nip = [256]\n', "x: ip: expected a list of protocol numbers"),
        ('[[application]]\ncategory = "web"\n', "every entry needs name and category"),
        ('[[protocols]]\nname = "x"\n', "protocols: there is no such section; do you mean protocol?"),
        ('[protocol]\nname = "x"\n', "protocol: expected entries that begin with [[protocol]]"),
        (
            '[[protocol]]\nname = "x"\ncategory = "web"\nport = ["1/tcp"]\n',
            "x: port: there is no such key; do you mean po",
        ),
    ],
    "behavior.toml": [
        ('[thresholds]\nscan_max_packets = "x"\n', "thresholds.scan_max_packets: expected a number"),
        ('[thresholds]\nfailed_states = "S0"\n', "thresholds.failed_states: expected a list, such as"),
        ("[thresholds]\nfailed_states = [3]\n", "thresholds.failed_states: expected a list, such as"),
    ],
    "findings.toml": [
        ('[antivirus_silent]\ncontacts = "x"\n', "antivirus_silent.contacts: expected a number"),
        ("[obsolete_protocol]\nseverity = 1\n", "obsolete_protocol.severity: expected a section of grave, other"),
        ('[tftp_across_border]\nseverity = "bogus"\n', "severity: 'bogus': expected one of high, medium, low"),
    ],
    "evidence.toml": [('[protocol]\nlog = "x"\n', "protocol.log: expected a number")],
    "addresses/special.csv": [
        ("prefix,scope\n10.0.0.0/88,private\n", "own.csv, line 2: '10.0.0.0/88': expected a net")
    ],
    "inferences.csv": [
        ("network,port,transport,protocol\nx,70000,udp,ssh\n", "own.csv, line 2: '70000': expected a port"),
    ],
    "refinements.csv": [
        ("observed,port,transport,protocol\ntls,99999,tcp,ssh\n", "own.csv, line 2: '99999': expected a port"),
        ("observed,port,transport,protocol\ntls,99,foo,ssh\n", "own.csv, line 2: 'foo': expected tcp, udp"),
    ],
    "sizes.csv": [("transport,says,fewest\nudp,fits,x\n", "a table for sizes.csv is malformed")],
}


@pytest.mark.parametrize(
    ("name", "text", "reason"), [(name, *case) for name, cases in MALFORMED.items() for case in cases]
)
def test_a_malformed_table_of_a_site_s_own_is_no_traceback(tmp_path: Path, name: str, text: str, reason: str) -> None:
    own = tmp_path / ("own.csv" if name.endswith("csv") else "own.toml")
    own.write_text(text)
    (tmp_path / "site.toml").write_text(f'[tables]\n"{name}" = "{own.name}"\n')
    config = ["--config", str(tmp_path / "site.toml")]
    for command in (["run", str(ROOT / "examples/zeek/conn.log"), "--out", str(tmp_path / "out")], ["check"]):
        done = CliRunner().invoke(main, [*command, *config])
        assert isinstance(done.exception, SystemExit), done.exception
        assert done.exit_code == (2 if command[0] == "run" else 1)
        assert reason in (done.stdout + done.stderr).replace("\n", "")
