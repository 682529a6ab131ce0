"""One QEMU with the lab guest on a lab host."""
import collections
import contextlib
import os
import re
import socket

from lab_base import LabError, end_process, start_time, wait_until
from lab_beats import read_beats
from lab_qmp import Qmp


Verdict = collections.namedtuple('Verdict', 'ok line fields')


class Vm:
    """A QEMU on a lab host. Made by Lab.start_vm() or Lab.vm()."""

    def __init__(self, lab, host, name, record):
        self.lab, self.host, self.name, self.record = lab, host, name, record
        self.pid = record['pid']

    def _file(self, ending):
        return os.path.join(self.lab.host_dir(self.host), self.name + ending)

    qmp_path = property(lambda self: self._file('.qmp'))
    guard_qmp_path = property(lambda self: self._file('-guard.qmp'))
    spare_qmp_path = property(lambda self: self._file('-spare.qmp'))
    serial_path = property(lambda self: self._file('.serial'))
    serial_log_path = property(lambda self: self._file('.serial.log'))
    beats_path = property(lambda self: self._file('.beats'))
    log_path = property(lambda self: self._file('.log'))

    def running(self):
        """Is the QEMU process there? (Not: does the guest run.)"""
        self.lab.reap(self.pid)
        return start_time(self.pid) == self.record['started']

    def qmp(self, name, **arguments):
        """One command through the spare monitor."""
        with Qmp(self.spare_qmp_path) as q:
            return q.cmd(name, **arguments)

    def connect(self, monitor='control', oob=False, seconds=5.0):
        """A Qmp on monitor control, guard or spare."""
        path = {'control': self.qmp_path, 'guard': self.guard_qmp_path, 'spare': self.spare_qmp_path}[monitor]
        return Qmp(path, seconds, oob)

    def beats(self):
        return read_beats(self.beats_path)

    def wait_beats(self, count, seconds=5.0):
        """Waits until `count` beats are there."""
        return wait_until(
            lambda: len(self.beats()) >= count and self.beats(), seconds, f'{count} heartbeats of {self.name}'
        )

    def ask(self, command, seconds=5.0):
        """One command to the guest on its serial port; returns its one line."""
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(seconds)
            try:
                s.connect(self.serial_path)
                s.sendall(command.encode())
                answer = b''
                while not answer.endswith(b'\n'):
                    data = s.recv(4096)
                    if not data:
                        raise LabError(f'{self.name}: QEMU closed the serial port')
                    answer += data
            except socket.timeout:
                raise LabError(f"{self.name} on {self.host}: the guest does not answer; is it stopped?") from None
            except (ConnectionRefusedError, FileNotFoundError):
                raise LabError(f'{self.name} on {self.host}: no QEMU') from None
        return answer.decode().strip()

    def verify(self, go_on=True, seconds=10.0):
        """Checks every page inside the guest: Verdict(ok, line, fields)."""
        line = self.ask('V', seconds)
        if go_on:
            self.ask('G', seconds)
        fields = {k: v for k, v in re.findall(r'(\w+)=(\w+)', line)}
        return Verdict(line.startswith('verify ok'), line, fields)

    def status(self):
        """The guest's own counters as a dict of ints."""
        return {k: int(v) for k, v in re.findall(r'(\w+)=(\d+)', self.ask('?'))}

    def set(self, parameters):
        """Changes guest parameters while it runs: vm.set('rate=20 work=500')."""
        line = self.ask(f'S{parameters}\n')
        if line != 'set ok':
            raise LabError(f'{self.name}: {line}')

    def dirty_disk(self):
        """Writes one block through QEMU, so that the flush at the stop has something to flush."""
        self.qmp('human-monitor-command', command_line='qemu-io disk0 "write -P 90 0 4k"')

    def stop(self):
        """Ends this QEMU and its recorder and removes what they left, the beats excepted."""
        if self.running():
            with contextlib.suppress(LabError, OSError):
                with Qmp(self.spare_qmp_path, 0.5) as q:
                    q.cmd('quit')
                wait_until(lambda: not self.running(), 2, 'quit')
            end_process(self.pid, self.record['started'], 0.5)
        self.lab.reap(self.pid)
        recorder, started = self.record['recorder_pid'], self.record['recorder_started']

        def recorder_gone():
            self.lab.reap(recorder)
            return start_time(recorder) != started or started is None

        with contextlib.suppress(LabError):
            wait_until(recorder_gone, 2, 'the recorder')  # it ends by itself and keeps the last beats
        end_process(recorder, started)
        self.lab.reap(recorder)
        for ending in ('.qmp', '-guard.qmp', '-spare.qmp', '.serial', '.fifo', '.json'):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._file(ending))
