"""One move of a guest that does not converge, by QEMU's auto-converge or by segue, and what it cost the guest.

The source's vCPU has core 0 to itself; the migration threads, the destination, segue and this script share core 1.
"""
import collections
import contextlib
import json
import os
import shutil
import subprocess
import threading
import time

import segue_lab
from segue_lab import ADDRESS, LabError, calm_gap, longest_gap, merge_beats, now_ns, work_between
from study_cells import AFTER_S, LINK_MIB_S, MAX_DOWNTIME_MS, MAX_STALL_MS, MEMORY_MIB, MIN_CPU
from watching import ROOT, Watcher, mono_ns_of

VCPU_CORE, OTHER_CORE = 0, 1
BEAT_MS = 5.0
BASELINE_S = 5.0
DATA_PORT = 4444
MOVE_MAX_S = 240.0
PAGES_PER_MIB = 256
SHARE_WINDOW_S = 1.0
DISTURBED_RATIO = 0.03  # of core 0, used by somebody else

SEGUE_BOUNDS = ['--max-downtime', f'{MAX_DOWNTIME_MS}ms', '--max-bandwidth', f'{LINK_MIB_S}MiB/s', '--timeout',
                f'{MOVE_MAX_S:.0f}s']
SEGUE_BRAKE = ['--min-cpu', f'{MIN_CPU * 100:g}%', '--max-stall', f'{MAX_STALL_MS}ms']

Sample = collections.namedtuple('Sample', 'mono_ns ran_ns busy_s')  # of the vCPU's thread; of its core, by anybody


def stay_on_other_core():
    """This process, and all that it starts from now on."""
    if os.cpu_count() < 2:
        raise LabError('the study needs two cores')
    os.sched_setaffinity(0, {OTHER_CORE})


def vcpu_thread(ask):
    """`ask` sends a command to the QEMU: its spare monitor has one client at a time."""
    return ask('query-cpus-fast')[0]['thread-id']


def ran_ns(pid, thread):
    with open(f'/proc/{pid}/task/{thread}/schedstat') as f:
        return int(f.read().split()[0])


def core_busy_s(core):
    """Seconds in which the core did something; not idle, not waiting for a disk."""
    with open('/proc/stat') as f:
        fields = next(line.split()[1:] for line in f if line.startswith(f'cpu{core} '))
    return (sum(map(int, fields[:8])) - int(fields[3]) - int(fields[4])) / os.sysconf('SC_CLK_TCK')


def dirty_rate_mib_s(vm, thread, seconds):
    """What the guest dirties per second of its vCPU's own run time: who else is on the core does not matter."""
    first, ran = vm.status()['writes'], ran_ns(vm.pid, thread)
    time.sleep(seconds)
    ran = ran_ns(vm.pid, thread) - ran
    return ((vm.status()['writes'] - first) & 0xFFFFFFFF) / PAGES_PER_MIB / (ran / 1e9)


def calibrate(lab, cell, say):
    """The guest's `work` with which it dirties ratio x link; dirtying must cost CPU, or no brake could slow it."""
    wanted = cell.ratio * LINK_MIB_S
    vm = lab.start_vm('a', 'g', memory=f'{MEMORY_MIB}MiB', guest=f'hot={cell.hot} work=1000')
    try:
        thread = vcpu_thread(vm.qmp)
        os.sched_setaffinity(thread, {VCPU_CORE})
        points = []
        for work in (500, 8000):
            vm.set(f'work={work}')
            time.sleep(0.3)
            points.append((work, 1 / dirty_rate_mib_s(vm, thread, 1.0)))
        (w0, s0), (w1, s1) = points
        for _ in range(6):  # The time of a page is straight in `work`.
            work = max(0, round(w0 + (1 / wanted - s0) * (w1 - w0) / (s1 - s0)))
            vm.set(f'work={work}')
            time.sleep(0.3)
            rate = dirty_rate_mib_s(vm, thread, 2.0)
            if abs(rate / wanted - 1) < 0.01:
                break
            s0, s1 = s0 + 1 / rate - 1 / wanted, s1 + 1 / rate - 1 / wanted
    finally:
        vm.stop()
    say(f'calibrated {cell.hot} MiB, ratio {cell.ratio}: work={work} dirties {rate:.0f} MiB/s of {wanted} wanted')
    if abs(rate / wanted - 1) > 0.05:
        raise LabError(f'work={work} dirties {rate:.0f} MiB/s, {wanted} are wanted: this core is too slow or too noisy')
    return {'type': 'calibration', 'hot': cell.hot, 'ratio': cell.ratio, 'work': work, 'rate_mib_s': round(rate, 1)}


class Sampler:
    """What the source's vCPU thread ran and what its core did, every 20 ms."""

    def __init__(self, pid, thread):
        self.samples, self._end = [], threading.Event()
        self._thread = threading.Thread(target=self._run, args=(pid, thread), daemon=True)
        self._thread.start()

    def _run(self, pid, thread):
        while not self._end.wait(0.02):
            with contextlib.suppress(OSError):
                self.samples.append(Sample(now_ns(), ran_ns(pid, thread), core_busy_s(VCPU_CORE)))

    def close(self):
        self._end.set()
        self._thread.join()


def lowest_share(samples, from_ns, to_ns):
    """Least part of any 1 s window that the vCPU ran; None where there is no whole window."""
    inside = [s for s in samples if from_ns <= s.mono_ns <= to_ns]
    lowest, end = None, 0
    for first in inside:
        while end < len(inside) and inside[end].mono_ns < first.mono_ns + SHARE_WINDOW_S * 1e9:
            end += 1
        if end == len(inside):
            break
        share = (inside[end].ran_ns - first.ran_ns) / (inside[end].mono_ns - first.mono_ns)
        lowest = share if lowest is None else min(lowest, share)
    return lowest


def used_by_others(samples, from_ns, to_ns):
    """Part of the vCPU's core that somebody else used."""
    inside = [s for s in samples if from_ns <= s.mono_ns <= to_ns]
    if len(inside) < 2:
        return 0.0
    first, last = inside[0], inside[-1]
    seconds = (last.mono_ns - first.mono_ns) / 1e9
    return max(0.0, (last.busy_s - first.busy_s - (last.ran_ns - first.ran_ns) / 1e9) / seconds)


class StudyMove:
    """A guest on host a, a QEMU that waits for it on host b; who moves it is the subclass."""

    autostart = False

    def __init__(self, lab, guest, memory_mib=MEMORY_MIB):
        self.lab, self.stack = lab, contextlib.ExitStack()
        words = dict(memory=f'{memory_mib}MiB', guest=guest)
        try:
            self.src = lab.start_vm('a', 'g', **words)
            self.stack.callback(self.src.stop)
            self.dst = lab.start_vm('b', 'g', incoming=not self.autostart, autostart_incoming=self.autostart, **words)
            self.stack.callback(self.dst.stop)
            self.at_src, self.at_dst = Watcher(self.src), Watcher(self.dst)
            self.stack.callback(self.at_src.close)
            self.stack.callback(self.at_dst.close)
            thread = vcpu_thread(self.at_src.cmd)
            os.sched_setaffinity(thread, {VCPU_CORE})
            self.sampler = Sampler(self.src.pid, thread)
            self.stack.callback(self.sampler.close)
            for host in segue_lab.HOSTS:  # What an earlier move of this guest taught is no part of this one.
                shutil.rmtree(lab.state_dir(host), ignore_errors=True)
                os.makedirs(lab.state_dir(host))
        except BaseException:
            self.stack.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def move(self):
        """Moves the guest; returns what the mover itself says, as a dict with 'finished' and 'error'."""
        raise NotImplementedError

    def run(self, after_s=AFTER_S):
        """The whole: baseline, move, the time after it, and the figures of all of it."""
        time.sleep(BASELINE_S)
        began = now_ns()
        with segue_lab.PacketMeter(self.lab, 'a') as meter:
            said = self.move()
            ended = now_ns()
            bins = meter.bins()
        stop = self.at_src.find('STOP')
        runs = self.dst if said['finished'] else self.src
        resume = None
        if stop:
            watcher = self.at_dst if said['finished'] else self.at_src
            resume = watcher.wait('RESUME', 3, since=stop.stamp)
            if resume is None:
                raise LabError('the guest was stopped and did not run again')
        over = mono_ns_of(resume.stamp) if said['finished'] else ended
        time.sleep(max(0.0, after_s - (now_ns() - over) / 1e9) + 0.05)
        beats = merge_beats(self.src.beats(), self.dst.beats())
        verdict = runs.verify()
        return {**said, **self._figures(beats, began, over, after_s, stop, resume, bins), 'whole': verdict.ok,
                'load': round(os.getloadavg()[0], 1)}

    def _figures(self, beats, began, over, after_s, stop, resume, bins):
        setup = self.at_src.find('MIGRATION', status='setup')
        to = over + after_s * 1e9
        # The machine's speed drifts: what the guest would have done lies between what it did before and afterwards.
        before = work_between(beats, began - BASELINE_S * 1e9, began) / BASELINE_S
        settled = after_s / 2
        afterwards = work_between(beats, to - settled * 1e9, to) / settled
        baseline = (before + afterwards) / 2
        done = work_between(beats, began, to)
        stopped = mono_ns_of(stop.stamp) if stop else over
        gap = longest_gap(beats, stopped - 20_000_000, stopped + 2_000_000_000)[0] / 1e6 if stop else 0.0
        before_stop = [b for b in beats if began <= b.mono_ns <= stopped]
        samples = self.sampler.samples
        lowest = lowest_share(samples, began, stopped)
        others = used_by_others(samples, began - BASELINE_S * 1e9, stopped)
        return {
            'total_s': (over - began) / 1e9,  # From the command, page sampling and all, to the guest running there.
            'copying_s': (over - mono_ns_of(setup.stamp)) / 1e9 if setup else 0.0,
            'wire_bytes': segue_lab.total_bytes(bins),
            'wire_worst_ratio': segue_lab.worst_window(bins) / (LINK_MIB_S << 20) if bins else 0.0,
            'stop_to_resume_ms': (resume.stamp - stop.stamp) * 1e3 if stop else 0.0,
            'gap_ms': gap,
            'calm_ms': calm_gap(beats, began, BASELINE_S) / 1e6,
            'baseline_mib_s': baseline / PAGES_PER_MIB,
            'before_mib_s': before / PAGES_PER_MIB,
            'lost_s': (to - began) / 1e9 - done / baseline,
            'lowest_share': lowest,
            'stall_ms': longest_gap(before_stop)[0] / 1e6,
            'others_ratio': others,
            'disturbed': others > DISTURBED_RATIO,
        }


class AutoConverge(StudyMove):
    """QEMU by itself, as an operator's script would drive it."""

    autostart = True
    downtime_limit_ms = MAX_DOWNTIME_MS
    max_throttle = None  # QEMU's own: 99

    def move(self):
        parameters = {'downtime_limit': self.downtime_limit_ms, 'max_bandwidth': LINK_MIB_S << 20}
        if self.max_throttle:
            parameters['max_cpu_throttle'] = self.max_throttle
        capabilities = [{'capability': name, 'state': True} for name in ('auto-converge', 'events')]
        for watcher in (self.at_src, self.at_dst):
            watcher.cmd('migrate-set-capabilities', capabilities=capabilities)
        self.at_src.cmd('migrate-set-parameters', **parameters)
        self.at_dst.cmd('migrate-incoming', uri=f'tcp:0.0.0.0:{DATA_PORT}')
        self.at_src.cmd('migrate', uri=f'tcp:{ADDRESS["b"]}:{DATA_PORT}')
        deadline, throttle = time.monotonic() + MOVE_MAX_S, 0
        while time.monotonic() < deadline:
            # The main loop is held while the last bytes are written: no answer then is no fault.
            with contextlib.suppress(LabError):
                throttle = max(throttle, self.at_src.cmd('query-migrate', seconds=5)
                               .get('cpu-throttle-percentage', 0))
            ended = [s for s in list(self.at_src.events) if s.name == 'MIGRATION'
                     and s.data['status'] in ('completed', 'failed', 'cancelled')]
            if ended:
                status = ended[0].data['status']
                return {'finished': status == 'completed', 'error': '' if status == 'completed' else status,
                        'throttle_percent': throttle}
            time.sleep(0.1)
        self.at_src.cmd('migrate_cancel')
        self.at_src.wait('MIGRATION', 5, status='cancelled')
        return {'finished': False, 'error': f'not over within {MOVE_MAX_S:.0f} s', 'throttle_percent': throttle}


class AutoConverge95(AutoConverge):
    max_throttle = 95


class Segue(StudyMove):
    """segue migrate, all bounds given."""

    def __init__(self, lab, guest, aggression=0.5, options=None, **words):
        super().__init__(lab, guest, **words)
        self.result = None  # The line of that name, once it was moved.
        self.options = SEGUE_BRAKE + ['--aggression', f'{aggression:g}'] if options is None else options

    def move(self):
        argv = self.lab.enter('a') + [
            segue_program(), 'migrate', f'qmp:{self.src.qmp_path}', '--src-guard-qmp', self.src.guard_qmp_path,
            '--dst-qmp', self.dst.qmp_path, '--data-address', ADDRESS['b'], '--json', *SEGUE_BOUNDS, *self.options]
        done = subprocess.run(argv, env=self.lab.env('a'), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=MOVE_MAX_S + 60)
        lines = []
        for line in done.stdout.splitlines():
            with contextlib.suppress(ValueError):
                lines.append(json.loads(line))
        result = next((line for line in reversed(lines) if line.get('type') == 'result'), None)
        if result is None:
            raise LabError(f'segue ended with {done.returncode} and no result: {done.stderr.strip()[-400:]}')
        self.result = result
        return {'finished': done.returncode == 0, 'exit': done.returncode, 'error': result.get('error') or '',
                'said_downtime_ms': (result.get('downtime_seconds') or 0) * 1e3, 'passes': result.get('passes'),
                'decisions': [f"{x['elapsed_seconds']:.2f} {x['what']}: {x['because']}" for x in lines
                              if x.get('type') == 'decision'][-60:]}


def segue_program():
    path = os.path.join(ROOT, 'build', 'release', 'bin', 'segue')
    if not os.access(path, os.X_OK):
        raise LabError(f'{path} is not built: tools/build')
    return path


def missing_options(options):
    """Of the options that the study gives segue, those that this segue does not have."""
    done = subprocess.run([segue_program(), 'migrate', '--help'], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True)
    return [word for word in options if word.startswith('--') and word not in done.stdout]


def bounds_broken(run):
    """What the move broke of the bounds, one short text each; heartbeats may add a beat and the machine's own gaps."""
    broken = []
    if run['stop_to_resume_ms'] > MAX_DOWNTIME_MS:
        broken.append(f"downtime {run['stop_to_resume_ms']:.0f} ms")
    elif run['gap_ms'] > MAX_DOWNTIME_MS + BEAT_MS + run['calm_ms']:
        broken.append(f"heartbeat gap {run['gap_ms']:.0f} ms")
    if run['lowest_share'] is not None and run['lowest_share'] < MIN_CPU:
        broken.append(f"CPU {run['lowest_share'] * 100:.1f} %")
    if run['stall_ms'] > MAX_STALL_MS + BEAT_MS + run['calm_ms']:
        broken.append(f"stall {run['stall_ms']:.0f} ms")
    if run['wire_worst_ratio'] > 1.02:
        broken.append(f"bandwidth x{run['wire_worst_ratio']:.2f}")
    return broken
