# SPDX-License-Identifier: GPL-2.0-or-later
"""Two firewalls under traffic that have to agree again after a fault, and what a pf believes after all it heard."""
import collections
import contextlib
import os
import re
import socket
import threading
import time

from lib import PORT, SERVER, TCP, UDP, Chatter, Datagrams, Fail, check, inside

# pf's timeouts and those of both kernels alike, and short: what one side never heard of runs out within a test
LIFE = 12
KERNEL = {f"net.netfilter.nf_conntrack_{k}": v for k, v in {
    "tcp_timeout_established": LIFE, "tcp_timeout_time_wait": 3, "tcp_timeout_close": 3, "tcp_timeout_fin_wait": 6,
    "tcp_timeout_close_wait": 6, "tcp_timeout_last_ack": 6, "udp_timeout": LIFE, "udp_timeout_stream": LIFE}.items()}
TIMEOUTS = "\n\t".join(f"{k} = {v}s" for k, v in {
    "tcp.established": LIFE, "tcp.first": LIFE, "tcp.opening": LIFE, "tcp.closing": 6, "tcp.finwait": 6, "tcp.closed": 4,
    "udp.first": LIFE, "udp.single": LIFE, "udp.multiple": LIFE}.items())


class Short(threading.Thread):
    """Connections and datagrams that come and go, from ever new ports."""

    def __init__(self, lab, pause=0.01):
        super().__init__(daemon=True)
        self.lab, self.pause, self.count, self.failed, self.stop = lab, pause, 0, 0, threading.Event()
        self.start()

    def run(self):
        with inside(self.lab.ns("client")):
            while not self.stop.wait(self.pause):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                    with socket.socket(socket.AF_INET, kind) as s:
                        s.settimeout(3)
                        try:
                            s.connect((SERVER, PORT))
                            s.send(b"a word")
                            s.recv(100)
                            self.count += 1
                        except OSError:
                            self.failed += 1

    def end(self):
        self.stop.set()
        self.join(8)
        check(self.count and not self.failed, f"{self.failed} short connections failed, {self.count} did not")
        return self.count


class Talk:
    """Long-lived TCP connections and UDP streams that talk every half second."""

    def __init__(self, lab, tcp=20, udp=10):
        self.quiet = Chatter(lab, tcp, interval=0.5)
        self.streams = [Datagrams(lab, interval=0.5) for _ in range(udp)]
        self.flows = {(TCP, s.getsockname()[1]) for s in self.quiet.socks} | {(UDP, d.local[1]) for d in self.streams}

    def end(self):
        lost = self.quiet.end()
        for d in self.streams:
            d.end()
        check(not lost, f"connections lost: {lost}")


def live(lab, fw):
    """Flows to the server in the kernel's table, as (protocol, client's port)."""
    return {(e.proto, e.sport) for e in lab.conntrack(fw) if e.dport == PORT and (e.proto == UDP or e.state == "ESTABLISHED")}


def shown(daemon):
    """The same as the daemon shows them."""
    return {(f["proto"], f["orig"]["sport"]) for f in daemon.flows() if f["orig"].get("dport") == PORT and f["in_kernel"]
            and f.get("tcp_state") in (None, "ESTABLISHED")}


def agree(lab, daemons, wanted, seconds):
    """Until both kernels and both daemons have the same flows, all that are wanted among them; how long it took."""
    begin = time.monotonic()
    while True:
        sets = {f"{d.fw}'s kernel": live(lab, d.fw) for d in daemons} | {f"{d.fw}'s daemon": shown(d) for d in daemons}
        union = set().union(wanted, *sets.values())
        missing = {who: union - s for who, s in sets.items() if union - s}
        if not missing:
            for d in daemons:
                d.alive()
            return f"they agree {time.monotonic() - begin:.1f} s later"
        if time.monotonic() - begin > seconds:
            raise Fail(f"after {seconds} s they do not agree: " + "; ".join(
                f"{who} lacks {len(s)}, such as {min(s)}" for who, s in missing.items()))
        time.sleep(0.3)


def believed(pf, since=0):
    """The states that a pf which heard this has: {name: keys}."""
    states = {}
    for s in pf.heard[since:]:
        if s.action in ("INS", "UPD"):
            states[s.name] = s.keys
        elif s.action == "DEL_C":
            states.pop(s.name, None)
    return states


def doubled(pf, since=0):
    """Connections of which a pf would have two states in one direction: {keys: names}."""
    names = collections.defaultdict(set)
    for name, keys in believed(pf, since).items():
        names[keys].add(name)
    return {k: v for k, v in names.items() if len(v) > 1}


def log_of(daemon):
    with contextlib.suppress(OSError), open(daemon.log, errors="replace", encoding="utf-8") as f:
        return f.read()
    return ""


def status_of(daemon):
    """Exit status and words of `pfsyncctl check`."""
    status, out, errors = daemon.ask("check", must=False)
    return status, (out + errors).strip()


def rss(daemon):
    """Its resident memory in kB."""
    with open(f"/proc/{daemon.process.pid}/status", encoding="ascii") as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])


def table(lab, flows):
    """A file for `conntrack -R`: that many established connections to the server's port 443."""
    path = os.path.join(lab.dir, "entries")
    with open(path, "w", encoding="ascii") as f:
        for i in range(flows):
            address, port = f"10.{i >> 14}.{i >> 8 & 63}.{i & 255}", 1024 + i % 60000
            f.write(f"-I -p tcp -s {address} -d {SERVER} --sport {port} --dport 443 -r {SERVER} -q {address} "
                    f"--reply-port-src 443 --reply-port-dst {port} -t 4000 -u SEEN_REPLY,ASSURED --state ESTABLISHED\n")
    return path
