"""What each protocol's greeting says by its grammar alone, before any rule is asked.

`strip` takes the protocol's own prefix off a banner (and so accepts one that never had it); `parse` finds the product,
version, system and host name that the form of the greeting gives away. Names are as the banner has them: making them
canonical is `Knowledge.complete`'s work. Every function is linear in the text, which `clean` has bounded.

SSH          RFC 4253 section 4.2     SSH-protoversion-softwareversion SP comments
SMTP         RFC 5321 section 4.2     220 domain text
FTP          RFC 959 section 5.4      220 text
IMAP         RFC 3501 section 7.1.1   * OK [CAPABILITY …] text
POP3         RFC 1939 section 4       +OK text <timestamp>
NNTP         RFC 3977 section 5.1     200 text, 201 text
VNC          RFC 6143 section 7.1.1   RFB 003.008
MySQL        protocol 10 handshake    5.5.5-10.11.6-MariaDB-0+deb12u1
IRC          RFC 2812 section 5.1     002 … running version …, 004 server version …
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from enrich.banners.guess import guess
from enrich.banners.knowledge import Knowledge, debian_release
from enrich.banners.tokens import parse_tokens
from enrich.fingerprints import Pattern

LONGEST = 2048  # characters of a banner that are looked at: more than any greeting's identification needs

_ESCAPES = (("\\r", "\r"), ("\\n", "\n"), ("\\t", "\t"), ("\\x0d", "\r"), ("\\x0a", "\n"), ("\\x09", "\t"))
_REPLY_CODES = {"smtp": ("220", "554", "421"), "ftp": ("220", "120", "530", "421"), "nntp": ("200", "201", "502")}
_HEADERS = ("server:", "x-powered-by:", "user-agent:")


def clean(value: str) -> str:
    """The part of a banner that is looked at, with escaped line ends (`\\r\\n`, Zeek's `\\x0d\\x0a`) as line ends."""
    text = value[:LONGEST]
    if "\\" in text:
        for escaped, plain in _ESCAPES:
            text = text.replace(escaped, plain)
    return text.strip()


def strip(service: str, value: str) -> tuple[str, str]:
    """A cleaned banner without its protocol's prefix, and the protocol version that the prefix gave or ""."""
    text = clean(value)
    if service == "ssh":
        if text.startswith("SSH-"):
            version, _, rest = text[4:].partition("-")
            return rest.strip(), _protocol_version(version)
        return text, ""
    if service in _REPLY_CODES:
        return _strip_reply(text, _REPLY_CODES[service]), ""
    if service == "imap":
        for prefix in ("* OK", "* PREAUTH", "* BYE"):
            if text.startswith(prefix):
                return text[len(prefix) :].strip(), ""
    elif service == "pop3":
        for prefix in ("+OK", "-ERR"):
            if text.startswith(prefix):
                return text[len(prefix) :].strip(), ""
    elif service == "rfb":
        version = _protocol_version(text.removeprefix("RFB "))
        return (f"RFB {version}" if version else text), version
    elif service == "irc":
        return _strip_numeric(text), ""
    elif service in ("http_server", "sip", "rtsp"):
        head, _, rest = text.partition(" ")
        if head.casefold() in _HEADERS:
            return rest.strip(), ""
    return text, ""


def _protocol_version(text: str) -> str:
    """`text` if it is a number like `2.0` or `003.008`, else ""."""
    major, _, minor = text.partition(".")
    return text if len(text) <= 7 and major.isdecimal() and minor.isdecimal() and text.isascii() else ""


def _strip_reply(text: str, codes: tuple[str, ...]) -> str:
    """Reply codes off every line of a (multi-line) reply: `220-first`, `220 last`."""
    if text[:3] not in codes or text[3:4] not in ("", " ", "-", "\r", "\n"):
        return text
    code = text[:3]
    lines = [line[4:] if line.startswith(code) and line[3:4] in (" ", "-") else line for line in text.splitlines()]
    return "\n".join(lines).removeprefix(code).strip()


def _strip_numeric(text: str) -> str:
    """An IRC reply without its sender, number and addressee: `:irc.example 002 nick :Your host is …`."""
    words = text.split(" ", 3)
    if len(words) == 4 and words[0].startswith(":") and words[1].isdigit():
        return words[3].removeprefix(":")
    head, _, rest = text.partition(" ")
    return rest.removeprefix(":") if len(head) == 3 and head.isdigit() else text


def parse(service: str, text: str, knowledge: Knowledge, known: Collection[str] = ()) -> dict[str, str]:
    """The fields that grammar finds in a stripped banner; an empty dictionary when it says nothing.

    `known` are the fields that a rule has settled: what would only find those again is left out.
    """
    if not text:
        return {}
    return _GRAMMARS.get(service, _greeting)(_Reading(service, text, knowledge, known))


@dataclass(slots=True)
class _Reading:
    """What a grammar works with."""

    service: str
    text: str
    knowledge: Knowledge
    known: Collection[str]

    @property
    def named(self) -> bool:
        return "product" in self.known and "version" in self.known

    @property
    def system_known(self) -> bool:
        return "os" in self.known or "codename" in self.known

    def find_system(self, encoded: bytes, fields: dict[str, str]) -> None:
        """Add the first operating system that a text names, with the release that follows its name."""
        if self.system_known:
            return
        system = self.knowledge.systems.find(encoded)
        if system is not None:
            fields["os"] = system[0]
            release = _SYSTEM_VERSION.groups(encoded[system[1] :])
            packaged = encoded[system[1] :].startswith(b"-") and system[0].casefold() in _PACKAGERS
            if release is not None and not packaged:
                fields["os_version"] = release[0]


# -- greetings: a domain, then free text ------------------------------------------------------------------------------

_FILLERS = (
    "version vers ver release rel build server service daemon proxy receiver internet esmtp smtp mime ftp imap imap4 "
    "imap4rev1 imap4s pop pop3 nntp ssh sftp mta mail gateway agent pro std enterprise professional standard for "
    "windows nt unix linux multi beta"
)
_FILLER = "|".join(_FILLERS.split())
_NUMBER = r"v?(\d\w*(?:[.\-]\w+)*)"
_AT_ONCE = rf"[\s/_:,(\[-]*(?:(?:{_FILLER})\b[\s/_:.,(-]*){{0,6}}{_NUMBER}"
_ANNOUNCED = r"[^\n;<@]{0,60}?\b(?:version|release|ver\.?|v)[ :]*(\d+(?:\.\w+)*)"
_AFTER_NAME = Pattern(rf"(?i)^(?:{_AT_ONCE}|{_ANNOUNCED})")
_UNKNOWN_NAME = Pattern(
    r"(?:^|[\s(\[])([A-Z][\w+&'-]*(?:[ .][A-Z][\w+&'-]*){0,3})"
    r"(?:[/_]v?| v| |,? [Vv]ers?(?:ion)?[:.]? ?|[ -]\(?[Vv]ers?(?:ion)?[:.]? ?)(\d+(?:\.\w+)+(?:-\w+)*)(?:[\s;,)\]]|$)"
)
_SYSTEM_VERSION = Pattern(
    r"(?i)^(?: (?:release|version|server))?[/ _-]v?(\d+(?:\.\w+)*)(?:-RELEASE\S*)?(?:[\s;,:)\]+]|$)"
)


def _greeting(reading: _Reading) -> dict[str, str]:
    fields: dict[str, str] = {}
    knowledge, rest = reading.knowledge, _capability(reading.text)
    head, _, tail = rest.partition(" ")
    if _is_domain(head) or (
        reading.service == "smtp"
        and tail[:5].upper() in ("ESMTP", "SMTP ")
        and _is_label(head)
        and knowledge.product(head) is None
    ):
        fields["hostname"] = head
        rest = tail
    encoded = rest.encode("utf-8", "replace")
    found = None if reading.named else knowledge.finder(reading.service).find(encoded)
    if found is not None:
        fields["product"] = found[0]
        version = _version_after(encoded[found[1] :])
        if version:
            fields["version"] = version
    elif "product" not in reading.known:
        unknown = _UNKNOWN_NAME.groups(encoded)
        if unknown is not None:
            fields |= guess(unknown[0], unknown[1], knowledge)
    reading.find_system(encoded, fields)
    return fields


def _version_after(rest: bytes) -> str:
    """The version that follows a product's name: at once, after words that only say what it is, or announced."""
    found = _AFTER_NAME.groups(rest)
    return found[0] or found[1] if found is not None else ""


def _capability(text: str) -> str:
    """IMAP's response code in front (`[CAPABILITY …]`, `[ALERT]`) taken off."""
    if text.startswith("["):
        _, closed, rest = text.partition("]")
        return rest.strip() if closed else text
    return text


_HOST_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")


def _is_label(word: str) -> bool:
    return 0 < len(word) <= 255 and _HOST_CHARACTERS.issuperset(word)


def _is_domain(word: str) -> bool:
    """Whether a word reads as a host name or IPv4 address rather than as a product or version."""
    name, _, last = word.rpartition(".")
    if not name or not last or not _is_label(word):
        return False
    return last.isalpha() or (word.count(".") == 3 and word.replace(".", "").isdigit())


# -- SSH --------------------------------------------------------------------------------------------------------------

_SSH_SOFTWARE = Pattern(r"^([A-Za-z][\w.+ -]*?)[_/ -]+[vVrR]?(\d[^\s,]*)")
_SSH_LEADING_VERSION = Pattern(r"^v?(\d[\d.]*\w*)[_ ]+(?:\w+:? )*?([A-Za-z].*)$")
_DISTRIBUTIONS = ("Debian", "Ubuntu", "Raspbian")
_PACKAGERS = frozenset(("debian", "ubuntu", "raspbian", "fedora"))  # a number behind their name and `-` is a revision


def _ssh(reading: _Reading) -> dict[str, str]:
    text = reading.text
    encoded = text.encode("utf-8", "replace")
    fields = {} if reading.named else _ssh_software(text, encoded, reading.knowledge)
    comment = text.partition(" ")[2]
    for distribution in _DISTRIBUTIONS:
        if comment.startswith(distribution):
            package = comment[len(distribution) :].lstrip("-_ ").partition(" ")[0]
            fields["os"] = "Ubuntu" if "ubuntu" in package.casefold() else distribution
            fields["package"] = package
            return fields
    if comment or not reading.named:
        reading.find_system(encoded, fields)
    return fields


def _ssh_software(text: str, encoded: bytes, knowledge: Knowledge) -> dict[str, str]:
    found = knowledge.finder("ssh").find(encoded)
    if found is not None:
        version = _version_after(encoded[found[1] :])
        leading = None if version else _SSH_LEADING_VERSION.groups(encoded)
        version = leading[0] if leading is not None else version
        return {"product": found[0], "version": version} if version else {"product": found[0]}
    if (named := _SSH_SOFTWARE.groups(encoded)) is not None:
        return guess(named[0].strip(" _-"), named[1], knowledge)
    if (leading := _SSH_LEADING_VERSION.groups(encoded)) is not None:
        return guess(leading[1].strip(), leading[0], knowledge)
    return guess(text, "", knowledge)


# -- MySQL ------------------------------------------------------------------------------------------------------------

_MYSQL_VERSION = Pattern(r"^(?:5\.5\.5-|5\.7\.8-)?(\d+(?:\.\d+)+(?:[a-z]\b)?)(.*)$")


def _mysql(reading: _Reading) -> dict[str, str]:
    if reading.named and reading.system_known:
        return {}
    encoded = reading.text.encode("utf-8", "replace")
    found = _MYSQL_VERSION.groups(encoded)
    if found is None:
        return {}
    fields = {"product": "MySQL", "version": found[0]}
    named = None if reading.named else reading.knowledge.finder("mysql").find(encoded)
    if named is not None:
        fields["product"] = named[0]
    release = debian_release(found[1])
    if release:
        fields["os"], fields["os_version"] = "Debian", release
    else:
        reading.find_system(found[1].encode("utf-8", "replace"), fields)
    return fields


# -- the rest ---------------------------------------------------------------------------------------------------------


def _terminal(reading: _Reading) -> dict[str, str]:
    """Telnet shows a person a screen: it names systems and the host, hardly ever the daemon."""
    fields: dict[str, str] = {}
    reading.find_system(reading.text.encode("utf-8", "replace"), fields)
    before, asked, _ = reading.text.rpartition(" login:")
    if asked:
        host = before.rsplit(None, 1)[-1] if before.strip() else ""
        if _is_label(host) and not host.isdigit():
            fields["hostname"] = host
    return fields


def _header(reading: _Reading) -> dict[str, str]:
    fields = {} if reading.named else parse_tokens(reading.text, reading.knowledge, reading.service)
    reading.find_system(reading.text.encode("utf-8", "replace"), fields)
    return fields


def _via(reading: _Reading) -> dict[str, str]:
    """The nearest proxy, which is the last, by its comment: `1.1 edge.example (squid/6.1)`."""
    last = reading.text.rpartition(", ")[2]
    _, opened, comment = last.partition("(")
    return parse_tokens(comment.partition(")")[0], reading.knowledge, "http_server") if opened else {}


_IRC_HOST = Pattern(r"^Your host is ([^\s,\[]+)")


def _irc(reading: _Reading) -> dict[str, str]:
    host = _IRC_HOST.groups(reading.text.encode("utf-8", "replace"))
    fields = _greeting(reading)
    return {**fields, "hostname": host[0]} if host is not None else fields


def _nothing(_reading: _Reading) -> dict[str, str]:
    return {}


_GRAMMARS: dict[str, Callable[[_Reading], dict[str, str]]] = {
    "ssh": _ssh,
    "mysql": _mysql,
    "telnet": _terminal,
    "http_server": _header,
    "sip": _header,
    "rtsp": _header,
    "ldap": _header,
    "mailer": _header,
    "http_via": _via,
    "smtp_reply": _nothing,
    "irc": _irc,
    "rfb": _nothing,
}
