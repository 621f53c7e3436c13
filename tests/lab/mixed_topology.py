# SPDX-License-Identifier: GPL-2.0-or-later
"""The namespaces of the mixed lab, the hub in which the guest's three links end, and the plug.

    client 192.0.2.10 ---- lan ---- linux .2 ---- wan ---- server 198.51.100.10
                            |          | sync       |
                            +------ guest .3 -------+

Both nodes have the shared addresses (.1) all the time; the hub lets one of them through. So a switch is what pulling
two cables is, and neither node is told.
"""
import contextlib
import ctypes
import fcntl
import os
import re
import socket
import struct
import subprocess

from lib import LAN_VIP, LAN_VIP6, WAN_VIP, WAN_VIP6, Daemon, Fail, Lab, advertisements, inside, run
from mixed_linux import SHORTS, ruleset
from mixed_pf import GUEST_SYNC, SEGMENTS, mac_of

SECOND = "192.0.2.11"
SEEN = """table inet seen {
	counter resets { }
	chain in { type filter hook input priority -300; tcp flags & rst == rst counter name resets; }
}
"""
NODES = ("guest", "linux")
AF_BRIDGE, RTM_SETLINK, IFLA_BRPORT_STATE, NESTED = 7, 19, 1, 12 | 0x8000     # the last: IFLA_PROTINFO
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17


class MixedLab(Lab):
    """One Linux firewall with a daemon, and a hub for a guest."""

    def __init__(self, dialect="auto", unicast=False):
        self.guest_ports, self.borrowed, self.macs = {}, {}, {}
        super().__init__(firewalls=("linux",))
        self.how = {"dialect": dialect, "hostid": "0a0b0c01", "sync": f'peer = "{GUEST_SYNC}"' if unicast else ""}
        self.d = None
        try:
            with inside(self.ns("hub")):
                self.rtnetlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
            self.closers.append(self.rtnetlink.close)
            self.rtnetlink.settimeout(5)
            run(f"ip addr add {SECOND}/24 dev eth0", self.ns("client"))
            for end in ("client", "server"):
                run(["nft", "-f", "-"], self.ns(end), text=SEEN)
            run("nft flush ruleset", self.ns("linux"))
            self.linux_rules()
        except BaseException:
            self.close()
            raise

    # -- the guest's links

    def guest_namespace(self):
        """A namespace in place of a machine, its interfaces named after the segments."""
        self.firewalls = (*self.firewalls, "guest")     # so it is removed with the others
        run(["ip", "netns", "add", self.ns("guest")])
        self._ip("guest", "link set lo up")
        for segment in SEGMENTS:
            run(f"ip link add {segment} netns {self.ns('guest')} type veth peer name guest-{segment} "
                f"netns {self.ns('hub')}")
            self.attach(segment, f"guest-{segment}")
        self.closers.append(self._end_guest)
        return self.ns("guest")

    def _end_guest(self):
        for pid in run(["ip", "netns", "pids", self.ns("guest")]).split():
            with contextlib.suppress(OSError):
                os.kill(int(pid), 9)

    def taps(self):
        """Three taps of our own, for a machine that is started in the hub."""
        for segment in SEGMENTS:
            self._ip("hub", f"tuntap add guest-{segment} mode tap")
            self.attach(segment, f"guest-{segment}")
        self.plain_checksums()

    def borrow(self, interfaces):
        """Interfaces of this host, at which a guest hangs: they come back in close()."""
        for segment, name in interfaces.items():
            status, out, _ = run(["ip", "-o", "link", "show", "dev", name], must=False)
            if status:
                raise Fail(f"--taps: no interface {name}")
            master = re.search(r" master (\S+)", out)
            up = "UP" in re.search(r"<([^>]*)>", out).group(1).split(",")
            self.borrowed[name] = (master and master.group(1), up)
            run(["ip", "link", "set", name, "netns", self.ns("hub")])
            self.attach(segment, name)
        self.plain_checksums()

    def attach(self, segment, name):
        self._ip("hub", f"link set {name} master {segment} up")
        self.guest_ports[segment] = name

    def plain_checksums(self):
        """A guest that forwards what a tap hands over must find whole checksums in the packets."""
        for end in ("client", "server"):
            with inside(self.ns(end)), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                value = ctypes.create_string_buffer(struct.pack("=II", ETHTOOL_STXCSUM, 0))
                fcntl.ioctl(s, SIOCETHTOOL, struct.pack("@16sP16x", b"eth0", ctypes.addressof(value)))

    # -- the plug

    def port(self, node, segment):
        return self.guest_ports[segment] if node == "guest" else f"linux-{segment}"

    def plug(self, node):
        """This node alone is on lan and wan from now on, and the neighbours hear of it."""
        for other in (n for n in NODES if n != node):
            self._ports(other, 0)
        if node:
            self._ports(node, 3)
            self.tell(node)

    def _ports(self, node, state):
        """By netlink, at once: a switch that takes as long as four commands measures the machine it runs on."""
        for segment in ("lan", "wan"):
            with inside(self.ns("hub")):
                index = socket.if_nametoindex(self.port(node, segment))
            inner = struct.pack("=HHB3x", 5, IFLA_BRPORT_STATE, state)
            body = struct.pack("=BxHiII", AF_BRIDGE, 0, index, 0, 0) + struct.pack("=HH", 4 + len(inner), NESTED) + inner
            self.rtnetlink.send(struct.pack("=IHHII", 16 + len(body), RTM_SETLINK, 5, 0, 0) + body)
            error = struct.unpack_from("=i", self.rtnetlink.recv(4096), 16)[0]
            if error:
                raise Fail(f"port {self.port(node, segment)} of the hub: {os.strerror(-error)}")

    def learn(self, guest):
        """The nodes' Ethernet addresses, for tell()."""
        for segment in ("lan", "wan"):
            self.macs["linux", segment] = mac_of(run(f"ip link show dev {segment}", self.ns("linux")))
            self.macs["guest", segment] = guest.mac(segment)

    def tell(self, node):
        """What VRRP daemons and CARP would tell the neighbours, in the node's name, and told to them alone: the node
        itself would complain of somebody with its address, on a console that may take seconds for it."""
        for segment, end, v4, v6 in (("lan", "client", LAN_VIP, LAN_VIP6), ("wan", "server", WAN_VIP, WAN_VIP6)):
            with inside(self.ns("hub")):
                s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
                s.bind((f"{end}-{segment}", 0))
            with s:
                for packet in advertisements(bytes.fromhex(self.macs[node, segment].replace(":", "")), v4, v6) * 2:
                    s.send(packet)

    def through(self, node):
        """Bytes that came to the hub from this node on lan and wan."""
        return sum(self.interface_counters("hub", self.port(node, s))[0] for s in ("lan", "wan"))

    # -- the Linux node

    def linux_rules(self, nat=None, passing=False):
        run(["nft", "-f", "-"], self.ns("linux"), text=ruleset(nat, passing))

    def start_daemon(self, short=False):
        """The daemon, with short timeouts or pf's own."""
        self.d = Daemon(self, "linux", **self.how, **({"timeouts": SHORTS} if short else {}))
        self.daemons[:] = [self.d]
        return self.d.start()

    def counter(self, name, table):
        text = run(f"nft list counter inet {table}", self.ns(name))
        return int(re.search(r"packets (\d+)", text).group(1))

    def invalid(self):
        return self.counter("linux", "filter invalid")

    def resets(self):
        return sum(self.counter(end, "seen resets") for end in ("client", "server"))

    def linux_ports(self):
        return {e.sport for e in self.conntrack("linux") if e.src in (SECOND, "192.0.2.10", "2001:db8:1::10")
                and e.state not in ("CLOSE", "TIME_WAIT", "FIN_WAIT", "CLOSE_WAIT", "LAST_ACK")}

    # -- the sync link on file

    @contextlib.contextmanager
    def capture(self, path):
        with open(os.devnull, "wb") as nothing:
            p = subprocess.Popen(["ip", "netns", "exec", self.ns("hub"), "tcpdump", "-i", "sync", "-w", path, "-U", "-Z",
                                  "root", "-s", "0", "ip", "proto", "240"], stdin=subprocess.DEVNULL, stdout=nothing,
                                 stderr=nothing)
        try:
            yield
        finally:
            p.terminate()
            try:
                p.wait(5)
            except subprocess.TimeoutExpired:
                p.kill()
                p.wait()

    def close(self):
        for name, (master, up) in self.borrowed.items():
            with contextlib.suppress(Fail):
                run(["ip", "link", "set", name, "nomaster"], self.ns("hub"))
                run(["ip", "link", "set", name, "netns", str(os.getpid())], self.ns("hub"))
                run(["ip", "link", "set", name, *(["master", master] if master else []), *(["up"] if up else [])])
        self.borrowed = {}
        super().close()
