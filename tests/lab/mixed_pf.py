# SPDX-License-Identifier: GPL-2.0-or-later
"""A pf node by ordinary commands: FreeBSD and OpenBSD, and what is built on them.

Each command line here stands in the transcripts of recorded kernels or in the manual pages of both systems; where the
systems differ the difference is an attribute of the class.
"""
import re
import time

from lib import CLIENT, LAN_VIP, LAN_VIP6, PORT, SERVER, WAN_VIP, WAN_VIP6
from mixed_lines import GuestError

SEGMENTS = ("lan", "wan", "sync")
GUEST = {"lan": ("192.0.2.3/24", "2001:db8:1::3/64"), "wan": ("198.51.100.3/24", "2001:db8:2::3/64"),
         "sync": ("203.0.113.3/24", "2001:db8:3::3/64")}
SHARED = {"lan": (LAN_VIP, LAN_VIP6), "wan": (WAN_VIP, WAN_VIP6)}
LINUX_SYNC, GUEST_SYNC = "203.0.113.2", "203.0.113.3"
RULES = "/tmp/pfsync-lab.conf"
SHORT = 9                                               # seconds, of all timeouts in the run with short ones


class Guest:
    """What the lab asks of the node opposite to Linux. line: a way to run commands there."""
    system = ""
    settle = 2.2            # seconds until its states have been told: pf waits for one, an OpenBSD half for another
    interfaces = {}

    def __init__(self, line, interfaces=None, unicast=False):
        self.line, self.unicast = line, unicast
        self.interfaces = {**type(self).interfaces, **(interfaces or {})}
        self.booted = None

    def at(self, segment):
        return self.interfaces[segment]

    def prepare(self):
        """Addresses, forwarding, an empty ruleset, pfsync; also after a boot."""
        self.configure()
        self.rules()
        self.pfsync(True)
        self.booted = self.boot()

    def recover(self, seconds=120):
        """After a failure: waits until it answers, and prepares it again if it has booted meanwhile. True: it has."""
        end = time.monotonic() + seconds
        while True:
            try:
                if hasattr(self.line, "shell") and not self.line.shell:
                    self.line.login(seconds)
                now = self.boot()
                break
            except GuestError:
                if time.monotonic() > end:
                    raise
                time.sleep(1)
        if now != self.booted:
            self.prepare()
            return True
        return False


class Pf(Guest):
    mac_word = ""
    skip = ""

    def configure(self):
        for command in self.first:
            self.line.must(command)
        for segment in SEGMENTS:
            v4, v6 = GUEST[segment]
            i = self.at(segment)
            self.line.must(f"ifconfig {i} inet {v4} up")
            for command in self.interface6:
                self.line.must(command % i)
            self.line.must(f"ifconfig {i} inet6 {v6} alias")
        for segment, (v4, v6) in SHARED.items():
            self.line.must(f"ifconfig {self.at(segment)} inet {v4}/32 alias")
            self.line.must(f"ifconfig {self.at(segment)} inet6 {v6}/128 alias")
        for name in ("net.inet.ip.forwarding", "net.inet6.ip6.forwarding"):
            self.line.must(f"sysctl {name}=1")

    def ruleset(self, nat=None, passing=False, short=False):
        lan, wan, sync = (self.at(s) for s in SEGMENTS)
        lines = ["set hostid 0x0badcafe", f"set skip on {{ {self.skip} {sync} }}"]
        if short:
            lines.append(f"set timeout {{ tcp.established {SHORT}, udp.first {SHORT}, udp.single {SHORT}, "
                         f"udp.multiple {SHORT}, interval 2 }}")
        if nat == "snat":
            lines.append(self.snat % {"wan": wan})
        if nat == "rdr":
            lines.append(self.rdr % {"lan": lan})
        if passing:
            lines += ["pass in all keep state", "pass out all keep state"]
        else:                                           # what has a state passes, and nothing else
            lines += ["block drop all", "pass quick inet6 proto icmp6 icmp6-type { neighbrsol, neighbradv } no state"]
        return "\n".join(lines) + "\n"

    def rules(self, nat=None, passing=False, short=False):
        self.line.write(RULES, self.ruleset(nat, passing, short))
        self.line.must(f"pfctl -f {RULES}")

    def pfsync(self, up):
        peer = f" syncpeer {LINUX_SYNC}" if self.unicast else ""
        self.line.must(f"ifconfig pfsync0 syncdev {self.at('sync')}{peer} up" if up else self.down)

    def states(self):
        return self.line.must("pfctl -ss -vv")

    def ports(self):
        """Ports and ICMP ids of the client in the states."""
        return ports_of(self.line.must("pfctl -ss"))

    def kill(self, address):
        self.line.must(f"pfctl -k {address}")

    def flush(self):
        self.line.must("pfctl -F states")

    def mismatches(self):
        return mismatches_of(self.line.must("pfctl -si"))

    def mac(self, segment):
        return mac_of(self.line.must(f"ifconfig {self.at(segment)}"))

    def boot(self):
        return self.line.must("sysctl -n kern.boottime").strip()


class FreeBSD(Pf):
    system, skip, interfaces = "freebsd", "lo0", {"lan": "em0", "wan": "em1", "sync": "em2"}
    first = ("pkill -x dhclient; true", "kldload -n pf", "kldload -n pfsync", "ifconfig pfsync0 >/dev/null 2>&1 || ifconfig pfsync0 create",
             "sysctl net.inet6.ip6.dad_count=0", "pfctl -e 2>/dev/null; pfctl -si >/dev/null")
    interface6 = ("ifconfig %s inet6 -ifdisabled",)
    down = "ifconfig pfsync0 -syncdev down"
    snat = f"nat on %(wan)s inet from 192.0.2.0/24 to any -> {WAN_VIP}"
    rdr = f"rdr on %(lan)s inet proto tcp from any to {LAN_VIP} port 80 -> {SERVER} port {PORT}"


class OpenBSD(Pf):
    system, skip, interfaces = "openbsd", "lo", {"lan": "vio0", "wan": "vio1", "sync": "vio2"}
    first = ("rcctl stop dhcpleased slaacd >/dev/null 2>&1; true",
             "ifconfig pfsync0 >/dev/null 2>&1 || ifconfig pfsync0 create",
             "pfctl -e 2>/dev/null; pfctl -si >/dev/null")
    interface6 = ()
    down = "ifconfig pfsync0 down"
    snat = f"match out on %(wan)s inet from 192.0.2.0/24 nat-to {WAN_VIP}"
    rdr = f"match in on %(lan)s inet proto tcp to {LAN_VIP} port 80 rdr-to {SERVER} port {PORT}"


CLIENTS = (CLIENT, "192.0.2.11", "2001:db8:1::10")


def ports_of(text):
    """Of `pfctl -ss`: 192.0.2.10:40000, 2001:db8:1::10[40000]; behind NAT the inner one stands in brackets."""
    found = set()
    for address in CLIENTS:
        for port in re.findall(rf"(?<![\w.:]){re.escape(address)}[:\[](\d+)", text):
            found.add(int(port))
    return found


def mismatches_of(text):
    found = re.search(r"^\s*state-mismatch\s+(\d+)", text, re.MULTILINE)
    if not found:
        raise GuestError("guest: `pfctl -si` shows no state-mismatch counter")
    return int(found.group(1))


def mac_of(text):
    found = re.search(r"^\s*(?:ether|lladdr|link/ether)\s+([0-9a-f]{2}(?::[0-9a-f]{2}){5})\b", text, re.MULTILINE)
    if not found:
        raise GuestError("guest: an interface has no Ethernet address")
    return found.group(1)
