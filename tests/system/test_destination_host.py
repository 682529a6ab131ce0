"""What the destination's host lacks is found before the start: taps, bridges and ports, each beside QEMU's own refusal
of the same; CPU features by name; memory that others on their way there still need."""
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess

from harness import PATIENT, program, require
from lab_arguments import machine_arguments
from lab_base import run as command
from lab_bridge import network_arguments
from segue_lab import ADDRESS, HERE, wait_until
from test_preflight import codes, lines_of, local, receive, run, untouched, verdicts
from watching import ROOT

GUEST = 'hot=8 rate=50'
HELPER = '/usr/lib/qemu/qemu-bridge-helper'
IFUP = os.path.join(HERE, 'netguest', 'ifup')
PORT = 5017


def cases(long_form):
    for version in ('10', '7.2') if long_form else ('10',):
        yield f'taps, scripts and /dev/net/tun, as QEMU {version} itself refuses them', taps(version)
    yield 'bridges and what their helper is allowed, as the helper itself refuses them', bridges
    yield 'all that the other host lacks is told at once, with what the source lacks', at_once
    yield 'a tap that is joined to nothing, where that of the source carries', unjoined
    yield 'a data port that is taken, and an address that is not of that host', ports
    yield 'CPU features that differ are named, and what QEMU there cannot give', cpu_features
    yield 'the names of CPU features are those of QEMU itself', feature_names
    yield 'memory that another guest on its way there still needs', memory


# ---- the destination's host --------------------------------------------------------------------------


class There:
    """Host b: its interfaces, and QEMU as segue receive would start it."""

    def __init__(self, lab, version='10', prefix=()):
        self.lab, self.prefix, self.stack = lab, list(prefix), contextlib.ExitStack()
        self.qemu = lab.qemu_path(version)
        self.memory = lab.default_memory_kib(self.qemu)
        self.src = lab.start_vm('a', 'p', qemu=version, guest=GUEST)
        self.stack.callback(self.src.stop)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def ip(self, *words):
        command(['ip', '-n', self.lab.netns('b'), *words])

    @contextlib.contextmanager
    def link(self, name, *kind):
        self.ip(*(('tuntap', 'add', name, *kind[1:]) if kind[0] == 'tuntap' else
                  ('link', 'add', name, 'type', *kind)))
        try:
            yield
        finally:
            self.ip('link', 'del', name)

    @contextlib.contextmanager
    def holder(self, name):
        """A process that has a tap of that name open."""
        code = ('import fcntl, struct, sys; f = open("/dev/net/tun", "r+b", buffering=0); '
                f'fcntl.ioctl(f, 0x400454ca, struct.pack("16sH14x", b"{name}", 0x1002)); print(flush=True); '
                'sys.stdin.read()')
        process = subprocess.Popen(self.lab.enter('b') + ['/usr/bin/python3', '-c', code], stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE)
        try:
            process.stdout.readline()
            yield process.pid
        finally:
            process.communicate()

    def command(self, *netdev):
        words = machine_arguments(self.qemu, 'p', self.memory, 1, self.lab.tool('guest.elf'), GUEST)
        words += ['-chardev', 'null,id=beat', '-device', 'isa-debugcon,iobase=0xe9,chardev=beat', '-chardev',
                  'null,id=serial', '-serial', 'chardev:serial']
        return [*words, '-qmp', f'unix:{self.lab.host_dir("b")}/there.qmp,server=on,wait=off', '-S', '-incoming',
                'defer', *netdev]

    def qemu_says(self, *netdev):
        """QEMU's own refusal; None where it starts."""
        words = [*self.prefix, *self.lab.enter('b'), *self.command(*netdev)]
        process = subprocess.Popen(words, env=self.lab.env('b'), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True, start_new_session=True)
        try:
            said = process.communicate(timeout=3)[1]
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGTERM)  # What its prefix wraps it into cleans up behind it.
            process.communicate()
            return None
        require(process.returncode == 1, f'{netdev}: QEMU ended with {process.returncode}: {said[-300:]}')
        return said.strip()

    def segue_says(self, *netdev, options=(), address=None):
        to = receive(self.lab, 'b')
        if self.prefix:
            to = 'cmd:' + shlex.join([*self.prefix, *shlex.split(to[4:])])
        done = run(self.lab, f'qmp:{self.src.qmp_path}', '--to', to, '--dst-command', json.dumps(self.command(*netdev)),
                   '--data-address', address or ADDRESS['b'], '--dry-run', *options)
        require(self.src.qmp('query-status')['status'] == 'running', 'the source does not run')
        return done

    def fine(self, *netdev, **more):
        require(self.qemu_says(*netdev) is None, f'QEMU refuses {netdev}')
        done = self.segue_says(*netdev, **more)
        require(done.returncode == 0, f'{netdev}: exit {done.returncode}: {done.stdout[-500:]}{done.stderr[-300:]}')

    def refused(self, code, says, qemu_says, *netdev):
        words = self.qemu_says(*netdev)
        require(words and re.search(qemu_says, words), f'{netdev}: QEMU says: {words}')
        done = self.segue_says(*netdev)
        require(codes(done) == [code], f'{netdev}: {done.stdout[-600:]}')
        finding = lines_of(done)[-1]['findings'][0]
        require(re.search(says, finding['what']) and finding['remedy'], f'{netdev}: {finding}')
        return finding['what']


def taps(version):
    def case(lab):
        with There(lab, version) as there:
            named = ['-netdev', 'tap,id=n,ifname=web1,script=no,downscript=no']
            queues = ['-netdev', 'tap,id=n,ifname=web1,script=no,downscript=no,queues=2']
            said = []
            there.fine(*named)
            for kind in (('tuntap', 'mode', 'tap'), ('tuntap', 'mode', 'tap', 'user', 'nobody')):
                with there.link('web1', *kind):
                    there.fine(*named)
            with there.holder('web1') as pid:
                said.append(there.refused('network-tap', f'web1 is held by process {pid} \\(python3', 'resource busy',
                                          *named))
            other = [('is no tap but a bridge', ('bridge',), named),
                     ('is no tap but a tun', ('tuntap', 'mode', 'tun'), named),
                     ('with multi_queue', ('tuntap', 'mode', 'tap', 'multi_queue'), named),
                     ('without multi_queue', ('tuntap', 'mode', 'tap'), queues)]
            for says, kind, netdev in other:
                with there.link('web1', *kind):
                    said.append(there.refused('network-tap', says, 'Invalid argument', *netdev))
            said.append(there.refused('network-script', '/no/such/script cannot be run: No such file', 'script',
                                      '-netdev', 'tap,id=n,script=/no/such/script'))
            said.append(there.refused('network-script', 'Permission denied', 'script',
                                      '-nic', 'tap,script=/etc/passwd'))
        hidden = ['unshare', '-m', 'sh', '-c', 'mount -t tmpfs none /dev/net && exec "$@"', 'sh']
        with There(lab, version, hidden) as there:
            said.append(there.refused('network-tap', '/dev/net/tun.*No such file', '/dev/net/tun', *named))
        return f'{len(said)} refused as by QEMU: ' + ' | '.join(said)
    return case


def with_rules(text):
    """In a mount namespace of its own, with an /etc of its own."""
    script = ('set -e; d=$(mktemp -d); cp -a /etc/. $d; mkdir -p $d/qemu; printf "$RULES" > $d/qemu/bridge.conf; '
              'mount --bind $d /etc; trap "umount -l /etc; rm -rf $d" EXIT; trap : TERM; "$@"')
    return ['env', f'RULES={text}', 'unshare', '-m', 'sh', '-c', script, 'sh']


def bridges(lab):
    require(os.access(HELPER, os.X_OK), f'{HELPER} is not here')
    said = []
    netdev = ['-netdev', f'bridge,id=n,br=lan,helper={HELPER}']
    with There(lab) as there:
        said.append(there.refused('network-bridge', 'helper /no/such/helper cannot be run: No such file', 'helper',
                                  '-netdev', 'bridge,id=n,br=lan,helper=/no/such/helper'))
        for rules, says, qemu in (('allow lan\\n', '', None), ('allow all\\ndeny lan\\n', 'denies it', 'acl'),
                                  ('allow br9\\n', 'does not allow it', 'acl'), ('permit lan\\n', 'permit', 'acl')):
            there.prefix = with_rules(rules)
            with there.link('lan', 'bridge'):
                if qemu is None:
                    there.fine(*netdev)
                else:
                    said.append(there.refused('network-bridge', says, qemu, *netdev))
        there.prefix = with_rules('allow lan\\n')
        said.append(there.refused('network-bridge', 'there is no bridge lan', 'No such device', *netdev))
        with there.link('lan', 'tuntap', 'mode', 'tap'):
            said.append(there.refused('network-bridge', 'is no bridge but', 'bridge', *netdev))
    return f'{len(said)} refused as by the helper: ' + ' | '.join(said)


def at_once(lab):
    with There(lab) as there, there.holder('web1'):
        there.src.qmp('stop')
        monitor = f'{lab.host_dir("b")}/there.qmp'
        with contextlib.suppress(FileNotFoundError):
            os.unlink(monitor)
        with taken_port(lab, 'b'):
            to = receive(lab, 'b')
            words = there.command('-netdev', 'tap,id=n,ifname=web1,script=/no/such/script', '-netdev',
                                  'bridge,id=m,br=none7,helper=/no/such/helper')
            done = run(lab, f'qmp:{there.src.qmp_path}', '--to', to, '--dst-command', json.dumps(words),
                       '--data-address', f'{ADDRESS["b"]}:{PORT}')
        found = codes(done)
        require(found == ['source-state', 'network-tap', 'network-script', 'network-bridge', 'data-port'], f'{found}')
        require(not os.path.exists(monitor), 'a QEMU was started')
        there.src.qmp('cont')
        require(there.src.verify().ok, 'the guest is not whole')
        return ', '.join(found)


def unjoined(lab):
    lab.bridge_up()
    card = ['-device', 'virtio-net-pci,netdev=net0,romfile=']
    joined = network_arguments(IFUP)[:2]
    alone = ['-netdev', 'tap,id=net0,script=no,downscript=no']
    with contextlib.ExitStack() as stack:
        src = lab.start_vm('a', 'q', guest=GUEST, extra=[*joined, *card])
        stack.callback(src.stop)
        said = []
        for netdev, options, status in ((joined, (), 0), (alone, (), 2), (alone, ('--unsafe',), 0)):
            dst = lab.start_vm('b', 'q', guest=GUEST, extra=[*netdev, *card], incoming=True)
            done = run(lab, f'qmp:{src.qmp_path}', '--to', receive(lab, 'b'), '--dst-qmp', dst.qmp_path,
                       '--data-address', ADDRESS['b'], '--dry-run', *options)
            dst.stop()
            require(done.returncode == status, f'{netdev}: exit {done.returncode}: {done.stdout[-500:]}')
            notes = verdicts(done)[1]['notes']
            if status == 2:
                require(codes(done) == ['network-unjoined'], done.stdout)
                said.append(lines_of(done)[-1]['findings'][0]['what'])
            require([note['code'] for note in notes] == ['network-unjoined'] * len(options), f'{notes}')
        require(src.qmp('query-status')['status'] == 'running', 'the source does not run')
        return said[0]


# ---- ports -------------------------------------------------------------------------------------------


@contextlib.contextmanager
def taken_port(lab, host):
    code = (f'import socket, sys; s = socket.create_server(("{ADDRESS[host]}", {PORT})); print(flush=True); '
            'sys.stdin.read()')
    process = subprocess.Popen(lab.enter(host) + ['/usr/bin/python3', '-c', code], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        yield
    finally:
        process.communicate()


def ports(lab):
    with There(lab) as there:
        address = ADDRESS['b']
        with taken_port(lab, 'b'):
            done = there.segue_says(address=f'{address}:{PORT}')
            require(codes(done) == ['data-port'], done.stdout)
            said = lines_of(done)[-1]['findings'][0]['what']
            require(f'port {PORT}' in said and 'in use' in said, said)
            free = there.segue_says(address=f'{address}:{PORT}-{PORT + 1}')
            require(free.returncode == 0, f'a range with a free port: {free.stdout[-400:]}')
        free = there.segue_says(address=f'{address}:{PORT}')
        require(free.returncode == 0, f'a port that is free again: {free.stdout[-400:]}')
        done = there.segue_says(address=ADDRESS['a'])
        require(codes(done) == ['data-address'], done.stdout)
        # Without another host, where QEMU itself will listen.
        dst = lab.start_vm('a', 'here', guest=GUEST, incoming=True)
        there.stack.callback(dst.stop)
        place = [f'qmp:{there.src.qmp_path}', '--dst-qmp', dst.qmp_path, '--data-address', f'{ADDRESS["a"]}:{PORT}']
        with taken_port(lab, 'a'):
            require(codes(run(lab, *place, '--dry-run')) == ['data-port'], 'a port that is taken on this host')
        here = run(lab, *place, '--dry-run')
        require(here.returncode == 0, f'a port that is free here: {here.stdout[-400:]}')
        return said + ' | ' + lines_of(done)[-1]['findings'][0]['what']


# ---- CPU features ------------------------------------------------------------------------------------


def cpu_features(lab):
    wanted = ['-cpu', 'Skylake-Server']
    with contextlib.ExitStack() as stack:
        src = lab.start_vm('a', 'c', guest=GUEST, memory='128MiB', extra=wanted)
        stack.callback(src.stop)
        dst = lab.start_vm('b', 'c', qemu='7.2', guest=GUEST, memory='128MiB', extra=wanted, incoming=True)
        stack.callback(dst.stop)
        done = run(lab, *local(src, dst))
        found = {finding['code']: finding for finding in lines_of(done)[-1]['findings']}
        require(done.returncode == 2 and 'cpu-features' in found, done.stdout[-600:])
        untouched(src, dst)
        here, there = feature_bits(src), feature_bits(dst)
        lacks = {name for name, value in here.items() if value and there.get(name) is False}
        unavailable = set(dst.qmp('qom-get', path='/machine/unattached/device[0]', property='unavailable-features'))
        require(lacks & unavailable, f'7.2 lacks nothing that 10 has: {lacks}')
        what = found['cpu-features']['what']
        for name in lacks & unavailable:
            require(re.search(f'asked for .*{re.escape(name)}\\b.* cannot give', what), f'{name} is not named: {what}')
        require('-' + min(lacks & unavailable) in found['cpu-features']['remedy'], f'{found["cpu-features"]}')
        return what


def feature_bits(vm):
    """Every property of its first CPU that is yes or no."""
    path = '/machine/unattached/device[0]'
    names = [p['name'] for p in vm.qmp('qom-list', path=path) if p['type'] == 'bool']
    return {name: vm.qmp('qom-get', path=path, property=name) for name in names}


def feature_names(lab):
    with open(os.path.join(ROOT, 'src', 'migration', 'cpu_features.cpp'), encoding='utf-8') as f:
        entries = re.findall(r'WordNames\{("[^}]*")\}', f.read())
    table = {}
    for entry in entries:
        word, names = re.match(r'"([^"]*)",\s*(.*)', entry, re.DOTALL).groups()
        for piece in ''.join(re.findall(r'"([^"]*)"', names)).split():
            bit, name = piece.split(':')
            table[word, int(bit)] = name
    require(len(table) > 240, f'only {len(table)} names were found in the source')
    checked, on = set(), set()
    for version in ('7.2', '10'):
        vm = lab.start_vm('a', 'n', qemu=version, guest=GUEST, extra=['-cpu', 'max'])
        try:
            bits = feature_bits(vm)
            words = {}
            for word in vm.qmp('qom-get', path='/machine/unattached/device[0]', property='feature-words'):
                leaf, sub = f'{word["cpuid-input-eax"]:x}', word.get('cpuid-input-ecx')
                words[leaf + ('' if sub is None else f':{sub:x}') + '.' + word['cpuid-register']] = word['features']
        finally:
            vm.stop()
        for (word, bit), name in table.items():
            if word not in words or name not in bits:
                continue
            value = bool(words[word] >> bit & 1)
            # One name may stand for two bits.
            twins = [key for key, other in table.items() if other == name]
            require(bits[name] == value or len(twins) > 1, f'{name} of QEMU {version} is not bit {bit} of {word}')
            checked.add(name)
            if value:
                on.add(name)
    missing = sorted(set(table.values()) - checked)
    require(len(checked) > 200 and len(on) > 60, f'{len(checked)} checked, {len(on)} of them set')
    return f'{len(checked)} names are QEMU\'s own, {len(on)} of them seen set; known to neither version: {missing}'


# ---- memory ------------------------------------------------------------------------------------------


def memory(lab):
    """Both fit alone: the host is said to have a little more than one of them needs."""
    with contextlib.ExitStack() as stack:
        pairs = []
        for name in ('m1', 'm2'):
            src = lab.start_vm('a', name, guest=GUEST)
            stack.callback(src.stop)
            dst = lab.start_vm('b', name, guest=GUEST, incoming=True)
            stack.callback(dst.stop)
            pairs.append((src, dst))
        has = {'set': {'host_facts.memory_available_bytes': 160 << 20}}

        def words(pair, change, *options):
            src, dst = pair
            return [f'qmp:{src.qmp_path}', '--to', receive(lab, 'b', change), '--dst-qmp', dst.qmp_path,
                    '--data-address', ADDRESS['b'], '--max-downtime', '2s', *options]

        def asked(pair):
            return run(lab, *words(pair, has, '--dry-run'))

        require(asked(pairs[0]).returncode == 0 and asked(pairs[1]).returncode == 0, 'one alone does not fit')
        argv = lab.enter('a') + [program('segue'), 'migrate', *words(pairs[0], None, '--max-bandwidth', '4MiB/s',
                                                                     '--no-forecast', '--json', *PATIENT)]
        first = subprocess.Popen(argv, env=lab.env('a'), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        stack.callback(first.wait)
        stack.callback(first.kill)
        for line in first.stdout:
            if json.loads(line)['type'] == 'progress':
                break
        done = asked(pairs[1])
        require(codes(done) == ['memory-free'], done.stdout)
        said = lines_of(done)[-1]['findings'][0]['what']
        require('other guests on their way there still need' in said, said)
        first.terminate()
        first.communicate(timeout=20)
        wait_until(lambda: asked(pairs[1]).returncode == 0, 5, 'room, once the first was given up', interval=0.2)
        require(not [f for f in os.listdir(os.path.join(lab.state_dir('b'), 'receive')) if f.endswith('.needs')],
                'what the first needed is still written down')
        require(all(src.verify().ok for src, _ in pairs), 'a guest is not whole')
        return said
