# SPDX-License-Identifier: GPL-2.0-or-later
"""The mixed lab from its arguments to its report."""
import argparse
import contextlib
import fnmatch
import os
import resource
import subprocess
import sys
import time

import mixed_report as report
from lib import BUILD, ROOT, Fail, Interrupted, Skip, build, orderly_end, time_limit
from mixed_cells import CELLS, QUICK, run_cell
from mixed_guest_qemu import Machine
from mixed_linux import Linux
from mixed_lines import ExecLine, NamespaceLine
from mixed_pf import SEGMENTS, FreeBSD, OpenBSD
from mixed_topology import MixedLab
from mixed_traffic import Ends

SYSTEMS = {"freebsd": FreeBSD, "openbsd": OpenBSD, "linux": Linux}
DIALECTS = ("freebsd-13", "freebsd-14", "freebsd-15", "openbsd")
CELL_SECONDS = 240


def pairs(text):
    """lan=em0,wan=em1,sync=em2 as a dictionary."""
    found = dict(p.split("=", 1) for p in text.split(",") if "=" in p)
    if not found or set(found) - set(SEGMENTS) or not all(found.values()):
        raise argparse.ArgumentTypeError(f"{text}: wanted is lan=NAME,wan=NAME,sync=NAME")
    return found


def arguments(argv=None):
    p = argparse.ArgumentParser(description="Connections that move between a Linux firewall and a pf, there and back.")
    guest = p.add_argument_group("the guest (one of)")
    guest.add_argument("--image", metavar="FILE", help="disk of a machine that is started in QEMU; it is not written to")
    guest.add_argument("--guest-exec", metavar="COMMAND", help="runs its last argument in a guest that is up already")
    guest.add_argument("--guest", choices=("linux",), help="a namespace with our daemon")
    how = p.add_argument_group("about the guest")
    how.add_argument("--os", choices=sorted(SYSTEMS), help="of --image and --guest-exec")
    how.add_argument("--taps", type=pairs, metavar="lan=IF,wan=IF,sync=IF", help="this host's ends of the guest's links")
    how.add_argument("--guest-if", type=pairs, metavar="lan=IF,wan=IF,sync=IF", help="their names inside of it")
    how.add_argument("--guest-bin", default="", metavar="DIR", help="where a Linux guest has our programs")
    how.add_argument("--dialect", action="append", choices=DIALECTS,
                     help="default: auto; with --guest linux freebsd-13, then openbsd")
    how.add_argument("--unicast", action="store_true", help="the two name each other instead of the group")
    how.add_argument("--login", default="root", metavar="USER", help="on the console (default: root)")
    how.add_argument("--password", default=os.environ.get("GUEST_PASSWORD", ""), metavar="TEXT",
                     help="for it (default: $GUEST_PASSWORD, or none)")
    how.add_argument("--boot-seconds", type=int, default=600, metavar="N", help="until it has booted (default: 600)")
    how.add_argument("--card", metavar="MODEL", help="QEMU's network card (default: e1000, for OpenBSD virtio-net-pci)")
    how.add_argument("--qemu", default="", metavar="ARGUMENTS", help="more arguments for QEMU")
    run = p.add_argument_group("the run")
    run.add_argument("--cell", action="append", metavar="NAME", help="only these; * and ? match; see --list")
    run.add_argument("--quick", action="store_true", help="a few cells of each sort")
    run.add_argument("--list", action="store_true", help="the names of all cells")
    run.add_argument("--mb", type=float, default=20, metavar="N", help="megabytes on each leg (default: 20)")
    run.add_argument("--rate", type=float, metavar="N", help="megabytes a second (default: 20; in QEMU 5)")
    run.add_argument("--patience", type=float, default=12, metavar="N",
                     help="seconds of silence that are death (default: 12)")
    run.add_argument("--out", metavar="DIR", help="where all is kept (default: lab-results/TIME-mixed)")
    run.add_argument("--keep", action="store_true", help="wait for Enter before the namespaces are removed")
    o = p.parse_args(argv)
    if o.list:
        print("\n".join(CELLS))
        sys.exit(0)
    if sum(map(bool, (o.image or (o.qemu and o.os), o.guest_exec, o.guest))) != 1:
        p.error("one of --image, --guest-exec, --guest is needed")
    if not o.guest and not o.os:
        p.error("--os is needed")
    if o.guest_exec and (not o.taps or set(o.taps) != set(SEGMENTS)):
        p.error("--guest-exec needs --taps with lan, wan and sync")
    if not 0.1 <= o.mb <= 10000 or not 1 <= o.patience <= 600:
        p.error("--mb: from 0.1 to 10000; --patience: from 1 to 600")
    o.cells = [c for c in CELLS if not o.cell or any(fnmatch.fnmatch(c, want) for want in o.cell)]
    if o.quick and not o.cell:
        o.cells = list(QUICK)
    if not o.cells:
        p.error(f"no cell is called {' or '.join(o.cell)}; --list has the names")
    o.system = o.os or "linux"
    o.rate = o.rate or (20 if o.guest else 5)
    o.dialects = o.dialect or (["freebsd-13", "openbsd"] if o.guest else ["auto"])
    o.label = {"freebsd": "FreeBSD", "openbsd": "OpenBSD", "linux": "peer"}[o.system]
    return o


def make_guest(lab, o, dialect, folder):
    """The guest, answering to commands, with its links in the hub."""
    more = {}
    if o.system == "linux":
        more = {"dialect": "freebsd-13" if dialect == "auto" else dialect, "programs": o.guest_bin}
    if o.guest:
        line = NamespaceLine(lab.guest_namespace())
        more.update(programs=os.path.join(BUILD, "src"), folder=lab.dir)
    elif o.guest_exec:
        line = ExecLine(o.guest_exec)
        line.must("true")
        lab.borrow(o.taps)
    else:
        machine = Machine(lab, o.image, o.system, folder, card=o.card, extra=o.qemu)
        print(f"the machine boots ({machine.accelerator}) ...", flush=True)
        line = machine.console(o.login, o.password)
        line.login(o.boot_seconds)
    guest = SYSTEMS[o.system](line, o.guest_if, o.unicast, **more)
    lab.plug(None)
    guest.prepare()
    return guest


def play(o, dialect, folder):
    """All cells with one guest; their figures."""
    figures, begin, lab = [], time.monotonic(), None
    os.makedirs(folder, exist_ok=True)
    try:
        lab = MixedLab(dialect, o.unicast)
        ends = Ends(lab)
        guest = make_guest(lab, o, dialect, folder)
        lab.learn(guest)
        lab.start_daemon().wait_synced(60)
        print(f"{o.label}, {dialect}, {'unicast' if o.unicast else 'multicast'}: {len(o.cells)} cells", flush=True)
        usable = True
        for name in o.cells:
            if not usable:
                break
            time_limit(CELL_SECONDS)
            f = run_cell(name, lab, guest, ends, o, folder)
            figures.append(f)
            print("  " + "  ".join(report.row(f, o.label)[:4]) + (f": {f['why']}" if f["why"] else ""), flush=True)
            if f["verdict"] == "guest failed":
                usable = recover(lab, guest)
            if lab.d.process.poll() is not None:
                print(f"  the daemon has ended: {lab.d.tail()}", flush=True)
                lab.start_daemon().wait_synced(60)
        if o.keep and sys.stdin.isatty():
            time_limit(0)
            print("namespaces:", " ".join(lab.ns(n) for n in ("client", "server", "linux", "hub")))
            input("Enter ends it ")
    finally:
        time_limit(60)
        if lab:
            with contextlib.suppress(Fail, OSError):
                lab.keep_logs(folder)
            lab.close()
        if figures:
            report.write(folder, figures, o.label, {"guest": o.label, "dialect": dialect, "unicast": o.unicast,
                                                    "rate MB/s": o.rate, "seconds": round(time.monotonic() - begin, 1)})
    return figures, time.monotonic() - begin


def recover(lab, guest):
    """After a guest that hung or booted: goes on if it can be used again."""
    try:
        anew = guest.recover()
        lab.learn(guest)
        print(f"  the guest answers again{', booted anew and set up once more' if anew else ''}", flush=True)
        return True
    except Fail as e:
        print(f"  the guest does not come back: {e}", flush=True)
        return False


def main():
    o = arguments()
    if os.geteuid():
        sys.exit("mixed: needs root, for network namespaces: sudo tests/lab/mixed")
    orderly_end()
    root = os.path.abspath(o.out or os.path.join("lab-results", time.strftime("%Y%m%d-%H%M%S-mixed")))
    everything, status = [], 0
    try:
        if subprocess.run([os.path.join(ROOT, "tests", "install-deps")], stdin=subprocess.DEVNULL, check=False).returncode:
            sys.exit(1)
        build()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 16384)), hard))
        time_limit(o.boot_seconds + 120)
        for dialect in o.dialects:
            folder = os.path.join(root, dialect) if len(o.dialects) > 1 else root
            everything.append((dialect, *play(o, dialect, folder)))
    except (Fail, Skip, OSError) as e:
        print(f"\nmixed: {e}", file=sys.stderr)
        status = 77 if isinstance(e, Skip) else 1
    except (KeyboardInterrupt, Interrupted):
        print("\nmixed: interrupted; the namespaces are removed", file=sys.stderr)
        status = 130
    for dialect, figures, seconds in everything:
        good = sum(f["verdict"] == "survived" for f in figures)
        print(f"\n{o.label}, {dialect}: {good} of {len(o.cells)} cells survived, {seconds:.0f} s\n")
        print(report.table(figures, o.label))
        print("\n" + report.details(figures))
        status = status or (good != len(o.cells))
    if os.path.isdir(root):
        print(f"\n  table, figures, pictures, captures and logs: {os.path.relpath(root)}")
    return status
