"""Which system a host runs: client ports, SYN segments, names; and all of them together."""

from __future__ import annotations

import random

import polars as pl
import pytest

from enrich.errors import TableError
from enrich.systems import Clue, Systems, compatible, load
from enrich.tables import Tables

RANGES = {
    "Linux": (32768, 60999),
    "Windows Vista or later, macOS, iOS": (49152, 65535),
    "Windows XP, 2003 or older; old BSD": (1025, 5000),
    "FreeBSD": (10000, 65535),
}


@pytest.fixture(scope="module")
def systems() -> Systems:
    return load(Tables())


def ports(chance: random.Random, number: int, *ranges: tuple[int, int]) -> list[int]:
    return sorted({chance.randint(*chance.choice(ranges)) for _ in range(number)})


def frame(**hosts: list[int]) -> pl.DataFrame:
    return pl.DataFrame([(ip, port) for ip, own in hosts.items() for port in own], schema=["ip", "port"], orient="row")


class TestPorts:
    @pytest.mark.parametrize("label", list(RANGES))
    def test_each_range_is_told_by_its_ports(self, systems: Systems, label: str) -> None:
        chance = random.Random(7)
        told = systems.port_ranges(frame(**{f"h{at}": ports(chance, 64, RANGES[label]) for at in range(200)}))
        assert sum(found is not None and found.label == label for found in told.values()) >= 190
        assert all(found is None or found.label == label for found in told.values())

    def test_few_ports_seldom_mislead(self, systems: Systems) -> None:
        chance = random.Random(8)
        for label, own in RANGES.items():
            told = systems.port_ranges(frame(**{f"h{at}": ports(chance, 8, own) for at in range(300)}))
            wrong = sum(found is not None and found.label != label for found in told.values())
            assert wrong <= 300 * 0.05, label

    def test_less_than_a_handful_is_no_evidence(self, systems: Systems) -> None:
        assert systems.port_ranges(frame(a=[40000, 45000, 50000, 55000])) == {}
        assert systems.port_ranges(frame(a=[])) == {}

    def test_neighbouring_ports_are_one_draw(self, systems: Systems) -> None:
        assert systems.port_ranges(frame(a=list(range(50000, 50060)))) == {}

    def test_two_systems_behind_one_address_are_not_averaged(self, systems: Systems) -> None:
        chance = random.Random(9)
        both = {
            f"h{at}": ports(chance, 64, RANGES["Linux"], RANGES["Windows Vista or later, macOS, iOS"])
            for at in range(100)
        }
        told = systems.port_ranges(frame(**both))
        assert sum(found is None for found in told.values()) >= 90

    def test_a_few_ports_of_a_program_s_own_choice_change_nothing(self, systems: Systems) -> None:
        chance = random.Random(10)
        told = systems.port_ranges(frame(a=[*ports(chance, 60, RANGES["Linux"]), 6881]))
        assert told["a"] is not None and told["a"].label == "Linux"

    def test_the_chance_that_another_system_would_look_so(self, systems: Systems) -> None:
        found = systems.port_ranges(frame(a=ports(random.Random(3), 64, RANGES["Windows Vista or later, macOS, iOS"])))[
            "a"
        ]
        assert found is not None
        assert found.chance == pytest.approx(0.5**found.draws, rel=0.2)


class TestSyn:
    def test_every_rule_matches_its_example_first(self, systems: Systems) -> None:
        assert systems.check() == len(systems.syns) >= 14

    def test_a_rule_behind_a_wider_one_is_found_out(self) -> None:
        table = dict(Tables().toml("systems.toml"))
        wide = {"ttl": 128, "options": "mss,nop,ws,nop,nop,sok", "label": "all", "systems": ["Windows"]}
        table["syn"] = [wide | {"example": table["syn"][0]["example"]}, *table["syn"]]
        with pytest.raises(TableError, match="Vista"):
            Systems(table).check()

    @pytest.mark.parametrize(
        ("ttl", "window", "scale", "options", "family"),
        [
            (117, 64240, 8, "mss,nop,ws,nop,nop,sok", "Windows"),
            (52, 65535, 6, "mss,nop,ws,nop,nop,ts,sok,eol+1", "macOS"),
            (64, 29200, 7, "mss,sok,ts,nop,ws", "Linux"),
            (60, 65535, 9, "mss,sok,ts,nop,ws", "Android"),
            (64, 65535, 6, "mss,nop,ws,sok,ts", "FreeBSD"),
        ],
    )
    def test_shapes_after_some_hops(
        self, systems: Systems, ttl: int, window: int, scale: int, options: str, family: str
    ) -> None:
        clue = systems.syn(ttl, window, 1460, scale, options)
        assert clue is not None and family in clue.systems

    def test_a_scanner_s_shape_is_nobody_s(self, systems: Systems) -> None:
        assert systems.syn(45, 1024, 1460, None, "mss") is None
        assert systems.syn(64, 65535, None, None, "") is None


class TestNames:
    @pytest.mark.parametrize(
        ("name", "families"),
        [
            ("Debian", {"Linux"}),
            ("Windows Server 2019", {"Windows"}),
            ("Mac OS X", {"macOS"}),
            ("Darwin", {"macOS", "iOS"}),
            ("pfSense", {"FreeBSD"}),
            ("Symbian", {"Symbian"}),
        ],
    )
    def test_families(self, systems: Systems, name: str, families: set[str]) -> None:
        assert systems.families(name) == families

    def test_compatible(self) -> None:
        assert compatible(frozenset({"Linux"}), frozenset({"Android"}))
        assert compatible(frozenset({"macOS"}), frozenset({"iOS"}))
        assert not compatible(frozenset({"macOS"}), frozenset({"Windows"}))


class TestVerdict:
    def test_nothing_is_said_of_nothing(self, systems: Systems) -> None:
        assert systems.verdict([]) is None

    def test_clues_that_agree(self, systems: Systems) -> None:
        answer = systems.verdict(
            [
                systems.named("server", "in ssh_server", "Debian", "12"),
                systems.named("user_agent", "in 9 requests", "Linux"),
                Clue("ports", "32768-60999", frozenset({"Linux", "Android", "ChromeOS"})),
            ]
        )
        assert answer is not None
        assert answer["name"] == "Debian 12"
        assert answer["confidence"] > 0.95
        assert answer["evidence"][0] == "server:Debian 12 in ssh_server"

    def test_what_hosts_claim_alike_is_fused_once(self, systems: Systems) -> None:
        before = systems._fused.cache_info()
        answers = [systems.verdict([systems.named("snmp", f"host {at}", "Plan 9")]) for at in range(9)]
        after = systems._fused.cache_info()
        assert (after.misses - before.misses, after.hits - before.hits) == (1, 8)
        assert [answer and answer["evidence"] for answer in answers[::8]] == [
            ["snmp:Plan 9 host 0"],
            ["snmp:Plan 9 host 8"],
        ]

    def test_a_range_of_two_makers_names_none(self, systems: Systems) -> None:
        answer = systems.verdict([Clue("ports", "49152-65535", frozenset({"Windows", "macOS", "iOS"}))])
        assert answer is not None and answer["name"] is None and answer["confidence"] is None

    def test_a_kernel_where_no_system_is_sure(self, systems: Systems) -> None:
        answer = systems.verdict([Clue("ports", "32768-60999", frozenset({"Linux", "Android", "ChromeOS"}))])
        assert answer is not None and answer["name"] == "Linux"
        answer = systems.verdict([Clue("syn", "macOS or iOS", frozenset({"macOS", "iOS"}))])
        assert answer is not None and answer["name"] == "Darwin"

    def test_one_source_counts_once(self, systems: Systems) -> None:
        once = systems.verdict([systems.named("user_agent", "a", "Windows", "10")])
        often = systems.verdict([systems.named("user_agent", str(at), "Windows", "10") for at in range(50)])
        assert once is not None and often is not None
        assert once["confidence"] == often["confidence"]

    def test_several_systems_are_said_not_averaged(self, systems: Systems) -> None:
        answer = systems.verdict(
            [
                systems.named("user_agent", "in 90 requests", "Windows", "10"),
                systems.named("user_agent", "in 20", "Mac OS X"),
            ]
        )
        assert answer is not None
        assert answer["name"] is None
        assert answer["several"] == ["Windows 10", "Mac OS X"]
        assert len(answer["evidence"]) == 2

    def test_what_the_machine_itself_says_names_it(self, systems: Systems) -> None:
        answer = systems.verdict(
            [
                systems.named("server", "in ssh_server", "OpenWrt"),
                systems.named("user_agent", "in 90 requests", "Windows", "10"),
                systems.named("user_agent", "in 20 requests", "Mac OS X"),
            ]
        )
        assert answer is not None
        assert answer["name"] == "OpenWrt"
        assert answer["several"] == ["Windows 10", "Mac OS X"]


def test_a_table_with_holes_is_refused() -> None:
    table = dict(Tables().toml("systems.toml"))
    del table["belief"]
    with pytest.raises(TableError, match="belief"):
        Systems(table)
