# SPDX-License-Identifier: GPL-2.0-or-later
"""Ways to have a command run in a guest and to learn what came of it.

A line has run(command, seconds): (exit status, output), the two outputs in one. What goes wrong with the line itself is
GuestError: it hangs, it is gone, it is another boot than before.
"""
import os
import shlex
import signal
import subprocess

from lib import Fail


class GuestError(Fail):
    """The guest, or the way to it, does not do what it should."""


class Line:
    """The base: must(), write(); a subclass has run()."""
    patience = 30

    def run(self, command, seconds=None):
        raise NotImplementedError

    def must(self, command, seconds=None):
        """Output of a command that has to succeed."""
        status, out = self.run(command, seconds)
        if status:
            raise GuestError(f"guest: `{short(command)}`: status {status}: {short(out.strip(), 300)}")
        return out

    def write(self, path, text):
        """A file in the guest, by lines short enough for a terminal."""
        self.must(f": > {path}")
        for line in text.splitlines():
            self.must(f"printf '%s\\n' {shlex.quote(line)} >> {path}")

    def close(self):
        """Ends what this object started."""


def short(text, most=120):
    return text if len(text) <= most else text[:most] + " ..."


class ProcessLine(Line):
    """A process for each command, of argv with the command as its last word."""

    def __init__(self, argv):
        self.argv = argv

    def run(self, command, seconds=None):
        seconds = seconds or self.patience
        with subprocess.Popen([*self.argv, command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, start_new_session=True) as process:
            try:
                out = process.communicate(timeout=seconds)[0]
            except subprocess.TimeoutExpired:
                raise GuestError(f"guest: `{short(command)}` gave no answer within {seconds:g} s") from None
            finally:
                if process.poll() is None:              # it and what it waits for: the session is ours
                    os.killpg(process.pid, signal.SIGKILL)
                    process.stdout.close()
                    process.wait()
        return process.returncode, out.decode(errors="replace").replace("\r\n", "\n")

    def write(self, path, text):
        self.must(f"cat > {path} <<'END OF FILE'\n{text}\nEND OF FILE\n")


class NamespaceLine(ProcessLine):
    """A shell in a network namespace."""

    def __init__(self, ns):
        super().__init__(["ip", "netns", "exec", ns, "sh", "-c"])


class ExecLine(ProcessLine):
    """Somebody's command, such as `ssh root@guest`; what shall be run in the guest is its last argument."""

    def __init__(self, command):
        super().__init__(shlex.split(command))
        if not self.argv:
            raise GuestError("--guest-exec: an empty command")

    def run(self, command, seconds=None):
        try:
            return super().run(command, seconds)
        except OSError as e:
            raise GuestError(f"--guest-exec: {self.argv[0]}: {e.strerror}") from None
