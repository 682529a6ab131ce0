"""A small QMP client."""
import contextlib
import json
import socket
import time

from lab_base import LabError, now_ns


class QmpError(LabError):
    """QEMU answered with an error."""


class Qmp:
    """A plain, blocking QMP connection. Events are kept in .events as (mono_ns, name, data)."""

    def __init__(self, path, seconds=5.0, oob=False):
        self.path, self.seconds, self.events, self._buffer = path, seconds, [], b''
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(seconds)
        try:
            self.socket.connect(path)
            self.greeting = self._message()
            self.cmd('qmp_capabilities', **({'enable': ['oob']} if oob else {}))
        except BaseException:
            self.socket.close()
            raise

    def _message(self, seconds=None):
        deadline = time.monotonic() + (self.seconds if seconds is None else seconds)
        while b'\n' not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise LabError(f'{self.path}: no answer from QEMU')
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(65536)
            except socket.timeout:
                continue
            if not data:
                raise LabError(f'{self.path}: QEMU closed the connection')
            self._buffer += data
        line, self._buffer = self._buffer.split(b'\n', 1)
        message = json.loads(line)
        if 'event' in message:
            self.events.append((now_ns(), message['event'], message.get('data', {})))
        return message

    def send(self, name, oob=False, **arguments):
        message = {'exec-oob' if oob else 'execute': name, 'id': 1}
        if arguments:
            message['arguments'] = arguments
        self.socket.sendall(json.dumps(message).encode() + b'\n')

    def cmd(self, name, oob=False, seconds=None, **arguments):
        """Runs a command; 'downtime_limit' may be written for 'downtime-limit'."""
        self.send(name, oob, **{k.replace('_', '-'): v for k, v in arguments.items()})
        while True:
            message = self._message(seconds)
            if 'return' in message:
                return message['return']
            if 'error' in message:
                raise QmpError(f"{name}: {message['error']['desc']}")

    def wait_event(self, name, seconds=10.0, where=lambda data: True):
        """The first event of that name not yet waited for; returns (mono_ns, name, data)."""
        deadline = time.monotonic() + seconds
        while True:
            for i, event in enumerate(self.events):
                if event[1] == name and where(event[2]):
                    return self.events.pop(i)
            left = deadline - time.monotonic()
            if left <= 0:
                raise LabError(f'event {name}: not within {seconds:g} s')
            with contextlib.suppress(LabError):
                self._message(left)

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
