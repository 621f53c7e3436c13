# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian trees, and systems with systemd as PID 1 that run in them (systemd-nspawn), on the network of a laboratory's
firewall.

A tree is made once per suite, in $CACHE (/var/tmp/pfsync-linux-package). Everything else is a layer above it.
"""
import contextlib
import glob
import os
import shutil
import signal
import subprocess
import sys
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "lab"))
from lib import Fail, Skip, check, run, wait_for

CACHE = os.environ.get("CACHE", "/var/tmp/pfsync-linux-package")
MIRROR = os.environ.get("MIRROR", "http://deb.debian.org/debian")
ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def possible():
    if os.geteuid():
        raise Skip("needs root")
    for tool in ("debootstrap", "systemd-nspawn", "nsenter", "git"):
        if not shutil.which(tool):
            raise Skip(f"needs {tool} (packages debootstrap, systemd-container, util-linux, git)")


def tree(suite):
    """A minimal system; made if it is not there."""
    path = os.path.join(CACHE, suite)
    if not os.path.exists(path):
        os.makedirs(CACHE, exist_ok=True)
        shutil.rmtree(path + ".new", ignore_errors=True)
        print(f"making {path} ...", flush=True)
        run(["debootstrap", "--variant=minbase", "--include=dbus,kmod,procps,systemd,systemd-sysv", suite, path + ".new", MIRROR],
            seconds=1500)
        os.rename(path + ".new", path)
    return path


class Layer:
    """A directory above others, as one tree at .root."""

    def __init__(self, lower, folder):
        self.lower, self.folder, self.root = lower, folder, os.path.join(folder, "root")
        self.upper = os.path.join(folder, "upper")
        for d in (self.upper, self.root, os.path.join(folder, "work")):
            os.makedirs(d, exist_ok=True)
        run(["mount", "-t", "overlay", "overlay", "-o",
             f"lowerdir={':'.join(lower)},upperdir={self.upper},workdir={folder}/work", self.root])

    def close(self):
        run(["umount", "-l", self.root], must=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def run(self, script, seconds=900, binds=()):
        """A shell script in the tree, which is not booted, on the network of the host; what it says."""
        argv = ["systemd-nspawn", "-q", "--register=no", "--keep-unit", "--as-pid2", "--resolv-conf=copy-host", "-D", self.root,
                "--pipe", *(f"--bind={b}" for b in binds), *(f"--setenv={k}={v}" for k, v in ENVIRONMENT.items()), "/bin/sh",
                "-euc", "exec 2>&1\n" + script]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds, errors="replace",
                              check=False)
        check(done.returncode == 0, lambda: f"status {done.returncode}: {done.stderr}\n{done.stdout[-3000:]}")
        return done.stdout

    def put(self, path, text):
        path = self.root + path
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="ascii") as f:
            f.write(text)


class System(Layer):
    """A booted tree whose network is that of a firewall of the laboratory."""

    def __init__(self, lab, fw, lower):
        super().__init__(lower, os.path.join(lab.dir, fw))
        self.lab, self.fw, self.process, self.leader, self.groups = lab, fw, None, None, []
        lab.closers.append(self.close)
        # the hostid comes from it: it must not be the same on both
        self.put("/etc/machine-id", uuid.uuid4().hex + "\n")
        self.put("/etc/hostname", fw.lower() + "\n")

    def boot(self):
        name = f"{self.lab.prefix}{self.fw}"
        argv = ["systemd-nspawn", "-q", "--register=no", "-D", self.root, f"--machine={name.lower()}", "--boot", "--console=pipe",
                "--link-journal=no", "--capability=CAP_NET_ADMIN,CAP_NET_RAW",
                f"--network-namespace-path=/run/netns/{self.lab.ns(self.fw)}"]
        if not os.path.exists("/run/systemd/system"):   # nobody makes a control group for it
            argv.insert(1, "--keep-unit")
            self._control_groups(name)
        self.log = os.path.join(self.folder, "console")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                                            env={**os.environ, "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network",
                                                 "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                                            preexec_fn=self._enter_groups)
        self.leader = wait_for(self._find_leader, 20, lambda: f"{self.fw} does not start: {self._console()}")
        wait_for(lambda: self.sh("systemctl is-system-running", must=False)[1].strip() in ("running", "degraded"), 60,
                 lambda: f"{self.fw} does not boot: {self._console()}", 0.2)
        return self

    def _console(self):
        with open(self.log, errors="replace", encoding="utf-8") as f:
            return f.read()[-1000:]

    def _control_groups(self, name):
        for top in glob.glob("/sys/fs/cgroup/systemd") + glob.glob("/sys/fs/cgroup/unified") or ["/sys/fs/cgroup"]:
            self.groups.append(os.path.join(top, name))
            os.mkdir(self.groups[-1])

    def _enter_groups(self):
        for group in self.groups:
            with open(os.path.join(group, "cgroup.procs"), "w", encoding="ascii") as f:
                f.write("0")

    def _find_leader(self):
        check(self.process.poll() is None, lambda: f"systemd-nspawn ended: {self._console()}")
        with contextlib.suppress(OSError):
            with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as f:
                for pid in f.read().split():
                    with open(f"/proc/{pid}/comm", encoding="ascii") as comm, open(f"/proc/{pid}/status", encoding="ascii") as s:
                        if comm.read().strip() == "systemd" and "\t1\n" in s.read():
                            return int(pid)
        return None

    def sh(self, script, must=True, seconds=60):
        """A shell script in the running system; see lib.run()."""
        env = ["env", "-i", *(f"{k}={v}" for k, v in ENVIRONMENT.items())]
        return run(["nsenter", "-t", str(self.leader), "-m", "-n", "-p", "-u", "-i", "-r", "-w", *env, "/bin/sh", "-euc", script],
                   must=must, seconds=seconds)

    def show(self, what, unit="pfsync-linux"):
        return self.sh(f"systemctl show -P {what} {unit}").strip()

    def power_off(self):
        """At once, as if the cable was pulled: PID 1 takes everything in its namespace along."""
        if self.leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGKILL)
            self.leader = None
        if self.process:
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def close(self):
        self.power_off()
        super().close()
        for group in self.groups:
            for folder, _, _ in os.walk(group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)


__all__ = ["CACHE", "Fail", "Layer", "System", "possible", "tree"]
