#!/usr/bin/python3
"""Small traffic for the tests, run on a lab host. Prints its result as JSON on SIGTERM or at its end.

udp OWN PEER PORT    sends one datagram a millisecond to PEER and lists when datagrams arrived (ns)
send HOST PORT BYTES TCP; prints nothing
receive PORT         TCP; one connection: bytes, first_ns, last_ns
"""
import json
import signal
import socket
import sys
import time


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def udp(own, peer, port):
    done = []
    signal.signal(signal.SIGTERM, lambda *_: done.append(1))
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((own, int(port)))
    s.setblocking(False)
    arrived, sent_at = [], now_ns()
    print('ready', flush=True)
    while not done:
        try:
            s.sendto(b'x', (peer, int(port)))
        except OSError:
            pass  # nobody there yet
        sent_at += 1_000_000
        while now_ns() < sent_at and not done:
            try:
                s.recv(10)
                arrived.append(now_ns())
            except BlockingIOError:
                time.sleep(0.0002)
            except OSError:
                pass
    print(json.dumps(arrived))


def send(host, port, count):
    s = socket.create_connection((host, int(port)), 5)
    block, left = b'x' * 65536, int(count)
    while left > 0:
        left -= s.send(block[: min(left, 65536)])


def receive(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(('', int(port)))
    listener.listen(1)
    print('ready', flush=True)
    s, count, first, last, room = listener.accept()[0], 0, 0, 0, bytearray(1 << 20)
    while n := s.recv_into(room):
        last = now_ns()
        first = first or last
        count += n
    print(json.dumps({'bytes': count, 'first_ns': first, 'last_ns': last}))


{'udp': udp, 'send': send, 'receive': receive}[sys.argv[1]](*sys.argv[2:])
