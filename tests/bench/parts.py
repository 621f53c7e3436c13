# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured, one function for each part; figures go into a Figures by (part, who, what)."""
import contextlib
import json
import os
import subprocess
import time

import contest
import lib
import machine
from contest import FIREWALLS, tool

A, B = FIREWALLS
PACE = 20000                                            # bulk-rate of the default configuration
PROBES_A_SECOND = 250
PORT, LOAD = 7000, os.path.join(lib.BUILD, "tests", "load", "load")
TIME_WAIT = "net.netfilter.nf_conntrack_tcp_timeout_time_wait"


def inside(lab, name, *argv):
    return subprocess.Popen(["ip", "netns", "exec", lab.ns(name), *argv], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process, seconds=120):
    """Its one line of JSON, or of text."""
    out, _ = process.communicate(timeout=seconds)
    lib.check(process.returncode == 0, lambda: f"{' '.join(process.args[4:])}: {out.strip()[-300:]}")
    return json.loads(out) if out.startswith("{") else out


@contextlib.contextmanager
def laboratory(**how):
    """Two firewalls, of which the first carries the traffic to a server that answers."""
    with lib.laboratory(**how) as lab:
        for fw in FIREWALLS:
            lab.sysctl(fw, {TIME_WAIT: 1, "net.netfilter.nf_conntrack_udp_timeout": 2,
                            "net.netfilter.nf_conntrack_udp_timeout_stream": 4})
        lab.sysctl("client", {"net.ipv4.ip_local_port_range": "1024 65535", "net.ipv4.tcp_max_tw_buckets": 1000})
        server = inside(lab, "server", LOAD, "server", str(PORT))
        try:
            time.sleep(0.3)
            yield lab
        finally:
            server.kill()
            server.wait()


def count(lab, fw):
    with lib.inside(lab.ns(fw)):
        return int(machine.read("/proc/sys/net/netfilter/nf_conntrack_count"))


def wait_count(lab, fw, n, seconds):
    """Seconds until that kernel has so many entries."""
    begin = time.monotonic()
    with lib.inside(lab.ns(fw)):
        lib.wait_for(lambda: int(machine.read("/proc/sys/net/netfilter/nf_conntrack_count")) >= n, seconds,
                     lambda: f"{fw} has {machine.read('/proc/sys/net/netfilter/nf_conntrack_count').strip()} of {n}", 0.004)
    return time.monotonic() - begin


def flush(lab, *firewalls):
    for fw in firewalls:
        lib.run("conntrack -F", lab.ns(fw), must=False, seconds=60)


# ---- a. connections ------------------------------------------------------------------------------------------

def connections(lab, pair, figures, part, n, rate, kind="client", hold=0):
    """CPU seconds and the sync link's load for n connections, told in full: their ends are waited for."""
    with pair:
        cpu, link = pair.cpu(), lab.interface_counters(A, "sync")
        began = time.monotonic()
        finish(inside(lab, "client", LOAD, kind, lib.SERVER, str(PORT), str(n), str(rate), str(hold)))
        took = time.monotonic() - began
        time.sleep(1.5 if kind == "client" else 3.0)
        for _ in range(2):                              # expiry is lazy: a dump takes out what is over
            lib.run("conntrack -S", lab.ns(A))
            with open(os.devnull, "w", encoding="ascii") as null:
                subprocess.run(["ip", "netns", "exec", lab.ns(A), "conntrack", "-L"], stdout=null, stderr=null, check=False)
            time.sleep(0.7)
        after, sent = pair.cpu(), lab.interface_counters(A, "sync")
        lib.check(not pair.lost(), f"{pair.name} lost events")
    per = 10000 / n
    for fw, who in ((A, "sender"), (B, "receiver")):
        user, system = (b - a for a, b in zip(cpu[fw], after[fw]))
        figures.add(part, pair.name, f"{who} user", user * per)
        figures.add(part, pair.name, f"{who} system", system * per)
        figures.add(part, pair.name, f"{who} CPU", (user + system) * per)
    figures.add(part, pair.name, "bytes", (sent[2] - link[2]) / n)
    figures.add(part, pair.name, "packets", (sent[3] - link[3]) / n)
    figures.add(part, pair.name, "load rate", n / took)


# ---- b. events -----------------------------------------------------------------------------------------------

def events(lab, figures, n, pairs):
    """Events that one second of a processor follows, while they come as fast as the kernel makes them."""
    part = "events"
    flush(lab, A)
    reader = inside(lab, A, tool("bare"), "read")
    time.sleep(0.3)
    finish(inside(lab, A, tool("bare"), "cycle", str(n), "0"))
    time.sleep(0.3)
    reader.terminate()
    bare = finish(reader)
    figures.add(part, "bare reader", "per CPU second", bare["events"] / (bare["user"] + bare["system"]))
    figures.add(part, "bare reader", "overruns", bare["lost"])
    for pair in pairs:
        with pair:
            cpu = pair.cpu()[A]
            finish(inside(lab, A, tool("bare"), "cycle", str(n), "0"))
            lib.wait_for(lambda c=[None]: idle(pair, c), 60, "it does not come to rest", 0.2)
            used = sum(pair.cpu()[A]) - sum(cpu)
            figures.add(part, pair.name, "per CPU second", bare["events"] / used)
            figures.add(part, pair.name, "overruns", pair.lost())


def idle(pair, last):
    """It has used next to nothing since it was asked last."""
    now = sum(pair.cpu()[A])
    rests, last[0] = last[0] is not None and now - last[0] < 0.004, now
    return rests


# ---- c, d, f. many flows -------------------------------------------------------------------------------------

def fill(lab, fw, n):
    """n entries in that kernel; seconds that the bare inserter took."""
    return finish(inside(lab, fw, tool("bare"), "insert", str(n)))["wall"]


def bare_insert(lab, figures, n):
    flush(lab, B)
    wall = fill(lab, B, n)
    figures.add(f"resync {n}", "bare inserter", "seconds", wall)
    flush(lab, B)
    return wall


# states a second: the time that a resync takes is theirs, so they come in small steps where losses begin
RATES = (1000000, 500000, 400000, 360000, 340000, 320000, 300000, 280000, 260000, 240000, 220000, 200000, 180000, 120000)


def sender_with(lab, n, rate):
    """A pair of which only the sender runs, with n flows that it has told to whoever listened; bytes that they took."""
    pair = contest.Ours(lab, sender=f"bulk-rate = {rate}")
    flush(lab, A, B)
    pair.start(A)
    pair.daemon[A].wait_synced(60)
    empty = machine.memory_of(pair.process[A].pid)
    fill(lab, A, n)
    at_rest = lambda s: s["flows"]["total"] >= n and not s["queued"]
    lib.wait_for(lambda: at_rest(pair.daemon[A].ask("status", as_json=True, seconds=60)), 60 + n / 10000,
                 "the flows are not told", 0.5)
    return pair, machine.memory_of(pair.process[A].pid) - empty


def arrive(lab, pair, n, seconds):
    """A peer starts with nothing; seconds until its kernel has all, from when it is there."""
    flush(lab, B)
    pair.start(B)
    began, before = time.monotonic(), machine.memory_of(pair.process[B].pid)
    wait_count(lab, B, n, seconds)
    return time.monotonic() - began, before


def resync(lab, figures, n, rounds, rates=RATES):
    """A peer that starts with nothing has n flows of the other, told as fast as they arrive without a loss. Returns the
    pair, which still runs."""
    part, name, rate = f"resync {n}", "pfsync-linux", list(rates)
    pair, grown = sender_with(lab, n, rate[0])
    paced = rate[0] == PACE
    name += ", paced" if paced else ""
    done = 0
    while done < rounds:
        if not paced:
            bare_insert(lab, figures, n)
        try:
            took, before = arrive(lab, pair, n, 10 + 4 * n / rate[0])
            lost = pair.daemon[B].counters()["packet-overrun"]
            lib.check(not lost, f"{lost} packets were lost, and told again")
        except lib.Fail as e:
            print(f"  at {rate[0]} states a second: {e}", flush=True)
            for fw in FIREWALLS:
                pair.stop(fw)
            if len(rate) == 1:
                raise
            rate.pop(0)
            done = 0
            figures.drop(part, name, "seconds", "peak receiver", "receiver CPU")
            figures.drop(part, "bare inserter", "seconds")
            figures.drop(f"memory {n}", name, "receiver")
            pair, grown = sender_with(lab, n, rate[0])
            continue
        figures.add(part, name, "seconds", took)
        time.sleep(0.5)
        figures.add(part, name, "peak receiver", machine.memory_of(pair.process[B].pid, "VmHWM") / (1 << 20))
        figures.add(f"memory {n}", name, "receiver", (machine.memory_of(pair.process[B].pid) - before) / n)
        figures.add(part, name, "receiver CPU", sum(machine.cpu_of(pair.process[B].pid)))
        done += 1
        if done < rounds:
            pair.stop(B)
    figures.add(part, name, "bulk-rate", rate[0])
    figures.add(part, name, "peak sender", machine.memory_of(pair.process[A].pid, "VmHWM") / (1 << 20))
    figures.add(f"memory {n}", name, "sender", grown / n)
    return pair


def commit(lab, figures, n, mode="notrack"):
    """conntrackd's own way: the external cache into the kernel."""
    part = f"resync {n}"
    pair = contest.Conntrackd(lab, mode)
    with pair:
        empty = {fw: machine.memory_of(pair.process[fw].pid) for fw in FIREWALLS}
        fill(lab, A, n)
        known = lambda fw, what: int(pair.ask(fw, "-s").split(what)[1].split("current active connections:")[1].split()[0])
        lib.wait_for(lambda: known(A, "cache internal") >= n, 120, "conntrackd does not know the flows", 0.5)
        with contextlib.suppress(lib.Fail):             # without acknowledgements some of them may be lost
            lib.wait_for(lambda: known(B, "cache external") >= n, 10 + n / 50000, "not told", 0.5)
        n_told = known(B, "cache external")
        for fw, who in ((A, "sender"), (B, "receiver")):
            figures.add(f"memory {n}", pair.name, who, (machine.memory_of(pair.process[fw].pid) - empty[fw]) / n)
        began = time.monotonic()
        asked = inside(lab, B, "conntrackd", "-C", pair.path(B), "-c")
        wait_count(lab, B, n_told * 0.999, 240)
        figures.add(part, pair.name, "seconds", (time.monotonic() - began) * n / n_told)
        figures.add(part, pair.name, "told", n_told / n)
        asked.wait(120)


def quiet(lab, figures, pair, n, live, seconds):
    """n idle flows and some with a little traffic, for a while: as long as it is between two dumps of a large table, which
    are most of what it costs."""
    last = [-100]

    def still():
        before, last[0] = last[0], sum(pair.daemon[fw].counters()["packets-out"] for fw in FIREWALLS)
        return last[0] - before < 100

    lib.wait_for(still, 60 + 4 * n / PACE, "the nodes still tell each other their states", 2)   # both do, after a start
    load = inside(lab, "client", LOAD, "live", lib.SERVER, str(PORT), str(live), str(seconds + 8), "5000")
    time.sleep(6)
    probes = lambda: {fw: pair.daemon[fw].counters()["probes"] for fw in FIREWALLS}
    looked, before, began = probes(), pair.cpu(), time.monotonic()
    time.sleep(seconds)
    after, took, looks = pair.cpu(), time.monotonic() - began, probes()
    finish(load)
    for fw, who in ((A, "sender"), (B, "receiver")):
        figures.add("quiet", pair.name, f"{who} percent", 100 * (sum(after[fw]) - sum(before[fw])) / took)
        figures.add("quiet", pair.name, f"{who} looks", (looks[fw] - looked[fw]) / took)


# ---- e. latency ----------------------------------------------------------------------------------------------

def latency(lab, figures, pair, probes, rate):
    """From an entry in one kernel to its like in the other, in rest and beside many short connections."""
    part = f"latency at {rate}" if rate else "latency idle"
    with pair:
        load = None
        if rate:
            load = inside(lab, "client", LOAD, "client", lib.SERVER, str(PORT), str(int(rate * (probes / PROBES_A_SECOND + 2))), str(rate))
            time.sleep(0.7)
        found = finish(subprocess.Popen([tool("latency"), *(f"/run/netns/{lab.ns(fw)}" for fw in FIREWALLS), str(probes),
                                         str(PROBES_A_SECOND)], stdout=subprocess.PIPE, text=True))
        if load:
            load.communicate(timeout=60)
    for what in ("median", "p99", "p99.9", "lost"):
        figures.add(part, pair.name, what, found[what])


# ---- g. the core alone ---------------------------------------------------------------------------------------

def codec(figures, n, rounds):
    for dialect in ("freebsd-13", "freebsd-14", "freebsd-15", "openbsd"):
        for verb in ("encode", "decode"):
            for _ in range(rounds):
                done = json.loads(lib.run([tool("core"), verb, dialect, str(n)], seconds=60))
                figures.add("codec", dialect, f"{verb}d a second", done["done"] / done["cpu"])


def instructions(figures):
    """By callgrind, of one connection: the difference of two counts. They are the same in each run."""
    def total(mode, n):
        out = lib.run(["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", tool("core"), mode, str(n)],
                      must=False, seconds=120)[2]
        return int(out.split("Collected : ")[1].split()[0])
    few, many = 1024, 3072
    of = {mode: (total(mode, many) - total(mode, few)) / (many - few) for mode in ("build", "short", "told", "import")}
    figures.add("instructions", "pfsync-linux", "per event of a short connection", (of["short"] - of["build"]) / 8)
    figures.add("instructions", "pfsync-linux", "per told connection, sender", of["told"] - of["build"])
    figures.add("instructions", "pfsync-linux", "per told connection, receiver", of["import"] - of["told"])
