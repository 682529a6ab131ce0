#!/usr/bin/python3
"""A client of the lab's network guest, run on the switch: `net_client.py talk|echo`, until its standard input ends.

talk: the guest sends numbered records every 2 ms, over TCP and over UDP. echo: we send them every 10 ms, the guest
answers and says nothing of its own. Says "ready" when both flow, in the end one JSON object:
  tcp, udp  the arrivals, [[mono_ns, number], ...], in their order (of TCP: record after record, which is checked)
  asked     mono_ns of every UDP record that was sent
  broken    what ended the TCP connection, or null
  moved     [[mono_ns, host, "rarp" or "arp"], ...]: frames with the guest's address by which a switch learns where it
            is; rarp: QEMU's announcements, arp: the guest's own
  passed    [[mono_ns, host, "to" or "from", "tcp" or "udp"], ...]: records to the guest, from it, at the switch's port
            of that host; a segment without one (an acknowledgement) is none
  until     mono_ns of the end
"""
import ctypes
import json
import os
import select
import socket
import struct
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lab', 'lib'))
from lab_bridge import GUEST_ADDRESS, GUEST_MAC, TCP_PORT, UDP_PORT  # noqa: E402

RECORD = struct.Struct('<QQ')
EVERY_NS = 10_000_000  # What is asked while the guest stands comes in one burst, which emulation makes dear.
SO_TIMESTAMPNS = 35
FLOWING = 100  # Records of each kind before "ready".


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


class Tcp:
    def __init__(self, echo):
        self.socket = socket.create_connection((GUEST_ADDRESS, TCP_PORT), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(b'E' if echo else b'T')
        self.socket.setblocking(False)
        self.buffer, self.next, self.arrivals, self.broken = b'', 0, [], None

    def send(self, number):
        try:
            if self.socket.send(RECORD.pack(number, 0)) != RECORD.size:
                self.broken = 'the send buffer is full'
        except OSError as error:
            self.broken = str(error)

    def receive(self):
        try:
            data = self.socket.recv(65536)
        except OSError as error:
            self.broken = str(error)
            return
        if not data:
            self.broken = 'the guest closed the connection'
        self.buffer += data
        now = now_ns()
        while len(self.buffer) >= RECORD.size and not self.broken:
            number, _ = RECORD.unpack_from(self.buffer)
            self.buffer = self.buffer[RECORD.size:]
            if number != self.next:
                self.broken = f'record {number} came where {self.next} was due'
            self.next += 1
            self.arrivals.append((now, number))


class Udp:
    def __init__(self, echo):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.connect((GUEST_ADDRESS, UDP_PORT))
        self.socket.setblocking(False)
        self.arrivals, self.asked = [], []
        if not echo:
            self.socket.send(b'T')

    def send(self, number):
        self.socket.send(RECORD.pack(number, 0))
        self.asked.append(now_ns())

    def receive(self):
        try:
            data = self.socket.recv(2048)
        except ConnectionRefusedError:
            return
        self.arrivals.append((now_ns(), RECORD.unpack(data)[0]))


def port_socket(host, one_type, other_type):
    """The switch's port of one host, both ways, the first bytes of frames of two ethertypes."""
    port = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    # Load the ethertype; one of the two: the first 64 bytes; anything else: nothing.
    code = b''.join(struct.pack('=HBBI', *line) for line in (
        (0x28, 0, 0, 12), (0x15, 1, 0, one_type), (0x15, 0, 1, other_type), (0x06, 0, 0, 64), (0x06, 0, 0, 0)))
    kept = ctypes.create_string_buffer(code)
    program = struct.pack('HL', len(code) // 8, ctypes.addressof(kept))
    port.setsockopt(socket.SOL_SOCKET, 26, program)  # SO_ATTACH_FILTER
    port.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    port.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    port.bind((f'to-{host}', 0x0003))  # ETH_P_ALL: others are not heard on a bridge's port.
    port.setblocking(False)
    return port


def record_kind(frame):
    """tcp, udp, or None for what carries no record. From an IPv4 frame's first 64 bytes."""
    header = (frame[14] & 15) * 4
    if frame[23] == socket.IPPROTO_UDP:
        return 'udp'
    start = 14 + header
    if frame[23] != socket.IPPROTO_TCP or len(frame) < start + 13:
        return None
    carried = int.from_bytes(frame[16:18]) - header - (frame[start + 12] >> 4) * 4
    return 'tcp' if carried > 0 else None


class Traffic:
    """What passes the switch's port of one host. The kernel keeps it with its time: nobody reads before the end."""

    def __init__(self, host):
        self.host, self.socket = host, port_socket(host, 0x0800, 0x0800)

    def passed(self):
        real_to_mono_ns = now_ns() - time.clock_gettime_ns(time.CLOCK_REALTIME)
        guest = bytes.fromhex(GUEST_MAC.replace(':', ''))
        while True:
            try:
                frame, notes, _, place = self.socket.recvmsg(64, 64)
            except BlockingIOError:
                return
            seconds, ns = struct.unpack('qq', notes[0][2])
            outgoing = place[2] == socket.PACKET_OUTGOING
            kind = record_kind(frame)
            if kind and (frame[:6] == guest and outgoing or frame[6:12] == guest and not outgoing):
                yield (seconds * 1_000_000_000 + ns + real_to_mono_ns, self.host, 'to' if outgoing else 'from', kind)


class Port:
    """The switch's port of one host: what arrives there, RARP and ARP alone."""

    def __init__(self, host):
        self.host, self.seen = host, []
        self.socket = port_socket(host, 0x8035, 0x0806)

    def receive(self):
        frame, place = self.socket.recvfrom(2048)
        if frame[6:12] == bytes.fromhex(GUEST_MAC.replace(':', '')) and place[2] != socket.PACKET_OUTGOING:
            self.seen.append((now_ns(), self.host, 'rarp' if frame[12:14] == b'\x80\x35' else 'arp'))


def main(mode):
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(3))
    echo = mode == 'echo'
    tcp, udp = Tcp(echo), Udp(echo)
    number, due, ready = 0, now_ns(), False
    ports, traffic = [Port('a'), Port('b')], [Traffic('a'), Traffic('b')]
    waits = {one.socket: one for one in (tcp, udp, *ports)}
    while True:
        if echo and now_ns() >= due:
            due = max(due + EVERY_NS, now_ns())
            if not tcp.broken:
                tcp.send(number)
            udp.send(number)
            number += 1
        pause = max(0, due - now_ns()) / 1e9 if echo else 1
        for one in select.select([*waits, sys.stdin], [], [], pause)[0]:
            if one is sys.stdin:
                moved = sorted(frame for port in ports for frame in port.seen)
                print(json.dumps({'tcp': tcp.arrivals, 'udp': udp.arrivals, 'until': now_ns(), 'broken': tcp.broken,
                                  'moved': moved, 'asked': udp.asked,
                                  'passed': sorted(f for one in traffic for f in one.passed())}))
                return
            waits[one].receive()
            if tcp.broken:
                waits.pop(tcp.socket, None)
        if not ready and min(len(tcp.arrivals), len(udp.arrivals)) >= FLOWING:
            ready = True
            print('ready', flush=True)


main(*sys.argv[1:])
