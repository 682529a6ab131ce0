"""The lab's two hosts as two machines: host1 and host2 have files of their own, so that what a user types on a machine
can be typed here as it is.

What differs from two real machines, and nothing else:
  /etc, /usr/local, /root      are this machine's, and what is written there is the host's own (overlayfs)
  /var/lib/segue, /srv         are the host's own, empty at first
  names                        host1 and host2, in /etc/hosts; ssh between them works without a question, as root
  qemu-system-x86_64           is QEMU 10 and emulates: /dev/kvm may be there and not boot a guest
  /root/segue                  is this source tree
"""
import contextlib
import os
import shutil
import subprocess

from harness import require
from segue_lab import ADDRESS, LabError, end_process, start_time, wait_until
from test_ssh import Sshd
from watching import ROOT

NAMES = {'host1': 'a', 'host2': 'b'}
PATH = '/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin'
SETUP = r'''set -e
for folder in etc usr/local root; do
  mkdir -p "$1/upper/$folder" "$1/scratch/$folder"
  mount -t overlay overlay -o "lowerdir=/$folder,upperdir=$1/upper/$folder,workdir=$1/scratch/$folder" "/$folder"
done
mkdir -p "$1/state" "$1/srv"
mount --bind "$1/srv" /srv
mount --bind /dev/null /dev/kvm 2>/dev/null || true
rm -rf /etc/segue /usr/local/bin/segue*
printf '127.0.0.1 localhost\n%s host1\n%s host2\n' "$3" "$4" > /etc/hosts
printf '#!/bin/sh\nexec %s "$@"\n' "$5" > /usr/local/bin/qemu-system-x86_64
chmod 755 /usr/local/bin/qemu-system-x86_64
ln -sfn "$6" /root/segue
mkdir -p /root/.ssh
hostname "$2"
overlay=$1/upper/lib-segue
mkdir -p "$overlay" "$1/upper/lib" "$1/scratch/lib"
mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$1/upper/lib,workdir=$1/scratch/lib" /var/lib
mkdir -p /var/lib/segue
mount --bind "$1/state" /var/lib/segue
echo ready
exec sleep infinity
'''


class TwoHosts:
    """`with TwoHosts(lab) as hosts: hosts.run('host1', 'segue vm list')`"""

    def __init__(self, lab):
        self.lab, self.stack, self.holders = lab, contextlib.ExitStack(), {}

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            self.stack = stack
            for name, host in NAMES.items():
                self._make(name, host)
            self._join()
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def _make(self, name, host):
        folder = os.path.join(self.lab.host_dir(host), 'machine')
        shutil.rmtree(folder, ignore_errors=True)  # Of a try before this one.
        words = ['unshare', '--mount', '--uts', '--propagation', 'private', 'sh', '-c', SETUP, 'sh', folder, name,
                 ADDRESS['a'], ADDRESS['b'], self.lab.qemu_path('10'), ROOT]
        process = self.lab.popen(host, words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        started = start_time(process.pid)
        self.stack.callback(process.wait)
        self.stack.callback(end_process, process.pid, started)
        require(process.stdout.readline() == b'ready\n', f'{name} cannot be made')
        self.holders[name] = process.pid

    def _join(self):
        """sshd on both, on the usual port, and a key on each that the other one takes."""
        servers = {name: self.stack.enter_context(Sshd(self.lab, host=host, port=22, path=PATH, enter=self.enter(name),
                                                     state='/var/lib/segue'))
                   for name, host in NAMES.items()}
        for here, there in (('host1', 'host2'), ('host2', 'host1')):
            server = servers[there]
            with open(server.file('host_key.pub')) as f:
                known = f'{there},{server.address} {f.read()}'
            self.write(here, '/root/.ssh/known_hosts', known)
            self.write(here, '/root/.ssh/config', f'Host {there}\n  IdentityFile {server.file("key")}\n'
                                                  '  UserKnownHostsFile /root/.ssh/known_hosts\n')

    def enter(self, name):
        """The words before a command there, the network excepted."""
        return ['nsenter', '-t', str(self.holders[name]), '--mount', '--uts', '--wdns=/root', '--']

    def run(self, name, text, seconds=120):
        """What `text`, typed there as root, says: (exit status, standard output and error together)."""
        words = [*self.lab.enter(NAMES[name]), *self.enter(name), 'env', '-i', f'PATH={PATH}', 'HOME=/root',
                 'LC_ALL=C.UTF-8', 'TERM=dumb', 'bash', '-c', text]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, timeout=seconds)
        return done.returncode, done.stdout

    def write(self, name, path, text):
        status, said = self.run(name, f'cat > {path} <<"END_OF_FILE"\n{text}\nEND_OF_FILE\nchmod 600 {path}')
        require(status == 0, said)
