"""Captures of made-up TCP and UDP conversations, for protocols that the project's own traffic lacks."""

import struct
from collections.abc import Iterable
from pathlib import Path

Line = tuple[str, bytes]
"""Who sends (`>` the client, `<` the server), and what."""

CLIENT, SERVER = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])
SYN, FIN, PSH, ACK = 0x02, 0x01, 0x08, 0x10
SYN_OPTIONS = bytes.fromhex("020405b40402080a0000000100000000" + "01" + "030307")  # mss,sok,ts,nop,ws
SYNACK_OPTIONS = bytes.fromhex("020405b4" + "01" + "030308" + "01" + "01" + "0402")  # mss,nop,ws,nop,nop,sok


class Capture:
    """Packets of conversations that begin a second apart; checksums are left zero, so Zeek needs `-C`."""

    def __init__(self) -> None:
        self.packets: list[tuple[float, bytes]] = []
        self.conversations = 0

    def tcp(self, port: int, lines: Iterable[Line], *, handshake: bool = True, options: bytes = SYN_OPTIONS) -> None:
        """Add a TCP conversation; without the handshake its first packet is the first line."""
        self.conversations += 1
        seq = {">": 1000, "<": 5000}
        sent = 0

        def send(side: str, flags: int, data: bytes = b"", header: bytes = b"") -> None:
            nonlocal sent
            sent += 1
            client = 30000 + self.conversations
            sport, dport = (client, port) if side == ">" else (port, client)
            other = "<" if side == ">" else ">"
            ack = seq[other] if flags & ACK else 0
            offset = (20 + len(header)) // 4 << 4
            segment = (
                struct.pack("!HHIIBBHHH", sport, dport, seq[side], ack, offset, flags, 64240, 0, 0) + header + data
            )
            seq[side] += len(data) + bool(flags & (SYN | FIN))
            self._add(side, 6, segment, self.conversations + sent / 1000)

        if handshake:
            send(">", SYN, header=options)
            send("<", SYN | ACK, header=SYNACK_OPTIONS)
            send(">", ACK)
        for side, data in lines:
            send(side, PSH | ACK, data)
        send(">", FIN | ACK)
        send("<", FIN | ACK)
        send(">", ACK)

    def udp(self, port: int, lines: Iterable[Line]) -> None:
        """Add a UDP conversation."""
        self.conversations += 1
        client = 30000 + self.conversations
        for n, (side, data) in enumerate(lines):
            sport, dport = (client, port) if side == ">" else (port, client)
            datagram = struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data
            self._add(side, 17, datagram, self.conversations + n / 1000)

    def _add(self, side: str, protocol: int, segment: bytes, ts: float) -> None:
        source, target = (CLIENT, SERVER) if side == ">" else (SERVER, CLIENT)
        ttl = 64 if side == ">" else 128
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(segment), 0, 0x4000, ttl, protocol, 0) + source + target
        self.packets.append((1_700_000_000 + ts, b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\0" + ip + segment))

    def write(self, path: Path) -> Path:
        """Write the packets as a pcap file of Ethernet frames."""
        records = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)]
        for ts, frame in sorted(self.packets):
            seconds = int(ts)
            header = struct.pack("<IIII", seconds, round((ts - seconds) * 1e6), len(frame), len(frame))
            records.append(header + frame)
        path.write_bytes(b"".join(records))
        return path
