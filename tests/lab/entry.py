# SPDX-License-Identifier: GPL-2.0-or-later
"""conntrack entries by netlink, for what `conntrack -I` cannot say: sequence adjustment, verification tags, no ports."""
import os
import socket
import struct

from lib import TCP, attributes, check, dump_of, inside

NETLINK_NETFILTER, NEW = 12, 0x0100
TUPLE_ORIG, TUPLE_REPLY, STATUS, PROTOINFO, NAT_SRC, TIMEOUT, SEQ_ADJ = 1, 2, 3, 4, 6, 7, (15, 16)
INFO_TCP, INFO_SCTP, SCTP = 1, 3, 132
LIBERAL = bytes([0x08, 0x08])
STATE, VTAGS = 1, (2, 3)


def attr(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def nest(kind, *attributes_):
    data = b"".join(attributes_)
    return struct.pack("=HH", 4 + len(data), kind | 0x8000) + data


def be32(value):
    return struct.pack("!I", value & 0xffffffff)


def _tuple(kind, src, dst, proto):
    ports = [attr(n + 2, struct.pack("!H", end[1])) for n, end in enumerate((src, dst)) if end[1] is not None]
    return nest(kind, nest(1, attr(1, socket.inet_aton(src[0])), attr(2, socket.inet_aton(dst[0]))),
                nest(2, attr(1, bytes([proto])), *ports))


def inject(ns, src, dst, proto=TCP, snat=None, status=0x8, timeout=120, seqadj=None, sctp=None):
    """An entry of (address, port) → (address, port), port None: the protocol has none. seqadj: what is added to the
    sequence numbers of both directions; sctp: (state, tag of the original, of the reply direction)."""
    body = struct.pack("=BBH", socket.AF_INET, 0, 0) + _tuple(TUPLE_ORIG, src, dst, proto)
    body += _tuple(TUPLE_REPLY, dst, src, proto) + attr(STATUS, be32(status)) + attr(TIMEOUT, be32(timeout))
    if snat:
        raw, port = socket.inet_aton(snat[0]), struct.pack("!H", snat[1])
        body += nest(NAT_SRC, attr(1, raw), attr(2, raw), nest(3, attr(1, port), attr(2, port)))
    if proto == TCP:
        body += nest(PROTOINFO, nest(INFO_TCP, attr(4, LIBERAL), attr(5, LIBERAL)))
    if sctp:
        body += nest(PROTOINFO, nest(INFO_SCTP, attr(STATE, bytes([sctp[0]])), attr(VTAGS[0], be32(sctp[1])),
                                     attr(VTAGS[1], be32(sctp[2]))))
    for kind, offset in zip(SEQ_ADJ, seqadj or ()):
        body += nest(kind, attr(1, be32(0)), attr(2, be32(offset)), attr(3, be32(offset)))
    with inside(ns):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
    with s:
        s.settimeout(5)
        s.send(struct.pack("=IHHII", 16 + len(body), NEW, 0x605, 1, 0) + body)      # CREATE | EXCL | ACK | REQUEST
        error = -struct.unpack_from("=i", s.recv(4096), 16)[0]
    check(error == 0, lambda: f"the kernel did not take an entry: {os.strerror(error)}")


def entries(ns, proto=TCP):
    """The attributes of all IPv4 entries of a protocol, as {type: payload}."""
    return [a for a in dump_of(ns) if attributes(attributes(a[TUPLE_ORIG])[2])[1] == bytes([proto])]


def seqadj(entry):
    """What an entry adds to the sequence numbers of both directions."""
    return tuple(struct.unpack("!I", attributes(entry[kind])[3])[0] if kind in entry else 0 for kind in SEQ_ADJ)


def sctp(entry):
    """(state, tag of the original, of the reply direction)"""
    info = attributes(attributes(entry[PROTOINFO])[INFO_SCTP])
    return (info[STATE][0], *(struct.unpack("!I", info[n])[0] for n in VTAGS))
