"""A VPC's DHCP service: to each interface its primary address, its subnet and its router."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

_FIXED = struct.Struct("!BBBBIHH4s4s4s4s16s192x4s")
_COOKIE = b"\x63\x82\x53\x63"
_ANSWERS = {1: 2, 3: 5}
"""DISCOVER is answered by OFFER, REQUEST by ACK."""
LEASE = 3600


@dataclass(frozen=True)
class Lease:
    """What one interface is told."""

    mac: str
    address: str
    subnet: IPv4Network
    router: IPv4Address


def open_socket(link: str) -> socket.socket:
    """Hears what guests ask on one link of the namespace that the thread is in."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, link.encode())
    listening.bind(("", 67))
    return listening


def answer(lease: Lease, listening: socket.socket) -> None:
    """Reads one question and answers it, if it is one."""
    if reply := reply_to(lease, listening.recv(2048)):
        # A guest that has gone meanwhile needs no answer.
        try:
            listening.sendto(reply, ("255.255.255.255", 68))
        except OSError:
            return


def reply_to(lease: Lease, asked: bytes) -> bytes | None:
    if len(asked) < _FIXED.size:
        return None
    kind, hardware, length, _, transaction, seconds, flags, *_, client, cookie = _FIXED.unpack_from(asked)
    if kind != 1 or cookie != _COOKIE or client[:6].hex(":") != lease.mac:
        return None
    message = _message_type(asked[_FIXED.size :])
    if message not in _ANSWERS:
        return None
    none, own, router = b"\0\0\0\0", IPv4Address(lease.address).packed, lease.router.packed
    head = _FIXED.pack(
        2, hardware, length, 0, transaction, seconds, flags, none, own, router, none, client, cookie
    )
    options = {
        53: bytes([_ANSWERS[message]]),
        54: router,
        51: struct.pack("!I", LEASE),
        1: lease.subnet.netmask.packed,
        3: router,
    }
    return head + b"".join(bytes([code, len(value)]) + value for code, value in options.items()) + b"\xff"


def _message_type(options: bytes) -> int | None:
    position = 0
    while position + 1 < len(options) and options[position] != 255:
        code = options[position]
        if code == 53:
            return options[position + 2]
        position += 1 if code == 0 else 2 + options[position + 1]
    return None
