"""A database that writes all the time while its guest is moved to and fro: SQLite on ext4 on a disk that both hosts
share, in Debian's kernel with a network card (lab/netguest).

Every commit that the guest was told is durable is told to a client on the network, whose one TCP connection must last
through all moves. After each move the guest reads its database anew from the disk. In the end the power is cut and the
disk is read here, without the guest: the file system, and every row against what was told."""
import contextlib
import json
import os
import subprocess
import time

import ledger
from harness import Failure, require, require_safe
from lab_arguments import machine_arguments
from lab_base import LabError, run, start_time, wait_until
from lab_bridge import GUEST_ADDRESS, KERNEL_WORDS, network_arguments
from test_vm import NAME, Hosts
from watching import HERE, ROOT

TELL_PORT, ASK_PORT = 7100, 7101
BOOT_MAX_S, CHECK_MAX_S = 180, 120  # Alone 4 s and 2 s; beside a dozen compilers ten times that.
MEMORY_MIB, DISK_MIB = 192, 96
DOWNTIME_MS = 500
TRIES = 3  # A busy machine may miss its forecast: then the guest stays, within the bound, and is moved again.
WRITING_S = 1.0
figures = []


def cases(long_form):
    moves = 20 if long_form else 2
    yield f'{moves} moves of a guest that writes to its database', lambda lab, n=moves: moved(lab, n)


def direct_io_works(path):
    with contextlib.suppress(OSError):
        os.close(os.open(path, os.O_RDWR | os.O_DIRECT))
        return True
    return False


class Guest(Hosts):
    """The database guest as a VM by name on both hosts, with its disk and its client."""

    def __init__(self, lab):
        lab.bridge_up()
        self.disk = os.path.join(lab.dir, 'database.raw')
        with open(self.disk, 'wb') as f:
            f.truncate(DISK_MIB << 20)
        run(['mke2fs', '-q', '-F', '-t', 'ext4', self.disk])
        self.direct = direct_io_works(self.disk)
        super().__init__(lab, limits=f'max_downtime = "{DOWNTIME_MS}ms"\nmax_bandwidth = "100MiB/s"\ntimeout = "30s"')
        self.client = None

    def describe(self, host, guest, limits, more):
        words = machine_arguments(self.lab.qemu_path('10'), NAME, MEMORY_MIB * 1024, 1,
                                  self.lab.tool('net-kernel/vmlinuz'), KERNEL_WORDS)
        at = words.index('-name')
        words[at:at + 2] = []
        words += ['-initrd', self.lab.tool('net-database-initramfs')]
        words += network_arguments(os.path.join(ROOT, 'lab', 'netguest', 'ifup'))
        words += ['-blockdev', json.dumps({'driver': 'raw', 'node-name': 'disk', 'cache': {'direct': self.direct},
                                           'file': {'driver': 'file', 'filename': self.disk}})]
        words += ['-device', 'virtio-blk-pci,drive=disk,romfile=']
        words += ['-chardev', 'socket,id=serial,path={serial},server=on,wait=off,logfile={serial}.log']
        words += ['-serial', 'chardev:serial']
        serials = ''.join(f'[host.{h}]\nserial = "{self.vm(h).serial_path}"\n' for h in 'ab')
        with open(os.path.join(self.config(host), NAME + '.toml'), 'w') as f:
            f.write(f'name = "{NAME}"\ncommand = {json.dumps(words)}\nshared_storage = true\n[limits]\n{limits}\n'
                    + serials)

    def start(self, host='a'):
        self.ok(host, 'vm', 'start', NAME)
        try:
            wait_until(lambda: 'ready ' in self.said(host), BOOT_MAX_S, 'boot of the database guest')
        except LabError as error:
            raise Failure(f'{error}; it says: {self.said(host)}') from None

    def listen(self):
        """The client on the switch; returns once the first commit was told."""
        self.told_path = os.path.join(self.lab.dir, 'commits')
        argv = [*self.lab.enter('s'), '/usr/bin/python3', os.path.join(HERE, 'ledger.py'), GUEST_ADDRESS,
                str(TELL_PORT), self.told_path]
        self.client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True)
        self.stack.callback(self.client.wait)
        self.stack.callback(self.client.kill)
        require(self.client.stdout.readline() == 'ready\n', 'no commit was told')

    def told(self):
        """[(mono_ns, id)] of every commit that the client was told, in order."""
        with open(self.told_path) as f:
            lines = f.read().split('\n')[:-1]
        if self.client.poll() is not None:
            raise Failure(f'the client ended: {self.client.stdout.read()}')
        return [(int(words[0]), int(words[1])) for words in map(str.split, lines)]

    def check(self, host):
        """The guest's own check of what is on the disk, asked over the network: number of entries."""
        before = self.told()[-1][1]
        script = (f'import socket; s = socket.create_connection(("{GUEST_ADDRESS}", {ASK_PORT}), 10); '
                  f's.settimeout({CHECK_MAX_S}); s.sendall(b"?"); print(s.makefile().readline())')
        done = subprocess.run([*self.lab.enter('s'), '/usr/bin/python3', '-c', script], capture_output=True, text=True,
                              timeout=CHECK_MAX_S + 20)
        words = done.stdout.split()
        require(words[:1] == ['ok'], f'on {host}: {done.stdout.strip()} {done.stderr[-300:]} {self.said(host)}')
        number = int(words[1])
        require(number >= before, f'on {host}: LOST COMMITS: {before} were told, {number} are there')
        return number

    def end_client(self):
        """Number of the last commit that was told; the one connection must have lasted until now."""
        out, errors = self.client.communicate('', 20)
        require(self.client.returncode == 0, f'the client: {errors[-300:]}')
        seen = json.loads(out)
        require(seen['broken'] is None, f'the client: {seen["broken"]}')
        return seen['commits']

    def said(self, host):
        with contextlib.suppress(OSError):
            with open(self.vm(host).serial_path + '.log', errors='replace') as f:
                return f.read()[-400:]
        return ''

    def cut_power(self, host):
        """As a mains failure: nothing is flushed or closed."""
        pid = self.state(host)['pid']
        started = start_time(pid)
        os.kill(pid, 9)
        wait_until(lambda: start_time(pid) != started, 5, 'the end of the QEMU')


def whole(disk, folder, last_told):
    """Rows of the ledger on a disk whose power was cut. The file system's journal is replayed, as a mount would; after
    that it must be without fault, and so must every row of the database."""
    replayed = subprocess.run(['e2fsck', '-p', '-E', 'journal_only', disk], capture_output=True, text=True)
    require(replayed.returncode in (0, 1), f'the journal of the file system: {replayed.stdout[-300:]}')
    checked = subprocess.run(['e2fsck', '-f', '-n', disk], capture_output=True, text=True)
    require_safe(checked.returncode == 0, f'FILE SYSTEM: {checked.stdout[-600:]}')
    for name in ('ledger.db', 'ledger.db-wal'):
        path = os.path.join(folder, name)
        run(['debugfs', '-R', f'dump /{name} {path}', disk])
        require(os.path.getsize(path) > 0 or name.endswith('wal'), f'{name} is empty')
    rows, fault = ledger.fault_of(os.path.join(folder, 'ledger.db'), last_told)
    require_safe(fault is None, fault)
    return rows


def moved(lab, moves):
    with Guest(lab) as guest:
        guest.start('a')
        guest.listen()
        hosts, seconds, stops, silences, again = 'ab', [], [], [], 0
        while len(stops) < moves:
            src, dst = hosts[len(stops) % 2], hosts[(len(stops) + 1) % 2]
            time.sleep(WRITING_S)
            first, began = len(guest.told()), time.monotonic()
            done = guest.segue(src, *guest.to(dst))
            if done.returncode in (3, 4) and again < TRIES:  # Undone within its bounds: nothing may be lost by that.
                again += 1
                guest.check(src)
                continue
            require(done.returncode == 0, f'move {len(stops) + 1}: exit {done.returncode}: {done.stderr[-400:]}')
            seconds.append(time.monotonic() - began)
            result = json.loads(done.stdout.splitlines()[-1])
            require(result['error'] is None, f'left undone: {result["error"]}')
            stops.append(result['downtime_seconds'] * 1e3)
            guest.require_state(dst, 'running')
            guest.check(dst)
            stamps = [at for at, _ in guest.told()[first - 1:]]
            silences.append(max(two - one for one, two in zip(stamps, stamps[1:])) / 1e6)
        told = guest.told()
        guest.cut_power(hosts[moves % 2])
        last_told = guest.end_client()
        rows = whole(guest.disk, lab.dir, last_told)
        rate = len(told) / ((told[-1][0] - told[0][0]) / 1e9)
        figures.append(
            f'{moves} moves, {again} undone within the bound and repeated; {last_told} commits told, {rows} in the '
            f'database after the power cut, {rate:.0f} a second; a move took {sorted(seconds)[len(seconds) // 2]:.2f} '
            f's (median; worst {max(seconds):.2f}), standstill {sorted(stops)[len(stops) // 2]:.0f} ms, worst '
            f'{max(stops):.0f} of {DOWNTIME_MS}; longest time without a commit as the client saw it, per move: median '
            f'{sorted(silences)[len(silences) // 2]:.0f} ms, worst {max(silences):.0f}; disk '
            f'{"without a cache (O_DIRECT)" if guest.direct else "through the page cache of this one kernel"}')
        return f'{last_told} commits told and found, {again} moves undone, one connection throughout'


def final(_):
    for text in figures:
        yield 'in all', None, text
