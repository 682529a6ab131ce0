"""What would start the source's QEMU again is found before the move, refused, and dealt with by --on-success.

The supervisor is a real one: runit's runsv, with the guest's QEMU as its service."""
import contextlib
import json
import os
import shlex
import shutil
import subprocess
import time

from harness import program, require, require_safe
from segue_lab import ADDRESS, wait_until
from test_recover import require_recovered
from watching import pids_naming

GUEST = 'hot=16 rate=10'
RESTART_S = 2.5  # runsv starts a service again within a second.


def cases(_long_form):
    yield 'runsv, without --on-success: refused, nothing touched', refused
    yield 'runsv, with --on-success: moved, and not started again', disarmed
    yield 'runsv, with an --on-success that does nothing: it does start again', not_disarmed
    yield 'runsv, --on-success fails: the source is left standing until recover', fails
    yield 'runsv, segue killed in --on-success: recover runs it', killed
    yield 'a shell with a loop: refused', shell_loop


class Service:
    """A guest on host a whose QEMU is a child of runsv, and a QEMU on host b that waits."""

    def __init__(self, lab):
        self.lab, self.folder = lab, os.path.join(lab.dir, 'service')
        self.stack, self.wrote = contextlib.ExitStack(), os.path.join(lab.dir, 'on-success.log')
        self.supervisor = self.src = None
        for path in (self.folder, self.wrote):
            shutil.rmtree(path, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.wrote)
        shutil.rmtree(lab.state_dir('a'), ignore_errors=True)
        os.makedirs(lab.state_dir('a'))

    def __enter__(self):
        try:
            argv = self.lab.expect_vm('a', 'g', guest=GUEST)
            at = argv.index('-incoming')
            del argv[at:at + 2]
            self.write_run([word for word in argv if word != '-S'])
            self.start()
            monitor = os.path.join(self.lab.host_dir('a'), 'g-spare.qmp')
            wait_until(lambda: os.path.exists(monitor) and self.adopted(), 20, 'the QEMU of the service')
            self.stack.callback(self.src.stop)
            self.stack.callback(self.end)
            self.dst = self.lab.start_vm('b', 'g', guest=GUEST, incoming=True)
            self.stack.callback(self.dst.stop)
            wait_until(lambda: len(self.src.beats()) > 40, 20, 'the guest')
            return self
        except BaseException:
            self.end()
            self.stack.close()
            raise

    def __exit__(self, *_):
        self.stack.close()

    def adopted(self):
        with contextlib.suppress(OSError, KeyError):
            self.src = self.lab.adopt_vm('a', 'g')
            return True
        return False

    def write_run(self, argv):
        os.makedirs(self.folder)
        with open(os.path.join(self.folder, 'run'), 'w') as f:
            f.write(f'#!/bin/sh\nexec {shlex.join(self.lab.enter("a") + argv)} </dev/null >/dev/null 2>&1\n')
        os.chmod(os.path.join(self.folder, 'run'), 0o755)

    def start(self):
        self.supervisor = subprocess.Popen(['runsv', self.folder], stdin=subprocess.DEVNULL, start_new_session=True,
                                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end(self):
        """runsv first, or it would start what is ended."""
        if self.supervisor:
            self.supervisor.kill()
            self.supervisor.wait()
        for pid in self.source_pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)

    def source_pids(self):
        return qemus_with(os.path.join(self.lab.host_dir('a'), 'g.qmp'))

    def argv(self, *words):
        return self.lab.enter('a') + [
            program('segue'), 'migrate', f'qmp:{self.src.qmp_path}', '--dst-qmp', self.dst.qmp_path, '--data-address',
            ADDRESS['b'], '--src-guard-qmp', self.src.guard_qmp_path, '--max-downtime', '1s', '--no-forecast', '--json',
            '--brake', 'none', '--policy', 'patient', *words]

    def migrate(self, *words):
        done = subprocess.run(self.argv(*words), env=self.lab.env('a'), stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=60)
        result = json.loads(done.stdout.splitlines()[-1])
        require(result['exit_status'] == done.returncode, f'exit {done.returncode}, the result says {result}')
        return done.returncode, result

    # What segue recover's helper asks of a move.
    @property
    def at_src(self):
        return self

    def status(self):
        return self.src.qmp('query-status')['status']

    def disarm(self):
        return f'touch {self.folder}/down && sv down {self.folder}'

    def require_ended_for_good(self):
        require(self.dst.qmp('query-status')['running'], 'the guest does not run on the destination')
        wait_until(lambda: not self.source_pids(), 5, "the end of the source's QEMU")
        time.sleep(RESTART_S)
        require(not self.source_pids(), 'the source was started again')
        verdict = self.dst.verify()
        require_safe(verdict.ok, f'on the destination: {verdict.line}')


def qemus_with(path):
    """The QEMUs that have this monitor, zombies left out."""
    found = []
    for entry in os.listdir('/proc'):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            with open(f'/proc/{entry}/cmdline', 'rb') as f:
                words = f.read().split(b'\0')
            if any(word.startswith(b'unix:' + path.encode()) for word in words) and b'-machine' in words:
                found.append(int(entry))
    return found


def refused(lab):
    with Service(lab) as service:
        before = service.source_pids()
        status, result = service.migrate()
        require(status == 2, f'exit {status}: {result}')
        finding = result['error']
        for words in ('runsv (process', 'would start its QEMU again', '--on-success', f'sv down {service.folder}'):
            require(words in finding, f'"{words}" is not in: {finding}')
        require(service.status() == 'running' and service.source_pids() == before, 'the source was touched')
        require(service.dst.qmp('query-status')['status'] == 'inmigrate', 'the destination was touched')
        status, _ = service.migrate('--dry-run')
        require(status == 2, f'--dry-run: exit {status}')
        return finding


def disarmed(lab):
    with Service(lab) as service:
        status, result = service.migrate('--on-success', f'env | grep ^SEGUE_ > {service.wrote}; {service.disarm()}')
        require(status == 0 and not result['error'], f'exit {status}: {result}')
        service.require_ended_for_good()
        with open(service.wrote) as f:
            said = dict(line.rstrip('\n').split('=', 1) for line in f)
        require(said['SEGUE_JOB'] == str(result['job']) and said['SEGUE_SRC_PID'] == str(service.src.pid) and
                said['SEGUE_VM'] == f'qmp:{service.src.qmp_path}', f'its environment: {said}')
        return f'downtime {result["downtime_seconds"] * 1e3:.0f} ms, not started again in {RESTART_S} s'


def not_disarmed(lab):
    """The control: this supervisor is one."""
    with Service(lab) as service:
        status, result = service.migrate('--on-success', 'true')
        require(status == 0, f'exit {status}: {result}')
        wait_until(service.source_pids, 5, 'runsv starting the source again')
        return 'runsv started it again'


def fails(lab):
    with Service(lab) as service:
        flag = os.path.join(lab.dir, 'may-disarm')
        with contextlib.suppress(FileNotFoundError):
            os.unlink(flag)
        status, result = service.migrate('--on-success', f'test -e {flag} || {{ echo not yet >&2; exit 3; }}; '
                                         f'{service.disarm()}')
        require(status == 0 and result['guest_on'] == 'destination', f'exit {status}: {result}')
        for words in ('--on-success did not succeed: it ended with status 3: not yet', 'segue recover'):
            require(words in result['error'], f'"{words}" is not in: {result["error"]}')
        require(service.status() == 'postmigrate', f'the source is {service.status()}')
        with open(flag, 'w'):
            pass
        require_recovered(service, 0)
        service.require_ended_for_good()
        return result['error']


def killed(lab):
    with Service(lab) as service:
        command = f'echo x >> {service.wrote}; sleep 2; {service.disarm()}'
        process = subprocess.Popen(service.argv('--on-success', command), env=lab.env('a'), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_until(lambda: os.path.exists(service.wrote), 30, 'the command')
        finally:
            process.kill()
            process.wait()
        require(service.status() == 'postmigrate', f'the source is {service.status()}')
        result = require_recovered(service, 0)
        require(result['outcome'] == 'moved', f'the result says {result}')
        with open(service.wrote) as f:
            runs = len(f.readlines())
        require(runs == 2, f'it was run {runs} times')
        service.require_ended_for_good()
        require(not pids_naming(lab.dir, 'segue-guard'), 'a guardian is left')
        return f'run again by recover, {result["total_seconds"]:.2f} s'


def shell_loop(lab):
    with Service(lab) as service:
        service.end()
        script = os.path.join(service.folder, 'loop')
        with open(script, 'w') as f:
            f.write(f'#!/bin/sh\nwhile true; do {service.folder}/run; sleep 1; done\n')
        os.chmod(script, 0o755)
        for path in (service.src.qmp_path, service.src.spare_qmp_path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        service.supervisor = subprocess.Popen([script], stdin=subprocess.DEVNULL, start_new_session=True,
                                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: os.path.exists(service.src.spare_qmp_path) and service.source_pids(), 10, 'its QEMU')
        wait_until(lambda: os.path.exists(service.src.guard_qmp_path), 5, 'its monitors')
        time.sleep(0.5)
        status, result = service.migrate()
        require(status == 2 and 'which has a loop' in result['error'], f'exit {status}: {result}')
        return result['error']
