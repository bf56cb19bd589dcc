"""Lists of sockets, as each system prints them."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrich.inventory import Declared
from enrich.inventory.sockets import Sockets, parse, placed

NAMES = {("ssh", "tcp"): 22, ("mdns", "udp"): 5353, ("ipp", "tcp"): 631}
SS = """\
Netid State  Recv-Q Send-Q       Local Address:Port  Peer Address:PortProcess
udp   UNCONN 0      0            192.0.2.10%eth0:68         0.0.0.0:*    users:(("dhclient",pid=512,fd=6))
udp   UNCONN 0      0               127.0.0.53%lo:53         0.0.0.0:*    users:(("systemd-resolve",pid=401,fd=13))
udp   UNCONN 0      0      [fe80::1]%eth0:546             [::]:*
tcp   LISTEN 0      128            0.0.0.0:22           0.0.0.0:*    users:(("sshd",pid=801,fd=3))
tcp   LISTEN 0      511                  *:80                 *:*    users:(("nginx",pid=90,fd=6),("nginx",pid=91,fd=6))
tcp   LISTEN 0      4096              [::]:22              [::]:*    users:(("sshd",pid=801,fd=4))
tcp   LISTEN 0      100    [::ffff:192.0.2.10]:8080            *:*
"""
SS_TCP_ONLY = """\
State   Recv-Q  Send-Q   Local Address:Port   Peer Address:Port
LISTEN  0       128            0.0.0.0:22          0.0.0.0:*
"""
LINUX = """\
Active Internet connections (servers and established)
Proto Recv-Q Send-Q Local Address           Foreign Address         State       PID/Program name
tcp        0      0 0.0.0.0:22              0.0.0.0:*               LISTEN      801/sshd: /usr/sbin
tcp        0      0 127.0.0.1:25            0.0.0.0:*               LISTEN      1022/master
tcp        0     36 192.0.2.10:22           198.51.100.7:51234      ESTABLISHED 2001/sshd: alice
tcp6       0      0 :::80                   :::*                    LISTEN      900/nginx: master
tcp6       0      0 ::1:631                 :::*                    LISTEN      -
udp        0      0 0.0.0.0:68              0.0.0.0:*                           512/dhclient
udp        0      0 192.0.2.10:41234        203.0.113.53:53         ESTABLISHED 3000/dig
raw6       0      0 :::58                   :::*                    7
Active UNIX domain sockets (servers and established)
Proto RefCnt Flags       Type       State         I-Node   Path
unix  2      [ ACC ]     STREAM     LISTENING     12345    /run/dbus/system_bus_socket
"""
MACOS = """\
Active Internet connections (including servers)
Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)
tcp4       0      0  192.0.2.10.49301       203.0.113.9.443        ESTABLISHED
tcp6       0      0  *.22                   *.*                    LISTEN
tcp4       0      0  *.22                   *.*                    LISTEN
tcp4       0      0  127.0.0.1.631          *.*                    LISTEN
tcp6       0      0  ::1.631                *.*                    LISTEN
tcp46      0      0  *.5000                 *.*                    LISTEN
tcp4       0      0  *.*                    *.*                    CLOSED
udp4       0      0  *.5353                 *.*
udp6       0      0  fe80::1%lo0.123        *.*
udp4       0      0  *.*                    *.*
Active LOCAL (UNIX) domain sockets
"""
FREEBSD = """\
Active Internet connections (including servers)
Proto Recv-Q Send-Q Local Address          Foreign Address        (state)
tcp4       0      0 192.0.2.10.22          198.51.100.7.60213     ESTABLISHED
tcp4       0      0 *.22                   *.*                    LISTEN
tcp6       0      0 *.22                   *.*                    LISTEN
udp4       0      0 192.0.2.10.123         *.*
udp6       0      0 2001:db8::10.123       *.*
"""
WINDOWS = """\

Active Connections

  Proto  Local Address          Foreign Address        State           PID
  TCP    0.0.0.0:135            0.0.0.0:0              LISTENING       1004
 [svchost.exe]
  TCP    192.0.2.10:139         0.0.0.0:0              LISTENING       4
 Can not obtain ownership information
  TCP    192.0.2.10:50001       203.0.113.5:443        ESTABLISHED     7000
 [firefox.exe]
  TCP    [::]:445               [::]:0                 LISTENING       4
  UDP    0.0.0.0:5353           *:*                                    2222
 [chrome.exe]
  UDP    [fe80::1%12]:1900      *:*                                    3333
"""
GERMAN_WINDOWS = "  TCP    0.0.0.0:3389           0.0.0.0:0              ABH\u00d6REN       1200\n"


def read(text: str) -> Sockets:
    return parse(text, lambda name, transport: NAMES.get((name, transport)))


def short(sockets: Sockets) -> list[tuple[str | None, str, int, str | None]]:
    return [(item.host, item.transport, item.port, item.program) for item in sockets.listening]


def test_ss() -> None:
    found = read(SS)
    assert short(found) == [
        ("192.0.2.10", "udp", 68, "dhclient"),
        ("127.0.0.53", "udp", 53, "systemd-resolve"),
        ("fe80::1", "udp", 546, None),
        (None, "tcp", 22, "sshd"),
        (None, "tcp", 80, "nginx"),
        (None, "tcp", 22, "sshd"),
        ("192.0.2.10", "tcp", 8080, None),
    ]
    assert found.addresses == {ip_address("192.0.2.10"), ip_address("fe80::1")}


def test_ss_of_one_transport_names_none() -> None:
    assert short(read(SS_TCP_ONLY)) == [(None, "tcp", 22, None)]


def test_netstat_of_linux() -> None:
    found = read(LINUX)
    assert short(found) == [
        (None, "tcp", 22, "sshd"),
        ("127.0.0.1", "tcp", 25, "master"),
        (None, "tcp", 80, "nginx"),
        ("::1", "tcp", 631, None),
        (None, "udp", 68, "dhclient"),
    ]
    assert found.addresses == {ip_address("192.0.2.10")}


def test_netstat_of_macos() -> None:
    assert short(read(MACOS)) == [
        (None, "tcp", 22, None),
        (None, "tcp", 22, None),
        ("127.0.0.1", "tcp", 631, None),
        ("::1", "tcp", 631, None),
        (None, "tcp", 5000, None),
        (None, "udp", 5353, None),
        ("fe80::1", "udp", 123, None),
    ]


def test_netstat_of_freebsd() -> None:
    found = read(FREEBSD)
    assert short(found) == [
        (None, "tcp", 22, None),
        (None, "tcp", 22, None),
        ("192.0.2.10", "udp", 123, None),
        ("2001:db8::10", "udp", 123, None),
    ]
    assert found.addresses == {ip_address("192.0.2.10"), ip_address("2001:db8::10")}


def test_netstat_of_windows() -> None:
    assert short(read(WINDOWS)) == [
        (None, "tcp", 135, "svchost.exe"),
        ("192.0.2.10", "tcp", 139, None),
        (None, "tcp", 445, None),
        (None, "udp", 5353, "chrome.exe"),
        ("fe80::1", "udp", 1900, None),
    ]
    assert short(read(GERMAN_WINDOWS)) == [(None, "tcp", 3389, None)]


def test_names_of_ports_are_looked_up() -> None:
    found = read("tcp4 0 0 *.ssh *.* LISTEN\ntcp 0 0 0.0.0.0:ipp 0.0.0.0:* LISTEN\ntcp 0 0 *:nonsense *:* LISTEN\n")
    assert short(found) == [(None, "tcp", 22, None), (None, "tcp", 631, None)]
    assert found.unknown == {"nonsense"}


def test_a_socket_of_every_address_stands_for_each_of_the_host_s() -> None:
    found = placed(read(SS), ["192.0.2.10", "2001:db8::10"])
    assert Declared("2001:db8::10", "tcp", 22, None, "sshd", "listening") in found
    assert Declared("192.0.2.10", "udp", 68, None, "dhclient", "listening") in found
    assert not [item for item in found if item.host and ip_address(item.host).is_loopback]


def test_ports_out_of_range_are_none() -> None:
    assert short(read("tcp 0 0 0.0.0.0:70000 0.0.0.0:* LISTEN\n")) == []


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=300))
def test_no_text_breaks_it(text: str) -> None:
    read(text)
    read(f"tcp LISTEN 0 0 {text} *:*\n")


@pytest.mark.parametrize("command", [("ss", "-tulpn"), ("netstat", "-an"), ("netstat", "-tulpn")])
def test_what_this_machine_prints(command: tuple[str, ...]) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    lines = [
        line for line in text.splitlines() if line.startswith(("tcp", "udp")) and ("LISTEN" in line or "UNCONN" in line)
    ]
    assert len(read(text).listening) >= len(lines)
