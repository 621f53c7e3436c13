# SPDX-License-Identifier: GPL-2.0-or-later
"""A bad sync link: frames are carried from port to port by hand, and pfsync packets lost, doubled or held back.

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


class Wire(threading.Thread):
    """loss, double, late: parts of one; a late packet comes up to delay seconds later, behind what follows it."""

    def __init__(self, lab, loss=0.0, double=0.0, late=0.0, delay=0.06):
        super().__init__(daemon=True)
        self.loss, self.double, self.late, self.delay, self.ended = loss, double, late, delay, False
        self.passed = self.lost = self.doubled = self.delayed = 0
        self.dice, self.order, self.waiting, self.sockets = random.Random(SEED), itertools.count(), [], []
        with inside(lab.ns("hub")):
            names = [n for _, n in socket.if_nameindex() if n.endswith("-sync")]
            for name in names:
                s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
                s.bind((name, ETH_P_ALL))
                s.setblocking(False)
                self.sockets.append(s)
        lab.hub(*(f"link set {name} nomaster" for name in names))
        lab.closers.append(self.close)
        self.start()

    def heal(self):
        """From now on everything passes."""
        self.loss = self.double = self.late = 0.0

    def seen(self):
        return f"of {self.passed} packets {self.lost} were lost, {self.doubled} doubled, {self.delayed} late"

    def close(self):
        self.ended = True
        self.join(2)
        for s in self.sockets:
            s.close()

    def run(self):
        while not self.ended:
            left = self.waiting[0][0] - time.monotonic() if self.waiting else 0.2
            for s in select.select(self.sockets, [], [], min(0.2, max(0.0, left)))[0]:
                self._read(s)
            while self.waiting and self.waiting[0][0] <= time.monotonic():
                self._out(*heapq.heappop(self.waiting)[2:])

    def _read(self, s):
        for _ in range(64):
            try:
                frame, where = s.recvfrom(65536)
            except OSError:
                return
            if where[2] == OUTGOING:
                continue
            if len(frame) < 34 or frame[12:14] != b"\x08\x00" or frame[23] != PFSYNC:
                self._out(s, frame)
                continue
            self.passed += 1
            if self.dice.random() < self.loss:
                self.lost += 1
                continue
            twice = self.dice.random() < self.double
            self.doubled += twice
            for _ in range(1 + twice):
                if self.dice.random() < self.late:
                    self.delayed += 1
                    due = time.monotonic() + self.dice.uniform(0.002, self.delay)
                    heapq.heappush(self.waiting, (due, next(self.order), s, frame))
                else:
                    self._out(s, frame)

    def _out(self, origin, frame):
        for s in self.sockets:
            if s is not origin:
                try:
                    s.send(frame)
                except OSError:                         # that port is down
                    pass
