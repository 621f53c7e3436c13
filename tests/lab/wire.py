# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames carried from port to port by hand. A bad sync link: pfsync packets are lost, doubled or held back.

The ports leave the bridge; what comes in at one goes out at all others. The dice have a seed, but which packet meets
which throw depends on time. Needs no netem, which not every kernel has.
"""
import heapq
import itertools
import random
import select
import socket
import threading
import time

from lib import inside

PFSYNC, OUTGOING, ETH_P_ALL = 240, 4, 3
SEED = 20261123


class Ports(threading.Thread):
    """Carries frames between these ports of the hub, at once or later; run by start()."""

    def __init__(self, lab, names):
        super().__init__(daemon=True)
        self.ended, self.order, self.waiting, self.sockets = False, itertools.count(), [], []
        with inside(lab.ns("hub")):
            for name in names:
                s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
                s.bind((name, ETH_P_ALL))
                s.setblocking(False)
                self.sockets.append(s)
        lab.closers.append(self.close)

    def close(self):
        self.ended = True
        self.join(2)
        for s in self.sockets:
            s.close()

    def run(self):
        while not self.ended:
            left = self.waiting[0][0] - time.monotonic() if self.waiting else 0.2
            for s in select.select(self.sockets, [], [], min(0.2, max(0.0, left)))[0]:
                for frame in self._frames(s):
                    self._take(s, frame)
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                self._out(*heapq.heappop(self.waiting)[2:])

    @staticmethod
    def _frames(s):
        for _ in range(64):
            try:
                frame, where = s.recvfrom(65536)
            except OSError:
                return
            if where[2] != OUTGOING:
                yield frame

    def _take(self, origin, frame):
        """What becomes of a frame that came in at that port."""
        raise NotImplementedError

    def _later(self, seconds, origin, frame):
        heapq.heappush(self.waiting, (time.monotonic() + seconds, next(self.order), origin, frame))

    def _out(self, origin, frame):
        for s in self.sockets:
            if s is not origin:
                try:
                    s.send(frame)
                except OSError:                         # that port is down
                    pass


class Wire(Ports):
    """loss, double, late: parts of one; a late packet comes up to delay seconds later, behind what follows it."""

    def __init__(self, lab, loss=0.0, double=0.0, late=0.0, delay=0.06):
        with inside(lab.ns("hub")):
            names = [n for _, n in socket.if_nameindex() if n.endswith("-sync")]
        super().__init__(lab, names)
        self.loss, self.double, self.late, self.delay = loss, double, late, delay
        self.passed = self.lost = self.doubled = self.delayed = 0
        self.dice = random.Random(SEED)
        lab.hub(*(f"link set {name} nomaster" for name in names))
        self.start()

    def heal(self):
        """From now on everything passes."""
        self.loss = self.double = self.late = 0.0

    def seen(self):
        return f"of {self.passed} packets {self.lost} were lost, {self.doubled} doubled, {self.delayed} late"

    def _take(self, origin, frame):
        if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[23] != PFSYNC:
            self._out(origin, frame)
            return
        self.passed += 1
        if self.dice.random() < self.loss:
            self.lost += 1
            return
        twice = self.dice.random() < self.double
        self.doubled += twice
        for _ in range(1 + twice):
            if self.dice.random() < self.late:
                self.delayed += 1
                self._later(self.dice.uniform(0.002, self.delay), origin, frame)
            else:
                self._out(origin, frame)
