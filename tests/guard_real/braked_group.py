"""A group of cgroup v1 that is held like a braked vCPU, for test_guard.py."""
import os
import signal
import time


class BrakedGroup:
    """What src/brake/cgroup makes for a vCPU: a group of cgroup v1 at 5 % when the stand-in says so. In it are the
    source's vCPU and, since that guest does nothing, a process that spins."""
    ROOT = '/sys/fs/cgroup/cpu'

    def __init__(self):
        self.path = os.path.join(self.ROOT, f'segue-guardtest{os.getpid()}-vcpu0')
        os.mkdir(self.path)
        self.write('cpu.cfs_period_us', 20000)
        self.write('cpu.shares', 262144)
        self.spinner = os.fork()
        if self.spinner == 0:
            os.setsid()
            while True:
                pass
        self.write('tasks', self.spinner)

    def write(self, name, value):
        with open(os.path.join(self.path, name), 'w') as file:
            file.write(str(value))

    def close(self):
        os.kill(self.spinner, signal.SIGKILL)
        os.waitpid(self.spinner, 0)
        if os.path.exists(self.path):
            for tid in self.members():
                with open(os.path.join(self.ROOT, 'tasks'), 'w') as file:
                    file.write(str(tid))
            os.rmdir(self.path)

    def members(self):
        with open(os.path.join(self.path, 'tasks')) as file:
            return [int(line) for line in file]

    def is_free(self):
        try:
            with open(os.path.join(self.path, 'cpu.cfs_quota_us')) as file:
                return file.read().strip() == '-1'
        except OSError:
            return True  # Removed.

    def seconds_until(self, condition, limit):
        """Since now; `limit` if it did not come true. Looks as soon as it is time, however busy the machine is."""
        began = time.monotonic()
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        try:
            while time.monotonic() < began + limit:
                if condition():
                    return time.monotonic() - began
                time.sleep(0.0005)
            return limit
        finally:
            os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))

    def share(self, seconds=0.3):
        def ran():
            with open(f'/proc/{self.spinner}/schedstat') as file:
                return int(file.read().split()[0])
        before, began = ran(), time.monotonic()
        time.sleep(seconds)
        return (ran() - before) * 1e-9 / (time.monotonic() - began)
