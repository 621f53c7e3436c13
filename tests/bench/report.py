# SPDX-License-Identifier: GPL-2.0-or-later
"""The figures of a run as a table of ratios, as JSON and as a picture."""
import collections
import json
import os
import shutil
import statistics
import subprocess

OURS = "pfsync-linux"


class Figures:
    """Values by (part, who, what), one for each round."""

    def __init__(self):
        self.values = collections.defaultdict(list)

    def add(self, part, who, what, value):
        self.values[part, who, what].append(value)

    def get(self, part, who, what):
        return self.values.get((part, who, what), [])

    def drop(self, part, who, *whats):
        for what in whats:
            self.values.pop((part, who, what), None)

    def who(self, part, what):
        return [w for p, w, x in self.values if p == part and x == what]

    def best(self, part, what):
        """conntrackd's mode with the lowest median, None if there is none."""
        modes = [w for w in self.who(part, what) if w.startswith("conntrackd")]
        return min(modes, key=lambda w: statistics.median(self.get(part, w, what)), default=None)

    def ratio(self, part, what, to=None, inverse=False, ours=OURS):
        """(ratio of each round, to whom); inverse: theirs to ours."""
        to = to or self.best(part, what)
        pairs = zip(self.get(part, ours, what), self.get(part, to, what)) if to else ()
        return [(b / a if inverse else a / b) for a, b in pairs if a and b], to


class Row:
    def __init__(self, title, values, goal, most=True, to="", unit=""):
        """goal: None, or what the median shall not exceed (most), or reach."""
        self.title, self.values, self.goal, self.most, self.to, self.unit = title, values, goal, most, to or "", unit
        self.median = statistics.median(values) if values else None

    def reached(self):
        if self.median is None or self.goal is None:
            return None
        return self.median <= self.goal if self.most else self.median >= self.goal

    def text(self):
        if self.median is None:
            return f"{self.title:<58} not measured"
        spread = f"{number(min(self.values))} .. {number(max(self.values))}"
        goal = "" if self.goal is None else f"{'<=' if self.most else '>='} {number(self.goal)}"
        verdict = {None: "", True: "reached", False: "MISSED"}[self.reached()]
        return (f"{self.title:<58}{number(self.median):>9} {self.unit:<3}{spread:>18} {len(self.values):>3}  {goal:<9}"
                f"{verdict:<9}{self.to}")


def number(v):
    if v >= 1000:
        return f"{v:,.0f}".replace(",", " ")
    return f"{v:.3g}" if v < 100 else f"{v:.0f}"


def rows(f, many, pf_bytes):
    """The goals first, in their order, then what explains them."""
    def ratio(title, part, what, goal, most=True, **how):
        values, to = f.ratio(part, what, **how)
        return Row(title, values, goal, most, to)
    ours = lambda title, part, what, goal=None, most=True, unit="", who=OURS: Row(title, f.get(part, who, what), goal, most,
                                                                                  unit=unit)
    big, small = f"resync {many[-1]}", f"resync {many[0]}"
    table = [
        ratio("CPU per short connection, sender", "short", "sender CPU", 0.25),
        ratio("CPU per short connection, receiver", "short", "receiver CPU", 0.10),
        ratio("CPU per told connection, sender", "told", "sender CPU", 0.5),
        ratio("CPU per told connection, receiver", "told", "receiver CPU", 0.5),
        ratio("bytes per short connection", "short", "bytes", 0.1),
        ours("bytes per told connection", "told", "bytes", pf_bytes, unit="B"),
        ratio("events followed, share of the bare reader", "events", "per CPU second", 0.8, False, to="bare reader"),
        ratio(f"full resync of {number(many[-1])}, share of the bare inserter", big, "seconds", 0.7, False, to="bare inserter",
              inverse=True),
        ratio(f"the same of {number(many[0])}", small, "seconds", None, to="bare inserter", inverse=True),
        ratio(f"full resync of {number(many[0])}, times as fast as conntrackd's commit", small, "seconds", 5, False,
              to="conntrackd notrack", inverse=True),
        ours("memory per told IPv4 flow, sender", f"memory {many[-1]}", "sender", 200, unit="B"),
        ours("memory per told IPv4 flow, receiver", f"memory {many[-1]}", "receiver", 200, unit="B"),
    ]
    loaded = [p for p, w, x in f.values if p.startswith("latency at") and w == OURS and x == "p99"]
    for part in ["latency idle", *loaded]:
        for what in ("median", "p99", "p99.9"):
            table.append(ours(f"event to peer's kernel, {part.removeprefix('latency ')}, {what}", part, what,
                              5 if what == "p99" and part != "latency idle" else None, unit="ms"))
        table.append(ratio(f"the same p99, beside conntrackd's, {part.removeprefix('latency ')}", part, "p99", None))
    for who in ("sender", "receiver"):
        table.append(ours(f"quiet {number(many[-1])} and 10 000 live flows, {who}", "quiet", f"{who} percent", 2, unit="%"))
        table.append(ours(f"entries looked at a second meanwhile, {who}", "quiet", f"{who} looks"))
    for part in ("udp", "nat", "short 100000"):
        for what, title in (("sender CPU", "CPU, sender"), ("receiver CPU", "CPU, receiver"), ("bytes", "bytes")):
            table.append(ratio(f"{part}: {title}", part, what, None))
    for (part, who, what), values in f.values.items():
        if part in ("codec", "instructions"):
            table.append(Row(f"{part}: {who}, {what}", values, None))
    for part in ("short", "told"):
        for who in f.who(part, "sender CPU"):
            for what in ("sender user", "sender system", "receiver user", "receiver system"):
                table.append(ours(f"{part}: {who}, {what}, 10 000", part, what, unit="s", who=who))
            for what in ("bytes", "packets"):
                table.append(ours(f"{part}: {who}, {what} per connection", part, what, who=who))
    for who in f.who("events", "per CPU second"):
        table.append(ours(f"events a CPU second: {who}", "events", "per CPU second", who=who))
        table.append(ours(f"overruns at full speed: {who}", "events", "overruns", who=who))
    for n in many:
        for who in f.who(f"resync {n}", "seconds"):
            table.append(ours(f"{number(n)} flows: {who}", f"resync {n}", "seconds", unit="s", who=who))
        table.append(ours(f"{number(n)} flows: CPU of the receiver", f"resync {n}", "receiver CPU", unit="s"))
        table.append(ours(f"{number(n)} flows: bulk-rate that arrived without a loss", f"resync {n}", "bulk-rate"))
        for side in ("sender", "receiver"):
            table.append(ours(f"peak memory with {number(n)}, {side}", f"resync {n}", f"peak {side}", unit="MiB"))
            table.append(ratio(f"memory with {number(n)}, {side}, beside conntrackd's", f"memory {n}", side, None))
    return [r for r in table if r.values or r.goal is not None]


def show(table, machine, disturbance):
    print(f"\n{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, Linux {machine['kernel']}")
    print(f"{disturbance['seconds']} s; load before {machine['load_before']:.1f}, at the end {disturbance['load']:.1f}; processors "
          f"{disturbance['busy']:.0%} busy, {disturbance['steal']:.1%} stolen by others on the host")
    if machine["load_before"] > 0.5:
        print("others were at work on this machine when it began: take the ratios, not the times")
    if disturbance["steal"] > 0.02:
        print("the host takes processor time away: latencies and times are too long by an unknown part")
    print(f"\n{'ratio to conntrackd`s best mode, or value':<58}{'median':>9}    {'least .. most':>18}   n  goal")
    for row in table:
        print(row.text())


def save(folder, figures, table, machine, disturbance):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "bench.json"), "w", encoding="ascii") as f:
        json.dump({"machine": machine, "disturbance": disturbance,
                   "rows": [{"title": r.title, "median": r.median, "values": r.values, "goal": r.goal, "reached": r.reached(),
                             "to": r.to, "unit": r.unit} for r in table],
                   "values": [{"part": p, "who": w, "what": x, "values": v} for (p, w, x), v in figures.values.items()]}, f, indent=1)
    draw(folder, table)


def draw(folder, table):
    """Each goal as a bar: 1 is the goal, shorter is better."""
    if not shutil.which("gnuplot"):
        print("no picture: gnuplot is missing")
        return
    goals = [r for r in table if r.goal and r.median]
    with open(os.path.join(folder, "bench.dat"), "w", encoding="ascii") as f:
        for n, r in enumerate(reversed(goals)):
            part = [v / r.goal if r.most else r.goal / v for v in (r.median, min(r.values), max(r.values))]
            f.write(f'{n} {part[0]:.5f} {min(part):.5f} {max(part):.5f} "{r.title}"\n')
    script = f"""
set terminal pngcairo size 1100,{140 + 36 * len(goals)} font "sans,10"
set output "{folder}/bench.png"
set title "share of what the goal allows (1: just reached; shorter is better)"
set logscale x
set xrange [0.005:20]
set yrange [-0.7:{len(goals) - 0.3}]
set grid x
set arrow from 1,graph 0 to 1,graph 1 nohead lw 2 lc rgb "#aa0000"
plot "{folder}/bench.dat" using 2:1:3:4:($1-0.3):($1+0.3):ytic(5) with boxxyerror notitle fs solid 0.4 lc rgb "#3070b0", \\
     "" using 2:1:3:4 with xerrorbars notitle pt 7 lc rgb "#103060"
"""
    done = subprocess.run(["gnuplot"], input=script, text=True, capture_output=True, check=False)
    if done.returncode:
        print(f"no picture: {done.stderr.strip()[:300]}")
