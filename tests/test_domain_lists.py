"""Lists in the domain-list-community format: every kind of line, what includes bring, and errors that name the line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from enrich import applications, domain_lists
from enrich.domain_lists import Rule
from enrich.errors import ConfigError, TableError
from enrich.tables import Tables

Site = Callable[..., Tables]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A site whose configuration lays these lists over the catalogue."""

    def build(files: Mapping[str, str], **settings: object) -> Tables:
        folder = tmp_path / "lists"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text, "utf-8")
        config = {"domain_lists": {"directory": "lists", **settings}}
        return Tables(config=config, config_path=tmp_path / "site.toml")

    return build


def rules(tables: Tables) -> dict[str, set[str]]:
    return {name: {f"{rule.kind}:{rule.value}" for rule in rules} for name, rules in domain_lists.load(tables)}


def application(tables: Tables, *names: str) -> list[str | None]:
    catalogue = applications.load(tables)
    found = [catalogue.application_of(name) for name in names]
    return [pair and pair[0] for pair in found]


def test_every_kind_of_line(site: Site) -> None:
    tables = site(
        {
            "acme": "# about acme\n\nacme.test\ndomain:ACME.example. @ads @cn # trailing\nfull:www.other.test\n"
            "keyword:acmecdn\nregexp:^edge[0-9]+\\.acme-[a-z]+\\.test$\n"
        }
    )
    [(name, found)] = domain_lists.load(tables)
    assert name == "acme"
    assert found == [
        Rule("domain", "acme.test", frozenset()),
        Rule("domain", "acme.example", frozenset({"ads", "cn"})),
        Rule("full", "www.other.test", frozenset()),
        Rule("keyword", "acmecdn", frozenset()),
        Rule("regexp", r"^edge[0-9]+\.acme-[a-z]+\.test$", frozenset()),
    ]


def test_names_resolve_by_each_kind_and_the_longest_suffix_wins(site: Site) -> None:
    tables = site(
        {
            "acme": "acme.test\nfull:www.other.test\nkeyword:acmecdn\nregexp:^edge[0-9]+\\.isp\\.test$\n",
            "acme-video": "video.acme.test\n",
        }
    )
    assert application(tables, "acme.test", "a.b.acme.test", "www.video.acme.test", "notacme.test") == [
        "acme",
        "acme",
        "acme_video",
        None,
    ]
    assert application(tables, "www.other.test", "a.www.other.test", "other.test") == ["acme", None, None]
    assert application(tables, "x.acmecdn7.test", "edge12.isp.test", "edge.isp.test") == ["acme", "acme", None]


def test_what_said_so_is_told(site: Site) -> None:
    catalogue = applications.load(
        site({"acme": "acme.test\nfull:www.other.test\nkeyword:acmecdn\nregexp:^e[0-9]\\.\n"})
    )
    assert catalogue.application_of("a.acme.test") == ("acme", "acme.test")
    assert catalogue.application_of("www.other.test") == ("acme", "www.other.test")
    assert catalogue.application_of("x.acmecdn.test") == ("acme", "acmecdn")
    assert catalogue.application_of("e1.test") == ("acme", r"^e[0-9]\.")


def test_a_list_is_ours_when_the_names_are_the_same_to_a_reader_or_an_alias(site: Site) -> None:
    tables = site({"riot-games": "one.test\n", "feishu": "two.test\n", "new-thing!": "three.test\n"})
    assert application(tables, "one.test", "two.test", "three.test") == ["riotgames", "lark", "new_thing"]


def test_the_shipped_catalogue_keeps_its_domains_and_lists_add_to_them(site: Site) -> None:
    tables = site({"google": "youtube.com\nstudio.youtube.com\nnew-google.test\n"})
    assert application(tables, "www.youtube.com", "studio.youtube.com", "new-google.test") == [
        "youtube",
        "google",
        "google",
    ]


def test_lists_that_gather_kinds_of_sites_name_nothing_unless_asked_for(site: Site) -> None:
    files = {"category-games": "include:acme\nloose.test\n", "geolocation-cn": "cn.test\n", "acme": "acme.test\n"}
    tables = site(files)
    assert rules(tables) == {"acme": {"domain:acme.test"}}


def test_chosen_lists_bring_what_they_include(site: Site) -> None:
    files = {"all": "include:acme\ninclude:deep\nown.test\n", "acme": "acme.test\n", "deep": "include:deeper\n"}
    tables = site({**files, "deeper": "deeper.test\n", "left-out": "left.test\n"}, lists=["all"])
    assert rules(tables) == {"all": {"domain:own.test", "domain:acme.test", "domain:deeper.test"}}


@pytest.mark.parametrize(
    "name, expected",
    [
        ("ads", {"ads.test", "adscn.test"}),
        ("rest", {"plain.test", "cn.test"}),
        ("both", {"ads.test"}),
        ("nested", {"adscn.test"}),
        ("twice", {"ads.test", "adscn.test", "cn.test"}),
    ],
)
def test_includes_filter_by_attributes(site: Site, name: str, expected: set[str]) -> None:
    files = {
        "ads": "include:acme @ads\n",
        "rest": "include:acme @-ads\n",
        "both": "include:acme @ads @-cn\n",
        "nested": "include:ads @cn\n",
        "twice": "include:acme @ads\ninclude:ACME @cn\n",
        "acme": "plain.test\nads.test @ads\ncn.test @cn\nadscn.test @ads @cn\n",
    }
    assert rules(site(files, lists=[name])) == {name: {f"domain:{value}" for value in expected}}


def test_an_affiliation_puts_a_rule_into_another_list_too(site: Site) -> None:
    files = {"acme": "video.test @ads &acme-video &nowhere\nacme.test\n", "acme-video": "more.test\n"}
    assert rules(site(files, lists=["acme-video"])) == {"acme-video": {"domain:video.test", "domain:more.test"}}


def test_what_several_chosen_lists_hold_goes_to_the_one_that_is_nearest_to_it(site: Site) -> None:
    files = {"a": "include:b\nown-a.test\n", "b": "include:c\nown-b.test\n", "c": "own-c.test\n"}
    assert rules(site(files, lists=["a", "b", "c"])) == {
        "a": {"domain:own-a.test"},
        "b": {"domain:own-b.test"},
        "c": {"domain:own-c.test"},
    }


@pytest.mark.parametrize(
    "text, where",
    [
        ("ok.test\nnot a rule\n", r"acme:2: 'a' is neither"),
        ("\n\nwhat:ever\n", r"acme:3: 'what' is none of"),
        ("domain:\n", r"acme:1: '' is no host name"),
        ("full:no_host_name!\n", r"acme:1: 'no_host_name!' is no host name"),
        ("keyword:a/b\n", r"acme:1: 'a/b' is no part of a host name"),
        ("regexp:(unclosed\n", r"acme:1: not a regular expression of RE2"),
        ("regexp:(a)\\1\n", r"acme:1: not a regular expression of RE2"),
        ("ok.test @\n", r"acme:1: '@' is neither"),
        ("include:missing\n", r"acme:1: there is no list 'missing'"),
        ("include:acme\n", r"acme:1: lists include one another: acme > acme"),
        ("include:acme &x\n", r"acme:1: an include has no affiliation"),
        ("domain:" + "a" * 300 + ".test\n", r"acme:1: .* is no host name"),
    ],
)
def test_a_wrong_line_is_named(site: Site, text: str, where: str) -> None:
    with pytest.raises(TableError, match=where):
        domain_lists.load(site({"acme": text}))


def test_a_cycle_over_several_lists_is_named_and_ends(site: Site) -> None:
    tables = site({"a": "include:b\n", "b": "x.test\ninclude:c\n", "c": "include:b @ads\n"})
    with pytest.raises(TableError, match=r"c:1: lists include one another: b > c > b"):
        domain_lists.load(tables)


def test_a_file_that_is_no_text_is_named(site: Site, tmp_path: Path) -> None:
    tables = site({})
    (tmp_path / "lists" / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TableError, match="binary: cannot be read"):
        domain_lists.load(tables)


def test_hidden_files_and_folders_are_no_lists(site: Site, tmp_path: Path) -> None:
    tables = site({"acme": "acme.test\n", ".DS_Store": "not a list: at all"})
    (tmp_path / "lists" / "folder").mkdir()
    assert rules(tables) == {"acme": {"domain:acme.test"}}


@pytest.mark.parametrize(
    "settings, reason",
    [
        ({"lists": ["nothing"]}, "no list is called 'nothing'"),
        ({"lists": "acme"}, "expected a list of names"),
        ({"directory": "gone"}, "no such file or folder: gone"),
        ({"directory": "lists/acme"}, "not a folder"),
    ],
)
def test_a_wrong_setting_is_named(site: Site, settings: dict[str, object], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        domain_lists.load(site({"acme": "acme.test\n"}, **settings))


def test_without_the_setting_there_are_no_lists() -> None:
    assert domain_lists.load(Tables()) == []
