"""The sockets of a port, from the kernel itself (sock_diag(7)): /proc/net/tcp takes half a second
where thousands of connections have ended lately, and shows a socket again while others come and go."""

import socket
import struct
from typing import NamedTuple

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
ESTABLISHED, TIME_WAIT, CLOSE_WAIT, LISTEN = 1, 6, 8, 10  # <linux/tcp_states.h>, as in RFC 9293
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port
# inet_diag_msg: family, state, timer, retransmissions; source and destination port; addresses,
# interface, cookie; expiry, receive queue, send queue, user, inode.
_MESSAGE = struct.Struct("=BBBB2s2s44x5I")


class TcpSocket(NamedTuple):
    """Of a connection: what the other end's port is, and what tells which process has it open."""
    state: int
    peer_port: int
    unsent: int  # bytes: in its send queue, or not acknowledged
    inode: int  # 0: no process has it open


def tcp_sockets(port, but=(TIME_WAIT, LISTEN)):
    """[TcpSocket] of those whose own port it is, in this network namespace, without those whose
    state is in `but`."""
    wanted = sum(1 << state for state in range(1, 13) if state not in but)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        return [found for family in (socket.AF_INET, socket.AF_INET6)
                for found in _dump(netlink, family, wanted, port)]


def tcp_states(port, but=(TIME_WAIT, LISTEN)):
    return [found.state for found in tcp_sockets(port, but)]


def _dump(netlink, family, wanted, port):
    request = struct.pack("=BBBBI", family, socket.IPPROTO_TCP, 0, 0, wanted)
    # inet_diag_sockid: ports in network order, addresses, interface, cookie (none: all ones).
    request += struct.pack("!HH", port, 0) + bytes(36) + b"\xff" * 8
    netlink.send(_HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY,
                              _NLM_F_REQUEST | _NLM_F_DUMP, 0, 0) + request)
    while True:
        data, at = netlink.recv(1 << 16), 0
        while at < len(data):
            length, kind, *_ = _HEADER.unpack_from(data, at)
            if kind == _NLMSG_DONE:
                return
            if kind == _NLMSG_ERROR:
                raise OSError("sock_diag: refused by the kernel")
            (_, state, _, _, _, peer, _, _, unsent, _, inode) = _MESSAGE.unpack_from(
                data, at + _HEADER.size)
            yield TcpSocket(state, int.from_bytes(peer, "big"), unsent, inode)
            at += (length + 3) & ~3
