"""What the destination's host lacks is found before the start: taps, bridges and ports, each beside QEMU's own refusal
of the same; CPU features by name; memory that others on their way there still need."""
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess

from harness import PATIENT, require, require_safe
from lab_arguments import machine_arguments
from lab_base import run as command
from lab_bridge import network_arguments
from preflight_asking import (GUEST, accepted, codes, findings, local, notes, pair, receive, refused, remote, run,
                              segue, source, untouched)
from segue_lab import ADDRESS, HERE, wait_until
from watching import ROOT

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
        self.src = self.stack.enter_context(source(lab, qemu=version))

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
        untouched(self.src)
        return done

    def fine(self, *netdev, **more):
        require(self.qemu_says(*netdev) is None, f'QEMU refuses {netdev}')
        accepted(self.segue_says(*netdev, **more), netdev)

    def refused(self, code, says, qemu_says, *netdev):
        words = self.qemu_says(*netdev)
        require(words and re.search(qemu_says, words), f'{netdev}: QEMU says: {words}')
        done = self.segue_says(*netdev)
        what = refused(done, code)
        require(re.search(says, what) and findings(done)[0]['remedy'], f'{netdev}: {findings(done)}')
        return what


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
        require_safe(there.src.verify().ok, 'the guest is not whole')
        return ', '.join(found)


def unjoined(lab):
    lab.bridge_up()
    card = ['-device', 'virtio-net-pci,netdev=net0,romfile=']
    joined = network_arguments(IFUP)[:2]
    alone = ['-netdev', 'tap,id=net0,script=no,downscript=no']
    with source(lab, 'q', extra=[*joined, *card]) as src:
        said = []
        for netdev, options, status in ((joined, (), 0), (alone, (), 2), (alone, ('--unsafe',), 0)):
            dst = lab.start_vm('b', 'q', guest=GUEST, extra=[*netdev, *card], incoming=True)
            done = run(lab, *remote(lab, src, dst, '--dry-run', *options))
            dst.stop()
            require(done.returncode == status, f'{netdev}: exit {done.returncode}: {done.stdout[-500:]}')
            if status == 2:
                said.append(refused(done, 'network-unjoined'))
            require(notes(done) == ['network-unjoined'] * len(options), f'{notes(done)}')
        untouched(src)
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
            said = refused(there.segue_says(address=f'{address}:{PORT}'), 'data-port')
            require(f'port {PORT}' in said and 'in use' in said, said)
            accepted(there.segue_says(address=f'{address}:{PORT}-{PORT + 1}'), 'a range with a free port')
        accepted(there.segue_says(address=f'{address}:{PORT}'), 'a port that is free again')
        elsewhere = refused(there.segue_says(address=ADDRESS['a']), 'data-address')
        # Without another host, where QEMU itself will listen.
        dst = lab.start_vm('a', 'here', guest=GUEST, incoming=True)
        there.stack.callback(dst.stop)
        place = [f'qmp:{there.src.qmp_path}', '--dst-qmp', dst.qmp_path, '--data-address', f'{ADDRESS["a"]}:{PORT}']
        with taken_port(lab, 'a'):
            refused(run(lab, *place, '--dry-run'), 'data-port')
        accepted(run(lab, *place, '--dry-run'), 'a port that is free here')
        return said + ' | ' + elsewhere


# ---- CPU features ------------------------------------------------------------------------------------


def cpu_features(lab):
    wanted = ['-cpu', 'Skylake-Server']
    with pair(lab, 'c', dst_words={'qemu': '7.2'}, memory='128MiB', extra=wanted) as (src, dst):
        done = run(lab, *local(src, dst))
        found = {finding['code']: finding for finding in findings(done)}
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
        with source(lab, 'n', qemu=version, extra=['-cpu', 'max']) as vm:
            bits = feature_bits(vm)
            words = {}
            for word in vm.qmp('qom-get', path='/machine/unattached/device[0]', property='feature-words'):
                leaf, sub = f'{word["cpuid-input-eax"]:x}', word.get('cpuid-input-ecx')
                words[leaf + ('' if sub is None else f':{sub:x}') + '.' + word['cpuid-register']] = word['features']
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
        pairs = [stack.enter_context(pair(lab, name)) for name in ('m1', 'm2')]
        has = {'set': {'host_facts.memory_available_bytes': 160 << 20}}

        def asked(both):
            return run(lab, *remote(lab, *both, '--max-downtime', '2s', '--dry-run', change=has))

        for both in pairs:
            accepted(asked(both), 'one alone')
        argv = segue(lab, *remote(lab, *pairs[0], '--max-downtime', '2s', '--max-bandwidth', '4MiB/s', '--no-forecast',
                                  '--json', *PATIENT))
        first = subprocess.Popen(argv, env=lab.env('a'), text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        stack.callback(first.wait)
        stack.callback(first.kill)
        for line in first.stdout:
            if json.loads(line)['type'] == 'progress':
                break
        said = refused(asked(pairs[1]), 'memory-free')
        require('other guests on their way there still need' in said, said)
        first.terminate()
        first.communicate(timeout=20)
        wait_until(lambda: asked(pairs[1]).returncode == 0, 5, 'room, once the first was given up', interval=0.2)
        require(not [f for f in os.listdir(os.path.join(lab.state_dir('b'), 'receive')) if f.endswith('.needs')],
                'what the first needed is still written down')
        require_safe(all(src.verify().ok for src, _ in pairs), 'a guest is not whole')
        return said
