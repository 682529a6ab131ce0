"""What the machine below takes of our CPUs (steal in /proc/stat). Under it a link is slower than it is set to and a
time is missed that nobody of ours is late for: what was tried meanwhile shows nothing and is tried again."""
import os
import time

CALM_SHARE, CALM_WITHIN_S = 0.02, 60


def stolen_ms():
    """Of all CPUs together, since the start of this machine."""
    with open('/proc/stat', encoding='ascii') as f:
        return int(f.readline().split()[8]) * 1000 // os.sysconf('SC_CLK_TCK')


def wait_for_calm():
    """Until a second went by in which next to nothing was taken; a minute at most."""
    for _ in range(CALM_WITHIN_S):
        before = stolen_ms()
        time.sleep(1)
        if stolen_ms() - before <= CALM_SHARE * 1e3 * os.cpu_count():
            return


class Theft:
    """From its making on: `ms`, and `share` of all CPUs."""

    def __init__(self):
        self._began, self._before = time.monotonic(), stolen_ms()

    @property
    def ms(self):
        return stolen_ms() - self._before

    @property
    def share(self):
        return self.ms / 1e3 / (time.monotonic() - self._began) / os.cpu_count()
