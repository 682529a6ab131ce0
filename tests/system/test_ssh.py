"""`--to ssh://`: a real sshd on host b, a move through it, and the usual ways in which ssh does not work: exit 2, one
clear sentence, nothing touched, nobody asked."""
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
import time

from harness import BIN, Move, require
from segue_lab import ADDRESS, LabError, end_process, run, start_time, wait_until
from watching import ROOT, pids_naming

PORT = 2222
GUEST = 'hot=16 rate=20'
LEASE_S, KILLED_S = 2.0, 0.5  # As in test_remote.
BANNER = 'Authorized people only.\n'
SSHD = """{more}
Port {port}
ListenAddress {address}
HostKey {dir}/host_key
AuthorizedKeysFile {dir}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PidFile none
SetEnv PATH={path} SEGUE_STATE={state}
"""  # Of a word that is given twice sshd takes the first.
SSH = """Host *
  IdentityFile {dir}/key
  IdentitiesOnly yes
  UserKnownHostsFile {dir}/known_hosts
  GlobalKnownHostsFile /dev/null
"""


def cases(_):
    yield '10 moves, with a banner and a known host', moves
    yield '10 segue killed while copying', segue_killed
    yield 'refusals', refusals


class Sshd:
    """An sshd on a host with keys of its own, and what a client needs to come in. `enter`: words before its own, where
    it runs elsewhere than in the host's network alone."""

    def __init__(self, lab, more='', bashrc='', path=f'{BIN}:/usr/bin:/bin', host='b', port=PORT, enter=(),
                 state=None):
        self.address, self.port = ADDRESS[host], port
        self._stack = contextlib.ExitStack()
        # Not in the lab's folder: short, and of nobody's id.
        self.dir = tempfile.mkdtemp(prefix='segue-ssh.', dir='/var/tmp')
        self._stack.callback(shutil.rmtree, self.dir, ignore_errors=True)
        with self._stack:
            self._keys()
            os.mkdir(self.file('home'))
            self.write('home/.bashrc', bashrc)
            self.write('banner', BANNER)
            self.write('sshd_config', SSHD.format(port=port, address=self.address, dir=self.dir, path=path,
                                                  state=state or lab.state_dir(host), more=more.format(dir=self.dir)))
            self.write('ssh_config', SSH.format(dir=self.dir))
            self.write('ask', f'#!/bin/sh\necho "$*" >> {self.file("asked")}\nsleep 100\n')
            os.chmod(self.file('ask'), 0o755)
            log = self._stack.enter_context(open(self.file('log'), 'w'))
            process = lab.popen(host, [*enter, os.path.join(ROOT, 'lab', 'sshd'), 'run', self.dir],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            started = start_time(process.pid)
            self._stack.callback(process.wait)
            self._stack.callback(end_process, process.pid, started)
            wait_until(lambda: 'Server listening' in self.log() or process.poll() is not None, 10, 'sshd')
            require(process.poll() is None, f'sshd: {self.log()}')
            self._stack = self._stack.pop_all()

    def _keys(self):
        for name in ('host_key', 'key', 'stranger'):
            run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', self.file(name)])
        shutil.copy(self.file('key.pub'), self.file('authorized_keys'))
        self.know(self.file('host_key.pub'))

    def know(self, public_key):
        with open(public_key) as f:
            self.write('known_hosts', f'[{self.address}]:{self.port} {f.read()}')

    def file(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.file(name), 'w') as f:
            f.write(text)

    def log(self):
        with open(self.file('log')) as f:
            return f.read()

    def env(self, more=''):
        return {'SEGUE_SSH': f'ssh -F {self.file("ssh_config")} {more}'.strip(), 'SSH_ASKPASS': self.file('ask'),
                'SSH_ASKPASS_REQUIRE': 'force'}

    def asked(self):
        """What ssh wanted to know of the person whom it must not ask."""
        with contextlib.suppress(FileNotFoundError):
            with open(self.file('asked')) as f:
                return f.read()
        return ''

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        asked = self.asked()
        self._stack.close()
        require(kind or not asked, f'ssh asked: {asked}')


def options(port=PORT):
    return ['--to', f'ssh://root@{ADDRESS["b"]}:{port}', '--max-downtime', '500ms', '--max-bandwidth', '100MiB/s']


def moves(lab):
    with Sshd(lab, more='Banner {dir}/banner') as sshd, \
            Move(lab, '10', GUEST, options=options(), segue_env=sshd.env()) as move:
        move.run()
        move.require_exit(0)
        require(move.at_dst.status() == 'running', f'the destination is {move.at_dst.status()}')
        move.require_whole(move.dst)
        took = move.stop_to_resume_ms('dst')
        require(took <= 500, f'STOP to RESUME {took:.1f} ms of 500')
        require('Accepted publickey for root' in sshd.log(), f'nobody came through this sshd: {sshd.log()[-300:]}')
        require(BANNER.strip() in move.stderr, f'the banner is not shown: {move.stderr}')
        require_nothing_left(lab, sshd)
        return f'STOP to RESUME {took:.1f} ms, {move.pages} pages'


def segue_killed(lab):
    """ssh and sshd still stand when segue is dead: they must not keep the destination alive."""
    with Sshd(lab) as sshd, Move(lab, '10', GUEST, options=options(), segue_env=sshd.env()) as move:
        move.start()
        wait_until(lambda: any(x.get('type') == 'progress' for x in move.lines), 20, 'the first progress')
        move.process.kill()
        move.finish(20)
        move.require_source_runs(seconds=LEASE_S + KILLED_S)
        require_nothing_left(lab, sshd)
        return f'the guest runs on, destination gone, {move.pages} pages'


def require_nothing_left(lab, sshd):
    """Neither our ssh nor what it started there."""
    def left():
        found = [f'ssh {pid}' for pid in pids_naming(sshd.file('ssh_config'), 'ssh')]
        for pid in run(['ip', 'netns', 'pids', lab.netns('b')]).split():
            with contextlib.suppress(OSError):
                with open(f'/proc/{pid}/comm') as f:
                    name = f.read().strip()
                found += [f'{name} {pid}'] if name.startswith('segue') else []
        return found
    with contextlib.suppress(LabError):
        wait_until(lambda: not left(), 3, 'end of ssh')
    require(not left(), f'left behind: {left()}')


def refusals(lab):
    """One guest for all: each must leave it untouched."""
    with Move(lab, '10', GUEST) as move:
        texts = []

        def refused(name, says, env, port=PORT):
            texts.append(f'{name} {refuse(lab, move, says, env, port):.1f} s')

        with Sshd(lab) as sshd:
            sshd.know(sshd.file('stranger.pub'))
            refused('host key changed', 'cannot be reached by ssh: Host key verification failed', sshd.env())
            sshd.write('known_hosts', '')
            refused('host key unknown', 'cannot be reached by ssh: Host key verification failed', sshd.env())
            sshd.know(sshd.file('host_key.pub'))
            sshd.write('authorized_keys', '')
            refused('no key', 'cannot be reached by ssh: .*Permission denied', sshd.env())
            shutil.copy(sshd.file('key.pub'), sshd.file('authorized_keys'))
            run(['ssh-keygen', '-q', '-p', '-P', '', '-N', 'secret', '-f', sshd.file('key')])
            refused('a key with a passphrase', 'cannot be reached by ssh: .*Permission denied', sshd.env())
            refused('nobody listens', 'cannot be reached by ssh: .*Connection refused', sshd.env(), PORT + 1)
            with silent(lab):
                refused('silence', 'cannot be reached by ssh: .*timed out', sshd.env('-o ConnectTimeout=1'), PORT + 2)
            refused('no ssh', 'needs ssh, and .*could not be started', {'SEGUE_SSH': '/no/such/ssh'})
            refused('no program', 'SEGUE_SSH names no program', {'SEGUE_SSH': '-F x'})
        with Sshd(lab, more='PasswordAuthentication yes') as sshd:
            sshd.write('authorized_keys', '')
            refused('a password', 'cannot be reached by ssh: .*Permission denied .*password', sshd.env())
        with Sshd(lab, path='/usr/bin:/bin') as sshd:
            refused('no segue', 'has no segue where commands are looked for: .*not found', sshd.env())
        with Sshd(lab, bashrc='echo Welcome to host b\n') as sshd:
            refused('a login script that prints', "not segue's protocol.*login script", sshd.env())
        with Sshd(lab, more='ForceCommand exit 3') as sshd:
            refused('forced command', 'ended with status 3 before it greeted', sshd.env())
        return f'{len(texts)} refusals: ' + ', '.join(texts)


@contextlib.contextmanager
def silent(lab):
    """A listener on host b that accepts and says nothing."""
    script = (f"import socket, sys; s = socket.create_server(('{ADDRESS['b']}', {PORT + 2})); print(flush=True); "
              'sys.stdin.read()')
    with lab.popen('b', ['/usr/bin/python3', '-c', script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listener:
        listener.stdout.readline()
        yield
        listener.stdin.close()


def snapshot(move):
    return [(w.settings(), w.status(), w.cmd('query-migrate'), w.cmd('query-yank')) for w in (move.at_src, move.at_dst)]


def refuse(lab, move, says, env, port):
    """Seconds until segue had refused."""
    before = snapshot(move)
    argv = [*lab.enter('a'), os.path.join(BIN, 'segue'), 'migrate', f'qmp:{move.src.qmp_path}', '--dst-qmp',
            move.dst.qmp_path, '--data-address', ADDRESS['b'], '--no-forecast', *options(port)]
    began = time.monotonic()
    done = subprocess.run(argv, env={**lab.env('a'), **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          timeout=20)
    took = time.monotonic() - began
    text = done.stdout.strip() or done.stderr.strip()
    require(done.returncode == 2, f'exit {done.returncode} instead of 2: {text[-300:]} {done.stderr[-300:]}')
    require(re.search(says, text), f'"{says}" is not in: {text}')
    require(len(text.splitlines()) == 1, f'not one line: {text}')
    require(snapshot(move) == before, f'something was changed: {says}')
    require(not move.guardians(), f'a guardian is left: {says}')
    return took
