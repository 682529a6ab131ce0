"""Errors, waiting, units and processes: what every part of the lab's library needs."""
import contextlib
import os
import re
import signal
import subprocess
import time


class LabError(Exception):
    """Something a person can act on; the text says what."""


def now_ns():
    """The clock of every stamp in the lab: CLOCK_MONOTONIC, one machine, so both hosts agree."""
    return time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def wait_until(predicate, seconds, what, interval=0.005):
    """Polls until predicate() is true and returns its value; LabError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise LabError(f'{what}: not within {seconds:g} s')
        time.sleep(interval)


_RATE_UNITS = {
    'B/s': 1,
    'kB/s': 10**3,
    'MB/s': 10**6,
    'GB/s': 10**9,
    'KiB/s': 2**10,
    'MiB/s': 2**20,
    'GiB/s': 2**30,
    'bit/s': 1 / 8,
    'kbit/s': 10**3 / 8,
    'Mbit/s': 10**6 / 8,
    'Gbit/s': 10**9 / 8,
}


def parse_rate(text):
    """'100MiB/s' -> bytes per second; an int is taken as bytes per second; 'none' -> 0."""
    if isinstance(text, int):
        return text
    if text == 'none':
        return 0
    match = re.fullmatch(r'(\d+(?:\.\d+)?)\s*([A-Za-z]+/s)', text)
    if not match or match.group(2) not in _RATE_UNITS:
        raise LabError(f"bad rate '{text}': say for example 100MiB/s or 1Gbit/s, or none")
    rate = int(float(match.group(1)) * _RATE_UNITS[match.group(2)])
    if rate < 1000:
        raise LabError(f"rate '{text}' is below 1 kB/s")
    return rate


def parse_memory_kib(text):
    """'131080', '131080KiB' or '128MiB' -> KiB."""
    if isinstance(text, int):
        return text
    match = re.fullmatch(r'(\d+)(KiB|MiB|GiB)?', text)
    if not match:
        raise LabError(f"bad memory size '{text}': say for example 131080KiB or 128MiB")
    return int(match.group(1)) * {None: 1, 'KiB': 1, 'MiB': 1024, 'GiB': 2**20}[match.group(2)]


def start_time(pid):
    """Kernel start time of a process, which with the pid names it for ever; None when gone."""
    try:
        with open(f'/proc/{pid}/stat') as f:
            fields = f.read().rsplit(')', 1)[1].split()
        # The first thread is a zombie while others still end: then files and ports are still held.
        if fields[0] in 'ZX' and len(os.listdir(f'/proc/{pid}/task')) <= 1:
            return None
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(fields[19])


def end_process(pid, started, seconds=2.0):
    """SIGTERM, then SIGKILL, to exactly this process."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        if start_time(pid) != started or started is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sig)
        with contextlib.suppress(LabError):
            wait_until(lambda: start_time(pid) != started, seconds, 'end')


def run(argv, **kwargs):
    done = subprocess.run(argv, capture_output=True, text=True, **kwargs)
    if done.returncode:
        raise LabError(f"{' '.join(argv[:6])}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def run_together(*commands):
    """Starts all, then waits for all: the two ends of a link change at the same time."""
    running = [
        subprocess.Popen(c, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, close_fds=False) for c in commands
    ]
    errors = [p.communicate()[1].decode().strip() for p in running]
    for p, e, c in zip(running, errors, commands):
        if p.returncode:
            raise LabError(f"{' '.join(c)}: {e}")
