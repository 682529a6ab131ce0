#!/usr/bin/env python3
"""Plays Segue for test_guard.py: starts segue-guard, moves a guest as far as it was told, stays there.

Its own process, so that it can be killed or stopped like Segue. One argument: the job as JSON (see
`StandIn`). One line of JSON on standard output says that it is there. It is also the test's QMP client
and its view of the board.
"""
import contextlib
import json
import mmap
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time

# guard/board.hpp; board_test.cpp holds these places.
VERDICT, STAGE, PASS, RAN_AT, BUDGET, SOURCE_RUNS, STOOD = 8, 12, 16, 24, 32, 40, 44
PUT_BACK_LENGTH, PUT_BACK = 48, 52
GUARD_STATE = 52 + 16 * 1024
REASON, OWN, LATENESS, ROUND_TRIP, RESUMED = (GUARD_STATE + n for n in (4, 8, 12, 20, 28))
BOARD_BYTES = GUARD_STATE + 44
STAGES = {'idle': 0, 'copying': 1, 'switching': 2, 'held': 3, 'continued': 4, 'loaded': 5, 'undoing': 6,
          'over': 7}
BOARD_STATES = {'watching': 1, 'rolled_back': 3, 'needs_help': 4, 'failed': 5}
SO_MAX_PACING_RATE = 47


def now_ns():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Board:
    def __init__(self, fd=None):
        self.fd = os.memfd_create('segue-board') if fd is None else fd
        if fd is None:
            os.ftruncate(self.fd, BOARD_BYTES)
        self.map = mmap.mmap(self.fd, BOARD_BYTES)
        if fd is None:
            struct.pack_into('=II', self.map, 0, 0x53475545, 1)

    def u32(self, at, value=None):
        if value is not None:
            struct.pack_into('=I', self.map, at, value)
        return struct.unpack_from('=I', self.map, at)[0]

    def i64(self, at, value=None):
        if value is not None:
            struct.pack_into('=q', self.map, at, value)
        return struct.unpack_from('=q', self.map, at)[0]


class Qmp:
    def __init__(self, path, timeout=10):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(timeout)
        deadline = time.monotonic() + timeout
        while True:
            try:
                self.sock.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.005)
        self.buffer = b''
        self.events = []
        self.number = 0
        self.message()
        self.cmd('qmp_capabilities')

    def message(self):
        while b'\n' not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError
            self.buffer += data
        line, self.buffer = self.buffer.split(b'\n', 1)
        return json.loads(line)

    def take(self, seconds):
        """Events that arrive within `seconds` (at least what is there)."""
        while b'\n' in self.buffer or select.select([self.sock], [], [], seconds)[0]:
            message = self.message()
            if 'event' in message:
                self.events.append(message)
                return message
        return None

    def send(self, name, args=None, fds=()):
        self.number += 1
        command = {'execute': name, 'id': self.number, **({'arguments': args} if args else {})}
        text = json.dumps(command).encode()
        if fds:
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack('i', fds[0]))
            self.sock.sendmsg([text], [rights])
        else:
            self.sock.sendall(text)

    def cmd(self, name, args=None, fds=()):
        self.send(name, args, fds)
        while True:
            message = self.message()
            if 'event' in message:
                self.events.append(message)
            elif message.get('id') != self.number:
                continue  # The answer to something that was only sent.
            elif 'error' in message:
                raise RuntimeError(f"{name}: {message['error']['desc']}")
            else:
                return message['return']

    def wait_event(self, name, seconds, status=None):
        deadline = time.monotonic() + seconds
        seen = 0
        while True:
            for event in self.events[seen:]:
                if event['event'] == name and status in (None, event.get('data', {}).get('status')):
                    return event
            seen = len(self.events)
            left = deadline - time.monotonic()
            if left <= 0:
                return None
            self.take(left)


def stamp_s(event):
    return event['timestamp']['seconds'] + event['timestamp']['microseconds'] * 1e-6


# What the stand-in switches on and the guardian must switch off again.
CAPS = ['return-path', 'events', 'pause-before-switchover']
SLOW, FAST = 40_000, 2_000_000_000


class StandIn:
    """job: guard, src, own (path or null), dst_pid, port, until, budget_s, brake; and, where wanted,
    helps (cancel when asked to), stop_dst, report_early, group (of a brake, made already: held to 5 %)."""

    def __init__(self, job):
        self.job = job
        self.board = Board()
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.src = Qmp(job['src'])
        pidfd, dst = os.pidfd_open(os.getpid()), os.pidfd_open(job['dst_pid'])
        words = [job['guard'], '--control', str(theirs.fileno()), '--board', str(self.board.fd),
                 '--segue-pidfd', str(pidfd), '--dst-pidfd', str(dst), '--src-monitor', job['src']]
        if job['own']:
            words += ['--guard-monitor', job['own']]
        began = time.monotonic()
        self.guard = subprocess.Popen(words, pass_fds=[theirs.fileno(), self.board.fd, pidfd, dst])
        theirs.close()
        assert self.ours.recv(1) == b'W'
        self.started_ms = (time.monotonic() - began) * 1000

    def say(self, word):
        print(json.dumps({'at': word, 'board_fd': self.board.fd, 'guard': self.guard.pid,
                          'started_ms': self.started_ms}), flush=True)

    def stage(self, name):
        self.board.u32(STAGE, STAGES[name])
        with contextlib.suppress(OSError):
            self.ours.send(b'D')

    def hand_over(self, kind, *fds):
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack(f'{len(fds)}i', *fds))
        self.ours.sendmsg([kind], [rights])

    def stay(self, word, running):
        """Until killed. As a healthy Segue that has nothing to say but that the guest runs."""
        self.say(word)
        self.ours.setblocking(False)
        while True:
            if running:
                self.board.i64(RAN_AT, now_ns())
            with contextlib.suppress(BlockingIOError):
                if self.ours.recv(1) == b'H' and self.job.get('helps'):
                    self.help()
            time.sleep(0.005)

    def help(self):
        self.stage('undoing')
        self.src.cmd('migrate_cancel')
        if self.src.wait_event('RESUME', 1):
            self.board.u32(SOURCE_RUNS, 1)

    def prepare(self):
        put_back = ''.join(json.dumps(line) + '\n' for line in [
            {'execute': 'migrate-set-capabilities', 'arguments': {'capabilities': [
                {'capability': name, 'state': False} for name in CAPS]}},
            {'execute': 'migrate-set-parameters', 'arguments': {
                'downtime-limit': 300, 'max-bandwidth': 128 << 20}},
        ]).encode()
        self.board.map[PUT_BACK:PUT_BACK + len(put_back)] = put_back
        self.board.u32(PUT_BACK_LENGTH, len(put_back))
        self.board.i64(RAN_AT, now_ns())
        self.board.i64(BUDGET, int(self.job['budget_s'] * 1e9))
        self.src.cmd('migrate-set-capabilities', {'capabilities': [
            {'capability': name, 'state': True} for name in CAPS]})
        self.src.cmd('migrate-set-parameters', {'downtime-limit': 1, 'max-bandwidth': 0})
        self.hand_over(b'F1', os.open(self.job['brake'], os.O_WRONLY))
        if 'group' in self.job:
            self.brake(self.job['group'])

    def brake(self, group):
        quota = os.open(os.path.join(group, 'cpu.cfs_quota_us'), os.O_WRONLY)
        self.hand_over(b'F1' + os.path.basename(group).encode(), quota, os.open(group, os.O_PATH | os.O_DIRECTORY))
        os.write(quota, b'1000\n')

    def open_stream(self):
        stream = socket.create_connection(('127.0.0.1', self.job['port']))
        # A small buffer, or the kernel takes all that is left and QEMU is not held up by the slow link.
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        rate = SLOW if self.job['until'] == 'copying' else FAST
        stream.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, rate)
        self.hand_over(b'S', stream.fileno())
        self.src.cmd('getfd', {'fdname': 'stream'}, fds=[stream.fileno()])
        return stream

    def run(self):
        until = self.job['until']
        self.prepare()
        if until == 'idle':
            self.stay('idle', running=True)
        if self.job.get('report_early'):
            self.say('start')
        stream = self.open_stream()
        self.stage('copying')
        self.src.cmd('migrate', {'uri': 'fd:stream'})
        if until == 'copying':
            time.sleep(0.1)
            self.stay('copying', running=True)
        while not self.src.wait_event('MIGRATION', 0.005, 'pre-switchover'):
            self.board.i64(RAN_AT, now_ns())
            self.board.u32(PASS, sum(event['event'] == 'MIGRATION_PASS' for event in self.src.events))
        self.stage('held')
        if until == 'held':
            self.stay('held', running=False)
        if until == 'continued':
            stream.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, SLOW)
        if self.job.get('stop_dst'):
            os.kill(self.job['dst_pid'], signal.SIGSTOP)
        self.stage('continued')
        self.src.send('migrate-continue', {'state': 'pre-switchover'})
        if until == 'continued':
            time.sleep(0.1)
            self.stay('continued', running=False)
        assert self.src.wait_event('MIGRATION', 20, 'completed')
        self.stage('loaded')
        self.stay('loaded', running=False)


if __name__ == '__main__':
    StandIn(json.loads(sys.argv[1])).run()
