"""Frames on the wire, counted by lab/meter."""
import os
import subprocess

from lab_base import LabError


class PacketMeter:
    """Counts frames leaving a host's eth0 in bins of 1 ms, by lab/meter.

    with PacketMeter(lab, 'a', port=4444) as meter: ...
    bins = meter.bins()        # [(mono_ms, bytes)]
    """

    def __init__(self, lab, host='a', port=None, mss=None):
        self.path = os.path.join(lab.host_dir(host), f'meter-{os.getpid()}-{id(self)}.bins')
        argv = lab.enter(host) + [lab.tool('meter'), 'eth0', self.path]
        argv += ['--port', str(port)] if port else []
        argv += ['--mss', str(mss)] if mss else []
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != 'ready\n':
            raise LabError(f'meter: {self.process.communicate()[1].strip()}')
        self._bins = None

    def bins(self):
        """Ends the counting and returns [(mono_ms, bytes)]."""
        if self._bins is None:
            self.process.terminate()
            errors = self.process.communicate(timeout=5)[1]
            with open(self.path) as f:
                self._bins = [tuple(map(int, line.split())) for line in f]
            os.unlink(self.path)
            if self.process.returncode:
                raise LabError(errors.strip())
        return self._bins

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.bins()


def total_bytes(bins):
    return sum(b for _, b in bins)


def worst_window(bins, seconds=0.1):
    """Highest average in bytes per second over any window of that length that starts at a bin."""
    width, best, inside, first = round(seconds * 1000), 0, 0, 0
    for ms, count in bins:
        inside += count
        while bins[first][0] <= ms - width:
            inside -= bins[first][1]
            first += 1
        best = max(best, inside)
    return best / seconds
