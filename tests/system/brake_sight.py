"""The brake on one QEMU, seen from its group files: which groups hold its threads, and whether they hold them back."""
import contextlib
import glob
import os
import threading
import time

from harness import require
from segue_lab import LabError, now_ns, wait_until
from watching import hurry

ROOT = '/sys/fs/cgroup'


def read(*path):
    with contextlib.suppress(OSError):
        with open(os.path.join(*path), encoding='ascii') as f:
            return f.read().strip()
    return None


def groups_of(pid):
    """Folders of the brake's groups that hold a thread of this process, versions 1 and 2."""
    found = set()
    with contextlib.suppress(OSError):
        for thread in os.listdir(f'/proc/{pid}/task'):
            for line in (read(f'/proc/{pid}/task/{thread}/cgroup') or '').splitlines():
                _, controllers, path = line.split(':', 2)
                if os.path.basename(path).startswith('segue-') and controllers.split(',')[0] in ('', 'cpu'):
                    mounts = [ROOT] if not controllers else glob.glob(f'{ROOT}/cpu') or glob.glob(f'{ROOT}/cpu,*')
                    found.update(mount + path for mount in mounts if os.path.isdir(mount + path))
    return sorted(found)


def is_braked(folder):
    """Whether that group has a quota; a group that is gone has none."""
    quota = read(folder, 'cpu.cfs_quota_us') or read(folder, 'cpu.max') or '-1'
    return quota.split()[0] not in ('-1', 'max')


class BrakeSight:
    """Finds the groups at look(), then notes every millisecond whether one of them still brakes."""

    def __init__(self, pid):
        self.pid, self.groups, self.braked_until_ns = pid, [], None
        self._ending, self._thread = threading.Event(), None

    def look(self):
        """Whether the guest is braked now."""
        self.groups = groups_of(self.pid)
        return any(map(is_braked, self.groups))

    def watch(self):
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self):
        hurry()
        while not self._ending.is_set():
            if any(map(is_braked, self.groups)):
                self.braked_until_ns = now_ns()
            time.sleep(0.001)

    def close(self):
        self._ending.set()
        if self._thread:
            self._thread.join()

    def lifted_ms(self, since_ns):
        """From `since_ns` to the last moment at which a quota was seen; 0: none was."""
        require(not any(map(is_braked, self.groups)), f'still braked: {self.groups}')
        return max(0.0, ((self.braked_until_ns or since_ns) - since_ns) / 1e6)

    def require_gone(self, seconds=3.0):
        """Every group that was seen, and every one that holds a thread of this QEMU now."""
        def left():
            return [g for g in {*self.groups, *groups_of(self.pid)} if os.path.isdir(g)]
        with contextlib.suppress(LabError):
            wait_until(lambda: not left(), seconds, 'the end of the groups')
        require(not left(), f'brake groups are left: {left()}')


def work_rate(vm, from_ns, to_ns):
    """Pages written a second, by the guest's own counter (32 bits, it wraps)."""
    beats = [b for b in vm.beats() if from_ns <= b.mono_ns <= to_ns]
    require(len(beats) > 1, f'{len(beats)} heartbeats in {(to_ns - from_ns) / 1e6:.0f} ms')
    return (beats[-1].work - beats[0].work & 0xFFFFFFFF) / ((beats[-1].mono_ns - beats[0].mono_ns) / 1e9)
