# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine is, what disturbs it, what a process has used of it."""
import contextlib
import os
import platform
import re
import time

TICK = os.sysconf("SC_CLK_TCK")
CONNTRACK_MAX = "/proc/sys/net/netfilter/nf_conntrack_max"
BUCKETS = "/sys/module/nf_conntrack/parameters/hashsize"
ENTRY_BYTES = 400                                   # what the kernel takes for an entry, generously


def read(path):
    with open(path, encoding="ascii", errors="replace") as f:
        return f.read()


def write(path, value):
    with open(path, "w", encoding="ascii") as f:
        f.write(str(value))


def cpu_of(pid):
    """(user, system) seconds so far. The sum is exact, the parts are as the clock's ticks fell."""
    fields = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    user, system = int(fields[11]) / TICK, int(fields[12]) / TICK
    with contextlib.suppress(OSError, ValueError):
        whole = int(read(f"/proc/{pid}/schedstat").split()[0]) / 1e9
        if user + system:
            return whole * user / (user + system), whole * system / (user + system)
    return user, system


def memory_of(pid, what="VmRSS"):
    """Bytes; VmHWM is the most there was."""
    return int(re.search(rf"^{what}:\s+(\d+) kB", read(f"/proc/{pid}/status"), re.M).group(1)) << 10


@contextlib.contextmanager
def room_for(entries):
    """Lets the kernel track so many connections in all namespaces together; what was set before comes back. False if it
    cannot be set here, or memory does not suffice."""
    available = int(re.search(r"MemAvailable:\s+(\d+)", read("/proc/meminfo")).group(1)) << 10
    if available < 2 * entries * ENTRY_BYTES:
        yield False
        return
    before = []
    try:
        for path, value in ((BUCKETS, entries), (CONNTRACK_MAX, 2 * entries)):
            old = int(read(path))
            if old < value:
                before.append((path, old))
                write(path, value)
        yield True
    except OSError:
        yield False
    finally:
        for path, old in before:
            with contextlib.suppress(OSError):
                write(path, old)


class Disturbance:
    """What else used the processors since it was made: of /proc/stat."""

    def __init__(self):
        self.begun, self.first = time.monotonic(), self._read()

    @staticmethod
    def _read():
        return [int(v) for v in read("/proc/stat").splitlines()[0].split()[1:9]]

    def told(self):
        now = self._read()
        spent = [b - a for a, b in zip(self.first, now)]
        whole = sum(spent) or 1
        return {"seconds": round(time.monotonic() - self.begun), "busy": 1 - (spent[3] + spent[4]) / whole,
                "steal": spent[7] / whole, "softirq": spent[6] / whole, "load": os.getloadavg()[0]}


def description():
    model = re.search(r"model name\s*:\s*(.*)", read("/proc/cpuinfo"))
    memory = int(re.search(r"MemTotal:\s+(\d+)", read("/proc/meminfo")).group(1)) / (1 << 20)
    return {"kernel": platform.release(), "processor": model.group(1) if model else platform.machine(),
            "cores": os.cpu_count(), "memory_gib": round(memory, 1), "load_before": os.getloadavg()[0]}
