# SPDX-License-Identifier: GPL-2.0-or-later
"""The matrix: what runs through which node, when it moves, and how it is judged.

A cell is a function that gets a Case and raises Lost (the connections did not survive) or Fail (it could not be tried).
"""
import itertools
import os
import time

from lib import LAN_VIP, SERVER, SERVER6, Fail, Ping, wait_for
from mixed_lines import GuestError
from mixed_topology import SECOND
from mixed_traffic import Quiet, Traffic

OTHER = {"guest": "linux", "linux": "guest"}
MANY, BULK = 200, 1000
echo_ids = itertools.count(os.getpid() % 50000 + 1)


class Lost(Fail):
    """Something that had to go on did not."""


class Pinging:
    """Echo requests in the place of Traffic."""

    def __init__(self, lab):
        self.id = next(echo_ids)
        self.ping, self.ports = Ping(lab, interval=0.02, echo_id=self.id), {self.id}
        self.begin, self.samples, self.lost = time.monotonic(), [], 0

    def leg(self, _amount, seconds, patience):
        before, end = self.ping.gaps.count, time.monotonic() + max(seconds, 2.0)
        while time.monotonic() < end:
            self.samples.append((round(time.monotonic() - self.begin, 3), self.ping.gaps.count * 64))
            time.sleep(0.1)
            if self.ping.gaps.since() > patience:
                return "no answers any more"
        return None if self.ping.gaps.count > before and self.ping.held() else "no answers"

    def finish(self):
        sent, answered = self.ping.end()
        self.lost = sent - answered
        return []

    def gap(self):
        return self.ping.gaps.milliseconds()

    def repeated(self):
        return 0

    def close(self):
        self.ping.stop.set()


class Case:
    """One cell while it runs: its switches, its figures, its files."""

    def __init__(self, lab, guest, ends, options, folder, name):
        self.lab, self.guest, self.ends, self.options, self.folder, self.name = lab, guest, ends, options, folder, name
        self.path, self.marks, self.legs, self.traffic, self.notes = [], [], [], None, []
        self.gap = self.repeated = self.shots = 0
        self.closers, self.base = [], None

    # -- both nodes

    def rules(self, node, nat=None, passing=False, short=False):
        if node == "linux":
            self.lab.linux_rules(nat, passing)
        else:
            self.guest.rules(nat, passing, short)

    def first(self, node, nat=None, short=False):
        """This node opens connections, the other one passes nothing new."""
        self.rules(node, nat, True, short)
        self.rules(OTHER[node], nat, False, short)
        self.lab.plug(node)
        self.path.append(node)
        self.base = self.counters()

    def counters(self):
        return self.lab.invalid(), self.guest.mismatches(), self.lab.resets()

    def known(self, node):
        return self.lab.linux_ports() if node == "linux" else self.guest.ports()

    def wait_known(self, node, ports, seconds, gone=False):
        """Until the node has states for all of these ports, or for none of them; the seconds it took."""
        begin, missing = time.monotonic(), set()

        def there():
            nonlocal missing
            known = self.known(node)
            missing = ports & known if gone else ports - known
            return not missing
        try:
            wait_for(there, seconds, "", 0.1 if node == "linux" else 0.3)
        except GuestError:
            raise
        except Fail:
            raise Lost(f"{self.label(node)} {'still has' if gone else 'has not heard of'} {len(missing)} of {len(ports)} "
                       f"connections after {seconds} s") from None
        return time.monotonic() - begin

    def label(self, node):
        return "Linux" if node == "linux" else self.options.label

    def switch(self, node):
        self.snapshot()
        if self.traffic:
            self.marks.append((round(time.monotonic() - self.traffic.begin, 3), node))
        self.lab.plug(node)
        self.path.append(node)

    def snapshot(self):
        """What both nodes know at this moment, on file."""
        self.shots += 1
        stem = os.path.join(self.folder, f"{self.name.replace(':', '-')}.{self.shots}-at-{self.path[-1]}")
        for end, text in ((f"{self.guest.system}-states.txt", self.guest.states()),
                          ("linux-conntrack.txt", "".join(e.line + "\n" for e in self.lab.conntrack("linux"))),
                          ("linux-flows.txt", self.lab.d.ask("flows", must=False)[1])):
            with open(f"{stem}.{end}", "w", encoding="utf-8") as f:
                f.write(text)

    # -- traffic

    def start(self, traffic):
        self.traffic = traffic
        self.closers.append(traffic.close)
        if isinstance(traffic, Traffic):
            traffic.start()
        return traffic

    def leg(self, megabytes=None, seconds=None):
        """The share of one node; what did not pass there did not survive."""
        node, begin = self.path[-1], self.traffic.begin
        before, since = self.lab.through(node), time.monotonic()
        seconds = self.guest.settle if seconds is None else seconds
        wrong = self.traffic.leg(1e6 * (self.options.mb if megabytes is None else megabytes), seconds,
                                 self.options.patience)
        moved = (self.lab.through(node) - before) / 1e6
        self.legs.append({"node": node, "MB": round(moved, 1), "from": round(since - begin, 3),
                          "seconds": round(time.monotonic() - since, 3)})
        if wrong:
            raise Lost(f"at {self.label(node)}, leg {len(self.legs)}: {wrong}")

    def finish(self):
        wrong = self.traffic.finish()
        if getattr(self.traffic, "stream", None):
            s = self.traffic.stream
            self.notes.append(f"{s.sent - s.got} of {s.sent} datagrams lost")
        if isinstance(self.traffic, Pinging):
            self.notes.append(f"{self.traffic.lost} of {self.traffic.ping.sent} answers missing")
        if wrong:
            raise Lost(wrong[0] + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""))
        if self.traffic.gap() > 1000 * self.options.patience / 2:
            raise Lost(f"stood still for {self.traffic.gap()} ms")

    def quiet(self, count, source=None, dst=SERVER):
        q = Quiet(self.ends, count, dst, source=source)
        self.closers.append(q.close)
        failed, _ = q.exchange()
        if failed:
            raise Fail(f"{len(failed)} of {count} new connections do not answer")
        return q

    def answers(self, q, what="quiet"):
        """Each of these connections must answer."""
        failed, slowest = q.exchange(self.options.patience)
        self.gap, self.repeated = max(self.gap, slowest), self.repeated + q.repeated()
        if failed:
            port, why = next(iter(failed.items()))
            raise Lost(f"at {self.label(self.path[-1])} {len(failed)} of {len(q.pairs)} {what} connections are dead "
                       f"(port {port}: {why})")

    def close(self):
        """Ends its connections, through the node that carries them."""
        for closer in reversed(self.closers):
            closer()
        time.sleep(0.5)                                 # so that both nodes hear of it
        self.lab.plug(None)


# ---- transfers -----------------------------------------------------------------------------------------------

KINDS = {
    "download": (None, lambda t: t.tcp(True, False)),
    "upload": (None, lambda t: t.tcp(False, True)),
    "both": (None, lambda t: t.tcp(True, True)),
    "snat": ("snat", lambda t: t.tcp(True, False)),
    "rdr": ("rdr", lambda t: t.tcp(True, False, dst=LAN_VIP, port=80)),
    "ipv6": (None, lambda t: t.tcp(True, False, dst=SERVER6)),
    "udp": (None, lambda t: t.udp()),
    "ping": (None, None),
    "many": (None, lambda t: t.tcp(True, False, count=MANY)),
}


def transfer(case, kind, first):
    """There and back, with its share on each leg; who takes over passes nothing without a state."""
    nat, make = KINDS[kind]
    case.first(first, nat)
    traffic = make(Traffic(case.ends, case.options.rate * 1e6)) if make else Pinging(case.lab)
    case.start(traffic)
    case.leg()
    case.switch(OTHER[first])
    case.rules(first, nat)
    case.leg()
    case.switch(first)
    case.leg(seconds=1.0)
    case.snapshot()
    case.finish()


# ---- the rest ------------------------------------------------------------------------------------------------

def bulk(case, first):
    """Connections that were made while the other node did not listen: the bulk update has to bring them."""
    case.first(first)
    second = OTHER[first]
    if second == "linux":
        case.lab.d.kill(15)
    else:
        case.guest.pfsync(False)
    quiet = case.quiet(BULK)
    case.wait_known(first, quiet.ports, 20)
    begin = time.monotonic()
    if second == "linux":
        case.lab.start_daemon().wait_synced(60)
    else:
        case.guest.pfsync(True)
    case.wait_known(second, quiet.ports, 90)
    case.notes.append(f"{BULK} connections after {time.monotonic() - begin:.1f} s")
    case.rules(first)
    case.switch(second)
    case.answers(quiet, "bulk")
    case.switch(first)
    case.answers(quiet, "bulk")


def daemon_killed(case):
    """SIGKILL and a new start, while the daemon's own node carries the flow and while the other one does."""
    case.first("linux")
    case.start(Traffic(case.ends, case.options.rate * 1e6).tcp(True, True))
    quiet = case.quiet(20)
    for node in ("linux", "guest"):
        if node == "guest":
            case.switch("guest")
            case.rules("linux")
        case.leg()
        case.lab.d.kill(9)
        case.leg(5, 1.0)
        case.lab.start_daemon().wait_synced(60)
        case.leg()
    case.answers(quiet)
    case.switch("linux")
    case.answers(quiet)
    case.leg()
    case.snapshot()
    case.finish()


def pfsync_bounced(case):
    """The guest's pfsync goes down and comes back; connections made meanwhile are told once they have traffic."""
    case.first("guest")
    case.start(Traffic(case.ends, case.options.rate * 1e6).tcp(True, False))
    case.leg(5)
    case.guest.pfsync(False)
    quiet = case.quiet(20)
    case.leg(5, 1.0)
    case.guest.pfsync(True)
    case.leg(5, 1.0)
    case.answers(quiet)
    seconds = case.wait_known("linux", quiet.ports, 30)
    case.notes.append(f"Linux knew all {seconds:.1f} s after the link")
    case.leg()
    case.switch("linux")
    case.answers(quiet)
    case.leg()
    case.snapshot()
    case.finish()


def killed(case):
    """`pfctl -k` of one client: its connections go at Linux as well, those of the other stay."""
    case.first("guest")
    gone, stay = case.quiet(5), case.quiet(5, source=SECOND)
    case.wait_known("linux", gone.ports | stay.ports, 10)
    case.snapshot()
    case.guest.kill("192.0.2.10")
    case.notes.append(f"gone at Linux after {case.wait_known('linux', gone.ports, 10, gone=True):.1f} s")
    case.rules("guest")
    case.switch("linux")
    case.answers(stay, "untouched")
    if len(gone.exchange(2)[0]) != len(gone.pairs):
        raise Lost("a killed connection goes on")


def flushed(case):
    """`pfctl -F states`: what the guest made goes, what Linux made stays at Linux."""
    case.first("linux")
    ours = case.quiet(5, source=SECOND)
    case.wait_known("guest", ours.ports, 10)
    case.lab.plug("guest")
    case.path.append("guest")
    case.rules("guest", None, True)
    theirs = case.quiet(5)
    case.wait_known("linux", theirs.ports, 10)
    case.snapshot()
    case.guest.flush()
    case.notes.append(f"gone at Linux after {case.wait_known('linux', theirs.ports, 10, gone=True):.1f} s")
    case.rules("guest")
    case.rules("linux")
    case.switch("linux")
    case.answers(ours, "Linux-made")


def refreshed(case):
    """Timeouts of 9 s at the guest: flows that run through Linux alone are still there after three of them."""
    case.lab.d.kill(15)
    case.lab.start_daemon(short=True)
    case.first("linux", short=True)
    try:
        case.lab.d.wait_synced(60)
        case.start(Traffic(case.ends, 1e6).tcp(True, False, count=5))
        quiet = case.quiet(1)
        case.wait_known("guest", case.traffic.ports, 10)
        end = time.monotonic() + 27
        while time.monotonic() < end:
            time.sleep(2)
            missing = case.traffic.ports - case.guest.ports()
            if missing:
                raise Lost(f"{case.label('guest')} has let {len(missing)} of 5 live flows expire")
        if quiet.ports & case.guest.ports():
            case.notes.append("an idle connection is still there")
        case.leg(1, 1.0)
        case.rules("linux")
        case.switch("guest")
        case.leg(1, 3.0)
        case.switch("linux")
        case.leg(1, 1.0)
        case.finish()
    finally:
        case.lab.d.kill(15)
        case.lab.start_daemon()
        case.guest.rules()
        case.lab.d.wait_synced(60)


CELLS = {f"{kind}:{first}": (lambda case, k=kind, f=first: transfer(case, k, f))
         for kind in KINDS for first in ("guest", "linux")}
CELLS.update({"bulk:guest": lambda case: bulk(case, "guest"), "bulk:linux": lambda case: bulk(case, "linux"),
              "daemon-killed": daemon_killed, "pfsync-down-up": pfsync_bounced, "pfctl-k": killed, "pfctl-F": flushed,
              "refresh": refreshed})
QUICK = ("both:guest", "snat:linux", "rdr:guest", "ipv6:linux", "udp:guest", "ping:linux", "many:guest", "pfctl-k")


def run_cell(name, lab, guest, ends, options, folder):
    """Plays one cell; its figures as a dictionary for the report."""
    case = Case(lab, guest, ends, options, folder, name)
    begin, verdict, why, differences = time.monotonic(), "survived", None, (None,) * 3
    try:
        with lab.capture(os.path.join(folder, name.replace(":", "-") + ".sync.pcap")):
            try:
                CELLS[name](case)
            except Fail as e:
                verdict = {Lost: "lost", GuestError: "guest failed"}.get(type(e), "failed")
                why = str(e)
            try:
                if verdict != "survived" and case.path:
                    case.snapshot()
                if case.base:
                    differences = tuple(a - b for a, b in zip(case.counters(), case.base))
            except (Fail, OSError) as e:
                case.notes.append(f"no last look: {e}")
        figures = {"cell": name, "path": case.path, "verdict": verdict, "why": why, "notes": case.notes, "legs": case.legs,
                   "gap ms": case.gap, "retransmissions": case.repeated, "invalid": differences[0],
                   "mismatches": differences[1], "resets": differences[2], "marks": case.marks, "samples": []}
        if case.traffic:
            figures["gap ms"] = max(case.gap, case.traffic.gap())
            figures["retransmissions"] += case.traffic.repeated()
            figures["samples"] = case.traffic.samples
        figures["seconds"] = round(time.monotonic() - begin, 1)
        return figures
    finally:
        case.close()
