# SPDX-License-Identifier: GPL-2.0-or-later
"""For defer: a rule that queues, also where nft cannot; a pair whose answers come back the other way; a far server."""
import ctypes
import fcntl
import json
import socket
import struct
import time

from entry import attr, nest
from lib import PORT, SERVER, Fail, inside, run
from wire import Ports

QUEUE_ANY, QUEUE_PLAIN = 240, 241
NETFILTER, NFQUEUE_SUBSYSTEM, NFTABLES = 12, 3, 10
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17
TABLE = "pfsync_defer"


# ---- netlink -------------------------------------------------------------------------------------------------

def text(kind, value):
    return attr(kind, value.encode() + b"\0")


def message(kind, flags, sequence, family, resource, body):
    payload = struct.pack("!BBH", family, 0, resource) + body
    return struct.pack("=IHHII", 16 + len(payload), kind, 1 | flags, sequence, 0) + payload


def asked(s, data, sequence):
    """The errno with which the kernel answers that message."""
    s.send(data)
    while True:
        answer, at = s.recv(1 << 16), 0
        while at + 16 <= len(answer):
            length, kind, _, number = struct.unpack_from("=IHHI", answer, at)
            if kind == 2 and number == sequence:
                return -struct.unpack_from("=i", answer, at + 16)[0]
            at += (length + 3) & ~3


def netlink(ns):
    with inside(ns):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETFILTER)
    s.bind((0, 0))
    s.settimeout(5)
    return s


def take_queue(lab, name, number):
    """Another program listens to the queue; its socket."""
    s = netlink(lab.ns(name))
    lab.closers.append(s.close)
    error = asked(s, message(NFQUEUE_SUBSYSTEM << 8 | 2, 4, 1, 0, number, attr(1, struct.pack("!BBH", 1, 0, 0))), 1)
    if error:
        raise Fail(f"the queue cannot be taken: errno {error}")
    return s


# ---- the rule ------------------------------------------------------------------------------------------------

def kernel_attaches(lab, name):
    """The kernel attaches conntrack entries to queued packets: then translated connections can be held."""
    with netlink(lab.ns(name)) as s:
        flags = attr(4, struct.pack("!I", 2)) + attr(5, struct.pack("!I", 2))
        return asked(s, message(NFQUEUE_SUBSYSTEM << 8 | 2, 4, 1, 0, 999, attr(1, struct.pack("!BBH", 1, 0, 0)) + flags),
                     1) == 0


def by_target(lab, name, family, chain, number):
    """Appends iptables' NFQUEUE --queue-bypass, which a kernel without nft's queue has."""
    target = nest(1, text(1, "target"), nest(2, text(1, "NFQUEUE"), attr(2, struct.pack("!I", 3)),
                                             attr(3, struct.pack("=HHHxx", number, 1, 1))))
    compat = nest(5, attr(1, bytes(4)), attr(2, bytes(4)))
    rule = message(NFTABLES << 8 | 6, 4 | 0xc00, 2, family, 0, text(1, TABLE) + text(2, chain) + nest(4, target) + compat)
    with netlink(lab.ns(name)) as s:
        error = asked(s, message(16, 0, 1, 0, NFTABLES, b"") + rule + message(17, 0, 3, 0, NFTABLES, b""), 2)
    if error:
        raise Fail(f"no rule with NFQUEUE: errno {error}")


def hold(lab, name, remedy):
    """Adds the rule of doctor's remedy, nft '...', or one that does the same; True if it was doctor's own."""
    words = remedy.split("'")[1]
    status, _, errors = run(["nft", words], lab.ns(name), must=False)
    if not status:
        return True
    if "No such file or directory" not in errors:             # what nft says if the kernel has no queue expression
        raise Fail(f"nft does not take the rule of doctor: {errors}")
    begin, _, queue = words.partition(" queue flags bypass to ")
    match = begin.split(f"add rule inet {TABLE} hold ")[1]
    for family, number in (("ip", 2), ("ip6", 10)):
        run(["nft", "-f", "-"], lab.ns(name), text=f"table {family} {TABLE} {{\n\tchain queued {{ }}\n\tchain hold {{\n"
            f"\t\ttype filter hook postrouting priority srcnat + 100\n\t\t{match} counter goto queued\n\t}}\n}}\n")
        by_target(lab, name, number, "queued", int(queue))
    return False


def doctor_of(daemon, test="defer"):
    out = json.loads(daemon.ask("doctor", as_json=True, must=False)[1])
    return next((t for t in out["tests"] if t["name"] == test), None)


# ---- where packets go ----------------------------------------------------------------------------------------

def asymmetric(lab):
    """What the client sends leaves through the first firewall; what the server sends comes back through the second."""
    for fw in lab.firewalls:
        lab.forwarding(fw, True)
    run("ip route replace default via 192.0.2.2", lab.ns("client"))
    run("ip -6 route replace default via 2001:db8:1::2", lab.ns("client"))
    run("ip route add 192.0.2.0/24 via 198.51.100.3", lab.ns("server"))
    run("ip -6 route add 2001:db8:1::/64 via 2001:db8:2::3", lab.ns("server"))


def connect(lab, server=SERVER, timeout=5):
    """(seconds, socket) of a connection; None if it fails."""
    s = lab.socket("client", v6=":" in server, timeout=timeout)
    begin = time.monotonic()
    try:
        s.connect((server, PORT))
    except OSError:
        return None
    return time.monotonic() - begin, s


def whole_checksums(lab, name, interface):
    """Else packets between namespaces have none, and what is carried by hand would be dropped for it."""
    value = ctypes.create_string_buffer(struct.pack("=II", ETHTOOL_STXCSUM, 0))
    with inside(lab.ns(name)):
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with s:
        fcntl.ioctl(s, SIOCETHTOOL, struct.pack("16sQ16x", interface.encode(), ctypes.addressof(value)))


class Distance(Ports):
    """The server is so many seconds away: its frames are carried by hand between its port and the bridge. In a namespace
    an answer comes back before the system call has ended that let the question go, which no network does."""

    def __init__(self, lab, seconds):
        for name in ("client", "server"):
            whole_checksums(lab, name, "eth0")
        lab.hub("link set server-wan nomaster promisc on", "link add far type veth peer name near",
                "link set near master wan up", "link set far up promisc on")
        super().__init__(lab, ("server-wan", "far"))
        self.seconds = seconds
        self.start()

    def _take(self, origin, frame):
        self._later(self.seconds, origin, frame)
