#!/usr/bin/python3
"""`segue receive` on real QEMUs of the lab: moves, a hostile source, and every death on the destination's side.

    tests/receive_real/test_receive.py [-v] [ReceiveTest.test_...]

Needs root and a build. Environment: SEGUE (program), SEGUE_FAULTS, SEGUE_GUARD. Figures follow at the end.
"""
import contextlib
import json
import os
import signal
import socket
import sqlite3
import sys
import time
import unittest
import uuid

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.realpath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [HERE, os.path.join(ROOT, 'lab', 'lib')]
import segue_lab  # noqa: E402
from lab_arguments import machine_arguments  # noqa: E402
from slow_names import SlowNames  # noqa: E402
from source import Peer, connect, load  # noqa: E402

SEGUE = os.environ.get('SEGUE', os.path.join(ROOT, 'build/release/bin/segue'))
GUARD = os.environ.get('SEGUE_GUARD', os.path.join(os.path.dirname(SEGUE), 'segue-guard'))
FAULTS = os.environ.get('SEGUE_FAULTS', os.path.join(os.path.dirname(SEGUE), 'segue-faults'))
GUEST = 'hot=8 rate=200'
PREPARED, LISTENING, ACCEPTED, RUNNING, REFUSED, TOMBSTONE, CLOSED = 33, 34, 35, 36, 37, 38, 13
FIGURES = []


def setUpModule():
    global LAB
    LAB = segue_lab.Lab(f'r{os.getpid()}', 'none')
    LAB.up()


def tearDownModule():
    LAB.down()
    for line in FIGURES:
        print(line)


def guardians():
    """Pids of the guardians of this lab's destinations."""
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        with contextlib.suppress(OSError):
            with open(f'/proc/{pid}/cmdline', 'rb') as f:
                words = f.read().split(b'\0')
            with open(f'/proc/{pid}/environ', 'rb') as f:
                mine = f'SEGUE_LAB_ID={LAB.id}'.encode() in f.read().split(b'\0')
            if words[0].endswith(b'segue-guard') and b'--destination' in words and mine:
                found.append(int(pid))
    return found


def stopped(pid):
    with open(f'/proc/{pid}/stat') as f:
        return f.read().rsplit(')', 1)[1].split()[0] == 'T'


def steps(move):
    """The steps that the journal of host b has of a move."""
    path = os.path.join(LAB.state_dir('b'), 'journal', 'journal.db')
    with contextlib.closing(sqlite3.connect(f'file:{path}?mode=ro', uri=True)) as db:
        rows = db.execute('SELECT step FROM steps JOIN moves USING (job) WHERE move_id = ? AND role = 2 '
                          'ORDER BY number', (move,))
        return [row[0] for row in rows]


class ReceiveTest(SlowNames, unittest.TestCase):
    def setUp(self):
        self.lab, self.figures = LAB, FIGURES
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def tearDown(self):
        self.stack.close()
        segue_lab.wait_until(lambda: not guardians(), 3, 'the end of all guardians')

    # -- parts

    guardians = staticmethod(guardians)

    def peer(self, **options):
        options.setdefault('env', {})['SEGUE_GUARD'] = GUARD
        peer = Peer(LAB, options.pop('program', SEGUE), **options)
        self.stack.callback(peer.close)
        return peer

    def vm(self, host, **options):
        vm = LAB.start_vm(host, 'g', guest=GUEST, **options)
        self.stack.callback(vm.stop)
        return vm

    def destination(self):
        return self.vm('b', incoming=True)

    def waiting(self, dst, pinging=True):
        """A peer whose destination listens."""
        peer = self.peer()
        peer.greet()
        peer.prepare(dst.qmp_path)
        peer.address = peer.listen()
        peer.pinging = pinging
        return peer

    def loaded(self):
        """A source, a destination that holds a whole copy of its guest, and the peer."""
        src, dst = self.vm('a'), self.destination()
        peer = self.waiting(dst)
        load(src, peer.stream(peer.address))
        return src, dst, peer

    def dies_within(self, dst, seconds, since=None):
        since = since or time.monotonic()
        with contextlib.suppress(segue_lab.LabError):
            segue_lab.wait_until(lambda: not dst.running(), max(since + seconds - time.monotonic(), 0.001), 'its end')
        took = time.monotonic() - since
        self.assertFalse(dst.running(), f'the destination lives after {took:.2f} s')
        FIGURES.append(f'{self.id().split(".")[-1]}: dead after {took * 1e3:.0f} ms')
        return took

    def reopened(self, peer):
        """A new session of the same move."""
        again = self.peer(move=peer.move)
        again.greet()
        return again

    # -- moves

    def test_a_guest_moves_and_outlives_receive(self):
        src, dst, peer = self.loaded()
        self.assertEqual(dst.qmp('query-status')['status'], 'paused')
        asked = time.monotonic()
        peer.word()
        FIGURES.append(f'word to running: {(time.monotonic() - asked) * 1e3:.1f} ms')
        self.assertEqual(dst.qmp('query-status')['status'], 'running')
        self.assertTrue(dst.verify().ok)
        reply = peer.status()
        self.assertEqual((reply['stage'], reply['accepted'], reply['tombstone']), ('running', True, False))
        segue_lab.wait_until(lambda: not guardians(), 2, 'the end of the guardian after the word')
        peer.process.kill()
        self.assertEqual(steps(peer.move), [PREPARED, LISTENING, ACCEPTED, RUNNING])
        again = self.reopened(peer)
        self.assertEqual(again.status()['stage'], 'running')
        self.assertIn('belongs here', again.ask('abort', 'refused', reason='replayed')['reason'])
        again.ask('finish', 'running')
        again.say('bye')
        self.assertEqual(again.wait_end(), 0)
        self.assertEqual(steps(peer.move)[-1], CLOSED)
        self.assertEqual(dst.qmp('query-status')['status'], 'running')
        self.assertTrue(dst.verify().ok)

    def command(self):
        """The command of a QEMU like the lab's, with the serial port for its verdict."""
        program = LAB.qemu_path('10')
        base = os.path.join(LAB.host_dir('b'), 'started')
        argv = machine_arguments(program, 'g', LAB.default_memory_kib(program), 1, LAB.tool('guest.elf'), GUEST)
        argv += ['-chardev', 'null,id=beat', '-device', 'isa-debugcon,iobase=0xe9,chardev=beat']
        argv += ['-serial', f'unix:{base}.serial,server=on,wait=off', '-S', '-incoming', 'defer']
        return argv + ['-qmp', f'unix:{base}.qmp,server=on,wait=off'], base

    def test_a_guest_moves_into_a_qemu_that_was_started(self):
        src, peer = self.vm('a'), self.peer()
        command, base = self.command()
        peer.greet()
        began = time.monotonic()
        pid = peer.prepare(command=command)['facts']['pid']
        FIGURES.append(f'prepare with a command: {(time.monotonic() - began) * 1e3:.0f} ms')
        self.stack.callback(segue_lab.end_process, pid, segue_lab.start_time(pid))
        load(src, peer.stream(peer.listen(port_first=47000, port_last=47010)))
        peer.word()
        with open(f'/proc/{pid}/environ') as f:
            self.assertNotIn('SEGUE', f.read())
        self.assertEqual(os.getsid(pid), pid)
        opened = [os.readlink(f'/proc/{pid}/fd/{fd}') for fd in os.listdir(f'/proc/{pid}/fd')]
        self.assertFalse([name for name in opened if 'journal' in name or 'board' in name], opened)
        peer.say('bye')
        self.assertEqual(peer.wait_end(), 0)
        with segue_lab.Qmp(f'{base}.qmp') as qmp:
            self.assertEqual(qmp.cmd('query-status')['status'], 'running')
        with socket.socket(socket.AF_UNIX) as serial:
            serial.settimeout(10)
            serial.connect(f'{base}.serial')
            serial.sendall(b'V')
            said = serial.makefile().readline()
        self.assertTrue(said.startswith('verify ok'), said)

    def test_a_start_that_fails_leaves_nothing(self):
        peer = self.peer()
        peer.greet()
        command, _ = self.command()
        error = peer.prepare(command=command + ['-device', 'no-such-device'], answers=('error',))
        self.assertIn('no-such-device', error['source'])
        error = peer.prepare(command=['true', '-qmp', 'tcp:127.0.0.1:1'], answers=('error',))
        self.assertIn('no monitor', error['message'])
        self.assertEqual(peer.status()['qemu_alive'], False)
        self.assertEqual(peer.ask('abort', 'aborted', reason='enough')['type'], 'aborted')

    def test_without_a_journal_nothing_begins(self):
        peer = self.peer(env={'SEGUE_STATE': '/proc/none'})
        self.assertEqual(peer.wait_end(), 2)
        peer.wait_log('/proc/none')

    def test_a_source_of_another_time_is_told_so(self):
        peer = self.peer()
        peer.say('hello', versions_min=7, versions_max=9, segue='7', host='a', features=[], move=peer.move)
        self.assertIn('update the older one', peer.wait('error')['message'])
        self.assertEqual(peer.wait_end(), 0)

    def test_a_look_changes_nothing(self):
        dst, peer = self.destination(), self.peer()
        peer.greet()
        facts = peer.prepare(dst.qmp_path)['facts']
        self.assertEqual(facts['pid'], dst.pid)
        peer.process.stdin.close()
        self.assertEqual(peer.wait_end(4), 0)
        self.assertTrue(dst.running())

    # -- a hostile source

    def test_strangers_are_refused(self):
        dst = self.destination()
        peer = self.waiting(dst)
        almost = peer.token[:-1] + ('1' if peer.token.endswith('0') else '0')
        for said in (b'0' * 32 + b'\n', almost.encode() + b'\n', b'\n' * 33, b''):
            with connect(LAB, peer.address) as stranger:
                stranger.sendall(said)
                if not said:
                    stranger.shutdown(socket.SHUT_WR)
                self.assertEqual(stranger.recv(1), b'')
        peer.wait_log('said a wrong token')
        self.assertEqual(peer.status()['stage'], 'listening')
        silent = connect(LAB, peer.address)
        data = peer.stream(peer.address)
        with self.assertRaises(OSError):
            connect(LAB, peer.address)
        self.assertEqual(silent.recv(1), b'')
        self.assertEqual(peer.status()['stage'], 'connected')
        self.assertEqual(dst.qmp('query-status')['status'], 'inmigrate')
        silent.close()
        data.close()

    def test_broken_lines_end_the_connection(self):
        dst = self.destination()
        for broken in ('{"type":"ping"', '{"type":"ping","n":-1}', '{"type":"lease","n":1}', 'x' * 70000,
                       '[' * 5000, '{"type":"new-thing"}', '"\\u0000"', '{"type":"hello"}'):
            peer = self.peer()
            peer.greet()
            peer.prepare(dst.qmp_path)
            peer.raw(broken + '\n')
            self.assertEqual(peer.wait_end(4), 0, broken[:40])
            self.assertEqual(len([line for line in peer.log if 'source' in line or 'peer' in line]), 1, peer.log)
        self.assertTrue(dst.running())
        self.assertEqual(dst.qmp('query-status')['status'], 'inmigrate')

    def test_a_source_that_does_not_read_is_left(self):
        peer = self.peer(read=False)
        peer.say('hello', versions_min=1, versions_max=1, segue='t', host='a', features=[], move=peer.move)
        peer.process.stdout.readline()
        for number in range(1, 12000):
            peer.raw(f'{{"type":"status","request":{number}}}\n')
        self.assertEqual(peer.wait_end(5), 0)
        peer.wait_log('does not read')

    def test_words_that_are_not_good(self):
        dst, peer = self.destination(), self.peer()
        peer.greet()
        peer.prepare(dst.qmp_path)
        time.sleep(0.15)
        self.assertIn('no loaded guest', peer.word('refused')['reason'])
        peer.listen()
        peer.ask('abort', 'aborted', reason='test')
        self.dies_within(dst, 1)
        peer.ask('abort', 'aborted', reason='replayed')
        self.assertIn('one was said', peer.word('refused')['reason'])
        peer.say('bye')
        self.assertEqual(peer.wait_end(), 1)
        self.assertIn(TOMBSTONE, steps(peer.move))
        again = self.reopened(peer)
        self.assertEqual(again.status()['stage'], 'aborted')
        self.assertEqual(again.ask('word', 'refused', n=1)['type'], 'refused')
        again.ask('abort', 'aborted', reason='replayed')
        again.prepare(dst.qmp_path, answers=('error',))

    def test_a_word_with_an_old_lease(self):
        src, dst, peer = self.loaded()
        old = peer.lease
        time.sleep(0.5)
        self.assertIn('ms ago', peer.word('refused', n=old)['reason'])
        self.assertIn('only one word', peer.word('refused')['reason'])
        self.assertEqual(dst.qmp('query-status')['status'], 'paused')
        peer.ask('abort', 'aborted', reason='test')
        self.dies_within(dst, 0.5)
        with src.connect() as qmp:
            qmp.cmd('cont')
        self.assertTrue(src.verify().ok)

    # -- deaths

    def test_receive_is_killed_before_the_word(self):
        src, dst, peer = self.loaded()
        peer.process.kill()
        self.dies_within(dst, 2.1)
        self.assertEqual(self.reopened(peer).status()['stage'], 'orphan')

    def test_receive_is_killed_while_its_qemu_starts(self):
        peer = self.peer()
        command, base = self.command()
        peer.greet()
        peer.say('prepare', request=1, monitor='', command=command,
                 expected={'uuid': '', 'machine_type': '', 'vcpus': 0, 'memory_bytes': 0})
        segue_lab.wait_until(guardians, 2, 'the guardian', 0.001)
        peer.process.kill()
        segue_lab.wait_until(lambda: not guardians(), 2, 'the end of the guardian')
        with socket.socket(socket.AF_UNIX) as monitor, self.assertRaises(OSError):
            monitor.connect(f'{base}.qmp')

    def killed_at(self, point):
        """The same as `loaded`, and the word; `segue receive` is killed where it stops itself."""
        src, dst = self.vm('a'), self.destination()
        peer = self.peer(program=FAULTS, env={'SEGUE_FAULT_POINT': point})
        peer.greet()
        peer.prepare(dst.qmp_path)
        load(src, peer.stream(peer.listen()))
        peer.say('word', request=99, n=peer.lease)
        segue_lab.wait_until(lambda: stopped(peer.process.pid), 3, point)
        peer.process.kill()
        return src, dst, peer

    def test_receive_is_killed_when_it_has_claimed_the_guest(self):
        """Between the claim and the record: nobody may run it, and nobody ends it but an abort."""
        _, dst, peer = self.killed_at('receive:accepting')
        again = self.reopened(peer)
        self.assertEqual(again.status()['stage'], 'orphan')
        self.assertEqual(dst.qmp('query-status')['status'], 'paused')
        again.ask('abort', 'aborted', reason='test')
        self.dies_within(dst, 0.5)

    def test_receive_is_killed_between_accepted_and_cont(self):
        _, dst, peer = self.killed_at('receive:accepted')
        again = self.reopened(peer)
        self.assertEqual(again.status()['stage'], 'accepted')
        self.assertEqual(dst.qmp('query-status')['status'], 'paused')
        again.ask('abort', 'refused', reason='too late')
        again.ask('finish', 'running')
        self.assertEqual(dst.qmp('query-status')['status'], 'running')
        self.assertTrue(dst.verify().ok)

    # -- by definition

    def killed_by_definition(self, name, point):
        """As `killed_at`, with a destination that was built from a description; its folder."""
        program = LAB.qemu_path('10')
        argv = machine_arguments(program, name, LAB.default_memory_kib(program), 1, LAB.tool('guest.elf'), GUEST)
        argv = [word for at, word in enumerate(argv) if word != '-name' and argv[at - 1] != '-name']
        argv += ['-chardev', 'null,id=beat', '-device', 'isa-debugcon,iobase=0xe9,chardev=beat', '-serial', 'null']
        src, peer = self.vm('a'), self.peer(program=FAULTS, env={'SEGUE_FAULT_POINT': point})
        self.assertIn('vm-1', peer.greet()['features'])
        vm = {'uuid': str(uuid.uuid4()), 'description': f'name = "{name}"\ncommand = {json.dumps(argv)}\n'}
        facts = peer.prepare(vm=vm)['facts']
        self.assertEqual((facts['name'], facts['uuid']), (name, vm['uuid']))
        self.stack.callback(segue_lab.end_process, facts['pid'], segue_lab.start_time(facts['pid']))
        load(src, peer.stream(peer.listen()))
        peer.say('word', request=99, n=peer.lease)
        segue_lab.wait_until(lambda: stopped(peer.process.pid), 3, point)
        peer.process.kill()
        folder = os.path.join(LAB.state_dir('b'), 'vms', name)
        self.assertIn('arriving.json', os.listdir(folder))
        return peer, folder

    def test_a_definition_is_here_when_a_later_session_finishes_the_move(self):
        peer, folder = self.killed_by_definition('finished', 'receive:accepted')
        again = self.reopened(peer)
        again.ask('finish', 'running')
        again.say('bye')
        self.assertEqual(again.wait_end(), 0)
        self.assertEqual(sorted(os.listdir(folder)), ['control.qmp', 'guard.qmp', 'process.json', 'qemu.log',
                                                      'spare.qmp', 'uuid', 'vm.toml'])

    def test_a_definition_goes_with_its_orphan_and_not_before(self):
        peer, folder = self.killed_by_definition('orphan', 'receive:accepting')
        look = self.reopened(peer)
        self.assertEqual(look.status()['stage'], 'orphan')
        look.say('bye')
        self.assertEqual(look.wait_end(), 0)
        self.assertIn('arriving.json', os.listdir(folder))
        again = self.reopened(peer)
        again.ask('abort', 'aborted', reason='test')
        again.say('bye')
        self.assertEqual(again.wait_end(), 1)
        self.assertFalse(os.path.exists(folder))

    def kill_with_guardian(self, peer):
        guardian, = guardians()
        os.kill(guardian, signal.SIGSTOP)
        peer.process.kill()
        peer.process.wait()
        os.kill(guardian, signal.SIGKILL)

    def test_receive_and_its_guardian_are_killed(self):
        dst = self.destination()
        peer = self.waiting(dst)
        self.kill_with_guardian(peer)
        again = self.reopened(peer)
        reply = again.status()
        self.assertEqual((reply['stage'], reply['qemu_alive']), ('orphan', True))
        self.assertTrue(dst.running())
        again.ask('abort', 'aborted', reason='test')
        self.dies_within(dst, 0.5)

    def test_an_orphan_that_stands_still_is_ended_all_the_same(self):
        """Its monitor answers nobody; its process is known from the journal."""
        dst = self.destination()
        peer = self.waiting(dst)
        self.kill_with_guardian(peer)
        os.kill(dst.pid, signal.SIGSTOP)
        again = self.reopened(peer)
        self.assertEqual(again.status()['stage'], 'orphan')
        again.ask('abort', 'aborted', reason='test')
        self.dies_within(dst, 0.5)

    def test_receive_and_its_guardian_are_killed_with_a_qemu_just_started(self):
        """Its pid is in no journal yet: it is found by its monitor and its age."""
        peer = self.peer()
        command, _ = self.command()
        peer.greet()
        pid = peer.prepare(command=command)['facts']['pid']
        self.stack.callback(segue_lab.end_process, pid, segue_lab.start_time(pid))
        self.kill_with_guardian(peer)
        again = self.reopened(peer)
        self.assertEqual(again.status()['stage'], 'orphan')
        again.ask('abort', 'aborted', reason='test')
        # Its pidfd said so; /proc may show the last of its threads for a moment longer.
        segue_lab.wait_until(lambda: segue_lab.start_time(pid) is None, 0.2, 'the end of its QEMU')

    def test_receive_stands_still(self):
        dst = self.destination()
        peer = self.waiting(dst)
        os.kill(peer.process.pid, signal.SIGSTOP)
        self.dies_within(dst, 2.2)
        os.kill(peer.process.pid, signal.SIGCONT)

    def test_the_control_connection_is_closed(self):
        dst = self.destination()
        peer = self.waiting(dst)
        peer.process.stdin.close()
        self.dies_within(dst, 2.2)
        self.assertEqual(peer.wait_end(), 1)
        self.assertEqual(steps(peer.move), [PREPARED, LISTENING, TOMBSTONE, CLOSED])

    def test_no_ping_comes(self):
        dst = self.destination()
        peer = self.waiting(dst, pinging=False)
        self.dies_within(dst, 2.2)
        peer.wait('died')

    def test_the_guardian_is_killed(self):
        dst = self.destination()
        peer = self.waiting(dst)
        self.assertEqual(len(guardians()), 1)
        os.kill(guardians()[0], signal.SIGKILL)
        self.dies_within(dst, 0.5)
        peer.wait('died')

    def test_receive_is_told_to_stop(self):
        dst = self.destination()
        peer = self.waiting(dst)
        peer.process.terminate()
        self.dies_within(dst, 0.5)
        self.assertEqual(peer.wait_end(), 1)
        self.assertIn(TOMBSTONE, steps(peer.move))

    def test_its_qemu_dies(self):
        dst = self.destination()
        peer = self.waiting(dst)
        os.kill(dst.pid, signal.SIGKILL)
        self.assertEqual(peer.wait('died')['accepted'], False)

    def test_a_second_session_ends_the_first(self):
        dst = self.destination()
        peer = self.waiting(dst)
        again = self.reopened(peer)
        self.dies_within(dst, 0.5)
        self.assertEqual(again.status()['stage'], 'aborted')
        self.assertEqual(peer.wait_end(), 1)


if __name__ == '__main__':
    unittest.main()
