# SPDX-License-Identifier: GPL-2.0-or-later
"""Paced, hashed traffic between client and server that knows its gaps, and quiet connections that answer when asked."""
import contextlib
import errno
import hashlib
import itertools
import os
import selectors
import socket
import struct
import threading
import time

from lib import PORT, SERVER, Fail, Gaps, check, inside

CHUNK, TICK, SAMPLE = 1 << 16, 0.004, 0.1
DATAGRAM, ACK_EACH = 1400, 16
NOISE = os.urandom(CHUNK)


class Ends:
    """The server's sockets; pairs each connection of the client with its other end, whatever NAT did to it."""

    def __init__(self, lab):
        self.lab, self.numbers = lab, itertools.count(10001)
        with inside(lab.ns("server")):
            self.tcp, self.udp = (socket.socket(socket.AF_INET6, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM))
        for s in (self.tcp, self.udp):
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("::", PORT))
            lab.closers.append(s.close)
        self.tcp.listen(2048)
        self.tcp.settimeout(10)
        self.udp.setblocking(False)
        self.udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)

    def client(self, kind, dst, source=None):
        v6 = ":" in dst
        with inside(self.lab.ns("client")):
            s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, kind)
        s.settimeout(10)
        while True:                                     # no port comes twice: what ended may still be known somewhere
            try:
                s.bind((source or "", next(self.numbers)))
                return s
            except OSError as e:
                if e.errno != errno.EADDRINUSE:
                    raise

    def connect(self, dst=SERVER, port=PORT, source=None):
        """(client's socket, server's socket, client's port)"""
        s, word = self.client(socket.SOCK_STREAM, dst, source), os.urandom(8)
        try:
            s.connect((dst, port))
            s.sendall(word)
            while True:
                c, _ = self.tcp.accept()
                c.settimeout(10)
                if c.recv(8, socket.MSG_WAITALL) == word:
                    return s, c, s.getsockname()[1]
                c.close()
        except OSError as e:
            s.close()
            raise Fail(f"no connection to {dst} port {port}: {e}") from None


def retransmissions(s):
    """tcpi_total_retrans of a socket, closed by its peer or not."""
    with contextlib.suppress(OSError):
        info = s.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        return struct.unpack_from("=I", info, 100)[0]
    return 0


def abort(s):
    """Closes it with a reset, which nobody repeats into the next cell."""
    with contextlib.suppress(OSError):
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


class Pipe:
    """One direction of a connection."""

    def __init__(self, sender, receiver, name):
        self.sender, self.receiver, self.name = sender, receiver, name
        self.sent = self.got = self.owed = 0
        self.sums = hashlib.sha256(), hashlib.sha256()
        self.gaps, self.lost, self.ended, self.closed = Gaps(), None, False, False
        self.left = b""

    def send(self, amount):
        """So many more bytes are due; sends what the socket takes."""
        self.owed += amount
        while self.owed >= 4096 or self.left:
            data = self.left or struct.pack("!Q", self.sent) + NOISE[8:max(8, min(CHUNK, int(self.owed)))]
            try:
                n = self.sender.send(data)
            except BlockingIOError:
                n = 0
            except OSError as e:
                self.lost = self.lost or f"{self.name}: {e.strerror or e}"
                return
            self.sums[0].update(data[:n])
            self.sent += n
            self.owed -= n
            self.left = data[n:]
            if self.left:
                self.owed = min(self.owed, 4 * CHUNK)   # no burst after a standstill
                return

    def end(self):
        if not self.closed and not self.left:
            self.closed = True
            with contextlib.suppress(OSError):
                self.sender.shutdown(socket.SHUT_WR)

    def receive(self):
        try:
            data = self.receiver.recv(4 * CHUNK)
        except BlockingIOError:
            return 0
        except OSError as e:
            self.lost = self.lost or f"{self.name}: {e.strerror or e}"
            return 0
        if not data:
            self.ended = True
            return 0
        self.sums[1].update(data)
        self.got += len(data)
        self.gaps.beat()
        return len(data)

    def verdict(self):
        """None, or what is wrong with it at the end."""
        if self.lost:
            return self.lost
        if not self.ended:
            return f"{self.name}: stands still after {self.got} bytes"
        if self.got != self.sent or self.sums[0].digest() != self.sums[1].digest():
            return f"{self.name}: what came is not what was sent ({self.got} of {self.sent} bytes)"
        return None


class Datagrams:
    """A UDP stream to the server, which answers each 16th datagram."""

    def __init__(self, ends, dst):
        self.ends, self.sock, self.word = ends, ends.client(socket.SOCK_DGRAM, dst), os.urandom(8)
        self.sock.connect((dst, PORT))
        self.sock.setblocking(False)
        self.port, self.sent, self.got, self.acks, self.owed = self.sock.getsockname()[1], 0, 0, 0, 0
        self.there, self.back, self.lost = Gaps(), Gaps(), None

    def send(self, amount):
        self.owed = min(self.owed + amount, 64 * DATAGRAM)
        while self.owed >= DATAGRAM:
            self.owed -= DATAGRAM
            with contextlib.suppress(OSError):
                self.sock.send(self.word + struct.pack("!I", self.sent) + NOISE[:DATAGRAM - 12])
            self.sent += 1

    def receive(self):
        """Bytes that came to the server."""
        total = 0
        for _ in range(256):
            try:
                data, who = self.ends.udp.recvfrom(2048)
            except OSError:
                break
            if data[:8] != self.word:
                continue
            self.got, total = self.got + 1, total + len(data)
            self.there.beat()
            if self.got % ACK_EACH == 0:
                with contextlib.suppress(OSError):
                    self.ends.udp.sendto(data[:12], who)
        with contextlib.suppress(OSError):
            while self.sock.recv(64):
                self.acks += 1
                self.back.beat()
        return total


class Traffic(threading.Thread):
    """All flows of one run, sent and received by one thread; received bytes are noted ten times a second."""

    def __init__(self, ends, rate):
        super().__init__(daemon=True)
        self.ends, self.rate, self.pipes, self.stream, self.socks = ends, rate, [], None, []
        self.ports, self.total, self.samples, self.stopping = set(), 0, [], False
        self.begin, self.halt = time.monotonic(), threading.Event()

    def tcp(self, down, up, count=1, dst=SERVER, port=PORT):
        for n in range(count):
            c, s, sport = self.ends.connect(dst, port)
            self.socks += [c, s]
            self.ports.add(sport)
            if down:
                self.pipes.append(Pipe(s, c, f"download {sport}"))
            if up:
                self.pipes.append(Pipe(c, s, f"upload {sport}"))
            for end in (c, s):
                end.setblocking(False)
        return self

    def udp(self, dst=SERVER):
        self.stream = Datagrams(self.ends, dst)
        self.ports.add(self.stream.port)
        return self

    def run(self):
        choose, readers = selectors.DefaultSelector(), {}
        for pipe in self.pipes:
            readers[pipe.receiver.fileno()] = pipe
            choose.register(pipe.receiver, selectors.EVENT_READ, pipe)
            pipe.gaps.last = time.monotonic()
        if self.stream:
            choose.register(self.ends.udp, selectors.EVENT_READ, self.stream)
            self.stream.there.last = self.stream.back.last = time.monotonic()
        # Many flows share the rate of one; two directions have one each.
        share = self.rate / max(1, len(self.pipes) if len(self.pipes) > 2 else 1)
        last = sampled = self.begin
        while not self.halt.is_set():
            for key, _ in choose.select(TICK):
                self.total += key.data.receive()
                if getattr(key.data, "ended", False) or (key.data is not self.stream and key.data.lost):
                    choose.unregister(key.fileobj)
            now = time.monotonic()
            for flow in [*self.pipes, *([self.stream] if self.stream else [])]:
                if flow.lost:
                    continue
                if not self.stopping:
                    flow.send(share * (now - last))
                elif flow is not self.stream:
                    flow.owed = 0
                    flow.send(0)
                    flow.end()
            last = now
            if now - sampled >= SAMPLE:
                sampled = now
                self.samples.append((round(now - self.begin, 3), self.total))

    def progress(self):
        """Bytes that each direction has received: a leg asks for its share in every one."""
        if self.stream:
            return [self.stream.got * DATAGRAM, self.stream.acks * DATAGRAM * ACK_EACH]
        if len(self.pipes) > 2:
            return [sum(p.got for p in self.pipes)]
        return [p.got for p in self.pipes]

    def problem(self):
        return next((p.lost for p in self.pipes if p.lost), None)

    def leg(self, amount, seconds, patience):
        """Until so many bytes more have come, but so many seconds at least; the text of what is wrong, or None."""
        before, begin, moved, best = self.progress(), time.monotonic(), time.monotonic(), 0
        while True:
            now, done = time.monotonic(), min(a - b for a, b in zip(self.progress(), before))
            if self.problem():
                return self.problem()
            if done >= amount and now - begin >= seconds:
                return None
            if done > best:
                best, moved = done, now
            elif now - moved > patience:
                return f"stands still after {done / 1e6:.1f} MB of this leg"
            time.sleep(0.02)

    def finish(self, seconds=15):
        """Stops sending, waits for the rest; everything that is wrong, as texts."""
        self.stopping, end = True, time.monotonic() + seconds
        while time.monotonic() < end and not all(p.ended or p.lost for p in self.pipes):
            time.sleep(0.02)
        if self.stream:
            time.sleep(0.3)
        self.halt.set()
        self.join(5)
        return [v for v in (p.verdict() for p in self.pipes) if v]

    def gap(self):
        """Milliseconds; what the pace itself makes of many flows is in it."""
        if self.stream:
            return max(self.stream.there.milliseconds(), self.stream.back.milliseconds())
        return max((p.gaps.milliseconds() for p in self.pipes), default=0)

    def repeated(self):
        return sum(retransmissions(s) for s in self.socks)

    def close(self):
        self.halt.set()
        if self.is_alive():
            self.join(5)
        for s in self.socks + ([self.stream.sock] if self.stream else []):
            abort(s)


class Quiet:
    """TCP connections that say nothing until they are asked to."""

    def __init__(self, ends, count, dst=SERVER, port=PORT, source=None):
        self.pairs = [ends.connect(dst, port, source) for _ in range(count)]
        self.ports, self.words = {p for _, _, p in self.pairs}, 0

    def exchange(self, seconds=10):
        """A word from each client and its answer; {port: why not} of those that failed, and the slowest in ms."""
        self.words += 1
        word, begin, failed, slowest = b"word %06d" % self.words, time.monotonic(), {}, 0.0
        choose = selectors.DefaultSelector()
        for c, s, port in self.pairs:
            c.setblocking(False)
            s.setblocking(False)
            try:
                c.send(word)
                choose.register(s, selectors.EVENT_READ, (s, c, port, "there"))
            except OSError as e:
                failed[port] = e.strerror or str(e)
        while choose.get_map() and time.monotonic() - begin < seconds:
            for key, _ in choose.select(0.1):
                end, other, port, way = key.data
                choose.unregister(key.fileobj)
                try:
                    data = end.recv(100)
                    check(data == word, f"{data[:30]!r} came in place of {word!r}" if data else "closed")
                    if way == "there":
                        end.send(word)
                        choose.register(other, selectors.EVENT_READ, (other, end, port, "back"))
                    else:
                        slowest = max(slowest, time.monotonic() - begin)
                except (OSError, Fail) as e:
                    failed[port] = str(e)
        for key in list(choose.get_map().values()):
            failed[key.data[2]] = "no answer"
        choose.close()
        return failed, round(1000 * slowest)

    def repeated(self):
        return sum(retransmissions(s) for c, d, _ in self.pairs for s in (c, d))

    def close(self):
        for c, s, _ in self.pairs:
            abort(c)
            abort(s)
