"""One move between two real QEMUs of the lab, seen from outside, and what must be true after it.

    with Move(lab, options=['--max-downtime', '200ms']) as move:
        move.on_held(fault.fire, 0.04)
        move.run()
        move.require_source_runs()

Every require_* raises Failure with the figures that broke. Times are in ms in texts and results.
"""
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time

import segue_lab
from segue_lab import ADDRESS, calm_gap, longest_gap, merge_beats, now_ns, sequence_faults, wait_until
from watching import ROOT, Watcher, hurry, mono_ns_of, pids_naming

BIN = os.path.join(ROOT, 'build', 'release', 'bin')
LOGS = os.path.join(ROOT, 'build', 'results', 'system')
BEAT_MS = 5.0
VERSIONS = ('10', '7.2')
# What is measured of a switchover must not depend on how the guest was brought to it; test_brake.py has the rest.
PATIENT = ('--policy', 'patient', '--brake', 'none')


class Failure(Exception):
    """What is not as promised, with the figures."""


class Unsafe(Failure):
    """A guest lost, run twice or damaged: no machine is so slow that this may happen, so it is never tried again."""


def require(condition, text):
    if not condition:
        raise Failure(text)


def require_safe(condition, text):
    if not condition:
        raise Unsafe(text)


def program(name):
    path = os.path.join(BIN, name)
    require(os.access(path, os.X_OK), f'{path} is not built: tools/build faults')
    return path


class Move:
    """A busy guest on host a, a waiting QEMU on host b, and one run of segue on host a."""

    def __init__(self, lab, qemu='10', guest='hot=48 rate=50', cpus=1, options=(), own_monitor=True,
                 fault_point=None, disk=None, qemu_env=None, segue_env=None, calm=0.4, meter=False, remember=False,
                 src_extra=(), dst_extra=(), network=False, memory=None, steering=PATIENT, forecast=False):
        self.lab, self.guest, self.qemu, self.calm = lab, guest, qemu, calm
        self.options, self.own_monitor, self.fault_point = [*options, *steering], own_monitor, fault_point
        if not forecast and '--non-live' not in self.options:  # Which forecasts nothing.
            self.options.append('--no-forecast')
        self.segue_env, self.address = dict(segue_env or {}), ADDRESS['b']
        self.lines, self.stderr, self.process, self.killed_ns, self.killed_stamp = [], '', None, None, None
        self.stack = contextlib.ExitStack()
        try:
            common = dict(qemu=qemu, cpus=cpus, guest=guest, disk=disk, network=network, memory=memory)
            self.src = lab.start_vm('a', 'g', env=qemu_env, extra=src_extra, **common)
            self.stack.callback(self.src.stop)
            self.dst = lab.start_vm('b', 'g', incoming=True, extra=dst_extra, **common)
            self.stack.callback(self.dst.stop)
            self.at_src, self.at_dst = Watcher(self.src), Watcher(self.dst)
            self.stack.callback(self.at_dst.close)
            self.stack.callback(self.at_src.close)
            self.before = {'src': self.at_src.settings(), 'dst': self.at_dst.settings()}
            self.meter = segue_lab.PacketMeter(lab, 'a') if meter else None
            if meter:
                self.stack.callback(self.meter.bins)
            if not remember:  # Then what an earlier move of this guest taught is no part of this one.
                for host in segue_lab.HOSTS:
                    shutil.rmtree(lab.state_dir(host), ignore_errors=True)
                    os.makedirs(lab.state_dir(host))
        except BaseException:
            self.stack.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if error is not None and not isinstance(error, GeneratorExit):  # That is a case's normal end.
            self.save_log(error)
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in self.guardians():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.stack.close()

    # -- running

    def start(self):
        """The calm part, then segue."""
        self.src.wait_beats(int(self.calm * 200))
        name = 'segue-faults' if self.fault_point else 'segue'
        argv = self.lab.enter('a') + [
            program(name), 'migrate', f'qmp:{self.src.qmp_path}', '--dst-qmp', self.dst.qmp_path, '--data-address',
            self.address, '--json', *self.options]
        if self.own_monitor:
            argv += ['--src-guard-qmp', self.src.guard_qmp_path]
        env = {**self.lab.env('a'), **self.segue_env}
        if self.fault_point:
            env['SEGUE_FAULT_POINT'] = self.fault_point
        self.started_ns = now_ns()
        self.process = subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self._readers = [threading.Thread(target=self._read_lines, daemon=True),
                         threading.Thread(target=self._read_stderr, daemon=True)]
        for reader in self._readers:
            reader.start()
        return self

    def _read_lines(self):
        for line in self.process.stdout:
            with contextlib.suppress(ValueError):
                self.lines.append(json.loads(line))

    def _read_stderr(self):
        for line in self.process.stderr:
            self.stderr += line

    def finish(self, seconds=60):
        """Waits for segue's end, and for the guardian that writes to the same stderr."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise Failure(f'segue did not end within {seconds} s, its last line: {self.lines[-1:]}') from None
        for reader in self._readers:
            reader.join(5)
        return self

    def run(self, seconds=60):
        return self.start().finish(seconds)

    def on_held(self, action, delay=0.0):
        """action() `delay` seconds after pre-switchover was seen on the source's spare monitor, once."""
        self.on_status('pre-switchover', action, delay)

    def on_status(self, status, action, delay=0.0):
        done = []

        def later():
            hurry()
            time.sleep(delay)
            action()

        def hook(seen):
            if not done and seen.name == 'MIGRATION' and seen.data['status'] == status:
                done.append(1)
                if delay:
                    threading.Thread(target=later, daemon=True).start()
                else:
                    action()
        self.at_src.hook(hook)

    # -- what was seen

    @property
    def exit(self):
        return self.process.returncode

    @property
    def result(self):
        for line in reversed(self.lines):
            if line.get('type') == 'result':
                return line
        raise Failure(f'segue ended with {self.exit} without a result: {self.stderr.strip()[-300:]}')

    def decisions(self):
        return '; '.join(f"{x['elapsed_seconds']:.3f} {x['what']}: {x['because']}" for x in self.lines
                         if x.get('type') == 'decision')

    def stop_to_resume_ms(self, side='src'):
        """By QEMU's own stamps; None when the guest never stopped."""
        stop = self.at_src.find('STOP')
        if stop is None:
            return None
        resume = (self.at_src if side == 'src' else self.at_dst).wait('RESUME', 3, since=stop.stamp)
        require_safe(resume is not None, 'STOP was seen on the source and no RESUME')
        return (resume.stamp - stop.stamp) * 1e3

    def beats(self):
        return merge_beats(self.src.beats(), self.dst.beats())

    def blackout_gap_ms(self):
        """(gap around the stop, longest calm gap before the start)."""
        stop = mono_ns_of(self.at_src.find('STOP').stamp)
        beats = self.beats()
        gap = longest_gap(beats, stop - 20_000_000, stop + 2_000_000_000)[0]
        return gap / 1e6, calm_gap(beats, self.started_ns, self.calm) / 1e6

    def guardians(self):
        return pids_naming(self.lab.dir, 'segue-guard')

    # -- what must be true

    def require_exit(self, *wanted):
        require(self.exit in wanted, f'exit {self.exit} instead of {wanted}: {self.stderr.strip()[-400:]}')
        return self

    def require_no_guardian(self, seconds=3.0):
        try:
            wait_until(lambda: not self.guardians(), seconds, 'end of the guardian')
        except segue_lab.LabError:
            raise Failure(f'a guardian is left: {self.guardians()}') from None

    def require_whole(self, vm):
        """Every page of the running copy, and beats that were never out of order."""
        vm.wait_beats(len(vm.beats()) + 5)
        verdict = vm.verify()
        require_safe(verdict.ok, f'on {vm.host}: {verdict.line}')
        faults = sequence_faults(self.beats())
        require_safe(not faults, f'heartbeats out of order: {faults[:3]}')
        self.pages = int(verdict.fields['pages'])

    def require_source_runs(self, seconds=3.0, dst_gone=True):
        """One running copy, on the source, whole, as it was found; nothing left behind."""
        try:
            wait_until(lambda: self.at_src.status() == 'running', seconds, 'the source running')
        except segue_lab.LabError:
            raise Unsafe(f'the guest on the source is {self.at_src.status()}, segue ended with {self.exit}: '
                         f'{self.stderr.strip()[-300:]}') from None
        self.require_no_guardian()
        if dst_gone:
            with contextlib.suppress(segue_lab.LabError):
                wait_until(lambda: not self.dst.running(), seconds, 'end of the destination')
            require(not self.dst.running(), 'the destination is still there')
        self.require_put_back('src', self.at_src)
        self.require_whole(self.src)

    def require_put_back(self, side, watcher, seconds=3.0):
        before, changed = self.before[side], {}
        deadline = time.monotonic() + seconds
        while True:
            now = watcher.settings()
            changed = {k: (before.get(k), now.get(k)) for k in before.keys() | now.keys()
                       if before.get(k) != now.get(k)}
            if not changed or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        require(not changed, f'settings of {side} not put back (before, now): {changed}')

    def require_moved(self):
        """One running copy, on the destination, whole; the source's QEMU ended, since its copy is stale."""
        self.require_exit(0)
        require_safe(self.at_dst.status() == 'running', f'the destination is {self.at_dst.status()}')
        require(not self.src.running(), 'the source QEMU, whose copy is stale, is still there')
        self.require_no_guardian()
        self.require_put_back('dst', self.at_dst)
        self.require_whole(self.dst)

    def save_log(self, error):
        os.makedirs(LOGS, exist_ok=True)
        with open(os.path.join(LOGS, f'failed-{os.getpid()}-{time.strftime("%H%M%S")}.log'), 'w') as f:
            f.write(f'{error}\nQEMU {self.qemu}, guest {self.guest}, options {self.options}, '
                    f'fault point {self.fault_point}, own monitor {self.own_monitor}\n\n')
            f.write('\n'.join(json.dumps(line) for line in self.lines) + f'\n\n{self.stderr}\n')
            for watcher in (self.at_src, self.at_dst):
                f.writelines(f'{watcher.vm.host} {s.stamp:.6f} {s.name} {s.data}\n' for s in watcher.events)
