from __future__ import annotations

from pathlib import Path

import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st

from enrich.errors import TableError
from enrich.fingerprints import Fingerprints, Matcher, Pattern, Template, load, searcher, table_name

FIELDS = ("product", "version", "hardware")
HEADER = '[table]\nsource = "test"\nlicence = "CC0"\ndate = "2026-01-01"\n'
RULE = """
[[fingerprint]]
id = "{id}"
about = "{about}"
match = '{match}'
set = {set}
examples = {examples}
"""


def table(tmp_path: Path, *rules: str, header: str = HEADER) -> Path:
    path = tmp_path / "mappings" / "banners" / "ssh.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + "".join(rules), "utf-8")
    return path


def rule(
    id: str = "one",
    about: str = "about one",
    match: str = r"^one_(?P<version>\d+)$",
    set: str = '{ product = "One" }',
    examples: str = '[{ text = "one_1", fields = { version = "1" } }]',
) -> str:
    return RULE.format(id=id, about=about, match=match, set=set, examples=examples)


def read(tmp_path: Path, *rules: str) -> Fingerprints:
    fingerprints = load(table(tmp_path, *rules), FIELDS)
    fingerprints.check()
    return fingerprints


def test_the_first_rule_in_file_order_wins_and_captures_fill_fields(tmp_path: Path) -> None:
    both = read(
        tmp_path,
        rule(),
        rule(id="two", about="about two", match="one_", set='{ product = "Two" }', examples='[{ text = "one_x" }]'),
    )
    assert both.match("one_12") == {"product": "One", "version": "12"}
    assert both.match("one_x") == {"product": "Two"}
    assert both.match("three") is None


def test_templates_take_groups_that_are_no_fields(tmp_path: Path) -> None:
    rules = read(
        tmp_path,
        rule(
            match=r"^(?P<maker>\w+)/(?P<model>\w+)?",
            set='{ hardware = "{maker} {model}", product = "" }',
            examples='[{ text = "Axis/P1", fields = { hardware = "Axis P1" } }]',
        ),
    )
    assert rules.match("Axis/P1") == {"hardware": "Axis P1", "product": ""}
    assert rules.match("Axis/") == {"hardware": "Axis", "product": ""}
    assert rules.match("{model}/x") is None
    assert Template.parse("no group") is None


def test_a_captured_text_is_never_read_as_a_template() -> None:
    template = Template.parse("{a} and {b}")
    assert template is not None
    assert template.groups == ("a", "b")
    assert template.fill({"a": "{b}", "b": "x"}) == "{b} and x"
    assert template.fill({}) == ""


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ([rule(examples="[]")], "one: has no examples"),
        ([rule(), rule(about="other")], "one: id 'one' is not unique"),
        ([rule(), rule(id="two")], "two: about 'about one' is not unique"),
        ([rule(id="One")], "id 'One' is not kebab-case"),
        ([rule(match="(?=look)")], "one: match: "),
        ([rule(set='{ colour = "red" }')], "one: set: unknown field 'colour'"),
        ([rule(set='{ hardware = "{model}" }')], "one: set: no group is named 'model'"),
        ([rule(match="(?P<idle>x)one", examples='[{ text = "xone" }]')], "one: match: the group 'idle' is neither"),
        ([rule(examples='[{ text = "two" }]')], "one: example 1: 'two' is not matched"),
        ([rule(examples='[{ text = "one_1" }]')], "one: example 1: gives {'version': '1'}, and not {}"),
        (
            [rule(examples='[{ text = "one_1", fields = { version = "2" } }]')],
            "one: example 1: gives {'version': '1'}, and not {'version': '2'}",
        ),
        (
            [rule(match="one"), rule(id="two", about="b", match="one_", examples='[{ text = "one_" }]')],
            "one: example 1",
        ),
        (
            [
                rule(match="one", examples='[{ text = "one" }]'),
                rule(id="two", about="b", match="one_", examples='[{ text = "one_" }]'),
            ],
            "two: example 1: 'one_' is matched by the earlier rule one",
        ),
    ],
)
def test_errors_name_file_rule_and_example(tmp_path: Path, rules: list[str], message: str) -> None:
    with pytest.raises(TableError) as error:
        read(tmp_path, *rules)
    assert str(error.value).startswith("mappings/banners/ssh.toml: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "[table] lacks source, licence, date"),
        ("[[", "cannot be read"),
        (HEADER + "[other]\n", "holds more than"),
        ("fingerprint = 3\n" + HEADER, "holds more than"),
        (HEADER + '[[fingerprint]]\nid = "a"\n', "a: about is missing"),
        (HEADER + '[[fingerprint]]\nid = "a"\nabout = "b"\nmatch = "c"\nunknown = 1\n', "a: unknown key 'unknown'"),
    ],
)
def test_a_malformed_table_says_what_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(TableError, match=r"^mappings/banners/ssh\.toml: ") as error:
        load(table(tmp_path, header=content), FIELDS)
    assert message in str(error.value)


def test_without_field_names_every_group_but_a_templates_is_a_field(tmp_path: Path) -> None:
    path = table(tmp_path, rule(match=r"(?P<colour>red)(?P<model>\d)", set='{ size = "{model}" }', examples=EXAMPLE))
    assert load(path).match("red7") == {"colour": "red", "size": "7"}


EXAMPLE = '[{ text = "red1", fields = { colour = "red", size = "1" } }]'


def test_table_names_are_relative_to_the_mappings() -> None:
    assert table_name(Path("/x/mappings/banners/ssh.toml")) == "mappings/banners/ssh.toml"
    assert table_name(Path("own/ssh.toml")) == "own/ssh.toml"


PATTERNS = ["^a+b", "b(?P<rest>.*)", "(?i)C{2,5}$", "^$", "[0-9]{3}.*x", "é"]
TEXT = st.text(alphabet="abcC019xé \n", max_size=40)


@given(TEXT)
def test_one_automaton_finds_what_the_patterns_find_one_by_one(text: str) -> None:
    encoded = text.encode()
    one_by_one = [Matcher([pattern]).first(encoded) is not None for pattern in PATTERNS]
    expected = one_by_one.index(True) if any(one_by_one) else None
    assert Matcher(PATTERNS).first(encoded) == expected


@given(TEXT)
def test_an_automaton_out_of_memory_still_answers(text: str) -> None:
    starved = Matcher(PATTERNS, set_memory=1)
    assert starved.first(text.encode()) == Matcher(PATTERNS).first(text.encode())


def test_a_set_that_runs_out_while_it_searches_still_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """RE2 then says "no match" and not "no memory"; only the pattern that always matches tells the difference."""

    class OutOfMemory:
        def Match(self, text: bytes) -> None:
            return None

    matcher = Matcher(PATTERNS)
    monkeypatch.setattr(matcher, "_match", OutOfMemory().Match)
    assert matcher.first(b"xaab") == 1
    assert matcher.first(b"aab") == 0
    assert matcher.first(b"zzz") is None


@given(st.text(max_size=60))
def test_captures_are_text_whatever_the_bytes(text: str) -> None:
    captured = Pattern(r"(?s)^(?P<first>.)(?P<rest>.*)$").captures(text.encode("utf-8", "replace"))
    assert all(value and value == value.strip() for value in captured.values())


def test_a_group_that_takes_no_part_is_empty() -> None:
    assert Pattern("(x)?(y)").groups(b"y") == ("", "y")
    assert Pattern("(x)").groups(b"y") is None
    assert Pattern("(x)").first_group("éx".encode()) == ("x", 3)


@given(TEXT)
def test_the_public_search_finds_the_same(text: str) -> None:
    """What is used where google-re2 hides the RE2 inside its patterns."""

    class Hidden:
        def __init__(self, compiled: object) -> None:
            self.search, self.groups = compiled.search, compiled.groups  # type: ignore[attr-defined]

    for pattern in PATTERNS:
        compiled = re2.compile(pattern.encode())
        assert searcher(Hidden(compiled))(text.encode()) == searcher(compiled)(text.encode())


def test_case_can_be_ignored() -> None:
    assert Matcher(["ABC"], ignore_case=True).first(b"xabc") == 0
    assert Matcher(["ABC"]).first(b"xabc") is None
