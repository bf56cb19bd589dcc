"""Writes mappings/sites/third_party.csv from the npm package `third-party-web` (MIT).

    npm pack third-party-web && tar xzf third-party-web-*.tgz
    python bench/tables/make_sites.py package/ mappings/sites/third_party.csv

The package names the third parties that web pages embed. Its categories `ad`, `analytics`, `tag-manager` and `cdn` are
ours; the others are left out, and so is what would call a whole portal or shop by what a part of it does. A domain that
a table kept by hand (any other CSV file in the target's folder) covers is left to that table.
"""

import csv
import datetime
import json
import re
import sys
from pathlib import Path

CATEGORIES = {"ad": "advertising", "analytics": "tracking", "tag-manager": "tracking", "cdn": "cdn"}

# Portals, shops, mail and media of which advertising or statistics are only a part, and public suffixes.
# fmt: off
LEFT_OUT = frozenset({
    "01net.com", "adobe.com", "akamaihd.net", "answcdn.com", "answers.com", "answerscloud.com", "aol.co.uk",
    "aol.com", "aol.net", "aolcdn.com", "apple.com", "aweber.com", "bazaarvoice.com", "bbb.org",
    "bestofmedia.com", "bing.com", "blogsmithmedia.com", "campaigner.com", "ceros.com", "channeladvisor.com",
    "constantcontact.com", "dailymotion.com", "de.com", "ebay.com", "ebayimg.com", "egain.com", "ekmsecure.com",
    "feedmagnet.com", "five.tv", "fivetran.com", "force.com", "getresponse.com", "gigya.com", "gravity.com",
    "guardian.co.uk", "hootsuite.com", "hostingprod.com", "hotukdeals.com", "ibmcloud.com", "imageg.net",
    "infusionsoft.com", "ipv6test.net", "janrain.com", "jsonip.com", "jwpcdn.com", "jwplatform.com",
    "jwplayer.com", "jwpsrv.com", "lexity.com", "licdn.com", "limelight.com", "line-scdn.net", "line.me",
    "llnwd.net", "loginradius.com", "longtailvideo.com", "lrcontent.com", "microsoft.com", "msecnd.net",
    "msn.com", "myunidays.com", "net.net", "net.pl", "o2.pl", "oath.com", "okta.com", "onet.pl", "ooyala.com",
    "poll.fm", "polldaddy.com", "purch.com", "qualtrics.com", "questionpro.com", "quora.com",
    "rakuten-static.com", "rbl.ms", "rebelmouse.com", "rovicorp.com", "rpxnow.com", "rtm.com", "s-msft.com",
    "s-msn.com", "s.yimg.jp", "s81c.com", "salesforce.com", "sas.com", "sc-static.net", "scribblelive.com",
    "sidereel.com", "snapchat.com", "sodahead.com", "spiceworks.com", "static.polldaddy.com", "surveygizmo.eu",
    "surveymonkey.com", "theguardian.com", "trustpilot.com", "tweetmeme.com", "ui-portal.de", "unbounce.com",
    "unidays.world", "wayfair.com", "where.com", "windows.net", "wowcher.co.uk", "wp.pl", "www.linkedin.com",
    "yahoo.com", "yahoo.net", "yahooapis.com", "yimg.com", "zenfs.com", "zoover.co.uk", "zoover.nl",
})
# fmt: on

# Hash-named hosts of a content delivery network pass from one customer to the next.
REASSIGNED = (".cloudfront.net", ".azureedge.net", ".azurewebsites.net", ".hs.llnwd.net")


# Companies that the tables kept by hand call otherwise: the package's name in lower_snake -> our product.
PRODUCTS = {
    "adobe_experience_cloud": "adobe_analytics",
    "adobe_marketing_cloud": "adobe_analytics",
    "adobe_tag_manager": "adobe_analytics",
    "aol_ad": "yahoo_ads",
    "aol_oath_verizon_media": "yahoo_ads",
    "appnexus": "xandr",
    "google_doubleclick_ad_exchange": "google_ads",
    "google_doubleclick_ads": "google_ads",
    "one_by_aol": "yahoo_ads",
    "rocket_fuel": "zeta",
    "rubicon_project": "magnite",
    "simplicity_marketing": "flashtalking",
    "yahoo": "yahoo_ads",
    "yahoo_ad_exchange": "yahoo_ads",
}


def product_name(entity: str) -> str:
    """A company's name in lower_snake, without its remark in parentheses: `AT&T (US)` -> `at_t`."""
    name = re.sub(r"[^a-z0-9]+", "_", re.sub(r"\(.*?\)", "", entity).lower()).strip("_")
    return PRODUCTS.get(name, name)


def is_name(domain: str) -> bool:
    """Is it a host name (not an address, not a pattern) whose top label is a word?"""
    return re.fullmatch(r"([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", domain) is not None


def kept_by_hand(folder: Path, target: Path) -> set[str]:
    """Every domain of the tables beside the target."""
    known: set[str] = set()
    for path in folder.glob("*.csv"):
        if path != target:
            lines = (line for line in path.read_text("utf-8").splitlines() if not line.startswith("#"))
            known |= {row["domain"] for row in csv.DictReader(lines)}
    return known


def is_covered(domain: str, known: set[str]) -> bool:
    """Is the domain, or one that it lies under, known?"""
    labels = domain.split(".")
    return any(".".join(labels[start:]) in known for start in range(len(labels)))


def third_parties(package: Path, known: set[str]) -> dict[str, tuple[str, str, str]]:
    """Domain -> (category, product, example)."""
    rows: dict[str, tuple[str, str, str]] = {}
    for entity in json.loads((package / "dist" / "entities-nostats.json").read_text("utf-8")):
        category = CATEGORIES.get(entity["category"])
        product = product_name(entity["name"])
        for pattern in entity["domains"] if category and product else ():
            domain = pattern.removeprefix("*.").lower()
            if domain in LEFT_OUT or domain.endswith(REASSIGNED) or not is_name(domain) or is_covered(domain, known):
                continue
            assert category is not None
            rows.setdefault(domain, (category, product, f"www.{domain}" if pattern.startswith("*.") else domain))
    return rows


def main() -> None:
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    package, target = Path(sys.argv[1]), Path(sys.argv[2])
    version = json.loads((package / "package.json").read_text("utf-8"))["version"]
    rows = third_parties(package, kept_by_hand(target.parent, target))
    with target.open("w", encoding="utf-8", newline="") as out:
        out.write("# Third parties that web pages embed, by bench/tables/make_sites.py; the other tables come first.\n")
        out.write(f"# source: npm third-party-web {version}\n")
        out.write("# licence: MIT\n")
        out.write(f"# date: {datetime.datetime.now(datetime.UTC).date().isoformat()}\n")
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["domain", "category", "product", "example"])
        for domain, row in sorted(rows.items()):
            writer.writerow([domain, *row])


if __name__ == "__main__":
    main()
