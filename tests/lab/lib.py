# SPDX-License-Identifier: GPL-2.0-or-later
"""Firewall pairs in network namespaces: addresses that move, daemons, traffic, what the kernel knows.

                         192.0.2.0/24                       198.51.100.0/24
    client .10 -------------- lan --- .2 fwA .2 --- wan -------------- .10 server
                               |         .2          |
                               |        sync         |
                               |         .3          |
                               +----- .3 fwB .3 -----+
                                         |
                               sync 203.0.113.0/24 --- .200 pf (only if asked for)

.1 on lan and wan are the shared addresses: the gateways, and where source NAT goes to. IPv6 is the same with
2001:db8:1:: (lan), 2001:db8:2:: (wan). Everything made here carries the pid in its name and goes away with close().
Python's standard library, iproute2, nft and conntrack; root.
"""
import collections
import contextlib
import ctypes
import hashlib
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get("BUILD", ROOT))
CLIENT, SERVER = "192.0.2.10", "198.51.100.10"
CLIENT6, SERVER6 = "2001:db8:1::10", "2001:db8:2::10"
LAN_VIP, WAN_VIP = "192.0.2.1", "198.51.100.1"
LAN_VIP6, WAN_VIP6 = "2001:db8:1::1", "2001:db8:2::1"
PF = "203.0.113.200"
FIREWALLS = ("fwA", "fwB")
TCP, UDP, ICMP, ICMP6 = socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6
PORT = 5001
CLONE_NEWNET = 0x40000000
SO_RCVBUFFORCE = 33

libc = ctypes.CDLL(None, use_errno=True)


class Fail(Exception):
    """Something is not as it should be."""


class Skip(Exception):
    """It cannot be run here."""


def check(condition, text):
    if not condition:
        raise Fail(text() if callable(text) else text)


def wait_for(probe, seconds, text, step=0.02):
    """The first true value of probe() within that time."""
    end = time.monotonic() + seconds
    while True:
        value = probe()
        if value:
            return value
        if time.monotonic() > end:
            raise Fail(f"{text() if callable(text) else text} (waited {seconds:g} s)")
        time.sleep(step)


# ---- commands and namespaces ---------------------------------------------------------------------------------

@contextlib.contextmanager
def inside(ns):
    """Sockets opened and /proc files touched by this thread belong to namespace ns."""
    home = os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)
    try:
        target = os.open(f"/run/netns/{ns}", os.O_RDONLY)
        try:
            if libc.setns(target, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
        finally:
            os.close(target)
        yield
    finally:
        libc.setns(home, CLONE_NEWNET)
        os.close(home)


def run(command, ns=None, text=None, seconds=30, must=True):
    """Runs a command (a string is split at blanks); its standard output, or (status, output, errors) if it may fail."""
    argv = command.split() if isinstance(command, str) else list(command)
    if ns:
        argv = ["ip", "netns", "exec", ns] + argv
    try:
        done = subprocess.run(argv, input=text if text is not None else "", capture_output=True, text=True,
                              timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Fail(f"`{' '.join(argv)}` did not end within {seconds} s") from None
    if not must:
        return done.returncode, done.stdout, done.stderr
    if done.returncode:
        raise Fail(f"`{' '.join(argv)}`: status {done.returncode}: {(done.stderr or done.stdout).strip()[:300]}")
    return done.stdout


def build():
    """Builds the tree in place unless it was built; make says what it does only if it fails."""
    if all(os.access(os.path.join(BUILD, "src", p), os.X_OK) for p in ("pfsync-linux", "pfsyncctl")):
        return
    check(BUILD == ROOT, f"{BUILD} is not built")
    print("building ...", flush=True)
    for argv, made in ((["./bootstrap"], "configure"), (["./configure"], "Makefile"), (["make", f"-j{os.cpu_count()}"], None)):
        if made and os.path.exists(os.path.join(ROOT, made)):
            continue
        done = subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, check=False)
        check(done.returncode == 0, lambda: f"`{' '.join(argv)}` failed:\n{done.stdout[-3000:]}")


def program(name):
    path = os.path.join(BUILD, "src", name)
    if not os.access(path, os.X_OK):
        raise Skip(f"{path} is not built")
    return path


def possible():
    """Raises Skip unless namespaces can be made here."""
    if os.geteuid():
        raise Skip("needs root, for network namespaces")
    for tool in ("ip", "nft", "conntrack"):
        if not shutil.which(tool):
            raise Skip(f"needs {tool}; tests/install-deps installs it")
    name = f"pl{os.getpid()}-try"
    status, _, errors = run(["ip", "netns", "add", name], must=False)
    run(["ip", "netns", "del", name], must=False)
    if status:
        raise Skip(f"no network namespaces here: {errors.strip()}")


# ---- the laboratory ------------------------------------------------------------------------------------------

RULES = """
table inet filter {
	chain forward {
		type filter hook forward priority filter; policy drop;
		ct state invalid counter drop
		ct state established,related counter accept
		%s
	}
}
table inet sync {
	chain in { type filter hook prerouting priority raw; ip protocol 240 notrack; }
	chain out { type filter hook output priority raw; ip protocol 240 notrack; }
}
"""
ACCEPT_NEW = "tcp flags & (fin|syn|rst|ack) == syn counter accept\n\t\tmeta l4proto != tcp counter accept"
NAT = """
table ip nat {
	chain pre { type nat hook prerouting priority dstnat; %s; }
	chain post { type nat hook postrouting priority srcnat; %s; }
}
"""
SYSCTLS = {"net.netfilter.nf_conntrack_events": 1, "net.netfilter.nf_conntrack_tcp_loose": 0,
           "net.ipv4.conf.all.rp_filter": 0, "net.ipv4.conf.default.rp_filter": 0, "net.ipv6.conf.all.accept_dad": 0,
           "net.ipv6.conf.default.accept_dad": 0, "net.ipv4.conf.all.arp_ignore": 1,
           "net.ipv4.conf.all.send_redirects": 0,
           "net.ipv4.conf.default.send_redirects": 0}


class Lab:
    """The namespaces of one run and all that was started in them."""

    def __init__(self, firewalls=FIREWALLS, pf=False, nat=None, open_standby=False):
        """nat: None, "snat" or "dnat". At the second firewall nothing new passes; open_standby: it has no rules at all
        and forwards everything, in place of a pf that knows its states."""
        possible()
        self.firewalls, self.prefix = firewalls, f"pl{os.getpid()}-"
        self.daemons, self.closers, self.carrier, self.broken = [], [], None, set()
        self.hosts = []
        self.dir = tempfile.mkdtemp(prefix="pfsync-lab-")
        try:
            self._build(pf, nat, open_standby)
        except BaseException:
            self.close()
            raise

    def _build(self, pf, nat, open_standby):
        names = ["hub", "client", "server", *self.firewalls] + (["pf"] if pf else [])
        for n in names:
            run(["ip", "netns", "add", self.ns(n)])
        for n in names:
            self.sysctl(n, {"net.ipv6.conf.default.accept_dad": 0, "net.ipv6.conf.default.accept_ra": 0,
                            "net.ipv6.conf.default.router_solicitations": 0})
        for segment in ("lan", "wan", "sync"):
            self._ip("hub", f"link add {segment} type bridge mcast_snooping 0 forward_delay 0", f"link set {segment} up")
        ports = [("client", "eth0", "lan", 10), ("server", "eth0", "wan", 10)]
        ports += [("pf", "sync", "sync", 200)] if pf else []
        ports += [(fw, segment, segment, 2 + i) for i, fw in enumerate(self.firewalls) for segment in ("lan", "wan", "sync")]
        net = {"lan": ("192.0.2", 1), "wan": ("198.51.100", 2), "sync": ("203.0.113", 3)}
        for n in names:
            self._ip(n, "link set lo up")
        for n, interface, segment, host in ports:
            run(f"ip link add {interface} netns {self.ns(n)} type veth peer name {n}-{segment} netns {self.ns('hub')}")
            self._ip("hub", f"link set {n}-{segment} master {segment} up")
            v4, v6 = net[segment]
            self._ip(n, f"addr add {v4}.{host}/24 dev {interface}", f"addr add 2001:db8:{v6}::{host}/64 dev {interface} nodad",
                     f"link set {interface} up")
        for n, gateways in (("client", (LAN_VIP, LAN_VIP6)), ("server", (WAN_VIP, WAN_VIP6))):
            self._ip(n, *(f"route add default via {g}" for g in gateways))
        for i, fw in enumerate(self.firewalls):
            self.sysctl(fw, SYSCTLS)
            if i and open_standby:
                continue
            run(["nft", "-f", "-"], self.ns(fw), text=RULES % ("" if i else ACCEPT_NEW))
            pre = f"iifname \"lan\" ip daddr {LAN_VIP} tcp dport 80 dnat to {SERVER}:{PORT}" if nat == "dnat" else "accept"
            post = f"oifname \"wan\" ip saddr 192.0.2.0/24 snat to {WAN_VIP}" if nat == "snat" else "accept"
            run(["nft", "-f", "-"], self.ns(fw), text=NAT % (pre, post))
        self.carry(self.firewalls[0])

    def ns(self, name):
        return self.prefix + name

    def _ip(self, name, *lines):
        """ip -batch: IPv6 lines are told by their addresses."""
        run(["ip", "-batch", "-"], self.ns(name), text="".join(line + "\n" for line in lines))

    def hub(self, *lines):
        """ip commands where the ports of all segments are: fwA-sync, pf-sync, client-lan."""
        self._ip("hub", *lines)

    def plug(self, name, interface, segment, v4, *more):
        """A new cable from a namespace to a segment; more: options of the interface."""
        run(["ip", "link", "add", interface, *more, "netns", self.ns(name), "type", "veth", "peer", "name",
             f"{name}-{segment}", "netns", self.ns("hub")])
        self.hub(f"link set {name}-{segment} master {segment} up")
        self._ip(name, f"addr add {v4}/24 dev {interface}", f"link set {interface} up")

    def segment(self, name):
        """One more network beside lan, wan and sync."""
        self.hub(f"link add {name} type bridge mcast_snooping 0 forward_delay 0", f"link set {name} up")

    def host(self, name, interface, segment, v4):
        """One more namespace, with an interface on a segment."""
        run(["ip", "netns", "add", self.ns(name)])
        self.hosts.append(name)
        self._ip(name, "link set lo up")
        self.plug(name, interface, segment, v4)

    def sysctl(self, name, values):
        with inside(self.ns(name)):
            for key, value in values.items():
                with open("/proc/sys/" + key.replace(".", "/"), "w", encoding="ascii") as f:
                    f.write(str(value))

    def interface_counters(self, name, interface):
        """(bytes in, packets in, bytes out, packets out)"""
        with inside(self.ns(name)), open("/proc/thread-self/net/dev", encoding="ascii") as f:
            for line in f:
                left, _, right = line.partition(":")
                if left.strip() == interface:
                    v = right.split()
                    return int(v[0]), int(v[1]), int(v[8]), int(v[9])
        raise Fail(f"no interface {interface} in {name}")

    # -- who carries the traffic

    def carry(self, fw):
        """The shared addresses move to this firewall, and it tells the neighbours."""
        old, self.carrier = self.carrier, fw
        for other in self.firewalls:
            if other != fw and other not in self.broken:
                if other == old:
                    self._addresses(other, "del")
                self.forwarding(other, False)
        self._addresses(fw, "add")
        self.forwarding(fw, True)
        for interface, v4, v6 in (("lan", LAN_VIP, LAN_VIP6), ("wan", WAN_VIP, WAN_VIP6)):
            self._tell_neighbours(fw, interface, v4, v6)

    def _addresses(self, fw, verb):
        for interface, v4, v6 in (("lan", LAN_VIP, LAN_VIP6), ("wan", WAN_VIP, WAN_VIP6)):
            self._ip(fw, f"addr {verb} {v4}/32 dev {interface}", f"addr {verb} {v6}/128 dev {interface}" +
                     (" nodad" if verb == "add" else ""))

    def forwarding(self, fw, on):
        # IPv4: each interface by itself, the common switch would reset other settings too. IPv6 has only that one.
        self.sysctl(fw, {"net.ipv4.conf.lan.forwarding": int(on), "net.ipv4.conf.wan.forwarding": int(on),
                         "net.ipv6.conf.all.forwarding": int(on)})

    def _tell_neighbours(self, fw, interface, v4, v6):
        with inside(self.ns(fw)):
            s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            s.bind((interface, 0))
        with s:
            for packet in advertisements(s.getsockname()[4], v4, v6) * 2:
                s.send(packet)

    def power_off(self, fw):
        """This firewall is gone: daemon killed, links cut, nothing forwarded."""
        self.broken.add(fw)
        for d in self.daemons:
            if d.fw == fw:
                d.kill()
        for segment in ("lan", "wan", "sync"):
            self._ip("hub", f"link set {fw}-{segment} down")
        self.forwarding(fw, False)

    # -- the kernel's table

    def conntrack(self, fw):
        entries = []
        for family in ("ipv4", "ipv6"):
            for line in run(["conntrack", "-L", "-f", family, "-o", "extended"], self.ns(fw)).splitlines():
                e = parse_entry(line)
                if e and e.proto in (TCP, UDP, ICMP, ICMP6) and not (e.proto == ICMP6 and e.sport == 0):
                    entries.append(e)
        return entries

    def entries(self, fw, **want):
        """Entries with these fields: proto, src, sport, dst, dport, rsrc, rsport, rdst, rdport, state."""
        return [e for e in self.conntrack(fw) if all(getattr(e, k) == v for k, v in want.items())]

    def wait_entry(self, fw, seconds=5, **want):
        return wait_for(lambda: self.entries(fw, **want), seconds, lambda: f"{fw} has no kernel entry {want}; it has "
                        + ("; ".join(e.line for e in self.conntrack(fw)[:6]) or "none"))[0]

    def tcp_flags(self, fw, **want):
        """(original, reply) conntrack TCP flags of one entry, which `conntrack -L` does not show: by netlink."""
        return tcp_flags_of(self.ns(fw), want)

    # -- what runs here

    def daemon(self, fw, seconds=10, **how):
        d = Daemon(self, fw, **how)
        self.daemons.append(d)
        return d.start(seconds)

    def pair(self, **how):
        """A daemon on each firewall, in the order of the firewalls."""
        return [self.daemon(fw, **how) for fw in self.firewalls]

    def socket(self, name, kind=socket.SOCK_STREAM, v6=False, proto=0, timeout=10):
        with inside(self.ns(name)):
            s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, kind, proto)
        s.settimeout(timeout)
        self.closers.append(s.close)
        return s

    def server(self, **how):
        s = Server(self, **how)
        self.closers.append(s.close)
        return s

    def keep_logs(self, folder):
        os.makedirs(folder, exist_ok=True)
        for d in self.daemons:
            for path in (d.file, d.log):
                if os.path.exists(path):
                    shutil.copy(path, folder)
        for fw in self.firewalls:
            with contextlib.suppress(Exception), open(os.path.join(folder, f"{fw}.conntrack"), "w", encoding="ascii") as f:
                f.writelines(e.line + "\n" for e in self.conntrack(fw))

    def close(self):
        for d in self.daemons:
            d.kill()
        for closer in reversed(self.closers):
            with contextlib.suppress(Exception):
                closer()
        for name in ("client", "server", *self.firewalls, *self.hosts, "pf", "hub"):
            if os.path.exists(f"/run/netns/{self.ns(name)}"):
                run(["ip", "netns", "del", self.ns(name)], must=False)
        shutil.rmtree(self.dir, ignore_errors=True)


def checksum(data):
    """The Internet checksum."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def advertisements(mac, v4, v6):
    """Gratuitous ARP and an unsolicited neighbour advertisement, as VRRP daemons and CARP send them."""
    a4, a6 = socket.inet_aton(v4), socket.inet_pton(socket.AF_INET6, v6)
    arp = b"\xff" * 6 + mac + struct.pack("!HHHBBH", 0x0806, 1, 0x0800, 6, 4, 1) + mac + a4 + b"\xff" * 6 + a4
    group = socket.inet_pton(socket.AF_INET6, "ff02::1")
    body = struct.pack("!BBHI", 136, 0, 0, 0xa0000000) + a6 + b"\x02\x01" + mac
    total = checksum(a6 + group + struct.pack("!II", len(body), ICMP6) + body)
    body = body[:2] + struct.pack("!H", total) + body[4:]
    return [arp, (b"\x33\x33\0\0\0\1" + mac + b"\x86\xdd" + struct.pack("!IHBB", 0x60000000, len(body), ICMP6, 255) +
                  a6 + group + body)]


Entry = collections.namedtuple("Entry", "proto src sport dst dport rsrc rsport rdst rdport state left assured line")


def parse_entry(line):
    """One line of `conntrack -L -o extended`; for ICMP the id stands as both sports."""
    words = line.split()
    if len(words) < 6 or not words[3].isdigit() or not words[4].isdigit():
        return None
    value = collections.defaultdict(list)
    for word in words:
        key, mark, text = word.partition("=")
        if mark:
            value[key].append(text)
    port = lambda key, i: int(value[key][i]) if len(value[key]) > i else 0
    ids = "id" if value["id"] else "sport"
    if len(value["src"]) < 2:
        return None
    return Entry(int(words[3]), value["src"][0], port(ids, 0), value["dst"][0], port("dport", 0), value["src"][1],
                 port(ids, 1), value["dst"][1], port("dport", 1), words[5] if words[5].isupper() else None, int(words[4]),
                 "[ASSURED]" in line, line.strip())


def attributes(data):
    """Netlink attributes as {type: payload}."""
    found, at = {}, 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        found[kind & 0x3fff] = data[at + 4:at + length]
        at += (length + 3) & ~3
    return found


def dump_of(ns, family=socket.AF_INET):
    """The attributes of all entries of a family, by netlink, each as {type: payload}."""
    with inside(ns):
        s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)                 # NETLINK_NETFILTER
    with s:
        s.settimeout(5)
        body = struct.pack("=BBH", family, 0, 0)
        s.send(struct.pack("=IHHII", 16 + len(body), 0x0101, 0x301, 1, 0) + body)  # IPCTNL_MSG_CT_GET, DUMP | REQUEST
        while True:
            data, at = s.recv(1 << 18), 0
            while at + 16 <= len(data):
                length, kind = struct.unpack_from("=IH", data, at)
                if kind == 3:                                                      # NLMSG_DONE
                    return
                yield attributes(data[at + 20:at + length])
                at += (length + 3) & ~3


def tcp_flags_of(ns, want):
    """want: src, sport, dst, dport of an IPv4 or IPv6 original TCP tuple."""
    family = socket.AF_INET6 if ":" in want["src"] else socket.AF_INET
    six = 2 if family == socket.AF_INET6 else 0
    wanted = (bytes([TCP]), socket.inet_pton(family, want["src"]), socket.inet_pton(family, want["dst"]),
              struct.pack("!H", want["sport"]), struct.pack("!H", want["dport"]))
    for a in dump_of(ns, family):
        tuple_ = attributes(a.get(1, b""))                                         # CTA_TUPLE_ORIG
        ip, ports = attributes(tuple_.get(1, b"")), attributes(tuple_.get(2, b""))
        if (ports.get(1), ip.get(1 + six), ip.get(2 + six), ports.get(2), ports.get(3)) == wanted:
            info = attributes(attributes(a.get(4, b"")).get(1, b""))               # CTA_PROTOINFO, _TCP
            return tuple(info[n][0] for n in (4, 5))                               # _FLAGS_ORIGINAL, _FLAGS_REPLY
    return None


LIBERAL = 0x08                                                                     # IP_CT_TCP_FLAG_BE_LIBERAL


# ---- a daemon ------------------------------------------------------------------------------------------------

class Daemon:
    """One pfsync-linux. Sections of the configuration are given as their text: announce="local = yes"."""

    def __init__(self, lab, fw, dialect="freebsd-13", hostid=None, sync="", under=(), interface="sync", links=(),
                 **sections):
        """under: a command that runs it, with its arguments; links: more sync links, (interface, dialect)."""
        self.lab, self.fw, self.process, self.under = lab, fw, None, list(under)
        self.file, self.log, self.control = (os.path.join(lab.dir, f"{fw}.{end}") for end in ("conf", "log", "sock"))
        self.hostid = hostid or f"{0x0a0b0c00 + lab.firewalls.index(fw) + 1:08x}"
        vips = ", ".join(f'"{a}"' for a in (LAN_VIP, WAN_VIP, LAN_VIP6, WAN_VIP6))
        control = sections.pop("control", "")
        sections["announce"] = f"vip = {{ {vips} }}\n\t" + sections.get("announce", "")
        with open(self.file, "w", encoding="ascii") as f:
            f.write(f'hostid = "0x{self.hostid}"\ncontrol {{ socket = "{self.control}"  {control} }}\n'
                    f'sync "lab" {{\n\tinterface = "{interface}"\n\tdialect = "{dialect}"\n\t{sync}\n}}\n')
            for more, speaks in links:
                f.write(f'sync "{more}" {{\n\tinterface = "{more}"\n\tdialect = "{speaks}"\n\t{sync}\n}}\n')
            for title, text in sections.items():
                f.write(f"{'import' if title == 'imports' else title} {{\n\t{text}\n}}\n")

    def start(self, seconds=10):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(["ip", "netns", "exec", self.lab.ns(self.fw), *self.under,
                                             program("pfsync-linux"), "-f", "-c", self.file],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: self.process.poll() is not None or self.ask("status", must=False)[0] == 0, seconds,
                 lambda: f"the daemon on {self.fw} does not answer: {self.tail()}", 0.05)
        self.alive()
        return self

    def tail(self):
        with open(self.log, errors="replace", encoding="utf-8") as f:
            return " | ".join(f.read().strip().splitlines()[-4:])

    def alive(self):
        check(self.process.poll() is None, lambda: f"the daemon on {self.fw} ended, status {self.process.returncode}: "
              + self.tail())

    def ask(self, command, as_json=False, must=True, seconds=15):
        argv = [program("pfsyncctl"), "-s", self.control] + (["-j"] if as_json else []) + command.split()
        out = run(argv, self.lab.ns(self.fw), must=must, seconds=seconds)
        if not as_json or not must:
            return out
        if command.split()[0] == "flows":
            return [json.loads(line) for line in out.splitlines() if line.strip()]
        return json.loads(out)

    def counters(self):
        """Both kinds in one: what was done, what was refused by reason."""
        both = self.ask("counters", as_json=True)
        return {**both["counters"], **both["refused"]}

    def flows(self, text=""):
        return self.ask("flows " + text, as_json=True)

    def wait_synced(self, seconds=20):
        """Until it has been brought up to date by a peer, or has given up."""
        wait_for(lambda: not self.ask("status", as_json=True)["undecided"], seconds,
                 f"the daemon on {self.fw} is still waiting for its peers", 0.1)
        return self

    def kill(self, number=signal.SIGKILL, seconds=8):
        """Ends it, if it runs; its exit status."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(number)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Fail(f"the daemon on {self.fw} did not end within {seconds} s of signal {number}") from None
        return self.process.returncode


# ---- traffic -------------------------------------------------------------------------------------------------

BLOCK = 1 << 16


class Server:
    """TCP and UDP on one port: echoes; `GET bytes seconds` is answered by that many bytes, paced, and remembered."""

    def __init__(self, lab, name="server", port=PORT):
        self.sockets, self.connections, self.hashes, self.ended = [], [], {}, False
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with inside(lab.ns(name)):
                s = socket.socket(socket.AF_INET6, kind)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("::", port))
            self.sockets.append(s)
        self.sockets[0].listen(1024)
        threading.Thread(target=self._accept, daemon=True).start()
        threading.Thread(target=self._datagrams, daemon=True).start()

    def _accept(self):
        while not self.ended:
            try:
                c, who = self.sockets[0].accept()
            except OSError:
                return
            self.connections.append(c)
            threading.Thread(target=self._serve, args=(c, who[1]), daemon=True).start()

    def _serve(self, c, port):
        with contextlib.suppress(OSError), c:
            while data := c.recv(BLOCK):
                if data.startswith(b"GET "):
                    _, size, seconds = data.split()
                    self._download(c, port, int(size), float(seconds))
                    return
                c.sendall(data)

    def _download(self, c, port, size, seconds):
        noise, digest, done, begin = os.urandom(BLOCK), hashlib.sha256(), 0, time.monotonic()
        while done < size:
            block = (struct.pack("!Q", done) + noise[8:])[:size - done]
            digest.update(block)
            done += len(block)
            if done >= size:
                self.hashes[port] = digest.hexdigest()
            c.sendall(block)
            ahead = begin + seconds * done / size - time.monotonic()
            if ahead > 0.001:
                time.sleep(ahead)

    def _datagrams(self):
        while not self.ended:                           # after shutdown() nobody has sent anything
            try:
                data, who = self.sockets[1].recvfrom(BLOCK)
                if who:
                    self.sockets[1].sendto(data, who)
            except OSError:
                if self.ended:
                    return

    def close(self):
        self.ended = True
        for s in self.sockets + self.connections:
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()


class Gaps:
    """The longest time between two signs of life, overall and since a moment."""

    def __init__(self):
        self.last, self.worst, self.count = time.monotonic(), 0.0, 0

    def beat(self):
        now = time.monotonic()
        self.worst, self.last, self.count = max(self.worst, now - self.last), now, self.count + 1

    def milliseconds(self):
        return round(1000 * max(self.worst, 0))

    def since(self):
        return time.monotonic() - self.last


class Download(threading.Thread):
    """A paced TCP download, hashed at both ends; the server sees another port if NAT changes it."""

    def __init__(self, lab, server, size=100_000_000, seconds=12.0, dst=SERVER, port=PORT, patience=12):
        super().__init__(daemon=True)
        self.size, self.done, self.error, self.gaps, self.server = size, 0, None, Gaps(), server
        self.sock = lab.socket("client", v6=":" in dst, timeout=patience)
        self.before = set(server.hashes)
        self.sock.connect((dst, port))
        self.local = self.sock.getsockname()[:2]
        self.sock.sendall(b"GET %d %f" % (size, seconds))
        self.gaps.last = time.monotonic()
        self.start()

    def run(self):
        digest = hashlib.sha256()
        try:
            while self.done < self.size and (data := self.sock.recv(1 << 18)):
                digest.update(data)
                self.done += len(data)
                self.gaps.beat()
            self.digest = digest.hexdigest()
            sent = [h for p, h in self.server.hashes.items() if p not in self.before]
            if self.done < self.size:
                self.error = f"ended after {self.done} of {self.size} bytes"
            elif self.digest not in sent:
                self.error = "the bytes that came are not the bytes that were sent"
        except OSError as e:
            self.error = f"{e} after {self.done} of {self.size} bytes"

    def reach(self, part, seconds=40):
        """Waits until that part of it is through."""
        wait_for(lambda: self.done >= part * self.size or self.error, seconds,
                 lambda: f"the transfer hangs at {self.done} of {self.size} bytes")
        check(not self.error, lambda: f"the transfer failed: {self.error}")

    def finish(self, seconds=40):
        self.join(seconds)
        check(not self.is_alive(), lambda: f"the transfer hangs at {self.done} of {self.size} bytes")
        check(not self.error, lambda: f"the transfer failed: {self.error}")
        return self


class Ticker(threading.Thread):
    """Sends something each interval and notes what is answered: the common part of ping, UDP and chatter."""

    def __init__(self, sock, interval):
        super().__init__(daemon=True)
        self.sock, self.interval, self.sent, self.stop, self.error = sock, interval, 0, threading.Event(), None
        self.gaps = Gaps()
        self.sock.settimeout(0.2)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        self.start()

    def run(self):
        due = time.monotonic()
        while not self.stop.is_set():
            with contextlib.suppress(OSError):          # no route while an address moves is loss, not an end
                self.sent += 1
                self.send(self.sent)
            due += self.interval
            self.stop.wait(max(0.0, due - time.monotonic()))

    def _read(self):
        while not self.stop.is_set():
            try:
                data = self.sock.recv(4096)
            except TimeoutError:
                continue
            except OSError:
                if not self.stop.is_set():
                    time.sleep(0.01)
                continue
            if self.mine(data):
                self.gaps.beat()

    def end(self):
        """(sent, answered)"""
        self.stop.set()
        self.join(2)
        self.reader.join(2)
        return self.sent, self.gaps.count

    def held(self):
        return self.gaps.count > 0 and self.gaps.since() < max(1.0, 4 * self.interval)


class Ping(Ticker):
    def __init__(self, lab, dst=SERVER, interval=0.1, echo_id=None):
        self.dst, self.v6, self.echo_id = dst, ":" in dst, echo_id or os.getpid() & 0xffff
        super().__init__(lab.socket("client", socket.SOCK_RAW, self.v6, ICMP6 if self.v6 else ICMP), interval)

    def send(self, n):
        body = struct.pack("!BBHHH", 128 if self.v6 else 8, 0, 0, self.echo_id, n & 0xffff) + b"are you there?"
        if not self.v6:
            body = body[:2] + struct.pack("!H", checksum(body)) + body[4:]
        self.sock.sendto(body, (self.dst, 0))

    def mine(self, data):
        if not self.v6:
            data = data[(data[0] & 15) * 4:]
        return data[0] == (129 if self.v6 else 0) and struct.unpack_from("!H", data, 4)[0] == self.echo_id


class Datagrams(Ticker):
    def __init__(self, lab, dst=SERVER, interval=0.02, port=PORT):
        s = lab.socket("client", socket.SOCK_DGRAM, ":" in dst)
        s.connect((dst, port))
        self.local = s.getsockname()[:2]
        super().__init__(s, interval)

    def send(self, n):
        self.sock.send(b"datagram %d" % n)

    def mine(self, data):
        return data.startswith(b"datagram ")


class Chatter(threading.Thread):
    """Many quiet TCP connections; each says a word every interval and waits for its echo."""

    def __init__(self, lab, count=50, interval=1.0, dst=SERVER, port=PORT, patience=10.0):
        super().__init__(daemon=True)
        self.interval, self.patience, self.stop, self.ending = interval, patience, threading.Event(), False
        self.slowest, self.rounds, self.lost, self.pending, self.socks = 0.0, 0, {}, {}, []
        for _ in range(count):
            s = lab.socket("client", v6=":" in dst)
            s.connect((dst, port))
            self.socks.append(s)
        for s in self.socks:
            self._exchange(s)
        for s in self.socks:
            s.setblocking(False)
        self.start()

    def _exchange(self, s):
        s.sendall(b"first word")
        check(s.recv(100) == b"first word", "the server does not echo")

    def run(self):
        due = [time.monotonic() + self.interval * (i + 1) / len(self.socks) for i in range(len(self.socks))]
        while not self.stop.is_set():
            now = time.monotonic()
            for i, s in enumerate(self.socks):
                if i in self.lost:
                    continue
                try:
                    if i in self.pending:
                        self._listen(i, s, now)
                    elif now >= due[i] and not self.ending:
                        s.send(b"a word")
                        self.pending[i], due[i] = now, max(due[i] + self.interval, now)
                except OSError as e:
                    self.lost[i] = str(e)
            self.stop.wait(0.005)

    def _listen(self, i, s, now):
        try:
            data = s.recv(100)
        except BlockingIOError:
            self.slowest = max(self.slowest, now - self.pending[i])
            if now - self.pending[i] > self.patience:
                self.lost[i] = "no answer"
            return
        if not data:
            self.lost[i] = "closed"
            return
        self.slowest, self.rounds = max(self.slowest, now - self.pending.pop(i)), self.rounds + 1

    def end(self):
        """Waits for the answers that are due; {number: why it was lost}"""
        self.ending, until = True, time.monotonic() + self.patience + 1
        while set(self.pending) - set(self.lost) and time.monotonic() < until:
            time.sleep(0.02)
        self.stop.set()
        self.join(2)
        return self.lost


# ---- tests ---------------------------------------------------------------------------------------------------

class Interrupted(BaseException):
    """A signal asked for the end."""


def orderly_end():
    """SIGTERM and SIGHUP end a run as Ctrl-C does: through the finally clauses."""
    def stop(number, frame):
        raise Interrupted(signal.Signals(number).name)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def time_limit(seconds):
    def late(number, frame):
        raise Fail(f"not done after {seconds} s")
    signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)


def main(*tests, seconds=140):
    """Runs test functions; their return value says what was seen. Exit status 0, 1, or 77 to be skipped."""
    orderly_end()
    time_limit(seconds)
    name = "a test"
    try:
        program("pfsync-linux")
        possible()
        for test in tests:
            name, begin = test.__name__.replace("_", "-"), time.monotonic()
            seen = test()
            print(f"ok {name} {time.monotonic() - begin:.1f} s{': ' + seen if seen else ''}", flush=True)
    except Skip as e:
        print(f"skip {name}: {e}")
        sys.exit(77)
    except Fail as e:
        print(f"not ok {name}: {e}")
        sys.exit(1)
    except (KeyboardInterrupt, Interrupted) as e:
        print(f"not ok {name}: interrupted {e}")
        sys.exit(1)


@contextlib.contextmanager
def laboratory(**how):
    """A Lab for a with statement; says where its daemons' last words are when something went wrong."""
    lab = Lab(**how)
    try:
        yield lab
        for d in lab.daemons:
            if d.process and d.process.poll() is None:
                check(d.counters()["outgoing"] == 0, lambda d=d: f"{d.fw} made a packet that no pf sends: {d.tail()}")
    except Fail:
        for d in lab.daemons:
            with contextlib.suppress(OSError):
                print(f"# {d.fw}: {d.tail()}")
        raise
    finally:
        lab.close()
