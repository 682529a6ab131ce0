"""Two lab hosts, QEMU guests on them, link faults and measuring, for tests and for lab/*.

Needs root. Everything of one lab carries its id (SEGUE_LAB_ID), so several may run side by side.
"""
import contextlib
import glob
import json
import os
import re
import shutil
import socket
import struct
import subprocess

from lab_arguments import channel_arguments, disk_arguments, incoming_arguments, machine_arguments

# A test needs to know this module alone: the parts are offered here too.
from lab_bridge import (
    CLIENT_ADDRESS,  # noqa: F401
    GUEST_ADDRESS,  # noqa: F401
    KERNEL_WORDS,
    SWITCH,
    TCP_PORT,  # noqa: F401
    UDP_PORT,  # noqa: F401
    bridge_is_up,
    bridge_port,
    bridge_up,
    network_arguments,
)
from lab_base import (
    LabError,
    end_process,
    now_ns,
    parse_memory_kib,
    parse_rate,
    run,
    start_time,  # noqa: F401
    wait_until,
)
from lab_beats import (
    BEAT_NS,
    Beat,
    beats_of_two,
    calm_gap,
    longest_gap,
    merge_beats,
    read_beats,
    sequence_faults,  # noqa: F401
    work_between,
)
from lab_link import HOSTS, Link
from lab_meter import PacketMeter, total_bytes, worst_window  # noqa: F401
from lab_qmp import Qmp, QmpError  # noqa: F401
from lab_vm import Verdict, Vm  # noqa: F401

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ADDRESS = {'a': '10.77.0.1', 'b': '10.77.0.2'}
DEFAULT_RATE = '100MiB/s'
MEMORY_KIB = 128 * 1024
ODD_MEMORY_KIB = MEMORY_KIB + 8  # no multiple of 256 KiB: see README.md, traps
ETHERNET_MTU = 1500
BOOT_MAX_S = 60  # Debian's kernel: 4 s alone, 15 s beside six compilers; the tiny guest: 0.1 s.


class Lab(Link):
    """Two hosts a and b. `with Lab('t1', '100MiB/s') as lab:` brings them up and takes them down.

    lab_id None: $SEGUE_LAB_ID, else "0". rate None: 100 MiB/s; 'none': not shaped.
    """

    def __init__(self, lab_id=None, rate=None, root=None):
        self.id = lab_id if lab_id is not None else os.environ.get('SEGUE_LAB_ID', '0')
        if not re.fullmatch(r'[A-Za-z0-9_-]{1,32}', self.id):
            raise LabError(f"bad lab id '{self.id}': letters, digits, - and _ only, at most 32")
        self.root = root or os.environ.get('SEGUE_LAB') or '/var/tmp/segue-lab'
        self.dir = os.path.join(self.root, f'run-{self.id}')
        self.rate = parse_rate(rate if rate is not None else DEFAULT_RATE)
        self._built = set()
        self._children = {}  # pid -> Popen of what this object started
        self._expected = {}  # (host, name) -> recorder, command and start of what expect_vm() promised

    def netns(self, host):
        if host not in (*HOSTS, SWITCH):
            raise LabError(f"no host '{host}': a or b")
        return f'segue-lab-{self.id}-{host}'

    def host_dir(self, host):
        return os.path.join(self.dir, host)

    def state_dir(self, host):
        return os.path.join(self.dir, host, 'state')

    def tool(self, name):
        """Path of a program of lab/build (net-*: of lab/netguest/build), built when it is missing or out of date."""
        build = os.path.join(HERE, 'netguest' if name.startswith('net-') else '', 'build')
        if build not in self._built:
            run([build, os.path.join(self.root, 'bin')])
            self._built.add(build)
        return os.path.join(self.root, 'bin', name)

    # Not `ip netns exec`: it mounts a fresh /sys and the cgroups are gone from it.
    def enter(self, host):
        return ['nsenter', f'--net=/run/netns/{self.netns(host)}', '--']

    def env(self, host):
        return dict(
            os.environ,
            SEGUE_STATE=self.state_dir(host),
            SEGUE_HOST=host,
            SEGUE_LAB=self.root,
            SEGUE_LAB_ID=self.id,
            SEGUE_LAB_HOST=host,
        )

    def run(self, host, argv, **kwargs):
        """subprocess.run on that host."""
        return subprocess.run(self.enter(host) + list(argv), env=self.env(host), **kwargs)

    def popen(self, host, argv, **kwargs):
        """subprocess.Popen on that host."""
        return subprocess.Popen(self.enter(host) + list(argv), env=self.env(host), **kwargs)

    def reap(self, pid):
        """Takes the exit status of a child of ours that has ended, so that it is no zombie."""
        if pid in self._children and self._children[pid].poll() is not None:
            del self._children[pid]

    # -- up and down

    def is_up(self):
        return all(os.path.exists(f'/run/netns/{self.netns(h)}') for h in HOSTS) and os.path.exists(self._rate_file())

    def up(self):
        if self.is_up():
            self.link_restore(rate=self.rate)
            return self
        if os.geteuid() != 0:
            raise LabError('a lab needs root (network namespaces)')
        self.down()
        try:
            for h in HOSTS:
                os.makedirs(self.state_dir(h), exist_ok=True)
                run(['ip', 'netns', 'add', self.netns(h)])
            run(
                [
                    'ip',
                    'link',
                    'add',
                    'eth0',
                    'netns',
                    self.netns('a'),
                    'type',
                    'veth',
                    'peer',
                    'name',
                    'eth0',
                    'netns',
                    self.netns('b'),
                ]
            )
            for h in HOSTS:
                run(
                    ['ip', '-n', self.netns(h), '-batch', '-'],
                    input=(f'link set lo up\nlink set eth0 mtu {ETHERNET_MTU} up\naddr add {ADDRESS[h]}/24 dev eth0\n'),
                )
                run(['tc', '-n', self.netns(h), 'qdisc', 'add', 'dev', 'eth0', 'clsact'])
            self._shape(self.rate, 'replace')
            self._write_rate(self.rate)
        except BaseException:
            self.down()
            raise
        return self

    def down(self):
        """Ends the guests and whatever else runs on the hosts, and removes the hosts. No error if there are none."""
        for vm in self.vms():
            vm.stop()
        for h in (*HOSTS, SWITCH):
            if os.path.exists(f'/run/netns/{self.netns(h)}'):
                for pid in map(int, run(['ip', 'netns', 'pids', self.netns(h)]).split()):
                    end_process(pid, start_time(pid))
                run(['ip', 'netns', 'del', self.netns(h)])
        shutil.rmtree(self.dir, ignore_errors=True)

    def __enter__(self):
        return self.up()

    def __exit__(self, *_):
        self.down()

    # -- the guests' network (lab_bridge.py)

    def bridge_up(self):
        """A network for guests that are started with network=True. No error when it is there already."""
        self.base_rate()
        bridge_up(self, HOSTS)

    def bridge_port(self):
        """'a' or 'b': where the switch has learnt that the guest is; None: it has not."""
        return bridge_port(self)

    # -- guests

    def qemu_path(self, version='10'):
        return run([os.path.join(HERE, 'qemu'), 'path', version], env=dict(os.environ, SEGUE_LAB=self.root)).strip()

    @staticmethod
    def default_memory_kib(program):
        """128 MiB; 8 KiB more for a QEMU that loses guest writes under TCG without them."""
        match = re.search(r'version (\d+)\.', run([program, '--version']))
        return ODD_MEMORY_KIB if match and int(match.group(1)) < 9 else MEMORY_KIB

    def vms(self):
        found = []
        for path in sorted(glob.glob(os.path.join(self.dir, '[ab]', '*.json'))):
            with contextlib.suppress(OSError, ValueError):
                with open(path) as f:
                    found.append(
                        Vm(self, os.path.basename(os.path.dirname(path)), os.path.basename(path)[:-5], json.load(f))
                    )
        return found

    def vm(self, host, name):
        for vm in self.vms():
            if (vm.host, vm.name) == (host, name):
                return vm
        raise LabError(f"no guest '{name}' on host {host} of lab '{self.id}'")

    def start_vm(
        self,
        host,
        name,
        qemu='10',
        memory=None,
        cpus=1,
        guest='',
        incoming=False,
        autostart_incoming=False,
        disk=None,
        extra=(),
        env=None,
        network=False,
    ):
        """Starts a QEMU with the lab guest and returns its Vm once its monitors answer (and, unless
        incoming, the guest is ready). `qemu` is 7.2, 10 or a program's path; `memory` is KiB or '128MiB',
        None: default_memory_kib(). `network`: the network guest (netguest/README.md), after bridge_up()."""
        base, argv = self._command(host, name, qemu, memory, cpus, guest, network)
        argv += disk_arguments(disk) + incoming_arguments(incoming, autostart_incoming) + list(extra)
        recorder = self._start_recorder(base)
        process = vm = None
        try:
            _wait_recorder(recorder)
            begun = now_ns()
            process = self._start_qemu(host, base, argv, env)
            self._children.update({p.pid: p for p in (process, recorder)})
            waits = bool(incoming or autostart_incoming)
            vm = self._record(host, name, process.pid, recorder, argv, begun, waits)
            _wait_monitors(vm, process)
            if not waits and '-S' not in extra:
                self._wait_ready(vm, process)
            return vm
        except BaseException:
            if vm:
                vm.stop()
            elif process:
                end_process(process.pid, start_time(process.pid))
            end_process(recorder.pid, start_time(recorder.pid))
            _remove(base, '.fifo')
            raise

    def expect_vm(self, host, name, qemu='10', memory=None, cpus=1, guest=''):
        """The command of a QEMU that waits for a guest and that somebody else will start; its heartbeats are recorded
        from then on. Once it is there: adopt_vm()."""
        base, argv = self._command(host, name, qemu, memory, cpus, guest)
        recorder = self._start_recorder(base)
        _wait_recorder(recorder)
        self._children[recorder.pid] = recorder
        self._expected[host, name] = recorder, argv, now_ns()
        return argv + incoming_arguments(True, False)

    def adopt_vm(self, host, name):
        """The Vm of a QEMU that was started with the command of expect_vm()."""
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(os.path.join(self.host_dir(host), name + '-spare.qmp'))
            pid = struct.unpack('3i', s.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
        recorder, argv, begun = self._expected.pop((host, name))
        return self._record(host, name, pid, recorder, argv, begun, True)

    def _command(self, host, name, qemu, memory, cpus, guest, network=False):
        self.base_rate()
        self._make_room(host, name)
        program = qemu if os.path.sep in str(qemu) else self.qemu_path(str(qemu))
        base = os.path.join(self.host_dir(host), name)
        _remove(base, '.beats', '.serial.log', '.log')
        memory_kib = parse_memory_kib(memory or self.default_memory_kib(program))
        if not network:
            argv = machine_arguments(program, name, memory_kib, cpus, self.tool('guest.elf'), guest)
            return base, argv + channel_arguments(base)
        if not bridge_is_up(self):
            raise LabError(f"lab '{self.id}' has no network for guests (lab/up --bridge)")
        argv = machine_arguments(program, name, memory_kib, cpus, self.tool('net-kernel/vmlinuz'),
                                 f'{KERNEL_WORDS} {guest}')
        argv += ['-initrd', self.tool('net-initramfs')]
        argv += network_arguments(os.path.join(HERE, 'netguest', 'ifup'))
        return base, argv + channel_arguments(base)

    def _record(self, host, name, pid, recorder, argv, begun, incoming):
        record = {
            'pid': pid,
            'started': start_time(pid),
            'recorder_pid': recorder.pid,
            'recorder_started': start_time(recorder.pid),
            'program': argv[0],
            'argv': argv,
            'begun_ns': begun,
            'incoming': incoming,
        }
        _write_record(os.path.join(self.host_dir(host), name), record)
        return Vm(self, host, name, record)

    # A guest that has ended may still have its files there; one that runs is somebody's and stays.
    def _make_room(self, host, name):
        if not re.fullmatch(r'[A-Za-z0-9][A-Za-z0-9_.-]{0,40}', name):
            raise LabError(f"bad guest name '{name}'")
        for vm in self.vms():
            if (vm.host, vm.name) == (host, name):
                if vm.running():
                    raise LabError(
                        f"guest '{name}' runs already on host {host} (pid {vm.pid}): lab/vm stop {host} {name}"
                    )
                vm.stop()

    # Both in a session of their own: they outlive the command that started them, and its Ctrl-C.
    def _start_recorder(self, base):
        return subprocess.Popen(
            [self.tool('recorder'), base + '.fifo', base + '.beats'],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _start_qemu(self, host, base, argv, env):
        with open(base + '.log', 'wb') as log:
            return subprocess.Popen(
                self.enter(host) + argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=dict(self.env(host), **(env or {})),
            )

    def _wait_ready(self, vm, process):
        def ready():
            with contextlib.suppress(FileNotFoundError):
                with open(vm.serial_log_path, errors='replace') as f:
                    said = f.read()
                if fault := re.search(r'^error: (.*)\n', said, re.MULTILINE):
                    raise LabError(f'guest {vm.name}: {fault.group(1)}')
                if 'ready ' in said and said.endswith('\n'):
                    return True
            if process.poll() is not None:
                raise LabError(f'QEMU ended: {_tail(vm.log_path)}')
            return False

        wait_until(ready, BOOT_MAX_S, f'boot of {vm.name}')


def _remove(base, *endings):
    for ending in endings:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(base + ending)


# Before QEMU starts: without the FIFO it would make a plain file, without a reader it would wait for one.
def _wait_recorder(recorder):
    with recorder.stdout:
        if recorder.stdout.readline() != b'ready\n':
            raise LabError('the recorder does not start')


# Renamed into place: Lab.vms() of another process never reads half a record.
def _write_record(base, record):
    with open(base + '.json.new', 'w') as f:
        json.dump(record, f)
    os.rename(base + '.json.new', base + '.json')


# The sockets first, then an answer: QEMU makes them before it is ready to serve them.
def _wait_monitors(vm, process):
    def up():
        if process.poll() is not None:
            raise LabError(f'QEMU ended at once: {_tail(vm.log_path)}')
        return os.path.exists(vm.spare_qmp_path) and os.path.exists(vm.serial_path)

    wait_until(up, 10, f'monitors of {vm.name}')
    vm.qmp('query-status')


def _tail(path):
    with contextlib.suppress(OSError):
        with open(path, errors='replace') as f:
            return ' / '.join(f.read().strip().splitlines()[-3:]) or 'it said nothing'
    return 'it said nothing'


def main(run):
    """Wraps a command's body: errors for people, not stack traces."""
    import sys

    try:
        sys.exit(run() or 0)
    except LabError as error:
        sys.exit(f'lab/{os.path.basename(sys.argv[0])}: {error}')
    except KeyboardInterrupt:
        sys.exit(130)
