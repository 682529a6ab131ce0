"""What both sides are is compared before anything is changed: disks by what their QEMUs opened, memory, machines."""
import contextlib
import os
import struct
import subprocess

from harness import Move, require, require_safe
from preflight_asking import (GUEST, accepted, codes, findings, local, notes, pair, receive, refused, remote, run,
                              segue, untouched, verdicts)
from segue_lab import ADDRESS, HOSTS, LabError, wait_until

DISK_BYTES = 1 << 20


def cases(long_form):
    versions = ('10', '7.2') if long_form else ('10',)
    for version in versions:
        yield f'the same file on both sides is proven so, and its guest moves, QEMU {version}', proven(version)
    yield 'another file by the destination, of the same size, is refused whatever is said', not_shared
    yield 'a file that was replaced behind its QEMU is not taken for the old one', replaced
    yield 'a disk whose path is the same but whose snapshot is not', overlay
    yield 'on another host: not shared, unknown, its cache, its memory, its clock', another_host
    yield 'everything that is in the way is told at once, and to programs', everything
    for version in ('10', '7.2'):
        yield f'a VM of somebody else moves as it was started, there and back, QEMU {version}', foreign(version)
    yield 'a VM of somebody else is refused by the name of what cannot be the same there', foreign_refused


# ---- helpers -----------------------------------------------------------------------------------------


@contextlib.contextmanager
def disk_file(lab, name='disk.raw'):
    path = os.path.join(lab.dir, name)
    with open(path, 'wb') as f:
        f.truncate(DISK_BYTES)
    try:
        yield path
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def make_overlay(path, base):
    """An empty qcow2 on a raw file, as qemu-img would make it: header, refcounts, one L1 table, a cluster each."""
    cluster, name = 1 << 16, base.encode()
    header = struct.pack('>4sIQIIQIIQQIIQ', b'QFI\xfb', 2, 1024, len(name), 16, DISK_BYTES, 0, 1, 3 * cluster,
                         cluster, 1, 0, 0)
    header += struct.pack('>II8sII', 0xe2792aca, 3, b'raw', 0, 0)
    image = bytearray(4 * cluster)
    image[:len(header)] = header
    image[1024:1024 + len(name)] = name
    struct.pack_into('>Q', image, cluster, 2 * cluster)
    struct.pack_into('>4H', image, 2 * cluster, 1, 1, 1, 1)
    with open(path, 'wb') as f:
        f.write(image)


# ---- disks -------------------------------------------------------------------------------------------


def proven(version):
    def case(lab):
        with disk_file(lab) as disk:
            with Move(lab, version, GUEST, disk=disk, options=['--max-downtime', '2s']) as move:
                done = run(lab, *local(move.src, move.dst, '--dry-run'))
                accepted(done)
                seen, line = verdicts(done)
                require(seen == [('disk0', 'yes')], f'{line}')
                require(line['disks'][0]['src_file'] == disk and line['disks'][0]['cache'] is None, f'{line}')
                move.run()
                move.require_moved()
                return line['disks'][0]['because']
    return case


def not_shared(lab):
    with disk_file(lab) as one, disk_file(lab, 'other.raw') as other, \
            pair(lab, src_words={'disk': one}, dst_words={'disk': other}) as (src, dst):
        for options in ((), ('--storage-is-shared', '--unsafe'), ('--dry-run',)):
            done = run(lab, *local(src, dst, *options))
            sentence = refused(done, 'disk-not-shared')
            require(verdicts(done)[0] == [('disk0', 'no')], done.stdout)
            untouched(src, dst)
        require(one in sentence and other in sentence, sentence)
        require_safe(src.verify().ok, 'the guest is not whole')
        return sentence


def replaced(lab):
    with disk_file(lab) as disk, pair(lab, disk=disk) as (src, dst):
        require(verdicts(run(lab, *local(src, dst, '--dry-run')))[0] == [('disk0', 'yes')], 'not shared to begin with')
        with disk_file(lab, 'new.raw') as new:
            os.rename(new, disk)
            said = refused(run(lab, *local(src, dst)), 'disk-unknown')
            untouched(src, dst)
            return said


def overlay(lab):
    """As after a snapshot: the source writes to an overlay, and the destination was started with what lies below."""
    with disk_file(lab, 'base.raw') as base, disk_file(lab, 'top.qcow2') as top:
        make_overlay(top, base)
        device = ['-device', 'ide-hd,drive=disk0']
        on_top = ['-drive', f'file={top},format=qcow2,if=none,id=disk0', *device]
        with pair(lab, extra=on_top) as (src, dst):
            seen, line = verdicts(run(lab, *local(src, dst, '--dry-run')))
            require(seen == [('disk0', 'yes'), ('disk0, backing file 1', 'yes')], f'{line}')
        with pair(lab, src_words={'extra': on_top}, dst_words={'disk': base}) as (src, dst):
            done = run(lab, *local(src, dst))
            refused(done, 'disk-not-shared', 'disk-not-shared')
            untouched(src, dst)
            return '; '.join(finding['what'] for finding in findings(done))


# ---- another host ------------------------------------------------------------------------------------


def another_host(lab):
    elsewhere = {'host_facts.boot': '00000000-0000-4000-8000-000000000000'}
    with disk_file(lab) as disk, pair(lab, disk=disk) as (src, dst):
        def ask(change, *options):
            done = run(lab, *remote(lab, src, dst, '--max-downtime', '2s', *options, change=change))
            if done.returncode == 2:
                untouched(src, dst)
            return done
        # Its own filesystem on each.
        require(codes(ask({'set': elsewhere}, '--storage-is-shared')) == ['disk-not-shared'],
                'a file of one host was taken for shared')
        # Something that neither proves nor disproves.
        unclear = {**elsewhere, 'disks.0.storage.filesystem': 'fuse.some'}
        require(codes(ask({'set': unclear})) == ['disk-unknown', 'disk-cache'], 'unknown, and through the page cache')
        require(codes(ask({'set': unclear}, '--storage-is-shared')) == ['disk-cache'], 'the operator says it is shared')
        direct = {**unclear, 'disks.0.direct': True}
        require(codes(ask({'set': direct}, '--storage-is-shared')) == ['disk-cache'], "the source's cache counts too")
        short = {'host_facts.memory_available_bytes': 1 << 20}
        require('memory-free' in codes(ask({'set': short}, '--unsafe')), 'memory that is not there')
        late = ask({'set': {'host_facts.wall_ms': 1_000_000}}, '--dry-run')
        require(notes(late) == ['clocks'], late.stdout)
        # A segue that knows nothing of all this.
        older = {'drop': ['disks', 'host_facts'], 'features': ['vm-1']}
        require(codes(ask(older)) == ['disk-unknown', 'disk-cache'], 'an older segue')
        done = ask(older, '--storage-is-shared', '--unsafe')
        accepted(done)
        require(notes(done) == ['disk-cache'], done.stdout)
        wait_until(lambda: dst.qmp('query-status')['status'] == 'running', 3, 'the guest there')
        verdict = dst.verify()
        require_safe(verdict.ok, verdict.line)
        return f'{verdict.fields["pages"]} pages moved to an older segue, once the operator had said what it cannot'


def everything(lab):
    with disk_file(lab) as one, disk_file(lab, 'other.raw') as other:
        wrong = ['-cpu', 'qemu64,-sse3', '-device', 'virtio-rng-pci,id=more']
        with pair(lab, src_words={'disk': one}, dst_words={'disk': other, 'extra': wrong}) as (src, dst):
            done = run(lab, *local(src, dst))
            found = codes(done)
            require(found == ['disk-not-shared', 'cpu-features', 'devices'], f'{found}')
            untouched(src, dst)
            text = subprocess.run(segue(lab, *local(src, dst)), env=lab.env('a'), text=True,
                                  stdin=subprocess.DEVNULL, capture_output=True, timeout=40)
            require('3 things are in the way:' in text.stdout, text.stdout)
            return ', '.join(found)


# ---- VMs of somebody else ----------------------------------------------------------------------------


def move_foreign(lab, guest, here, there, *options, version='10'):
    lab.expect_vm(there, 'alien', qemu=version)
    return run(lab, f'qmp:{guest.qmp_path}', '--to', receive(lab, there), '--map-path',
               f'{lab.host_dir(here)}={lab.host_dir(there)}', '--data-address', ADDRESS[there], '--max-downtime', '2s',
               *options, host=here, seconds=60)


def command_of(pid):
    with open(f'/proc/{pid}/cmdline', 'rb') as f:
        return f.read().decode().split('\0')


def description_in(words):
    """A command line without what segue adds to it for a destination, and whatever the machine is called."""
    kept, words = [], iter(words)
    for word in words:
        if word == '-S':
            continue
        value = next(words, '') if word in ('-incoming', '-qmp', '-machine') else None
        if word == '-incoming' or (value or '').endswith('.segue,server=on,wait=off'):
            continue
        kept += [word.removesuffix(',logappend=on')] + ([value.split(',')[1:] if word == '-machine' else value]
                                                       if value is not None else [])
    return kept


def foreign(version):
    def case(lab):
        with disk_file(lab) as disk, contextlib.ExitStack() as stack:
            stack.callback(end_all, lab)
            more = ['-device', 'virtio-rng-pci,id=more', '-device', 'virtio-rng-pci,id=dice', '-uuid',
                    '6f9619ff-8b86-4011-b42d-00c04fc964ff']
            guest = lab.start_vm('a', 'alien', qemu=version, guest=GUEST, disk=disk, extra=more)
            places = ['a', 'b', 'a']
            began_as = command_of(guest.pid)
            for here, there in zip(places, places[1:]):
                done = move_foreign(lab, guest, here, there, version=version)
                accepted(done, f'{here} to {there}')
                require(not guest.running(), 'the source QEMU, whose copy is stale, is still there')
                new = lab.adopt_vm(there, 'alien')
                guest.stop()
                require(new.qmp('query-status')['status'] == 'running', f'it does not run on {there}')
                is_of = new.qmp('query-version')['qemu']
                require(f'{is_of["major"]}.{is_of["minor"]}'.startswith(version), f'{is_of} runs on {there}')
                guest = new
            words = command_of(guest.pid)
            require(words.count('-incoming') == 1 and words.count('-qmp') == 2, f'{words}')
            machine = next(word for option, word in zip(words, words[1:]) if option == '-machine')
            require(machine.startswith('pc-i440fx-'), f'-machine {machine} is an alias')
            require(description_in(words) == description_in(began_as), f'{words} is not made of {began_as}')
            verdict = guest.verify()
            require_safe(verdict.ok, verdict.line)
            return f'-machine {machine}; {verdict.fields["pages"]} pages after two moves'
    return case


def foreign_refused(lab):
    with contextlib.ExitStack() as stack:
        stack.callback(end_all, lab)
        guest = lab.start_vm('a', 'alien', guest=GUEST)
        said = []

        def says_first(words, done):
            require(codes(done)[-1:] != ['devices'], done.stdout)
            sentence = findings(done)[0]['what']
            require(words in sentence, f'not "{words}": {sentence}')
            untouched(guest)
            said.append(sentence)

        guest.qmp('device_add', driver='virtio-rng-pci', id='hot')
        says_first('the device hot (virtio-rng-pci) was plugged in', move_foreign(lab, guest, 'a', 'b'))
        guest.stop()
        end_all(lab)
        guest = lab.start_vm('a', 'alien', guest=GUEST)
        # Both hosts are this one, and their sockets have the same names unless they are mapped.
        done = run(lab, f'qmp:{guest.qmp_path}', '--to', receive(lab, 'b'), '--data-address', ADDRESS['b'])
        says_first(guest.qmp_path, done)
        require('listens on a socket of the command already' in said[-1], said[-1])
        done = run(lab, f'qmp:{guest.qmp_path}', '--to', receive(lab, 'b', {'features': ['vm-1']}), '--data-address',
                   ADDRESS['b'])
        says_first('does not look whose sockets it would take', done)
        require_safe(guest.verify().ok, 'the guest is not whole')
        return ' | '.join(said)


def end_all(lab):
    for host in HOSTS:
        with contextlib.suppress(LabError):
            lab.vm(host, 'alien').stop()
