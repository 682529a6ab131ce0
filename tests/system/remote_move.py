"""A move through `segue receive` behind a relay, with all its processes in sight: whom to kill, when, what is left."""
import contextlib
import os
import shlex
import socket
import sqlite3
import subprocess
import time

from harness import Failure, Move, program, require, require_safe
from segue_lab import LabError, beats_of_two, now_ns, wait_until
from watching import ROOT, hurry, state_of

RELAY = os.path.join(ROOT, 'lab', 'relay')


def words_of(pid):
    with contextlib.suppress(OSError):
        with open(f'/proc/{pid}/cmdline', 'rb') as f:
            return [word.decode(errors='replace') for word in f.read().split(b'\0')]
    return ['']


def children_of(pid):
    with contextlib.suppress(OSError):
        with open(f'/proc/{pid}/task/{pid}/children') as f:
            return [int(child) for child in f.read().split()]
    return []


def on_host(lab, host):
    """Pids of all that runs on a lab host, QEMUs and guardians included, zombies not."""
    done = subprocess.run(['ip', 'netns', 'pids', lab.netns(host)], capture_output=True, text=True, check=True)
    return [pid for pid in map(int, done.stdout.split()) if state_of(pid) not in (None, 'Z', 'X')]


class RemoteMove(Move):
    """`fault_point` is where segue or segue receive of the fault build stops itself; None: the shipped build."""

    def __init__(self, lab, qemu='10', guest='hot=48 rate=50', bound_ms=500, timeout='30s', fault_point=None,
                 delay_ms=0, options=(), **more):
        self.relay_path = os.path.join(lab.dir, 'relay')
        receive = [program('segue-faults' if fault_point else 'segue'), 'receive', '--stdio']
        to = [RELAY, '--delay', str(delay_ms), self.relay_path, 'env', f'SEGUE_STATE={lab.state_dir("b")}',
              *lab.enter('b'), *receive]
        options = ['--to', 'cmd:' + shlex.join(to), '--max-downtime', f'{bound_ms}ms', '--max-bandwidth', '100MiB/s',
                   '--timeout', timeout, *options]
        self.bound_ms, self.receive_pid = bound_ms, None
        super().__init__(lab, qemu, guest, options=options, fault_point=fault_point, **more)

    def __exit__(self, kind, error, trace):
        """Whatever a failed case left on the two hosts must not disturb the next one."""
        ours = {vm.pid for vm in (self.src, self.dst)}
        if error is not None:
            self.save_log(error)
        for host in ('a', 'b'):
            for pid in set(on_host(self.lab, host)) - ours:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
        return super().__exit__(None, None, None)

    # -- who is who

    def receive(self):
        """The pid of segue receive, None before it is there; found once, since it outlives its parents."""
        if self.receive_pid is None:
            found = [pid for child in children_of(self.process.pid) for pid in children_of(child)
                     if 'receive' in words_of(pid)]
            self.receive_pid = found[0] if found else None
        return self.receive_pid

    def guardian(self, side):
        """The pid of the guardian beside that QEMU; None when it has left."""
        parent, mark = (self.process.pid, '--src-monitor') if side == 'src' else (self.receive(), '--destination')
        found = [pid for pid in children_of(parent) if mark in words_of(pid) and state_of(pid) not in (None, 'Z')]
        require(len(found) < 2, f'{len(found)} guardians beside {side}')
        return found[0] if found else None

    def relay(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(self.relay_path)
            s.sendall(command.encode() + b'\n')
            with contextlib.suppress(OSError):  # After `cut` nobody answers.
                require(s.recv(16) in (b'ok\n', b''), f'the relay does not take "{command}"')

    # -- the moment

    def wait_point(self, seconds=30):
        """The process that stopped itself at the fault point; None when segue ended before."""
        def stopped():
            if self.process.poll() is not None:
                return -1
            pid = self.process.pid if self.fault_point.startswith('segue:') else self.receive()
            return pid if pid and state_of(pid) == 'T' else None

        hurry()
        try:
            pid = wait_until(stopped, seconds, 'the fault point', interval=0.001)
        except LabError:
            raise Failure(f'{self.fault_point} was not reached; {self.decisions()[-300:]}') from None
        if pid == -1:
            return None
        self.receive()
        return pid

    def mark(self):
        """The instant of the blow, on both clocks."""
        self.killed_ns, self.killed_stamp = now_ns(), time.time()

    # -- what must be true

    def ran_again_ms(self, side):
        """(kill to RESUME on that side, STOP to RESUME), by QEMU's stamps; (0, None) when the guest never stopped."""
        stop = self.at_src.find('STOP')
        if stop is None:
            return 0.0, None
        watcher = self.at_src if side == 'src' else self.at_dst
        resume = watcher.wait('RESUME', 5, since=stop.stamp)
        require_safe(resume is not None, f'the guest stopped and never ran again on {side}')
        return max(0.0, (resume.stamp - self.killed_stamp) * 1e3), (resume.stamp - stop.stamp) * 1e3

    def require_one_copy(self):
        two = beats_of_two(self.src.beats(), self.dst.beats())
        require_safe(two is None, f'TWO COPIES: {two}')
        resumed = self.at_dst.find('RESUME')
        again = self.at_src.find('RESUME', since=resumed.stamp) if resumed else None
        require_safe(not again, f'the source ran again after the destination had run: {again}')

    def require_nothing_left(self, *living, seconds=3.5):
        """On both hosts nothing but the QEMUs named by `living`."""
        def left():
            return [pid for host in ('a', 'b') for pid in on_host(self.lab, host) if pid not in living]
        try:
            wait_until(lambda: not left(), seconds, 'the end of the rest', interval=0.02)
        except LabError:
            raise Failure(f'left behind: {[" ".join(words_of(pid))[:160] for pid in left()]}') from None

    def require_closed(self):
        """The source's journal has the move, and nothing of it is left to do."""
        path = os.path.join(self.lab.state_dir('a'), 'journal', 'journal.db')
        with contextlib.closing(sqlite3.connect(f'file:{path}?mode=ro', uri=True)) as db:
            known = db.execute('SELECT ended_unix_ns IS NOT NULL FROM moves WHERE role = 1').fetchall()
        require(known == [(1,)], f'the journal of the source: closed {known}')

    def require_runs_on_src(self):
        self.require_source_runs(seconds=3.5)
        self.require_one_copy()
        self.require_nothing_left(self.src.pid)

    def require_runs_on_dst(self, seconds=3.5):
        status = self.at_dst.status()
        require_safe(status == 'running', f'the destination is {status}')
        with contextlib.suppress(LabError):
            wait_until(lambda: not self.src.running(), seconds, 'the end of the source')
        require(not self.src.running(), 'the source QEMU, whose copy is stale, is still there')
        self.require_whole(self.dst)
        self.require_one_copy()
        self.require_nothing_left(self.dst.pid)

    def require_runs_nowhere(self):
        """The owner was killed: a guest crash. The other copy is stale and is not run."""
        for vm, watcher in ((self.src, self.at_src), (self.dst, self.at_dst)):
            require_safe(not vm.running() or watcher.status() != 'running', f'a stale copy runs on {vm.host}')
        late = [b for vm in (self.src, self.dst) for b in vm.beats() if b.mono_ns > self.killed_ns + 100_000_000]
        require(not late, f'{len(late)} heartbeats after the crash')
        self.require_one_copy()

    # -- recovery

    def recover(self, seconds=30):
        """`segue recover` on the source's host; its output."""
        self.recover_began = time.time()
        done = self.lab.run('a', [program('segue'), 'recover'], capture_output=True, text=True, timeout=seconds,
                            stdin=subprocess.DEVNULL)
        self.recovered = done.returncode
        self.recover_said = (done.stdout + done.stderr).strip()
        return done.returncode
