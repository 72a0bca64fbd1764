"""The state of each socket of a port, from the kernel itself (sock_diag(7)): /proc/net/tcp takes
half a second where thousands of connections have ended lately."""

import socket
import struct

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_NLM_F_REQUEST, _NLM_F_DUMP = 0x1, 0x300
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
ESTABLISHED, TIME_WAIT, CLOSE_WAIT, LISTEN = 1, 6, 8, 10  # <linux/tcp_states.h>, as in RFC 9293
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence number, port


def tcp_states(port, but=(TIME_WAIT, LISTEN)):
    """[state] of the sockets whose own port it is, in this network namespace, without those whose
    state is in `but`."""
    wanted = sum(1 << state for state in range(1, 13) if state not in but)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        return [state for family in (socket.AF_INET, socket.AF_INET6)
                for state in _dump(netlink, family, wanted, port)]


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
            yield data[at + _HEADER.size + 1]  # inet_diag_msg: family, state, ...
            at += (length + 3) & ~3
