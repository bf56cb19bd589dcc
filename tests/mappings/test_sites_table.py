"""The site tables hold together: shape, closed categories, unique domains, examples, and facts that everybody knows."""

import csv
import re
from functools import cache
from pathlib import Path

import pytest
from publicsuffixlist import PublicSuffixList

SITES = Path(__file__).parents[2] / "mappings" / "sites"
CATEGORIES = {
    "antivirus",
    "torrent_index",
    "torrent_tracker",
    "os_update",
    "software_update",
    "package_repository",
    "advertising",
    "tracking",
    "telemetry",
    "certificate",
    "time",
    "connectivity_check",
    "licensing",
    "support_forum",
    "app_store",
    "remote_access",
    "vpn",
    "doh",
    "dynamic_dns",
    "speed_test",
    "stun",
    "game",
    "crypto_mining",
    "file_sharing",
    "messaging",
    "cdn",
    "cloud",
}
# A portal is many things at once: only its specific sub-domains may be named.
PORTALS = [
    *["microsoft.com", "google.com", "apple.com", "amazon.com", "facebook.com", "yahoo.com", "qq.com", "baidu.com"],
    *["yandex.ru", "live.com", "msn.com", "bing.com", "aol.com", "mail.ru", "vk.com", "adobe.com", "samsung.com"],
    *["oracle.com", "ibm.com", "cisco.com", "intel.com", "nvidia.com", "redhat.com", "mozilla.org", "debian.org"],
    *["ubuntu.com", "symantec.com", "vmware.com", "github.com", "linkedin.com", "twitter.com", "reddit.com"],
    *["youtube.com", "netflix.com", "wikipedia.org", "wordpress.org", "wordpress.com", "ebay.com"],
]

Row = dict[str, str]


def files() -> list[Path]:
    return sorted(SITES.glob("*.csv"))


@cache
def read(path: Path) -> tuple[Row, ...]:
    lines = path.read_text("utf-8").splitlines()
    return tuple(csv.DictReader(line for line in lines if not line.startswith("#")))


@cache
def by_domain() -> dict[str, Row]:
    return {row["domain"]: row for path in files() for row in read(path)}


def longest_suffix(host: str) -> Row | None:
    labels = host.split(".")
    for start in range(len(labels)):
        if row := by_domain().get(".".join(labels[start:])):
            return row
    return None


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
class TestEveryTable:
    def test_says_where_it_is_from(self, path: Path) -> None:
        comments = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
        assert {"source", "licence", "date"} <= {line[2:].split(":")[0] for line in comments}

    def test_rows(self, path: Path) -> None:
        rows = read(path)
        for row in rows:
            assert list(row) == ["domain", "category", "product", "example"]
            assert row["category"] in CATEGORIES
            assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", row["product"]), row
            assert re.fullmatch(r"([a-z0-9]([a-z0-9_-]*[a-z0-9])?\.)+[a-z]{2,}", row["domain"]), row
        domains = [row["domain"] for row in rows]
        assert domains == sorted(set(domains))

    def test_file_is_named_after_its_category(self, path: Path) -> None:
        if path.stem != "third_party":
            assert {row["category"] for row in read(path)} == {path.stem}

    def test_every_example_matches_its_own_row_first(self, path: Path) -> None:
        for row in read(path):
            assert longest_suffix(row["example"]) == row, f"{path.name}: {row['domain']}: {row['example']}"


def test_every_category_has_a_table() -> None:
    assert {path.stem for path in files()} == CATEGORIES | {"third_party"}


def test_no_domain_is_in_two_tables() -> None:
    assert sum(len(read(path)) for path in files()) == len(by_domain())


def test_no_portal_and_no_public_suffix_is_named_whole() -> None:
    suffixes = PublicSuffixList(only_icann=True)
    assert [domain for domain in PORTALS if domain in by_domain()] == []
    assert [domain for domain in by_domain() if suffixes.is_public(domain)] == []


def test_one_spelling_for_each_product() -> None:
    spellings: dict[str, str] = {}
    for row in by_domain().values():
        flat = row["product"].replace("_", "")
        assert spellings.setdefault(flat, row["product"]) == row["product"]


@pytest.mark.parametrize(
    ("category", "products"), [("antivirus", 60), ("torrent_index", 100), ("torrent_tracker", 80), ("doh", 60)]
)
def test_breadth(category: str, products: int) -> None:
    assert len({row["product"] for row in by_domain().values() if row["category"] == category}) >= products


@pytest.mark.parametrize(
    ("host", "category", "product"),
    [
        ("database.clamav.net", "antivirus", "clamav"),
        ("current.cvd.clamav.net", "antivirus", "clamav"),
        ("um01.eset.com", "antivirus", "eset"),
        ("update.eset.com", "antivirus", "eset"),
        ("liveupdate.symantecliveupdate.com", "antivirus", "symantec"),
        ("liveupdate.symantec.com", "antivirus", "symantec"),
        ("definitionupdates.microsoft.com", "antivirus", "windows_defender"),
        ("europe.cp.wd.microsoft.com", "antivirus", "windows_defender"),
        ("dnl-13.geo.kaspersky.com", "antivirus", "kaspersky"),
        ("ts01-b.cloudsink.net", "antivirus", "crowdstrike"),
        ("www.kaspersky.com", "support_forum", "kaspersky"),
        ("thepiratebay.org", "torrent_index", "the_pirate_bay"),
        ("1337x.to", "torrent_index", "1337x"),
        ("tracker.opentrackr.org", "torrent_tracker", "opentrackr"),
        ("bt2.t-ru.org", "torrent_tracker", "rutracker_tracker"),
        ("dht.transmissionbt.com", "torrent_tracker", "bittorrent_dht"),
        ("au.download.windowsupdate.com", "os_update", "windows_update"),
        ("fe2.update.microsoft.com", "os_update", "windows_update"),
        ("deb.debian.org", "os_update", "debian"),
        ("us.archive.ubuntu.com", "os_update", "ubuntu"),
        ("swcdn.apple.com", "os_update", "apple_software_update"),
        ("aus5.mozilla.org", "software_update", "firefox"),
        ("files.pythonhosted.org", "package_repository", "pypi"),
        ("registry.npmjs.org", "package_repository", "npm"),
        ("securepubads.g.doubleclick.net", "advertising", "google_ads"),
        ("www.google-analytics.com", "tracking", "google_analytics"),
        ("v10.events.data.microsoft.com", "telemetry", "windows_telemetry"),
        ("r3.o.lencr.org", "certificate", "lets_encrypt"),
        ("ocsp.digicert.com", "certificate", "digicert"),
        ("2.debian.pool.ntp.org", "time", "debian_ntp"),
        ("3.north-america.pool.ntp.org", "time", "ntp_pool"),
        ("www.msftconnecttest.com", "connectivity_check", "windows_ncsi"),
        ("detectportal.firefox.com", "connectivity_check", "firefox_portal"),
        ("dns.google", "doh", "google_public_dns"),
        ("mozilla.cloudflare-dns.com", "doh", "cloudflare_dns"),
        ("home.duckdns.org", "dynamic_dns", "duckdns"),
        ("stun2.l.google.com", "stun", "google_stun"),
        ("relay-9f3a.net.anydesk.com", "remote_access", "anydesk"),
        ("pool.supportxmr.com", "crypto_mining", "supportxmr"),
        ("g.whatsapp.net", "messaging", "whatsapp"),
        ("d111111abcdef8.cloudfront.net", "cdn", "cloudfront"),
        ("acme.blob.core.windows.net", "cloud", "azure"),
    ],
)
def test_facts(host: str, category: str, product: str) -> None:
    row = longest_suffix(host)
    assert row is not None
    assert (row["category"], row["product"]) == (category, product)


@pytest.mark.parametrize(
    "host",
    ["www.google.com", "www.microsoft.com", "go.microsoft.com", "www.example.com", "mail.google.com", "github.com"],
)
def test_what_is_no_subsidiary_site(host: str) -> None:
    assert longest_suffix(host) is None
