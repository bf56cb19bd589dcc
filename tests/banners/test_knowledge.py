from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from enrich.banners.knowledge import Knowledge, NameFinder, cpe, fold
from enrich.errors import TableError

TABLES = Path(__file__).parents[2] / "mappings" / "banners"
KNOWLEDGE = Knowledge(TABLES)


def completed(**fields: str) -> dict[str, str]:
    KNOWLEDGE.complete(fields)
    return fields


def test_names_fold() -> None:
    assert fold("Pure-FTPd") == fold("pureftpd") == fold("PURE FTPD")


@pytest.mark.parametrize(
    ("version", "package", "system", "release"),
    [
        ("4.3p2", "8ubuntu1.4", "Ubuntu", "7.04"),
        ("4.3p2", "5ubuntu1", "Ubuntu", "6.10"),
        ("5.1p1", "6ubuntu2", "Ubuntu", "9.10"),
        ("8.4p1", "5ubuntu1", "Ubuntu", "21.04"),
        ("8.4p1", "6ubuntu2.1", "Ubuntu", "21.10"),
        ("9.0p1", "1ubuntu7", "Ubuntu", "22.10"),
        ("9.0p1", "1ubuntu8.7", "Ubuntu", "23.04"),
        ("9.0p1", "1ubuntu9", "Ubuntu", None),
        ("7.9p1", "10", "Debian", "10"),
        ("2.3.0", "20010713", "FreeBSD", "4.4"),
        ("9.9.9", "1", "Debian", None),
    ],
)
def test_package_versions_tell_releases(version: str, package: str, system: str, release: str | None) -> None:
    found = completed(product="OpenSSH", version=version, package=package, os=system)
    assert found.get("os_version") == release
    assert "package" not in found


def test_a_release_that_the_banner_states_is_kept() -> None:
    assert completed(product="HTTPD", version="2.4.52", os="Ubuntu", os_version="20.04")["os_version"] == "20.04"


def test_code_names_tell_systems() -> None:
    assert completed(codename="Jammy") | {"os_vendor": ""} == {
        "os": "Ubuntu",
        "os_version": "22.04",
        "os_vendor": "",
        "os_product": "Linux",
    }
    assert "os" not in completed(codename="nonesuch")
    assert completed(codename="sid").get("os_version") is None


def test_builds_tell_windows_and_exchange() -> None:
    assert completed(windows_build="10.0.14393.2608")["os"] == "Windows Server 2016"
    assert "os" not in completed(windows_build="99.0.1")
    assert completed(product="Exchange Server", version="15.1.2507.6")["product"] == "Exchange 2016 Server"
    assert completed(product="Exchange Server", version="15.2.1118.7")["product"] == "Exchange 2019 Server"
    assert completed(product="Exchange Server", version="99.1")["product"] == "Exchange Server"


def test_what_follows_from_a_product() -> None:
    assert completed(product="microsoft-iis", version="10.0") == {
        "product": "IIS",
        "version": "10.0",
        "vendor": "Microsoft",
        "os": "Windows",
        "os_vendor": "Microsoft",
        "os_product": "Windows",
        "cpe": "cpe:2.3:a:microsoft:internet_information_services:10.0:*:*:*:*:*:*:*",
    }
    assert completed(product="Nobody Knows") == {"product": "Nobody Knows"}
    assert completed(product="Mail Server", vendor="ArGoSoft")["os"] == "Windows"


def test_a_system_that_is_known_to_be_none_stays_so() -> None:
    assert completed(product="IIS", os="")["os"] == ""


def test_cpe_quotes_what_the_format_reserves() -> None:
    assert cpe("a:x:y", "") == "cpe:2.3:a:x:y:*:*:*:*:*:*:*:*"
    assert cpe("a:x:y", "1.2+b:3 extra") == r"cpe:2.3:a:x:y:1.2\+b\:3:*:*:*:*:*:*:*"
    assert cpe("a:openbsd:openssh", "6.1p1_hpn13v11") == "cpe:2.3:a:openbsd:openssh:6.1:p1:*:*:*:*:*:*"


def test_names_are_found_as_whole_words_the_longest_first() -> None:
    finder = NameFinder(["Post", "Postfix", "Mercury/32", "War-FTPD"])
    assert finder.find(b"host ESMTP postfix (Debian)") == ("postfix", 18)
    assert finder.find(b"Mercury/32 v4") == ("Mercury/32", 10)
    assert finder.find(b"Postfixes") is None
    assert finder.find(b"outpost") is None
    assert finder.find("é Post".encode()) == ("Post", 7)
    assert NameFinder([]).find(b"anything") is None


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("systems.csv", "Other,Maker,Linux,Debian", "'Debian' already names Debian"),
        ("products.csv", "OpenSSH,OpenBSD,,,,", "is listed twice"),
        ("products.csv", "Other,Maker,dropbear,,,", "'dropbear' already names Dropbear SSH"),
        ("products.csv", "Other,Maker,,,,Nonesuch", "system 'Nonesuch' is not in systems.csv"),
        ("releases.csv", "OpenSSH,1,,Nonesuch,1", "system 'Nonesuch' is not in systems.csv"),
        ("codenames.csv", "name,Debian", "has 2 values for 3 columns"),
        ("windows_builds.csv", "1.2.3,Nonesuch,", "system 'Nonesuch' is not in systems.csv"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, file: str, line: str, message: str) -> None:
    directory = tmp_path / "mappings" / "banners"
    shutil.copytree(TABLES, directory)
    with (directory / file).open("a", encoding="utf-8") as table:
        table.write(line + "\n")
    with pytest.raises(TableError) as error:
        Knowledge(directory)
    assert str(error.value).startswith(f"mappings/banners/{file}: ")
    assert message in str(error.value)


def test_a_table_must_name_its_source(tmp_path: Path) -> None:
    directory = tmp_path / "banners"
    shutil.copytree(TABLES, directory)
    (directory / "systems.csv").write_text("os,os_vendor,os_product,names\n", "utf-8")
    with pytest.raises(TableError, match="lacks the comment `# source: "):
        Knowledge(directory)
    (directory / "systems.csv").unlink()
    with pytest.raises(TableError, match="cannot be read"):
        Knowledge(directory)
