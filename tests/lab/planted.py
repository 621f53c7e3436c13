# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults planted by hand into a running pair, and what pfsyncctl says of each.

A fault is a function that makes its own laboratory, plants the fault and returns who is to be asked: a daemon. What is
expected stands in its decorator: the exit status of `check` and the id of what was found, with a word of its text.
"""
import collections
import contextlib
import json
import os
import sys
import threading
import time
import traceback

from lib import SERVER, WAN_VIP, Fail, Lab, Skip, check, run, wait_for
from pf import UPD_REQ, Pf, halves

FAULTS = []
PROBE = "probe = 1s"
Fault = collections.namedtuple("Fault", "name title plant status id word doctor seconds")
Said = collections.namedtuple("Said", "fault ok text check status doctor")


def fault(title, status, finding, word, doctor, seconds=25):
    """status: of check; doctor: the name of the test of doctor that fails."""
    def add(plant):
        FAULTS.append(Fault(plant.__name__.replace("_", "-"), title, plant, status, finding, word, doctor, seconds))
        return plant
    return add


def synced(lab, first="", second="", **how):
    """A pair in sync. first, second: more for the sync section of each; a dict replaces the other settings, too."""
    pair = []
    for fw, more in zip(lab.firewalls, (first, second)):
        more = more if isinstance(more, dict) else {"sync": more}
        more["sync"] = PROBE + "\n\t" + more.get("sync", "")
        pair.append(lab.daemon(fw, **{**how, **more}))
    for d in pair:
        wait_for(lambda d=d: d.ask("check", must=False)[0] == 0, 20,
                 lambda d=d: f"{d.fw} is not in sync: {d.ask('check', must=False)[1].strip()}", 0.1)
    return pair


def connections(lab, count=4):
    """That many connections through the first firewall, open for as long as the laboratory."""
    lab.server()
    made = []
    for _ in range(count):
        s = lab.socket("client")
        s.connect((SERVER, 5001))
        s.sendall(b"hello")
        s.recv(10)
        made.append(s)
    return made


def rule(lab, where, family, hook, what):
    """One rule in a chain of its own."""
    run(["nft", "-f", "-"], lab.ns(where),
        text=f"table {family} fault {{\nchain c {{\ntype filter hook {hook} priority 10;\n{what}\n}}\n}}\n")


# ---- ten that every pair may meet ----------------------------------------------------------------------------

@fault("The peer is stopped", 1, "peer-silent", "answers nothing", "peers sync")
def peer_stopped(lab):
    a, b = synced(lab)
    b.kill()
    return a


@fault("The peer's packets arrive with another TTL", 1, "refused-ttl", "TTL", "peers sync")
def ttl(lab):
    a, b = synced(lab)
    rule(lab, "fwB", "ip", "output", "ip protocol 240 ip ttl set 64")
    return a


@fault("The wrong dialect is configured", 1, "refused-version", "header version", "dialect sync")
def wrong_dialect(lab):
    a = lab.daemon("fwA", sync=PROBE, dialect="freebsd-13")
    lab.daemon("fwB", sync=PROBE, dialect="openbsd")
    return a


@fault("`peer` is an address that nobody has", 1, "no-neighbour", "does not answer ARP", "neighbour sync")
def wrong_peer(lab):
    a = lab.daemon("fwA", sync=f'peer = "203.0.113.77"\n\t{PROBE}')
    lab.daemon("fwB", sync=PROBE)
    return a


@fault("Something sets nf_conntrack_events to 0", 1, "events-off", "no events", "nf_conntrack_events")
def events_off(lab):
    a, _ = synced(lab)
    stop = threading.Event()

    def again():                                            # the daemon itself sets it right now and then
        while not stop.wait(0.02):
            lab.sysctl("fwA", {"net.netfilter.nf_conntrack_events": 0})
    threading.Thread(target=again, daemon=True).start()
    lab.closers.append(stop.set)
    return a


@fault("The standby has no NAT", 1, "no-nat-chain", "no nat base chain", "nat chain")
def no_nat(lab):
    run("nft delete table ip nat", lab.ns("fwB"))
    _, b = synced(lab)
    connections(lab)
    return b


@fault("Two nodes have one hostid", 1, "hostid-clash", "hostid 0a0b0c77", "hostid sync")
def hostid(lab):
    a, _ = [lab.daemon(fw, sync=PROBE, hostid="0a0b0c77") for fw in lab.firewalls]
    return a


@fault("The MTU is too small on one side", 1, "mtu", "long ones do not", "mtu sync", 40)
def mtu(lab):
    a, b = synced(lab)
    connections(lab)
    wait_for(lambda: len(b.flows("remote")) >= 4, 5, "the flows are not told")
    run("ip link set sync mtu 1000", lab.ns("fwA"))
    return a


@fault("One direction is dropped on the way", 1, "one-way", "does not hear us", "peers sync")
def one_direction(lab):
    a, _ = synced(lab)
    rule(lab, "hub", "bridge", "forward", 'iifname "fwA-sync" ip protocol 240 drop')
    return a


@fault("Old entries stand in the kernel's table", 1, "refused-kernel-clash", "another kernel entry", "refusals")
def stale_entries(lab):
    _, b = synced(lab)
    # another client's connection, long gone, had the address and port that the new one is translated to
    run(f"conntrack -I -p tcp -s 192.0.2.99 -d {SERVER} --sport 45678 --dport 5001 -r {SERVER} -q {WAN_VIP} "
        "--reply-port-src 5001 --reply-port-dst 45678 --state SYN_SENT -t 600", lab.ns("fwB"))
    lab.server()
    s = lab.socket("client")
    s.bind(("", 45678))
    s.connect((SERVER, 5001))
    s.sendall(b"hello")
    return b


# ---- others --------------------------------------------------------------------------------------------------

@fault("The packet filter drops protocol 240", 1, "filtered", "packet filter here drops them", "packet filter sync")
def filtered(lab):
    _, b = synced(lab)
    rule(lab, "fwB", "inet", "input", "ip protocol 240 drop")
    return b


@fault("The packet filter does not let protocol 240 out", 1, "not-sent", "did not leave", "packet filter sync")
def not_sent(lab):
    a, _ = synced(lab)
    rule(lab, "fwA", "inet", "output", "ip protocol 240 drop")
    return a


@fault("pfsync does not run on the one peer", 1, "unreachable", "not taken at the other end", "neighbour sync")
def unreachable(lab):
    return lab.daemon("fwA", sync=f'peer = "203.0.113.3"\n\t{PROBE}')


@fault("Nobody else is on the link", 1, "never-heard", "no peer was heard", "peers sync")
def alone(lab):
    return lab.daemon("fwA", sync=PROBE)


@fault("The sync interface is down", 2, "link-down", "is down", "interface sync")
def link_down(lab):
    a, _ = synced(lab)
    run("ip link set sync down", lab.ns("fwA"))
    return a


@fault("The sync interface is not there", 2, "link-missing", "is not there", "interface sync")
def link_missing(lab):
    a, _ = synced(lab)
    run("ip link del sync", lab.ns("fwA"))
    return a


@fault("import.max-states is too low", 1, "refused-max-states", "max-states", "refusals")
def max_states(lab):
    _, b = synced(lab, second={"imports": "max-states = 1"})
    connections(lab)
    return b


@fault("A pf tells one half only", 1, "halves-withheld", "one half only", "halves sync")
def halves_withheld(lab):
    a = lab.daemon("fwA", sync=PROBE)
    pf = Pf(lab)
    answer_echo(pf)
    for i in range(8):
        pf.insert(halves("192.0.2.10", 40000 + i, SERVER, 443)[0])
    return a


@fault("A pf binds states to interfaces", 0, "interface-names", "bound to em7", "interface names")
def interface_names(lab):
    a = lab.daemon("fwA", sync=PROBE)
    pf = Pf(lab)
    answer_echo(pf)
    form = pf.form
    for half in halves("192.0.2.10", 40000, SERVER, 443):
        state = bytearray(half.full(form))
        state[8:12] = b"em7\0"
        pf.say((form.ins, [bytes(state)]))
    return a


def answer_echo(pf):
    """As a pf: asks back for what it does not know. pf.py's thread keeps what it hears; this looks at it."""
    def loop():
        at = 0
        while not pf.ended:
            heard, at = pf.heard[at:], len(pf.heard)
            for s in heard:
                if s.action == "UPD_C" and s.name[:4] == b"\xff\xff\xff\xfe":
                    pf.say((UPD_REQ, [s.name]))
            time.sleep(0.05)
    threading.Thread(target=loop, daemon=True).start()


# ---- asking --------------------------------------------------------------------------------------------------

OPTIONS = {"no-nat": {"nat": "snat"}, "stale-entries": {"nat": "snat"}, "halves-withheld": {"pf": True},
           "interface-names": {"pf": True}}


def tests_of(doctor):
    return [t for t in json.loads(doctor)["tests"] if t["result"] != "ok"]


def examine(f):
    """Plants one fault; what is said of it."""
    with contextlib.closing(Lab(**OPTIONS.get(f.name, {}))) as lab:
        d = f.plant(lab)
        ids = lambda: [x["id"] for x in d.ask("status", as_json=True)["findings"]]
        wait_for(lambda: f.id in ids(), f.seconds, lambda: f"{f.id} is not found, but {', '.join(ids()) or 'nothing'}", 0.2)
        code, line, _ = d.ask("check", must=False)
        screen = d.ask("status")
        _, doctor, _ = d.ask("doctor", as_json=True, must=False)
        text = d.ask("doctor", must=False)[1]
        check(code == f.status, f"check ends with {code}, not {f.status}: {line.strip()}")
        check(f.status == 0 or f"{f.id}: " in line, f"check does not name {f.id}: {line.strip()}")
        check(f.status == 0 or f.word in line or "more, see" in line, f"check does not say \"{f.word}\": {line.strip()}")
        check(f.id in screen and f.word in screen, f"status does not say {f.id}, \"{f.word}\": {screen}")
        told = [t for t in tests_of(doctor) if t["name"] == f.doctor and t.get("id") == f.id]
        check(told and told[0]["remedy"], f"doctor does not tell {f.id} under {f.doctor}: {text}")
        check(f.status == 0 or told[0]["result"] == "fail", f"doctor: {told[0]}")
        return line.strip(), screen, text


def child(f, out):
    try:
        said = Said(f.name, True, f"{f.id}", *examine(f))
    except Skip as e:
        said = Said(f.name, None, str(e), "", "", "")
    except Fail as e:
        said = Said(f.name, False, str(e), "", "", "")
    except BaseException:                                   # noqa: a child tells everything
        said = Said(f.name, False, traceback.format_exc(), "", "", "")
    data = json.dumps(said).encode()
    while data:
        data = data[os.write(out, data):]


def examine_all(names, at_once=3):
    """Plants faults, some at a time, each in a process of its own; yields what was said."""
    todo, running = [f for f in FAULTS if f.name in names], {}
    check(len(todo) == len(set(names)), f"unknown among {names}")
    try:
        while todo or running:
            while todo and len(running) < at_once:
                f = todo.pop(0)
                readable, writable = os.pipe()
                sys.stdout.flush()
                pid = os.fork()
                if not pid:
                    os.close(readable)
                    child(f, writable)
                    os._exit(0)
                os.close(writable)
                running[pid] = readable
            pid = next(iter(running))
            with os.fdopen(running[pid], "rb") as pipe:
                data = pipe.read()
            del running[pid]
            os.waitpid(pid, 0)
            yield Said(*json.loads(data))
    finally:
        for pid in running:
            os.kill(pid, 15)
            os.waitpid(pid, 0)
