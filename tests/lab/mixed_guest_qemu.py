# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine in QEMU whose three network cards hang in the hub and whose serial console is ours."""
import os
import shlex
import shutil
import socket
import subprocess
import time

from mixed_console import Console
from mixed_lines import GuestError

QEMU = "qemu-system-x86_64"
CARDS = {"freebsd": "e1000", "openbsd": "virtio-net-pci", "linux": "virtio-net-pci"}
# Checksums and segments are finished before they leave the machine: what a tap gets is what a cable would get.
PLAIN = ("csum=off,guest_csum=off,gso=off,guest_tso4=off,guest_tso6=off,guest_ecn=off,guest_ufo=off,"
         "host_tso4=off,host_tso6=off,host_ecn=off,host_ufo=off")


def disk(image):
    """The arguments for a disk that is thrown away at the end: -snapshot keeps the file as it is."""
    if not image:
        return []
    with open(image, "rb") as f:
        form = "qcow2" if f.read(4) == b"QFI\xfb" else "raw"
    return ["-drive", f"file={image.replace(',', ',,')},format={form},if=virtio", "-snapshot"]


def machine():
    """KVM if it works with the processor as it is, not by the presence of /dev/kvm: else emulation."""
    for accelerator, processor in (("kvm", "host"), ("tcg", "max")):
        argv = ["-machine", f"accel={accelerator}", "-cpu", processor]
        with subprocess.Popen([QEMU, *argv, "-m", "64", "-display", "none", "-monitor", "none", "-nodefaults", "-S"],
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as trial:
            try:
                trial.wait(1.5)
            except subprocess.TimeoutExpired:
                trial.kill()
                trial.wait()
                return accelerator, argv
    raise GuestError("qemu: no machine can be started here")


class Machine:
    def __init__(self, lab, image, system, folder, memory=1024, card=None, extra=""):
        if not shutil.which(QEMU):
            raise GuestError(f"needs {QEMU} (Debian: qemu-system-x86)")
        lab.taps()
        card = card or CARDS[system]
        self.path = os.path.join(lab.dir, "console")
        self.accelerator, argv = machine()
        argv = ["ip", "netns", "exec", lab.ns("hub"), QEMU, *argv, "-m", str(memory), "-display", "none", "-monitor", "none",
                "-no-user-config", "-nodefaults", "-vga", "std",
                "-chardev", f"socket,id=console,path={self.path},server=on,wait=off", "-serial", "chardev:console",
                *disk(image)]
        for n, segment in enumerate(("lan", "wan", "sync")):
            argv += ["-netdev", f"tap,id={segment},ifname=guest-{segment},script=no,downscript=no",
                     "-device", f"{card},netdev={segment},mac=52:54:00:0b:5d:0{n + 1}" +
                     (f",{PLAIN}" if card.startswith("virtio") else "")]
        self.log = open(os.path.join(folder, "console.log"), "ab")
        self.errors = open(os.path.join(folder, "qemu.log"), "ab+")
        lab.closers.append(self.close)
        self.process = subprocess.Popen(argv + shlex.split(extra), stdin=subprocess.DEVNULL, stdout=self.errors,
                                        stderr=self.errors)

    def console(self, user, password, seconds=10):
        """The console, once QEMU has opened it."""
        end = time.monotonic() + seconds
        while True:
            try:
                s = socket.socket(socket.AF_UNIX)
                s.connect(self.path)
                return Console(s.detach(), user, password, self.log)
            except OSError:
                s.close()
                if self.process.poll() is not None or time.monotonic() > end:
                    self.errors.seek(0)
                    raise GuestError("qemu: " + (self.errors.read().decode(errors="replace").strip()[-300:]
                                                 or "it does not open its console")) from None
                time.sleep(0.1)

    def close(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()
        self.errors.close()
