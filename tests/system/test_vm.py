"""VMs by name: started from their description, moved, marked as moved, refused where they are not any more."""
import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import time

from harness import program, require, require_safe
from lab_arguments import disk_arguments, machine_arguments
from lab_base import start_time
from lab_vm import Vm
from segue_lab import ADDRESS, wait_until
from test_ssh import PORT, Sshd

NAME = 'web1'
UUID = '6f9619ff-8b86-4011-b42d-00c04fc964ff'


def cases(long_form):
    runs = 5 if long_form else 1
    for run in range(1, runs + 1):
        number = f' #{run}' if runs > 1 else ''
        yield 'there and back by name' + number, there_and_back
        yield 'a move that is cancelled leaves the other host as it was' + number, cancelled
        yield 'a destination that dies leaves nothing in the way' + number, destination_killed
        yield 'a move whose segue died is not started again, before and after recover' + number, recovered
    yield 'a mark that cannot be written leaves the move to recover', unmarked
    yield 'by name through ssh, with nothing but a host', through_ssh
    yield 'a guest that writes to a file moves only where that is the same file', on_a_disk
    yield 'what is in the way is refused, and nothing is touched', refused
    yield 'a description with faults tells them all', faults
    yield 'doctor and config say what holds on both hosts', questions


class Hosts:
    """A VM's description on both hosts, and segue there."""

    def __init__(self, lab, guest='hot=8 rate=200', limits='max_downtime = "500ms"', words=(), disks=('', '')):
        self.lab, self.disks = lab, dict(zip('ab', disks))
        self.stack = contextlib.ExitStack()
        for host in 'ab':
            self.clean(host)
            self.stack.callback(self.clean, host)
            os.makedirs(self.config(host))
        self.describe('a', guest, limits, list(words))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def config(self, host):
        return os.path.join(self.lab.host_dir(host), 'etc', 'vms')

    def folder(self, host):
        return os.path.join(self.lab.state_dir(host), 'vms', NAME)

    def describe(self, host, guest, limits, more):
        qemu = self.lab.qemu_path('10')
        words = machine_arguments(qemu, NAME, 128 * 1024, 1, self.lab.tool('guest.elf'), guest)
        at = words.index('-name')
        words[at:at + 2] = []
        words += ['-chardev', 'null,id=beat', '-device', 'isa-debugcon,iobase=0xe9,chardev=beat']
        words += ['-chardev', 'socket,id=serial,path={serial},server=on,wait=off,logfile={serial}.log']
        words += ['-serial', 'chardev:serial', *more]
        places = {'a': 'a', 'b': 'b', 'default': 'b'}
        serials = ''.join(f'[host.{h}]\nserial = "{self.vm(at).serial_path}"\ndisk = "{self.disks[at]}"\n'
                          for h, at in places.items())
        with open(os.path.join(self.config(host), NAME + '.toml'), 'w') as f:
            f.write(f'name = "{NAME}"\ncommand = {json.dumps(words)}\n[limits]\n{limits}\n{serials}')

    def vm(self, host, pid=0):
        return Vm(self.lab, host, NAME, {'pid': pid, 'started': start_time(pid) if pid else None})

    def env(self, host):
        return dict(self.lab.env(host), SEGUE_CONFIG=os.path.dirname(self.config(host)), SEGUE_HOST=host)

    def segue(self, host, *words, seconds=40):
        return subprocess.run(self.lab.enter(host) + [program('segue'), *words], env=self.env(host), text=True,
                              stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)

    def ok(self, host, *words):
        done = self.segue(host, *words)
        require(done.returncode == 0, f'{words} on {host}: exit {done.returncode}: {done.stderr.strip()[-400:]}')
        return done.stdout.strip()

    def refused(self, host, *words, says):
        before = self.files()
        done = self.segue(host, *words)
        require(done.returncode == 2, f'{words} on {host}: exit {done.returncode}: {done.stderr.strip()[-400:]}')
        # The result of a move is on standard output.
        sentence = ' '.join(done.stderr.strip().splitlines()[-1:] + done.stdout.strip().splitlines()[-1:])
        require(says in sentence, f'{words} on {host} says: {sentence}')
        require(self.files() == before, f'{words} on {host} touched {before ^ self.files()}')
        return sentence

    def files(self):
        """Every file of both VMs' folders with its change time."""
        found = set()
        for host in 'ab':
            with contextlib.suppress(FileNotFoundError):
                for entry in os.scandir(self.folder(host)):
                    found.add((host, entry.name, entry.stat().st_mtime_ns, entry.stat().st_ino))
        return found

    def state(self, host):
        vms = json.loads(self.ok(host, 'vm', 'list', '--json'))['vms']
        return next((vm for vm in vms if vm['name'] == NAME), None)

    def require_state(self, host, state, moved_to=None):
        seen = self.state(host)
        require(seen and seen['state'] == state and seen['moved_to'] == moved_to,
                f'{NAME} on {host} is {seen}, not {state} {moved_to or ""}')
        return seen

    def to(self, dst):
        env = self.env(dst)
        words = ['env', *(f'{key}={env[key]}' for key in ('SEGUE_STATE', 'SEGUE_CONFIG', 'SEGUE_HOST')),
                 *self.lab.enter(dst), program('segue'), 'receive', '--stdio']
        return ['migrate', NAME, '--to', 'cmd:' + shlex.join(words), '--data-address', ADDRESS[dst], '--no-forecast',
                '--json']

    def move(self, src, dst, *options):
        done = self.segue(src, *self.to(dst), *options)
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        require(done.returncode == 0, f'{src} to {dst}: exit {done.returncode}: {done.stderr.strip()[-500:]}')
        require(lines[-1]['error'] is None, f'left undone: {lines[-1]["error"]}')
        return lines[-1]

    def popen_move(self, src, dst, *options):
        process = subprocess.Popen(self.lab.enter(src) + [program('segue'), *self.to(dst), *options],
                                   env=self.env(src), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE)
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        for line in process.stdout:
            if json.loads(line)['type'] == 'progress':
                return process
        require(False, f'no progress: {process.stderr.read()[-400:]}')

    def start(self, host='a'):
        self.ok(host, 'vm', 'start', NAME)
        log = self.vm(host).serial_path + '.log'
        wait_until(lambda: 'ready ' in read(log), 20, 'boot of the guest')
        return self.state(host)['pid']

    def require_whole(self, host):
        verdict = self.vm(host).verify()
        require_safe(verdict.ok, f'on {host}: {verdict.line}')
        return int(verdict.fields['pages'])

    def clean(self, host):
        """Whatever runs there under this name is ended, by its own record; all files are taken away."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads(read(os.path.join(self.folder(host), 'process.json')))
            if start_time(record['pid']) == record['start_ticks']:
                os.kill(record['pid'], signal.SIGKILL)
                wait_until(lambda: start_time(record['pid']) != record['start_ticks'], 5, 'end')
        for path in (self.lab.state_dir(host), os.path.dirname(self.config(host))):
            shutil.rmtree(path, ignore_errors=True)
        for ending in ('.serial', '.serial.log'):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(self.lab.host_dir(host), NAME + ending))
        os.makedirs(self.lab.state_dir(host), exist_ok=True)


def read(path):
    with contextlib.suppress(FileNotFoundError):
        with open(path, errors='replace') as f:
            return f.read()
    return ''


def there_and_back(lab):
    with Hosts(lab) as hosts:
        require(hosts.state('a')['state'] == 'stopped', 'a described VM is not listed')
        pid = hosts.start()
        seen = hosts.require_state('a', 'running')
        hosts.refused('a', 'vm', 'start', NAME, says=f'{NAME} runs already (process {pid})')
        shown = json.loads(hosts.ok('a', 'vm', 'show', NAME, '--json'))
        require(shown['uuid'] == seen['uuid'] and '-uuid' in shown['command'], f'show says {shown}')
        require(shown['max_downtime_seconds'] == 0.5, f'show says {shown}')

        result = hosts.move('a', 'b')
        require(result['bounds']['max_downtime_seconds'] == 0.5, f'[limits] did not count: {result}')
        require(start_time(pid) is None, "the source's QEMU is still there")
        there = hosts.require_state('b', 'running')
        require(there['uuid'] == seen['uuid'], f'another uuid on b: {there}')
        marked = hosts.require_state('a', 'moved', 'b')
        sentence = hosts.refused('a', 'vm', 'start', NAME, says=f'{NAME} was moved to b on {marked["moved_at"]} (job ')
        require('and runs there; it is not started a second time' in sentence, sentence)
        require(f'moved to b' in hosts.ok('a', 'vm', 'list'), 'the list does not say where it went')
        hosts.refused('a', *hosts.to('b'), says='runs there: move it from there')
        pages = hosts.require_whole('b')
        jobs = [json.loads(line) for line in hosts.ok('b', 'history', '--json').splitlines()]
        require([job['vm'] for job in jobs] == [NAME], f'the journal of b says {jobs}')

        hosts.move('b', 'a', '--max-downtime', '600ms')
        hosts.require_state('a', 'running')
        hosts.require_state('b', 'moved', 'a')
        require(hosts.require_whole('a') == pages, 'pages are missing')
        hosts.refused('b', 'vm', 'start', NAME, says=f'{NAME} was moved to a')
        left = sorted(os.listdir(hosts.folder('a')))
        require(left == ['control.qmp', 'guard.qmp', 'process.json', 'qemu.log', 'spare.qmp', 'uuid', 'vm.toml'], left)

        late = hosts.segue('a', 'vm', 'stop', NAME, '--wait', '1s')
        require(late.returncode == 1 and 'still runs' in late.stderr, f'{late.returncode}: {late.stderr}')
        hosts.ok('a', 'vm', 'stop', NAME, '--now')
        hosts.require_state('a', 'stopped')
        hosts.refused('a', 'vm', 'stop', NAME, says='does not run here')
        hosts.ok('b', 'vm', 'start', NAME, '--forget-move')
        require(hosts.require_state('b', 'running')['uuid'] == seen['uuid'], 'forgetting changed the uuid')
        hosts.ok('b', 'vm', 'stop', NAME, '--now')
        return f'{pages} pages twice, downtime {result["downtime_seconds"] * 1e3:.0f} ms'


def cancelled(lab):
    with Hosts(lab, guest='hot=60 rate=4000', limits='max_bandwidth = "20MiB/s"') as hosts:
        pid = hosts.start()
        for known_before in (False, True):
            if known_before:
                os.makedirs(hosts.folder('b'))
                for name, text in (('vm.toml', 'old'), ('uuid', hosts.state('a')['uuid'] + '\n'),
                                   ('moved.json', '{"host":"a","job":1,"at":"2026-01-01T00:00:00Z"}\n')):
                    with open(os.path.join(hosts.folder('b'), name), 'w') as f:
                        f.write(text)
            before = {f for f in hosts.files() if f[0] == 'b'}
            process = hosts.popen_move('a', 'b')
            hosts.require_state('b', 'arriving')
            hosts.refused('b', 'vm', 'start', NAME, says='just now') if known_before else None
            process.send_signal(signal.SIGTERM)
            require(process.wait(20) == 5, f'exit {process.returncode}: {process.stderr.read()[-300:]}')
            require({f for f in hosts.files() if f[0] == 'b'} == before, 'the folder on b is not as it was')
            require(os.path.exists(hosts.folder('b')) == known_before, 'a folder is left on b')
            if known_before:
                hosts.require_state('b', 'moved', 'a')
            require(hosts.require_state('a', 'running')['pid'] == pid, 'another QEMU on a')
        hosts.require_whole('a')
        return 'without and with a folder there before'


def destination_killed(lab):
    with Hosts(lab, guest='hot=60 rate=4000', limits='max_bandwidth = "20MiB/s"') as hosts:
        hosts.start()
        process = hosts.popen_move('a', 'b')
        with open(f'/proc/{process.pid}/task/{process.pid}/children') as f:
            children = [int(child) for child in f.read().split()]
        for child in children:
            with open(f'/proc/{child}/cmdline', 'rb') as f:
                if b'receive' in f.read():
                    os.kill(child, signal.SIGKILL)
        require(process.wait(20) == 1, f'exit {process.returncode}: {process.stderr.read()[-300:]}')
        time.sleep(0.5)
        hosts.require_state('b', 'unknown')
        hosts.refused('b', 'vm', 'start', NAME, says='that it arrived is not known')
        hosts.require_state('a', 'running')
        hosts.vm('a').set('rate=10')
        hosts.move('a', 'b', '--max-bandwidth', '100MiB/s')
        hosts.require_state('b', 'running')
        pages = hosts.require_whole('b')
        return f'moved afterwards, {pages} pages'


def recovered(lab):
    with Hosts(lab) as hosts:
        pid = hosts.start()
        env = dict(hosts.env('a'), SEGUE_FAULT_POINT='segue:answered')
        process = subprocess.Popen(lab.enter('a') + [program('segue-faults'), *hosts.to('b')], env=env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        hosts.stack.callback(process.wait)
        hosts.stack.callback(process.kill)
        wait_until(lambda: read(f'/proc/{process.pid}/stat').rsplit(')', 1)[1].split()[0] == 'T', 20, 'the answer')
        process.kill()
        process.wait()
        hosts.refused('a', 'vm', 'start', NAME, says='runs already')
        os.kill(pid, signal.SIGKILL)  # As a host that was started again.
        wait_until(lambda: start_time(pid) is None, 5, "the end of the source's QEMU")
        hosts.require_state('b', 'running')
        says = 'which did not come to its end, so that it may run there'
        for words in ((), ('--forget-move',)):
            hosts.refused('a', 'vm', 'start', NAME, *words, says=says)
        hosts.ok('a', 'recover')
        hosts.require_state('a', 'moved', 'destination')
        hosts.refused('a', 'vm', 'start', NAME, says=f'{NAME} was moved to destination on ')
        hosts.require_state('b', 'running')
        return f'{hosts.require_whole("b")} pages'


def unmarked(lab):
    with Hosts(lab, limits='max_bandwidth = "60MiB/s"') as hosts:
        hosts.start()
        process = hosts.popen_move('a', 'b')
        in_the_way = os.path.join(hosts.folder('a'), 'moved.json')
        os.mkdir(in_the_way)
        said = process.communicate(timeout=30)[1]
        require(process.returncode == 0, f'exit {process.returncode}: {said[-300:]}')
        require('could not be remembered' in said, f'nobody was told: {said}')
        hosts.require_state('b', 'running')
        again = hosts.segue('a', 'recover')
        require('stays unfinished' in again.stderr, again.stderr)
        os.rmdir(in_the_way)
        hosts.refused('a', 'vm', 'start', NAME, says='which did not come to its end')
        hosts.ok('a', 'recover')
        hosts.require_state('a', 'moved', 'destination')
        return f'{hosts.require_whole("b")} pages'


def through_ssh(lab):
    with Hosts(lab) as hosts, Sshd(lab) as sshd:
        hosts.start()
        done = subprocess.run(lab.enter('a') + [program('segue'), 'migrate', NAME, '--to',
                                                f'ssh://root@{ADDRESS["b"]}:{PORT}', '--no-forecast'],
                              env={**hosts.env('a'), **sshd.env()}, text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=40)
        require(done.returncode == 0, f'exit {done.returncode}: {done.stderr.strip()[-400:]}')
        require(done.stdout.startswith(f'{NAME}: '), done.stdout)
        hosts.require_state('b', 'running')
        hosts.require_state('a', 'moved', socket.gethostname())
        return f'{hosts.require_whole("b")} pages; {done.stdout.strip()}'


def on_a_disk(lab):
    disk, other = (os.path.join(lab.dir, name) for name in ('disk.raw', 'other.raw'))
    for path in (disk, other):
        with open(path, 'wb') as f:
            f.truncate(1 << 20)
    with Hosts(lab, words=disk_arguments('{disk}'), disks=(disk, other)) as hosts:
        hosts.start()
        for options in ((), ('--storage-is-shared',), ('--dry-run',)):
            hosts.refused('a', *hosts.to('b'), *options, says='disk0 is not the same storage on both sides')
        hosts.require_state('a', 'running')
        require(not os.path.exists(hosts.folder('b')), 'a refused move left a folder on b')
        known = [json.loads(line) for line in hosts.ok('b', 'history', '--json').splitlines()]
        require([x['outcome'] for x in known] == ['refused'] * 3, f'the journal of b says {known}')
        require(all('disk0 is not the same' in x['error'] for x in known), f'the journal of b gives no reason: {known}')
    with Hosts(lab, words=disk_arguments('{disk}'), disks=(disk, disk)) as hosts:
        hosts.start()
        hosts.move('a', 'b')
        return f'{hosts.require_whole("b")} pages'


def refused(lab):
    with Hosts(lab) as hosts:
        hosts.refused('a', *hosts.to('b'), says=f'no VM "{NAME}" is known on this host')
        hosts.refused('a', 'vm', 'stop', NAME, says='no VM')
        hosts.refused('a', 'vm', 'start', 'web2', says='no VM "web2" is known on this host: describe it in')
        hosts.start()
        hosts.ok('a', 'vm', 'stop', NAME, '--now')
        hosts.refused('a', *hosts.to('b'), says='does not run here: segue vm start web1')
        hosts.start()
        hosts.refused('a', *hosts.to('b'), '--dst-qmp', '/run/b.qmp', says='leave --dst-qmp out')
        os.makedirs(hosts.folder('b'))
        with open(os.path.join(hosts.folder('b'), 'uuid'), 'w') as f:
            f.write(UUID + '\n')
        hosts.refused('a', *hosts.to('b'), says=f'b knows another VM by the name {NAME}, with uuid {UUID}')
        shutil.rmtree(hosts.folder('b'))
        shutil.copytree(hosts.config('a'), hosts.config('b'), dirs_exist_ok=True)
        hosts.start('b')
        hosts.refused('a', *hosts.to('b'), says=f'a VM named {NAME} runs on b already')
        hosts.require_whole('a')
        hosts.require_whole('b')
        deep = dict(hosts.env('a'), SEGUE_STATE='/var/tmp/' + 'x' * 90)
        done = subprocess.run([program('segue'), 'vm', 'start', NAME], env=deep, capture_output=True, text=True)
        require(done.returncode == 2 and 'at most 107' in done.stderr, f'{done.returncode}: {done.stderr}')
        return 'each with one sentence, nothing touched'


def faults(lab):
    with Hosts(lab) as hosts:
        path = os.path.join(hosts.config('a'), 'bad.toml')
        with open(path, 'w') as f:
            f.write('nam = "bad"\nname = "bad"\ncommand = ["qemu", "-S", "{disk}"]\n[limits]\ntimeout = 5\n')
        done = hosts.segue('a', 'vm', 'check', path, os.path.join(hosts.config('a'), NAME + '.toml'))
        require(done.returncode == 2, f'exit {done.returncode}')
        lines = done.stderr.strip().splitlines()
        require([line.split(':')[2] for line in lines] == ['1', '3', '3', '5'], f'{lines}')
        require('did you mean name?' in lines[0], lines[0])
        require(f'{NAME} can be started on a' in done.stdout, done.stdout)
        with open(path, 'w') as f:
            f.write('name = "bad"\ncommand = ["/nonexistent/qemu"]\n')
        done = hosts.segue('a', 'vm', 'start', path)
        require(done.returncode == 1 and 'bad does not run' in done.stderr, f'{done.returncode}: {done.stderr}')
        require('No such file' in done.stderr, done.stderr)
        return done.stderr.strip()


def questions(lab):
    with Hosts(lab) as hosts:
        with open(os.path.join(os.path.dirname(hosts.config('a')), 'site.toml'), 'w') as f:
            f.write('preset = "ganeti"\nlock = ["max_bandwidth"]\n')
        before = hosts.files()
        there = hosts.to('b')[hosts.to('b').index('--to') + 1]
        said = json.loads(hosts.ok('a', 'doctor', '--host', there, '--json'))
        found = {(one['check'], one['verdict']) for one in said['findings']}
        require({('guardian', 'ok'), ('qemu', 'ok'), ('host', 'ok'), ('journal', 'ok')} <= found, f'{found}')
        require(said['problems'] == 0 and hosts.files() == before, f'{said}')
        lost = subprocess.run([program('segue'), 'doctor'], env=dict(hosts.env('a'), SEGUE_GUARD='/nowhere'), text=True,
                              capture_output=True, timeout=40)
        require(lost.returncode == 1 and re.search(r'(?m)^problem +guardian .*/nowhere', lost.stdout), lost.stdout)
        rows = settings(hosts)
        require(rows['max_downtime']['file'] == os.path.join(hosts.config('a'), NAME + '.toml'), f'{rows}')
        require(rows['max_bandwidth']['bytes_per_second'] == 32 << 20 and rows['max_bandwidth']['locked'], f'{rows}')
        hosts.ok('a', 'config', 'check')
        hosts.start()
        # It is moved by the description that it was started from.
        rows = settings(hosts)
        require(rows['max_downtime']['file'] == os.path.join(hosts.folder('a'), 'vm.toml'), f'{rows}')
        hosts.refused('a', *hosts.to('b'), '--max-bandwidth', '64MiB/s', says='site.toml:2 locks max_bandwidth')
        moved = hosts.move('a', 'b')
        require(moved['bounds']['max_bandwidth_bytes_per_second'] == 32 << 20, f'{moved["bounds"]}')
        require(moved['bounds']['max_downtime_seconds'] == 0.5, f'{moved["bounds"]}')
        return f'{len(said["findings"])} findings; moved within the 32 MiB/s of the preset'


def settings(hosts):
    return {row['key']: row for row in json.loads(hosts.ok('a', 'config', 'explain', NAME, '--json'))['settings']}
