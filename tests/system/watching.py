"""Watching a QEMU through its spare monitor, and link faults that act within a millisecond."""
import collections
import contextlib
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, 'lab', 'lib'))

import segue_lab  # noqa: E402

# stamp: QEMU's own, CLOCK_REALTIME in seconds; one machine, so both sides agree. seen_ns: CLOCK_MONOTONIC here.
Seen = collections.namedtuple('Seen', 'name data stamp seen_ns')


def mono_ns_of(stamp):
    """A QEMU stamp on the clock of the heartbeats."""
    return int(stamp * 1e9) - time.time_ns() + segue_lab.now_ns()


def hurry():
    """This thread shall not wait behind busy guests; what it starts does not inherit that."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(2))


class Watcher:
    """Holds a QEMU's spare monitor: keeps its events, calls hooks as they come, takes commands."""

    def __init__(self, vm):
        self.vm, self.events, self.ended = vm, [], False
        self._answers, self._number, self._hooks = {}, 0, []
        self._changed = threading.Condition()
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(vm.spare_qmp_path)
        self._buffer = b''
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.cmd('qmp_capabilities')

    def _read(self):
        hurry()
        while True:
            try:
                data = self._socket.recv(65536)
            except OSError:
                data = b''
            if not data:
                break
            self._buffer += data
            while b'\n' in self._buffer:
                line, self._buffer = self._buffer.split(b'\n', 1)
                self._take(json.loads(line))
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def _take(self, message):
        now = segue_lab.now_ns()
        if 'event' in message:
            stamp = message['timestamp']['seconds'] + message['timestamp']['microseconds'] / 1e6
            seen = Seen(message['event'], message.get('data', {}), stamp, now)
            for hook in list(self._hooks):
                hook(seen)
            with self._changed:
                self.events.append(seen)
                self._changed.notify_all()
        elif 'id' in message:
            with self._changed:
                self._answers[message['id']] = message
                self._changed.notify_all()

    def hook(self, function):
        """function(Seen) runs on the reading thread for every event from now on: it must be quick."""
        self._hooks.append(function)

    def send(self, name, **arguments):
        self._number += 1
        message = {'execute': name, 'id': self._number}
        if arguments:
            message['arguments'] = {k.replace('_', '-'): v for k, v in arguments.items()}
        self._socket.sendall(json.dumps(message).encode())
        return self._number

    def answer(self, number, seconds=5.0):
        with self._changed:
            self._changed.wait_for(lambda: number in self._answers or self.ended, seconds)
            message = self._answers.get(number)
        if message is None:
            raise segue_lab.LabError(f'{self.vm.host}: no answer from QEMU')
        if 'error' in message:
            raise segue_lab.QmpError(message['error']['desc'])
        return message['return']

    def cmd(self, name, seconds=5.0, **arguments):
        return self.answer(self.send(name, **arguments), seconds)

    def find(self, name, since=0.0, status=None):
        """The first such event not older than QEMU's stamp `since`, or None."""
        for seen in self.events:
            if seen.name == name and seen.stamp >= since and status in (None, seen.data.get('status')):
                return seen
        return None

    def wait(self, name, seconds, since=0.0, status=None):
        with self._changed:
            self._changed.wait_for(lambda: self.find(name, since, status) or self.ended, seconds)
            return self.find(name, since, status)

    def settings(self):
        """What a move may change and must put back."""
        capabilities = {c['capability']: c['state'] for c in self.cmd('query-migrate-capabilities')}
        return {**capabilities, **self.cmd('query-migrate-parameters')}

    def status(self):
        return self.cmd('query-status')['status']

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._socket.close()


DROP = "filter replace dev eth0 ingress pref 1 protocol all handle 1 bpf direct-action bytecode '1,6 0 0 2'\n"


class Fault:
    """One of FAULTS, made ready so that fire() takes effect at once (a tc waits for its line)."""
    FAULTS = ('collapse', 'black hole', 'destination stopped', 'return path lost')

    def __init__(self, lab, kind, dst_pid):
        assert kind in self.FAULTS, kind
        self.kind, self.lab, self.dst_pid, self.fired_ns = kind, lab, dst_pid, None
        self._tc = []
        if kind == 'collapse':
            rate = max(lab.base_rate() // 100, 1000)
            line = f'qdisc change dev eth0 root tbf rate {rate * 8}bit burst {max(rate // 500, 3028)}b limit 200000b\n'
            self._prepare({'a': line, 'b': line})
        elif kind == 'black hole':
            self._prepare({'a': DROP, 'b': DROP})
        elif kind == 'return path lost':
            self._prepare({'a': DROP})

    def _prepare(self, lines):
        for host, line in lines.items():
            tc = subprocess.Popen(['tc', '-n', self.lab.netns(host), '-batch', '-'], stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            self._tc.append((tc, line.encode()))

    def fire(self):
        self.fired_ns = segue_lab.now_ns()
        if self.kind == 'destination stopped':
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.dst_pid, 19)  # SIGSTOP
        for tc, line in self._tc:
            tc.stdin.write(line)
            tc.stdin.flush()

    def undo(self):
        """Ends the tools and restores the link."""
        errors = ''
        for tc, _ in self._tc:
            tc.stdin.close()
            tc.wait()
            errors += tc.stderr.read().decode()
            tc.stderr.close()
        self.lab.link_restore()
        if errors:
            raise segue_lab.LabError(f'{self.kind}: {errors.strip()}')


def state_of(pid):
    """The letter of a process's state; None when it is gone."""
    try:
        with open(f'/proc/{pid}/stat') as f:
            return f.read().rsplit(')', 1)[1].split()[0]
    except OSError:
        return None


def pids_naming(text, program):
    """Processes called `program` (or so called but for an ending) whose command line holds `text`."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            with open(f'/proc/{pid}/cmdline', 'rb') as f:
                words = f.read().split(b'\0')
            if os.path.basename(words[0]).decode(errors='replace').startswith(program) and \
                    any(text.encode() in word for word in words) and state_of(pid) not in (None, 'Z'):
                found.append(int(pid))
    return found


def gone(pidfd, seconds):
    """Whether the process behind the pidfd has ended, waiting so long for it."""
    return bool(select.select([pidfd], [], [], seconds)[0])
