"""Whole numbers in, believable values out: the same number gives the same value for ever, distinct ones distinct ones.

Every function takes a numpy array of n numbers and returns a Polars string column of n values; none draws at random.
"""

from __future__ import annotations

import itertools
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import polars as pl

from . import words

Ints: TypeAlias = npt.NDArray[np.int64]
Hashes: TypeAlias = npt.NDArray[np.uint64]
Floats: TypeAlias = npt.NDArray[np.float64]

_BASE62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
_PAIRS62 = pl.Series(["".join(pair) for pair in itertools.product(_BASE62, repeat=2)])
_TRIPLES36 = pl.Series(["".join(x) for x in itertools.product("abcdefghijklmnopqrstuvwxyz0123456789", repeat=3)])
_HEX16 = pl.Series([f"{n:x}" for n in range(65536)])
_OCTETS = pl.Series([str(n) for n in range(256)])
# First octets that are neither private, shared, loopback, link-local, documentation nor multicast, whatever follows.
_PUBLIC_OCTETS = np.array([n for n in range(1, 224) if n not in {10, 100, 127, 169, 172, 192, 198, 203}])
_PUBLIC_V6 = np.array([0x2001, 0x2400, 0x2600, 0x2604, 0x2607, 0x2620, 0x2800, 0x2A00, 0x2A02, 0x2A04, 0x2C0F])


def mix(ids: Ints | Hashes, salt: int) -> Hashes:
    """A 64-bit hash of each number (the finaliser of SplitMix64), another one for each salt."""
    z = ids.astype(np.uint64) + np.uint64((salt + 1) * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def share(ids: Ints | Hashes, salt: int) -> Floats:
    """Each number's own fraction in [0, 1)."""
    return (mix(ids, salt) >> np.uint64(11)).astype(np.float64) / 2**53


def below(ids: Ints | Hashes, salt: int, limit: int) -> Ints:
    """Each number's own whole number in [0, limit)."""
    return (mix(ids, salt) % np.uint64(limit)).astype(np.int64)


def pick(pool: pl.Series, index: Ints) -> pl.Series:
    """pool[index], element by element."""
    return pool.gather(pl.Series(index.astype(np.uint32)))


def join(*parts: pl.Series | str) -> pl.Series:
    """Concatenate columns and constants, row by row."""
    columns = {f"p{i}": part for i, part in enumerate(parts) if isinstance(part, pl.Series)}
    exprs = [pl.col(f"p{i}") if isinstance(part, pl.Series) else pl.lit(part) for i, part in enumerate(parts)]
    return pl.DataFrame(columns).select(pl.concat_str(exprs).alias("value"))["value"]


def text(numbers: Ints) -> pl.Series:
    """Numbers in decimal."""
    return pl.Series(numbers).cast(pl.String)


def choose(index: Ints, options: list[pl.Series]) -> pl.Series:
    """options[index[row]][row] for every row."""
    frame = pl.DataFrame({f"o{i}": option for i, option in enumerate(options)}).with_columns(index=pl.Series(index))
    chosen = pl.col("o0")
    for i in range(1, len(options)):
        chosen = pl.when(pl.col("index") == i).then(pl.col(f"o{i}")).otherwise(chosen)
    return frame.select(chosen.alias("value"))["value"]


def unique_ids(prefix: str, ids: Ints, salt: int) -> pl.Series:
    """Zeek's identifiers: a letter and 16 characters of base 62 (`C…` a connection, `F…` a file)."""
    pairs = [pick(_PAIRS62, below(ids, salt + i, len(_PAIRS62))) for i in range(8)]
    return join(prefix, *pairs)


def hex_digest(ids: Ints | Hashes, salt: int, digits: int) -> pl.Series:
    """Lower-case hexadecimal digests, four digits at a time."""
    quads = [pick(_HEX16, below(ids, salt + i, 0xEFFF) + 0x1000) for i in range(digits // 4)]
    return join(*quads)


def public_v4(ids: Ints) -> pl.Series:
    """Globally routable IPv4 addresses."""
    first = _PUBLIC_OCTETS[below(ids, 11, len(_PUBLIC_OCTETS))]
    rest = mix(ids, 12)
    octets = [
        pick(_OCTETS, ((rest >> np.uint64(8 * i)) % np.uint64(254) + np.uint64(1)).astype(np.int64)) for i in range(3)
    ]
    return join(pick(_OCTETS, first), ".", octets[0], ".", octets[1], ".", octets[2])


def public_v6(ids: Ints) -> pl.Series:
    """Globally routable IPv6 addresses, written as RFC 5952 has it."""
    groups = [pick(_HEX16, below(ids, 21 + i, 0xFFFE) + 1) for i in range(4)]
    first = pick(_HEX16, _PUBLIC_V6[below(ids, 20, len(_PUBLIC_V6))])
    return join(first, ":", groups[0], ":", groups[1], ":", groups[2], "::", groups[3])


def hosting(ids: Ints, addresses: int) -> Ints:
    """The number of the address behind each name: its own for a site, one of the owner's few for a CDN's name."""
    own = below(ids, 31, addresses)
    shared = addresses + below(ids, 33, len(words.PARENTS)) * 64 + below(ids, 34, 64)
    return np.where(_machine_made(ids), shared, own)


def _machine_made(ids: Ints) -> npt.NDArray[np.bool_]:
    return (ids >= len(words.POPULAR)) & (share(ids, 32) < 0.45)


def names(ids: Ints) -> pl.Series:
    """Host names: the well-known ones first, then small sites' and those that CDNs and trackers make up."""
    head = pick(pl.Series(words.POPULAR), np.minimum(ids, len(words.POPULAR) - 1))
    label = join(*(pick(_TRIPLES36, below(ids, 35 + i, len(_TRIPLES36))) for i in range(4)))
    machine = join(label, ".", pick(pl.Series(words.PARENTS), below(ids, 33, len(words.PARENTS))))
    count = len(words.WORDS)
    pool = pl.Series(words.WORDS)
    series = ids // count**2
    number = pl.select(
        pl.when(pl.lit(pl.Series(series)) > 0).then(pl.lit(text(series))).otherwise(pl.lit(""))
    ).to_series()
    site = join(
        pick(pl.Series(words.SUBDOMAINS), below(ids, 41, len(words.SUBDOMAINS))),
        pick(pool, ids % count),
        "-",
        pick(pool, ids // count % count),
        number,
        pick(pl.Series(words.SUFFIXES), below(ids, 42, len(words.SUFFIXES))),
    )
    kind = np.where(ids < len(words.POPULAR), 0, np.where(_machine_made(ids), 1, 2))
    return choose(kind, [head, machine, site])


def user_agents(ids: Ints) -> pl.Series:
    """User-Agents: the common ones first, then the endless versions, phones and builds of browsers and apps."""
    head = pick(pl.Series(words.USER_AGENTS), np.minimum(ids, len(words.USER_AGENTS) - 1))
    major = text(90 + below(ids, 51, 60))
    build = join(text(4000 + ids % 3000), ".", text(ids // 3000))
    phone = pick(pl.Series(words.PHONES), below(ids, 52, len(words.PHONES)))
    android = text(9 + below(ids, 53, 7))
    system = pick(pl.Series(words.PLATFORMS), below(ids, 54, len(words.PLATFORMS)))
    app = pick(pl.Series(words.APPS), below(ids, 55, len(words.APPS)))
    webkit = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/"
    options = [
        head,
        join("Mozilla/5.0 (", system, ") ", webkit, major, ".0.", build, " Safari/537.36"),
        join(
            "Mozilla/5.0 (Linux; Android ",
            android,
            "; ",
            phone,
            ") ",
            webkit,
            major,
            ".0.",
            build,
            " Mobile Safari/537.36",
        ),
        join("Dalvik/2.1.0 (Linux; U; Android ", android, "; ", phone, " Build/SP1A.", build, ")"),
        join(app, "/", build, " CFNetwork/1410.", text(below(ids, 56, 9)), " Darwin/22.6.0"),
        join(app, "/", build, " (Windows NT 10.0; Win64; x64)"),
        join("okhttp/4.", text(below(ids, 57, 12)), ".0 ", app, "/", build),
    ]
    kind = np.where(ids < len(words.USER_AGENTS), 0, 1 + below(ids, 58, len(options) - 1))
    return choose(kind, options)


def ssh_banners(ids: Ints) -> pl.Series:
    """SSH identification strings (RFC 4253 section 4.2) of servers and clients."""
    return pick(pl.Series(words.SSH_BANNERS), below(ids, 61, len(words.SSH_BANNERS)))
