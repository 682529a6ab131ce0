"""The link between the two hosts of a lab: its rate, and the ways in which it breaks."""
import os

from lab_base import LabError, now_ns, parse_rate, run_together

HOSTS = ('a', 'b')


class Link:
    """The part of Lab that shapes and breaks the link. Needs its `id`, `dir` and `netns`."""

    # -- the link. Each call returns the time (ns) when it had taken effect.

    def _rate_file(self):
        return os.path.join(self.dir, 'rate')

    def _write_rate(self, rate):
        with open(self._rate_file() + '.new', 'w') as f:
            f.write(f'{rate}\n')
        os.rename(self._rate_file() + '.new', self._rate_file())

    def base_rate(self):
        """The rate set by up or link_rate, in bytes per second of frames; 0: not shaped."""
        try:
            with open(self._rate_file()) as f:
                return int(f.read())
        except FileNotFoundError:
            raise LabError(f"lab '{self.id}' is not up") from None

    def _shape(self, rate, verb):
        commands = []
        for h in HOSTS:
            tc = ['tc', '-n', self.netns(h), 'qdisc']
            if rate:
                burst = max(rate // 500, 2 * 1514)  # 2 ms of the rate
                limit = rate // 40 + burst  # a queue of 25 ms
                shape = ['tbf', 'rate', f'{rate * 8}bit', 'burst', f'{burst}b', 'limit', f'{max(limit, 10 * 1514)}b']
                commands.append(tc + [verb, 'dev', 'eth0', 'root', *shape])
            else:
                commands.append(tc + ['replace', 'dev', 'eth0', 'root', 'noqueue'])
        run_together(*commands)

    # Dropped where it arrives, so that no error reaches a socket. handle 1: the same filter is
    # replaced when it is there already.
    def _drop(self, hosts):
        dropped = ['protocol', 'all', 'handle', '1', 'bpf', 'direct-action', 'bytecode', '1,6 0 0 2']
        run_together(*(['tc', '-n', self.netns(h), 'filter', 'replace', 'dev', 'eth0', 'ingress', 'pref', '1', *dropped]
                       for h in hosts))
        return now_ns()

    def link_rate(self, rate):
        rate = parse_rate(rate)
        self._shape(rate, 'replace')
        self._write_rate(rate)
        return now_ns()

    def link_collapse(self, divisor=100):
        """To 1/100 of the rate set, both directions. What waits in the queue stays in it."""
        base = self.base_rate()
        if not base:
            raise LabError('the link is not shaped: set a rate first')
        self._shape(max(base // divisor, 1000), 'change')
        return now_ns()

    def link_blackhole(self):
        self.base_rate()
        return self._drop(HOSTS)

    def link_return_lost(self):
        self.base_rate()
        run_together(['tc', '-n', self.netns('b'), 'filter', 'del', 'dev', 'eth0', 'ingress'])
        return self._drop('a')

    def link_restore(self, rate=None):
        rate = self.base_rate() if rate is None else rate
        run_together(*(['tc', '-n', self.netns(h), 'filter', 'del', 'dev', 'eth0', 'ingress'] for h in HOSTS))
        self._shape(rate, 'replace')
        self._write_rate(rate)
        return now_ns()
