"""Bad input: exit 2, one sentence that names the option or the side and the remedy, nothing changed on either side."""
import contextlib
import os
import re
import socket
import subprocess
import sys

import wrong_turns
from harness import program, require
from segue_lab import ADDRESS, LabError
from watching import Watcher

HOLD = """import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.recv(1)  # the greeting: the monitor is ours
print('held', flush=True)
sys.stdin.read()"""
GUEST = 'hot=8 rate=10'


class Pair:
    """A source and, by `dst`, a destination; what a refused run must leave as it was."""

    def __init__(self, lab, qemu='10', dst_qemu=None, **dst):
        self.lab = lab
        self.src = lab.start_vm('a', 'bad', qemu=qemu, guest=GUEST)
        try:
            self.dst = lab.start_vm('b', 'bad', **{**dict(qemu=dst_qemu or qemu, guest=GUEST, incoming=True), **dst})
        except BaseException:
            self.src.stop()
            raise
        self.watchers = [Watcher(self.src), Watcher(self.dst)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for watcher in self.watchers:
            watcher.close()
        self.src.stop()
        self.dst.stop()

    def snapshot(self):
        return [(w.settings(), w.status(), w.cmd('query-migrate'), w.cmd('query-yank')) for w in self.watchers]

    def segue(self, *words, src=None, dst=None, address=ADDRESS['b'], settings=None):
        argv = [program('segue'), 'migrate', f'qmp:{src or self.src.qmp_path}', '--dst-qmp', dst or self.dst.qmp_path,
                '--data-address', address, '--no-forecast', *words]
        env = dict(self.lab.env('a'), **({'SEGUE_CONFIG': settings} if settings else {}))
        return subprocess.run(self.lab.enter('a') + argv, env=env, stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=40)

    def refused(self, *words, says, several=False, **where):
        """Runs segue and requires the refusal; `says` are patterns that its one sentence must hold. `several`:
        more than one thing is in the way, each on a line of its own."""
        before = self.snapshot()
        done = self.segue(*words, **where)
        text = sentence(done)
        require(done.returncode == 2, f'exit {done.returncode} instead of 2: {text[-300:]}')
        for pattern in says:
            require(re.search(pattern, text), f'"{pattern}" is not in: {text}')
        require(several or len(text.splitlines()) == 1, f'not one line: {text}')
        after = self.snapshot()
        for side, one, two in zip(('source', 'destination'), before, after):
            require(one == two, f'{side} changed: {[(a, b) for a, b in zip(one, two) if a != b]}')
        return text


def sentence(done):
    """The result on standard output, or, when the command line was refused, what is on standard error."""
    return done.stdout.strip() or done.stderr.strip()


def cases(_):
    yield 'wrong turns that need no guest', without_a_guest
    yield 'words that mean nothing', words_that_mean_nothing
    yield 'what the settings refuse', settings_refuse
    yield 'sockets that are none', sockets_that_are_none
    yield 'a monitor that is held', held_monitor
    yield 'the same QEMU twice', same_qemu
    yield 'the source is paused', source_paused
    yield 'a dry run changes nothing', dry_run
    yield 'a bound that cannot hold', bound_too_small
    yield 'the data address cannot be bound', address_not_there
    for name, says, dst in (
            ('machine type', [r'machine type'], dict(extra=['-machine', 'q35'], several=True)),
            ('QEMU of another version with its own pc', [r'machine type'], dict(dst_qemu='7.2', memory='131072KiB')),
            ('CPU model', [r'CPU'], dict(extra=['-cpu', 'Nehalem'])),
            ('CPU flags', [r'CPU'], dict(extra=['-cpu', 'qemu64,-sse3'])),
            ('number of vCPUs', [r'vCPU'], dict(cpus=2)),
            ('memory', [r'memory'], dict(memory='136MiB')),
            ('devices', [r'devices differ', 'virtio-rng'], dict(extra=['-device', 'virtio-rng-pci']))):
        yield f'different {name}', lambda lab, s=says, d=dst: different(lab, s, d)
    yield 'the destination runs a guest', lambda lab: different(lab, ['destination', 'running'], dict(incoming=False))
    yield 'the destination does not wait', lambda lab: different(
        lab, ['destination', 'incoming defer'], dict(incoming=False, extra=['-S']))
    yield 'the destination listens already', dst_listens


def different(lab, says, dst):
    several = dst.pop('several', False)
    with Pair(lab, **dst) as pair:
        return pair.refused(says=says, several=several)


def words_that_mean_nothing(lab):
    with Pair(lab) as pair:
        count = 0
        for words, says in (
                (['--max-downtim', '300ms'], [r'--max-downtim\b', 'did you mean --max-downtime']),
                (['--max-downtime', '300MB'], ['--max-downtime', 'for example']),
                (['--max-bandwidth', '100ms'], ['--max-bandwidth', 'for example']),
                (['--switchover-bandwidth', '100'], ['--switchover-bandwidth', 'for example']),
                (['--max-downtime', '1ms'], ['--max-downtime', 'out of range']),
                (['--max-bandwidth', '1kB/s'], ['--max-bandwidth', 'out of range']),
                (['--timeout', '100d'], ['--timeout', 'out of range']),
                (['--timeout'], ['--timeout', 'no value']),
                (['--max-downtime', '2s', '--timeout', '1s'], ['--timeout', 'longer']),
                (['and', 'more'], ['one word too many'])):
            pair.refused(*words, says=says)
            count += 1
        return f'{count} kinds'


def without_a_guest(_):
    count, wrong = wrong_turns.take_all(program('segue'))
    require(not wrong, '; '.join(wrong))
    require(count >= 40, f'only {count} wrong turns')
    return f'{count} kinds'


def settings_refuse(lab):
    with Pair(lab) as pair:
        settings = os.path.join(lab.host_dir('a'), 'settings')
        os.makedirs(settings, exist_ok=True)
        for text, words, says in (
                ('max_downtime = 300\n', [], [r'site\.toml:1:16: max_downtime is a number', 'for example']),
                ('max_bandwidth = "1GiB/s"\nlock = ["max_bandwidth"]\n', ['--max-bandwidth', '2GiB/s'],
                 ['--max-bandwidth cannot be given', r'site\.toml:2 locks max_bandwidth']),
                ('timeout = "2s"\n', ['--max-downtime', '3s'], ['timeout 2 s', r'site\.toml:1']),
                ('max_downtime = "40ms"\n', [], ['--max-downtime', r'--max-downtime >= \d+'])):
            with open(os.path.join(settings, 'site.toml'), 'w', encoding='utf-8') as f:
                f.write(text)
            said = pair.refused(*words, says=says, settings=settings)
        return said


def sockets_that_are_none(lab):
    with Pair(lab) as pair, contextlib.ExitStack() as stack:
        absent = pair.refused(dst='/nowhere/b.qmp', says=['destination', '/nowhere/b.qmp', 'check|give|start'])
        pair.refused(src='/nowhere/a.qmp', says=['source', '/nowhere/a.qmp', 'check|give|start'])
        plain = os.path.join(lab.host_dir('a'), 'plain')
        open(plain, 'w').close()
        pair.refused(src=plain, says=['source', re.escape(plain)])
        other = os.path.join(lab.host_dir('a'), 'other')
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(other)
        listener.listen(8)
        pair.refused(src=other, says=['source', re.escape(other)])  # it never says a word
        pair.refused(dst=pair.dst.serial_path, says=['destination', re.escape(pair.dst.serial_path)])
        return absent


def held_monitor(lab):
    """Held from the same host: who holds it is told within one network namespace only."""
    with Pair(lab) as pair:
        for side, path in (('source', pair.src.qmp_path), ('destination', pair.dst.qmp_path)):
            holder = lab.popen('a', [sys.executable, '-c', HOLD, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            with holder:
                holder.stdout.readline()
                text = pair.refused(says=[side, rf'pid {holder.pid}\b', '-qmp|monitor'])
                holder.stdin.close()
        return text


def same_qemu(lab):
    with Pair(lab) as pair:
        pair.refused(dst=pair.src.qmp_path, says=['--dst-qmp', 'source'])
        return pair.refused(dst=pair.src.guard_qmp_path, says=['same QEMU|is running'])


def source_paused(lab):
    with Pair(lab) as pair:
        pair.watchers[0].cmd('stop')
        return pair.refused(says=['source', 'not running', 'continue'])


def dry_run(lab):
    with Pair(lab) as pair:
        before = pair.snapshot()
        done = pair.segue('--dry-run')
        require(done.returncode == 0, f'exit {done.returncode}: {done.stderr}')
        require(before == pair.snapshot(), 'a dry run changed something')
        return (done.stdout + done.stderr).strip().splitlines()[-1]


def bound_too_small(lab):
    with Pair(lab) as pair:
        return pair.refused('--max-downtime', '40ms', says=['--max-downtime', r'--max-downtime >= \d+'])


def address_not_there(lab):
    """Only the destination's QEMU can know, once it is asked to listen; then everything is put back."""
    with Pair(lab) as pair:
        before, settings = pair.snapshot()[0], pair.watchers[1].settings()
        done = pair.segue(address='10.77.0.99')
        text = sentence(done)
        require(done.returncode == 2, f'exit {done.returncode}: {text}')
        require('--data-address' in text and 'nothing was changed' in text, text)
        watcher = pair.watchers[0]
        after = (watcher.settings(), watcher.status(), watcher.cmd('query-migrate'), watcher.cmd('query-yank'))
        require(after == before, f'source changed: {[(a, b) for a, b in zip(before, after) if a != b]}')
        try:
            state = pair.watchers[1].status()
        except (LabError, OSError):
            state = 'gone'
        require(state == 'inmigrate', f'the destination waits no more, it is {state}: {text}')
        require(pair.watchers[1].settings() == settings, 'the settings of the destination are not put back')
        return f'exit {done.returncode}: {text.splitlines()[-1]}'


def dst_listens(lab):
    with Pair(lab) as pair:
        pair.watchers[1].cmd('migrate-incoming', uri=f"tcp:{ADDRESS['b']}:4555")
        return pair.refused(says=['destination', 'afresh'])
