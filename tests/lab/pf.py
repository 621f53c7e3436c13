# SPDX-License-Identifier: GPL-2.0-or-later
"""A pf of the laboratory: speaks pfsync on a raw socket in any of the four layouts, keeps what it hears.

It has no packet filter behind it: states are told to the daemon as a pf would tell them, and what the daemon says is
written down. A half of a flow is the class Half.
"""
import collections
import ipaddress
import itertools
import socket
import struct
import threading
import time

from lib import PF, TCP, UDP, SO_RCVBUFFORCE, inside, wait_for

GROUP, PROTOCOL = "224.0.0.240", 240
CLR, INS, INS_ACK, UPD, UPD_C, UPD_REQ, DEL_C, BUS, EOF = 0, 1, 2, 3, 4, 5, 7, 10, 12
NAMES = {CLR: "CLR", INS_ACK: "INS_ACK", UPD_C: "UPD_C", UPD_REQ: "UPD_REQ", DEL_C: "DEL_C", BUS: "BUS", EOF: "EOF"}
HOSTID = bytes.fromhex("0badcafe")
SLOPPY, ACK = 0x02, 0x10
ESTABLISHED = 4

# header version, numbers of INS and UPD, size of a state and of a key; offsets in the state, tables: of rtableid
Form = collections.namedtuple("Form", "version ins upd size key src rule creation creator af proto flags timeout direction tables af6")
FORMS = {
    "freebsd-13": Form(5, 1, 3, 242, 36, 96, 176, 188, 228, 232, 233, 238, 239, 234, (), 28),
    "freebsd-14": Form(5, 13, 14, 277, 36, 96, 176, 188, 228, 232, 233, 235, 239, 234, (250,), 28),
    "freebsd-15": Form(5, 15, 16, 360, 36, 96, 176, 188, 228, 344, 347, 332, 350, 351, (328,), 28),
    "openbsd": Form(6, 13, 14, 264, 40, 104, 184, 196, 236, 250, 251, 260, 255, 252, (240, 244), 24),
}
SO_TIMESTAMPNS = 35
SIZES = {CLR: 20, INS_ACK: 12, UPD_C: 84, UPD_REQ: 12, DEL_C: 12, BUS: 12, EOF: 0}

# side: (state, seqlo) of src and dst; keys: direction, wire, stack, protocol; of src and dst: seqdiff, and the tags of SCTP;
# of full states the interface and the whole record
Said = collections.namedtuple("Said", "time action name side flags keys seqdiff tags timeout ifname record", defaults=(None,) * 5)


class Half:
    """One pf state: direction 1 is in, 2 is out; keys are two pairs of (address, port), wire and stack."""
    numbers = itertools.count(1)

    def __init__(self, direction, wire, stack=None, proto=TCP, states=(ESTABLISHED, ESTABLISHED), timeout=None, flags=0,
                 seqlo=(1000, 2000), creator=HOSTID, seqdiff=(0, 0), tags=(0, 0), ifname="all", options=()):
        """options: (offset, bytes) of what else stands in the record."""
        self.direction, self.wire, self.stack, self.proto = direction, wire, stack or wire, proto
        self.states, self.flags, self.seqlo, self.creator, self.seqdiff = states, flags, seqlo, creator, seqdiff
        self.tags, self.ifname, self.options = tags, ifname, options
        self.timeout = {TCP: 2, UDP: 8}.get(proto, 10) if timeout is None else timeout
        self.id = struct.pack("!II", 0x5e8f2a01, next(self.numbers))

    @property
    def name(self):
        return self.id + self.creator

    def side(self, n):
        if self.proto != TCP and not self.tags[n]:
            return struct.pack("!24xB7x", self.states[n])
        tag = struct.pack("!HBB", 0, 0, self.tags[n] != 0) + struct.pack("<I", self.tags[n])
        return tag + struct.pack("!IIIHHBB6x", self.seqlo[n], (self.seqlo[n] + 65535) & 0xffffffff, self.seqdiff[n],
                                 512, 0, self.states[n], 0x87)

    def full(self, form):
        data = bytearray(form.size)
        data[0:8], data[8:24] = self.id, self.ifname.encode().ljust(16, b"\0")
        families = [form.af6 if ":" in key[0][0] else socket.AF_INET for key in (self.wire, self.stack)]
        af = families[0]
        for i, key in enumerate((self.wire, self.stack)):
            at = 24 + i * form.key
            for j, (address, port) in enumerate(key):
                raw = ipaddress.ip_address(address).packed
                data[at + 16 * j:at + 16 * j + len(raw)] = raw
                struct.pack_into("!H", data, at + 32 + 2 * j, port)
            if form.version == 6:
                data[at + 38] = families[i]             # another one than the wire's: af-to
        data[form.src:form.src + 64] = self.side(0) + self.side(1)
        struct.pack_into("!iiiII", data, form.rule, 0, -1, -1, 3, 0)
        data[form.creator:form.creator + 4] = self.creator
        data[form.af], data[form.proto], data[form.direction] = af, self.proto, self.direction
        if form.size == 360:
            data[form.af + 1], data[form.proto + 1] = families[1], self.proto
        for at in form.tables:
            struct.pack_into("!i", data, at, -1)
        if form.tables:
            struct.pack_into("!H", data, form.flags, self.flags)
        else:
            data[form.flags] = self.flags
        data[form.timeout] = self.timeout
        for at, value in self.options:
            data[at:at + len(value)] = value
        return bytes(data)

    def compressed(self):
        return self.id + self.side(0) + self.side(1) + self.creator + struct.pack("!IB3x", 0, self.timeout)


def halves(src, sport, dst, dport, snat=None, **more):
    """Both states of a connection through the firewall; snat: (address, port) that its source becomes."""
    outside = snat or (src, sport)
    return [Half(1, ((src, sport), (dst, dport)), **more),
            Half(2, ((dst, dport), outside), ((dst, dport), (src, sport)), **more)]


class Pf:
    """The peer on the sync link. Everything heard is in .heard; bulk requests are answered with .states."""

    def __init__(self, lab, dialect="freebsd-13", answer=True, hostid=HOSTID, acknowledge=False, name="pf", address=PF,
                 beside=()):
        """acknowledge: each INS that asks for it; beside: addresses of others that are no daemons: not written down."""
        self.lab, self.hostid, self.acknowledge = lab, hostid, acknowledge
        self.name, self.address, self.beside = name, address, {address, *beside}
        self.form, self.dialect, self.heard, self.states, self.answer = FORMS[dialect], dialect, [], [], answer
        with inside(lab.ns(name)):
            index = socket.if_nametoindex("sync")
            self.out = socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL)
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, PROTOCOL)
            self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                                 struct.pack("4s4si", socket.inet_aton(GROUP), socket.inet_aton(address), index))
            self.out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF,
                                struct.pack("4s4si", b"\0" * 4, socket.inet_aton(address), index))
        self.out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 25)
        self.ttl(255)
        self.packets = self.bytes = 0
        self.sizes, self.section = [], 0                # of IP packets; of the longest section
        self.ended = False
        self.thread = threading.Thread(target=self._listen, daemon=True)
        self.thread.start()
        lab.closers.append(self.close)

    def ttl(self, value):
        self.out.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, value)

    def close(self):
        self.ended = True
        self.thread.join(1)
        self.sock.close()
        self.out.close()

    # -- saying

    def frame(self, sections):
        """sections: (action number, [message bytes])."""
        body = b""
        for action, messages in sections:
            words = len(messages[0]) // 4 if self.form.version == 6 and messages else 0
            body += struct.pack("!BBH", action, words, len(messages)) + b"".join(messages)
        if self.form.version == 5:
            body += struct.pack("!BBH", EOF, 0, 1)
        return struct.pack("!BBH16x", self.form.version, 0, 20 + len(body)) + body

    def say_raw(self, payload):
        self.out.sendto(payload, (GROUP, 0))

    def say_as(self, source, payload):
        """A packet that claims to be from that address."""
        with inside(self.lab.ns(self.name)):
            s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
            index = socket.if_nametoindex("sync")
        header = struct.pack("!BBHHHBBH4s4s", 0x45, 0x10, 20 + len(payload), 0, 0x4000, 255, PROTOCOL, 0,
                             socket.inet_aton(source), socket.inet_aton(GROUP))
        with s:
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("4s4si", bytes(4), bytes(4), index))
            s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
            s.sendto(header + payload, (GROUP, 0))

    def say(self, *sections):
        self.say_raw(self.frame(sections))

    def insert(self, *all_halves, action=None):
        """INS of these states, a few to a packet."""
        for i in range(0, len(all_halves), 4):
            self.say((action or self.form.ins, [h.full(self.form) for h in all_halves[i:i + 4]]))
            if i % 64 == 60:
                time.sleep(0.002)

    def update(self, *all_halves):
        for i in range(0, len(all_halves), 12):
            self.say((UPD_C, [h.compressed() for h in all_halves[i:i + 12]]))

    def delete(self, *all_halves):
        self.say((DEL_C, [h.name for h in all_halves]))

    # -- hearing

    def _listen(self):
        self.sock.settimeout(0.2)
        self.sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        while not self.ended:
            try:
                packet, notes, _, who = self.sock.recvmsg(65536, 64)
            except OSError:
                continue
            if who[0] in self.beside:
                continue
            self.packets, self.bytes = self.packets + 1, self.bytes + len(packet)
            self.sizes.append(len(packet))
            seconds, ns = next((struct.unpack("=qq", data[:16]) for _, kind, data in notes if kind == SO_TIMESTAMPNS), (0, 0))
            age = time.time() - (seconds + ns / 1e9) if seconds else 0      # it may have waited for us for long
            self._read(packet[(packet[0] & 15) * 4:], time.monotonic() - age)

    def _read(self, data, now):
        if len(data) < 20 or data[0] != self.form.version:
            return
        at, end, bulk, acks = 20, struct.unpack_from("!H", data, 2)[0], False, []
        while at + 4 <= min(end, len(data)):
            action, _, count = struct.unpack_from("!BBH", data, at)
            at += 4
            full = action in (self.form.ins, self.form.upd)
            size = self.form.size if full else SIZES.get(action)
            if size is None:
                return
            self.section = max(self.section, 4 + size * count)
            for i in range(count if size else 0):
                m = data[at:at + size]
                at += size
                if action == BUS and i:
                    continue                            # a pf reads the first of a section only
                if full:
                    m = self._full("INS" if action == self.form.ins else "UPD", m, now)
                elif action == UPD_C:
                    m = Said(now, "UPD_C", m[0:8] + m[72:76], sides(m[8:72]), None, None, seqdiffs(m[8:72]),
                             tags(m[8:72]), m[80])
                else:
                    bulk = bulk or (action == UPD_REQ and not any(m))
                    m = Said(now, NAMES[action], m[0:12], None, None, None)
                self.heard.append(m)
                if m.action == "INS" and m.flags & ACK and self.acknowledge:
                    acks.append(m.name)
        if acks:
            self.say((INS_ACK, acks))
        if bulk and self.answer:
            self.say((BUS, [self.hostid + struct.pack("!IB3x", 0, 1)]))
            self.insert(*self.states, action=self.form.upd)
            self.say((BUS, [self.hostid + struct.pack("!IB3x", 0, 2)]))

    def _full(self, action, m, now):
        form = self.form
        flags = struct.unpack_from("!H", m, form.flags)[0] if form.tables else m[form.flags]
        keys = []
        for at in (24, 24 + form.key):
            width = 4 if m[at + 38 if form.version == 6 else form.af] == socket.AF_INET else 16
            keys.append(tuple((str(ipaddress.ip_address(m[at + 16 * j:at + 16 * j + width])),
                               struct.unpack_from("!H", m, at + 32 + 2 * j)[0]) for j in (0, 1)))
        return Said(now, action, m[0:8] + m[form.creator:form.creator + 4], sides(m[form.src:form.src + 64]), flags,
                    (m[form.direction], *keys, m[form.proto]), seqdiffs(m[form.src:form.src + 64]),
                    tags(m[form.src:form.src + 64]), m[form.timeout], m[8:24].rstrip(b"\0").decode("latin-1"), m)

    def said(self, *actions, name=None, since=0, where=None):
        """What was heard since that position in .heard."""
        return [s for s in self.heard[since:] if (not actions or s.action in actions) and (name is None or s.name == name)
                and (where is None or where(s))]

    def wait(self, *actions, seconds=5, text=None, **how):
        return wait_for(lambda: self.said(*actions, **how), seconds,
                        text or f"the daemon did not say {' or '.join(actions)}")[0]

    def mark(self):
        return len(self.heard)


def sides(data):
    return tuple((data[24 + o], struct.unpack_from("!I", data, 8 + o)[0]) for o in (0, 32))


def seqdiffs(data):
    return tuple(struct.unpack_from("!I", data, 16 + o)[0] for o in (0, 32))


def tags(data):
    """Verification tags: a little-endian pf sends their bytes turned round."""
    return tuple(struct.unpack_from("<I", data, 4 + o)[0] for o in (0, 32))
