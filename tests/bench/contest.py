# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is measured: this daemon and conntrackd, each as a pair on two firewalls of tests/lab/lib.py."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
import lib
import machine

BENCH = os.path.join(lib.BUILD, "tests", "bench")
FIREWALLS = lib.FIREWALLS
NICE = -5                                               # of debian/pfsync-linux.service, and as much for the other one


def tool(name):
    return os.path.join(BENCH, name)


class Daemon(lib.Daemon):
    """The daemon as it is installed, without the checks of test builds."""

    def start(self, seconds=20):
        path = os.path.join(lib.BUILD, "src", "pfsync-linux")
        whole, lib.program = lib.program, lambda name: tool(name) if name == "pfsync-linux" else os.path.join(
            os.path.dirname(path), name)
        try:
            return super().start(seconds)
        finally:
            lib.program = whole


class Pair:
    """Both nodes of one kind; a context manager. process[fw] runs while it is entered."""

    def __init__(self, lab):
        self.lab, self.process = lab, {}

    def __enter__(self):
        for fw in FIREWALLS:
            lib.run("conntrack -F", self.lab.ns(fw), must=False, seconds=60)
        for fw in FIREWALLS:
            self.start(fw)
        self.settle()
        return self

    def __exit__(self, *_):
        for fw in FIREWALLS:
            self.stop(fw)

    def settle(self):
        pass

    def cpu(self):
        """{fw: (user, system)}"""
        return {fw: machine.cpu_of(p.pid) for fw, p in self.process.items()}

    def lost(self):
        """Overruns of the event socket so far, at the sender."""
        return 0


class Ours(Pair):
    name, injects = "pfsync-linux", True

    def __init__(self, lab, sender="", **sections):
        """sender: of the sync section at the sender alone."""
        super().__init__(lab)
        self.sender, self.sections, self.daemon = sender, sections, {}

    def start(self, fw):
        sections = {"conntrack": "receive-buffer = 64M", "imports": "max-states = 4000000", **self.sections}
        if fw == FIREWALLS[0] and self.sender:
            sections["sync"] = self.sender
        d = Daemon(self.lab, fw, **sections)
        self.daemon[fw] = d.start()
        self.process[fw] = d.process
        os.setpriority(os.PRIO_PROCESS, d.process.pid, NICE)
        self.lab.daemons.append(d)

    def settle(self):
        for d in self.daemon.values():
            d.wait_synced(60)

    def stop(self, fw):
        d = self.daemon.pop(fw, None)
        if d:
            d.kill(15, 30)
            self.lab.daemons.remove(d)
            del self.process[fw]

    def lost(self):
        return self.daemon["fwA"].counters()["event-overrun"]


CONNTRACKD = """Sync {
	Mode %(mode)s {
		%(caches)s
	}
	Multicast {
		IPv4_address 225.0.0.50
		Group 3780
		IPv4_interface 203.0.113.%(host)d
		Interface sync
		SndSocketBuffer 8388608
		RcvSocketBuffer 8388608
		Checksum on
	}
}
General {
	HashSize 1048576
	HashLimit 4194304
	LogFile off
	Syslog off
	LockFile %(path)s.lock
	UNIX {
		Path %(path)s.ctl
	}
	NetlinkBufferSize 67108864
	NetlinkBufferSizeMaxGrowth 134217728
	Filter From Userspace {
		Protocol Accept {
			TCP
			UDP
			ICMP
		}
		Address Ignore {
			IPv4_address 127.0.0.1
		}
	}
}
"""
MODES = {                                              # name: (mode, caches, writes into the kernel at once)
    "ftfw": ("FTFW", "", False),
    "ftfw-inject": ("FTFW", "DisableExternalCache yes", True),
    "notrack": ("NOTRACK", "", False),
    "notrack-inject": ("NOTRACK", "DisableExternalCache yes", True),
    "notrack-nocache": ("NOTRACK", "DisableInternalCache yes\n\t\tDisableExternalCache yes", True),
}


class Conntrackd(Pair):
    def __init__(self, lab, mode):
        super().__init__(lab)
        self.name, (self.mode, self.caches, self.injects) = "conntrackd " + mode, MODES[mode]

    def path(self, fw):
        return os.path.join(self.lab.dir, "conntrackd-" + fw)

    def start(self, fw):
        path = self.path(fw)
        with open(path, "w", encoding="ascii") as f:
            f.write(CONNTRACKD % {"mode": self.mode, "caches": self.caches, "path": path, "host": 2 + FIREWALLS.index(fw)})
        self.process[fw] = subprocess.Popen(["ip", "netns", "exec", self.lab.ns(fw), "conntrackd", "-C", path],
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        lib.wait_for(lambda: self.process[fw].poll() is not None or self.ask(fw, "-s", must=False)[0] == 0, 60,
                     f"conntrackd on {fw} does not answer", 0.1)
        lib.check(self.process[fw].poll() is None, f"conntrackd on {fw} ended")
        os.setpriority(os.PRIO_PROCESS, self.process[fw].pid, NICE)

    def ask(self, fw, *command, must=True, seconds=120):
        return lib.run(["conntrackd", "-C", self.path(fw), *command], self.lab.ns(fw), must=must, seconds=seconds)

    def stop(self, fw):
        p = self.process.pop(fw, None)
        if not p:
            return
        self.ask(fw, "-k", must=False)
        try:
            p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()
        for end in (".lock", ".ctl"):
            if os.path.exists(self.path(fw) + end):
                os.unlink(self.path(fw) + end)
