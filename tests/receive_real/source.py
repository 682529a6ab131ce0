"""Plays the source of a move for test_receive.py: speaks the receive protocol and steers the source's QEMU."""
import contextlib
import ctypes
import json
import os
import queue
import secrets
import socket
import struct
import subprocess
import threading
import time

CLONE_NEWNET = 0x40000000


def in_netns(lab, host, work):
    """work() on that lab host's network, on a thread of its own."""
    result, errors = [], []

    def there():
        fd = os.open(f'/run/netns/{lab.netns(host)}', os.O_RDONLY)
        try:
            if ctypes.CDLL(None, use_errno=True).setns(fd, CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), 'setns')
        finally:
            os.close(fd)
        try:
            result.append(work())
        except OSError as error:
            errors.append(error)

    thread = threading.Thread(target=there)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return result[0]


def connect(lab, address):
    def work():
        return socket.create_connection(address, timeout=2)
    return in_netns(lab, 'a', work)


def qmp_with_fd(qmp, name, fd, **arguments):
    """A QMP command that passes a descriptor."""
    message = json.dumps({'execute': name, 'id': 1, 'arguments': arguments}).encode()
    qmp.socket.sendmsg([message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack('i', fd))])
    while True:
        answer = qmp._message()
        if 'return' in answer:
            return
        if 'error' in answer:
            raise AssertionError(answer['error']['desc'])


class Peer:
    """One `segue receive --stdio` on host b and the control connection to it."""

    def __init__(self, lab, program, env=None, move=None, read=True, through=()):
        self.lab, self.move = lab, move or secrets.token_hex(16)
        self.token = secrets.token_hex(16)
        self.lease, self.leases, self.pinging, self.request = 0, [], True, 0
        self.messages, self.seen, self.log = queue.Queue(), [], []
        self.process = subprocess.Popen(
            lab.enter('b') + [*through, program, 'receive', '--stdio'], env={**lab.env('b'), **(env or {})},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.ended_at = None
        self.threads = [threading.Thread(target=self._read_errors, daemon=True)]
        if read:
            self.threads.append(threading.Thread(target=self._read_lines, daemon=True))
        for thread in self.threads:
            thread.start()

    def _read_errors(self):
        for line in self.process.stderr:
            self.log.append(line.decode().rstrip())

    def _read_lines(self):
        for line in self.process.stdout:
            message = json.loads(line)
            if message['type'] == 'lease':
                self.lease = message['n']
                self.leases.append((time.monotonic(), self.lease))
                if self.pinging:
                    self.say('ping', n=self.lease)
            else:
                self.messages.put(message)
        self.ended_at = time.monotonic()
        self.messages.put(None)

    # -- saying

    def raw(self, text):
        try:
            self.process.stdin.write(text if isinstance(text, bytes) else text.encode())
            self.process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass

    def say(self, kind, **fields):
        self.raw(json.dumps({'type': kind, **fields}) + '\n')

    def ask(self, kind, *answers, seconds=5.0, **fields):
        """A request; returns its answer, which must be of one of these types (default: done)."""
        self.request += 1
        number = self.request
        self.say(kind, request=number, **fields)
        return self.wait(*(answers or ('done',)), seconds=seconds, request=number)

    # -- hearing

    def wait(self, *kinds, seconds=5.0, request=None):
        deadline = time.monotonic() + seconds
        while True:
            try:
                message = self.messages.get(timeout=max(deadline - time.monotonic(), 0.001))
            except queue.Empty:
                raise AssertionError(f'no {kinds} within {seconds} s; seen {self.seen}; log {self.log}') from None
            if message is None:
                self.messages.put(None)
                raise AssertionError(f'the connection ended before {kinds}; seen {self.seen}; log {self.log}')
            self.seen.append(message)
            if request is not None and message.get('request') == request and message['type'] not in kinds:
                raise AssertionError(f'{message} instead of {kinds}; log {self.log}')
            if message['type'] in kinds and request in (None, message.get('request')):
                return message

    def wait_end(self, seconds=3.0):
        """The exit status."""
        status = self.process.wait(seconds)
        for thread in self.threads:
            thread.join(2)
        return status

    def wait_log(self, text, seconds=2.0):
        deadline = time.monotonic() + seconds
        while not any(text in line for line in self.log):
            if time.monotonic() > deadline:
                raise AssertionError(f'no "{text}" in {self.log}')
            time.sleep(0.01)

    # -- the steps of a move

    def greet(self):
        self.say('hello', versions_min=1, versions_max=1, segue='test', host='a', features=[], move=self.move)
        return self.wait('hello')

    def prepare(self, monitor='', command=(), expected=None, answers=('prepared',), seconds=25, vm=None,
                data=None):
        nothing = {'uuid': '', 'machine_type': '', 'vcpus': 0, 'memory_bytes': 0}
        more = {**({'vm': vm} if vm else {}), **({'data': data} if data else {})}
        return self.ask('prepare', *answers, seconds=seconds, monitor=monitor, command=list(command),
                        expected={**nothing, **(expected or {})}, **more)

    def listen(self, **ports):
        self.ask('clear-autostart')
        self.ask('settings')
        where = {'host': '10.77.0.2', 'port': 0, 'port_first': 0, 'port_last': 0, **ports}
        answer = self.ask('listen', 'listening', token=self.token, **where)
        return answer['host'], answer['port']

    def stream(self, address):
        """The data connection, accepted."""
        data = connect(self.lab, address)
        data.sendall(self.token.encode() + b'\n')
        self.wait('connected')
        return data

    def status(self):
        return self.ask('status', 'status-reply')

    def word(self, answer='running', n=None):
        return self.ask('word', answer, n=self.lease if n is None else n)

    def close(self):
        """Whatever is left of it."""
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for thread in self.threads:
            thread.join(2)
        self.process.stdout.close()
        self.process.stderr.close()


def load(src, data):
    """Moves the guest of `src` over `data` until the destination holds a whole copy."""
    with src.connect('control') as qmp:
        wanted = ('events', 'return-path', 'pause-before-switchover')
        qmp.cmd('migrate-set-capabilities', capabilities=[{'capability': c, 'state': True} for c in wanted])
        qmp.cmd('migrate-set-parameters', **{'max-bandwidth': 1 << 33, 'downtime-limit': 300})
        qmp_with_fd(qmp, 'getfd', data.fileno(), fdname='out')
        qmp.cmd('migrate', uri='fd:out')
        data.close()
        qmp.wait_event('MIGRATION', 10, lambda d: d['status'] == 'pre-switchover')
        qmp.cmd('migrate-continue', state='pre-switchover')
        qmp.wait_event('MIGRATION', 10, lambda d: d['status'] in ('completed', 'failed'))
        qmp_state = qmp.cmd('query-migrate')['status']
        if qmp_state != 'completed':
            raise AssertionError(f'the source says {qmp_state}')
