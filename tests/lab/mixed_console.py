# SPDX-License-Identifier: GPL-2.0-or-later
"""A serial console as a line to a guest: logs in, types, and reads what comes of it.

Nothing is taken for an answer that does not stand between two marks of this command, so that what the kernel prints
meanwhile, an echo or the rest of an earlier command does no harm. A login prompt in the middle of a command means that
the guest has booted anew.
"""
import itertools
import os
import re
import select
import time

from mixed_lines import GuestError, Line, short

LOGIN = re.compile(r"(?:^|\n)[^\n]{0,80}login: ?$")
PASSWORD = re.compile(r"(?i)password( for [^\n]*)?: ?$")
SHELL = re.compile(r"(?:^|\n)[^\n]{0,120}[#$%>] ?$")
REFUSED = re.compile(r"(?i)login incorrect")
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|\][^\x07]*\x07|[=>()][0-9A-B]?)")  # colours, "where is the cursor?"
STILL = 0.7                                             # seconds after which a prompt is one
PIECE = 64                                              # bytes typed at once: UARTs have small buffers


class Console(Line):
    """fd: both ways, of a pty, a socket or a serial device."""
    patience = 60

    def __init__(self, fd, user="root", password="", log=None):
        self.fd, self.user, self.password, self.text, self.log = fd, user, password, "", log
        self.numbers, self.shell = itertools.count(1), False
        os.set_blocking(fd, False)

    # -- bytes

    def _read(self, seconds):
        if not select.select([self.fd], [], [], max(0.0, seconds))[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except BlockingIOError:
            return False
        except OSError as e:
            raise GuestError(f"console: {e.strerror}") from None
        if not data:
            raise GuestError("console: closed at the other end")
        if self.log:
            self.log.write(data)
            self.log.flush()
        self.text = ESCAPES.sub("", self.text + data.decode(errors="replace").replace("\r", "").replace("\0", ""))
        return True

    def _type(self, text):
        data = text.encode()
        end = time.monotonic() + 20
        while data:
            if time.monotonic() > end:
                raise GuestError("console: takes no more input")
            try:
                data = data[os.write(self.fd, data[:PIECE]):]
            except BlockingIOError:
                self._read(0.05)                        # it may wait for us to read
            except OSError as e:
                raise GuestError(f"console: {e.strerror}") from None
            time.sleep(0.002)

    def _expect(self, seconds, **patterns):
        """Name and match of the first pattern that is found; the text up to its end is consumed."""
        end = time.monotonic() + seconds
        while True:
            for name, pattern in patterns.items():
                found = pattern.search(self.text)
                if found:
                    self.text = self.text[found.end():]
                    return name, found
            left = end - time.monotonic()
            if left <= 0:
                raise GuestError(f"console: waited {seconds:g} s for {' or '.join(patterns)}; last words: "
                                 f"{short(' | '.join(self.text.strip().splitlines()[-3:]), 300) or 'none'}")
            self._read(min(left, 0.5))

    # -- the shell

    def login(self, seconds=300):
        """From wherever it is, a booting kernel or a shell, to a shell of ours."""
        end, self.shell, nudge, tries = time.monotonic() + seconds, False, 0.0, 0
        while not self.shell:
            left = end - time.monotonic()
            if left <= 0:
                raise GuestError(f"console: no shell within {seconds:g} s; last words: "
                                 f"{short(' | '.join(self.text.strip().splitlines()[-3:]), 300) or 'none'}")
            if self._read(min(left, STILL)):
                continue                                # boot messages can look like a prompt half-way
            if LOGIN.search(self.text):
                tries += 1
                if tries > 5:
                    raise GuestError(f"console: {self.user} may not log in")
                self.text = ""
                self._type(self.user + "\n")
                self._answer_password(min(left, 30))
            elif SHELL.search(self.text):
                self._settle(min(left, 10))
            elif time.monotonic() - nudge > 5:          # a prompt that was printed before we came
                nudge = time.monotonic()
                self._type("\n")

    def _answer_password(self, seconds):
        what, _ = self._expect(seconds, password=PASSWORD, refused=REFUSED, shell=SHELL)
        if what == "password":
            self._type(self.password + "\n")
            what, _ = self._expect(seconds, refused=REFUSED, shell=SHELL)
        if what == "refused":
            raise GuestError(f"console: {self.user} may not log in with this password")
        self._settle(20)

    def _settle(self, seconds):
        """A plain sh without echo and prompts, whatever the login shell is; if that was no shell, not yet."""
        self.text = ""
        self._type("exec /bin/sh\n")
        time.sleep(0.3)
        self._type("stty -echo; PS1= PS2= PS4=; set +o emacs 2>/dev/null; set +o vi 2>/dev/null\n")
        self.shell = True
        try:
            self.run("true", seconds)
        except GuestError:
            self.shell = False

    def run(self, command, seconds=None):
        if not self.shell:
            raise GuestError("console: nobody is logged in")
        seconds = seconds or self.patience
        mark = f"m{os.getpid() % 10000}x{next(self.numbers)}"
        # The quotes keep an echo of this line from looking like the marks.
        self._type(f"echo {mark}''b; {{ {command}\n}} 2>&1; echo {mark}''e$?\n")
        try:
            self._expect(seconds, begin=re.compile(rf"{mark}b\n"))
            done = re.compile(rf"{mark}e(\d+)\n")
            what, found = self._expect_end(seconds, done)
        except GuestError as e:
            self._interrupt()
            raise GuestError(f"guest: `{short(command)}`: {e}") from None
        if what == "login":
            self.shell = False
            raise GuestError(f"guest: it booted anew during `{short(command)}`")
        return int(found.group(1)), self.output

    def _expect_end(self, seconds, done):
        end = time.monotonic() + seconds
        while True:
            found = done.search(self.text)
            if found:
                self.output, self.text = self.text[:found.start()], self.text[found.end():]
                return "done", found
            found = LOGIN.search(self.text)
            if found:
                return "login", found
            if time.monotonic() > end:
                raise GuestError(f"no answer within {seconds:g} s")
            self._read(0.3)

    def _interrupt(self):
        """Ends a command that hangs, so that the next one finds a shell."""
        try:
            self._type("\x03\n")
            time.sleep(0.2)
            while self._read(0.1):
                pass
            if LOGIN.search(self.text):
                self.shell = False
        except GuestError:
            self.shell = False
        self.text = self.text[-200:]

    def close(self):
        os.close(self.fd)
