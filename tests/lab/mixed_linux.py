# SPDX-License-Identifier: GPL-2.0-or-later
"""A Linux node as the guest: the same questions as to a pf, answered with nftables, conntrack and our daemon.

pfsync down and up is the daemon ended and started; `pfctl -k` and `pfctl -F states` are entries that are deleted.
"""
import re

from lib import CLIENT, LAN_VIP, LAN_VIP6, PORT, SERVER, SYSCTLS, WAN_VIP, WAN_VIP6
from mixed_pf import CLIENTS, GUEST, LINUX_SYNC, SEGMENTS, SHARED, SHORT, Guest, mac_of

# Loading it again changes the rules and leaves chains, counter and connections alone.
RULES = """
add table inet filter
add counter inet filter invalid
add chain inet filter forward {{ type filter hook forward priority filter; policy drop; }}
flush chain inet filter forward
add rule inet filter forward ct state invalid counter name invalid drop
add rule inet filter forward ct state established,related accept
{new}
add table inet sync
add chain inet sync in {{ type filter hook prerouting priority raw; }}
add chain inet sync out {{ type filter hook output priority raw; }}
flush table inet sync
add rule inet sync in ip protocol 240 notrack
add rule inet sync out ip protocol 240 notrack
add table ip nat
add chain ip nat pre {{ type nat hook prerouting priority dstnat; }}
add chain ip nat post {{ type nat hook postrouting priority srcnat; }}
flush table ip nat
{nat}
"""
NEW = """add rule inet filter forward tcp flags & (fin|syn|rst|ack) == syn accept
add rule inet filter forward meta l4proto != tcp accept"""
NAT = {None: "", "rdr": f"add rule ip nat pre iifname {{lan}} ip daddr {LAN_VIP} tcp dport 80 dnat to {SERVER}:{PORT}",
       "snat": f"add rule ip nat post oifname {{wan}} ip saddr 192.0.2.0/24 snat to {WAN_VIP}"}
SHORTS = (f"tcp.established = {SHORT}s\n\tudp.first = {SHORT}s\n\tudp.single = {SHORT}s\n\tudp.multiple = {SHORT}s")


def ruleset(nat, passing, lan="lan", wan="wan"):
    """passing: new connections may be opened; what is known passes always."""
    return RULES.format(new=NEW if passing else "", nat=NAT[nat].format(lan=lan, wan=wan))


class Linux(Guest):
    system, settle = "linux", 0.8
    interfaces = {s: s for s in SEGMENTS}

    def __init__(self, line, interfaces=None, unicast=False, dialect="freebsd-13", programs="", folder="/run"):
        super().__init__(line, interfaces, unicast)
        self.dialect, self.programs, self.folder, self.short = dialect, programs, folder, False

    def program(self, name):
        return f"{self.programs}/{name}" if self.programs else name

    def file(self, end):
        return f"{self.folder}/pfsync-lab-guest.{end}"

    def configure(self):
        for name, value in {**SYSCTLS, "net.ipv4.ip_forward": 1, "net.ipv6.conf.all.forwarding": 1}.items():
            self.line.must(f"sysctl -q -w {name}={value}")
        for segment in SEGMENTS:
            self.line.must(f"ip link set {self.at(segment)} up")
            for address in (*GUEST[segment], *SHARED.get(segment, ())):
                self.line.must(f"ip addr replace {address} dev {self.at(segment)}{' nodad' if ':' in address else ''}")
        self.short = False
        self.pfsync(False)

    def settings(self, short):
        vips = ", ".join(f'"{a}"' for a in (LAN_VIP, WAN_VIP, LAN_VIP6, WAN_VIP6))
        peer = f'\tpeer = "{LINUX_SYNC}"\n' if self.unicast else ""
        return (f'hostid = "0x0badcafe"\ncontrol {{ socket = "{self.file("sock")}" }}\n'
                f'sync "lab" {{\n\tinterface = "{self.at("sync")}"\n\tdialect = "{self.dialect}"\n{peer}}}\n'
                f"announce {{ vip = {{ {vips} }} }}\n" + (f"timeouts {{\n\t{SHORTS}\n}}\n" if short else ""))

    def rules(self, nat=None, passing=False, short=False):
        self.line.write(self.file("nft"), ruleset(nat, passing, self.at("lan"), self.at("wan")))
        self.line.must(f"nft -f {self.file('nft')}")
        if short != self.short:
            self.short = short
            self.pfsync(False)
            self.pfsync(True)

    def pfsync(self, up):
        pid = self.file("pid")
        if not up:
            self.line.must(f"if [ -f {pid} ]; then kill $(cat {pid}) 2>/dev/null; n=0; "
                           f"while kill -0 $(cat {pid}) 2>/dev/null && [ $n -lt 80 ]; do sleep 0.1; n=$((n+1)); done; rm -f {pid}; fi")
            return
        self.line.write(self.file("conf"), self.settings(self.short))
        daemon, ask = self.program("pfsync-linux"), f"{self.program('pfsyncctl')} -s {self.file('sock')} status"
        self.line.must(f"{daemon} -f -c {self.file('conf')} </dev/null >>{self.file('log')} 2>&1 & echo $! > {pid}; n=0; "
                       f"until {ask} >/dev/null 2>&1; do sleep 0.1; n=$((n+1)); [ $n -lt 80 ] || exit 1; done")

    def states(self):
        return "".join(self.line.must(f"conntrack -L -f {f} -o extended 2>/dev/null") for f in ("ipv4", "ipv6"))

    def ports(self):
        found = set()
        for line in self.states().splitlines():
            words = re.search(r" src=(\S+) dst=\S+ (?:sport=(\d+)|type=\d+ code=\d+ id=(\d+))", line)
            if words and words.group(1) in CLIENTS and "FIN_WAIT" not in line and "CLOSE" not in line:
                found.add(int(words.group(2) or words.group(3)))
        return found

    def kill(self, address):
        self.line.must(f"conntrack -D -s {address}")

    def flush(self):
        self.kill(CLIENT)

    def mismatches(self):
        text = self.line.must("nft list counter inet filter invalid")
        return int(re.search(r"packets (\d+)", text).group(1))

    def mac(self, segment):
        return mac_of(self.line.must(f"ip link show dev {self.at(segment)}"))

    def boot(self):
        return self.line.must("cat /proc/sys/kernel/random/boot_id").strip()
