#!/usr/bin/env python3
"""segue-guard on real QEMUs: a stand-in for Segue is killed or stopped in the middle of a move, and the
guest must run again on the source, within its budget, with nobody's help.

    tests/guard_real/test_guard.py [-v] [TestName...]

Environment: SEGUE_GUARD (program), SEGUE_GUARD_FAULTS (the one with fault points, else that test is
skipped), SEGUE_GUARD_QEMUS (space-separated programs; default: the distribution's, and the lab's QEMU
10 if it is installed). Times from the kill to QEMU's RESUME go to standard output at the end.
"""
import contextlib
import ctypes
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from braked_group import BrakedGroup
from stand_in import (BOARD_STATES, CAPS, GUARD_STATE, LATENESS, OWN, ROUND_TRIP, VERDICT, Board, Qmp, stamp_s)

FAILED, ROLLED_BACK = BOARD_STATES['failed'], BOARD_STATES['rolled_back']
HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))


def default_guard():
    built = os.path.join(ROOT, 'build/release/bin/segue-guard')
    return os.environ.get('SEGUE_GUARD', built)


def qemus():
    if 'SEGUE_GUARD_QEMUS' in os.environ:
        return os.environ['SEGUE_GUARD_QEMUS'].split()
    found = [shutil.which('qemu-system-x86_64')]
    lab = os.path.join(os.environ.get('SEGUE_LAB', '/var/tmp/segue-lab'), 'qemu10/qemu-system-x86_64')
    if os.access(lab, os.X_OK):
        found.append(lab)
    return [path for path in found if path]


class Qemu:
    def __init__(self, program, folder, name, incoming):
        self.paths = {role: os.path.join(folder, f'{name}-{role}.qmp')
                      for role in ('control', 'guard', 'spare')}
        words = [program, '-machine', 'pc,accel=tcg', '-m', '130M', '-display', 'none', '-nodefaults',
                 '-vga', 'none', '-drive', f'file={folder}/disk.raw,format=raw,if=virtio,cache=none']
        for path in self.paths.values():
            words += ['-qmp', f'unix:{path},server=on,wait=off']
        if incoming:
            words += ['-S', '-incoming', 'defer']
        self.log = open(os.path.join(folder, f'{name}.log'), 'w')
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.spare = Qmp(self.paths['spare'])

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.spare.sock.close()
        self.log.close()


class Move:
    """Two QEMUs, a stand-in that went as far as `until`, its guardian."""

    def __init__(self, program, own, until, budget_s=5.0, guard=None, environment=None, **job):
        self.stack = contextlib.ExitStack()
        self.stdin_in = None
        try:
            self._start(program, own, until, budget_s, guard, environment or {}, job)
        except BaseException:
            self.close()
            raise

    def _start(self, program, own, until, budget_s, guard, environment, job):
        self.folder = self.stack.enter_context(tempfile.TemporaryDirectory(prefix='segue-guard-test-'))
        with open(os.path.join(self.folder, 'disk.raw'), 'wb') as disk:
            disk.truncate(1 << 20)
        self.brake = os.path.join(self.folder, 'brake')
        with open(self.brake, 'w') as file:
            file.write('')
        self.src = Qemu(program, self.folder, 'src', False)
        self.stack.callback(self.src.stop)
        self.dst = Qemu(program, self.folder, 'dst', True)
        self.stack.callback(self.dst.stop)
        dst = self.dst.spare
        dst.cmd('migrate-set-capabilities', {'capabilities': [
            {'capability': name, 'state': True}
            for name in ('return-path', 'events', 'late-block-activate')]})
        dst.cmd('migrate-incoming', {'uri': 'tcp:127.0.0.1:0'})
        port = int(dst.cmd('query-migrate')['socket-address'][0]['port'])
        if 'group' in job:
            group = self.stack.enter_context(contextlib.closing(job['group']))
            group.write('tasks', self.src.spare.cmd('query-cpus-fast')[0]['thread-id'])
            job['group'] = group.path
        job.update(src=self.src.paths['control'], own=self.src.paths['guard'] if own else None,
                   until=until, budget_s=budget_s, guard=guard or default_guard(),
                   dst_pid=self.dst.process.pid, port=port, brake=self.brake)
        words = [sys.executable, os.path.join(HERE, 'stand_in.py'), json.dumps(job)]
        self.segue = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      env={**os.environ, **environment})
        self.stack.callback(self._end_segue)
        line = self.segue.stdout.readline()
        if not line:
            raise RuntimeError('stand-in: ' + self.segue.stderr.read().decode())
        self.state = json.loads(line)
        self.board = Board(os.open(f"/proc/{self.segue.pid}/fd/{self.state['board_fd']}", os.O_RDWR))
        self.stack.callback(os.close, self.board.fd)
        self.guard_pidfd = os.pidfd_open(self.state['guard'])
        self.stack.callback(self._end_guard)

    def _end_segue(self):
        if self.segue.poll() is None:
            self.segue.kill()
        self.segue.wait()
        self.segue.stdout.close()
        self.segue.stderr.close()

    def _end_guard(self):
        if not select.select([self.guard_pidfd], [], [], 0)[0]:
            signal.pidfd_send_signal(self.guard_pidfd, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.state['guard'], 0)
        os.close(self.guard_pidfd)

    def close(self):
        self.stack.close()

    def hit(self, number):
        """Kills (or stops) the stand-in; QEMU's own clock at that moment."""
        self.src.spare.events.clear()
        at = time.time()
        os.kill(self.segue.pid, number)
        return at

    def guard_ended(self, seconds):
        """Exit status and last words."""
        if not select.select([self.guard_pidfd], [], [], seconds)[0]:
            return None, ''
        self.segue.wait()
        _, status = os.waitpid(self.state['guard'], 0)  # We adopt orphans (see main).
        return os.waitstatus_to_exitcode(status), self.segue.stderr.read().decode()

    def answers(self, seconds):
        """Whether the source's main loop answers at all."""
        spare = self.src.spare
        spare.send('query-status')
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if select.select([spare.sock], [], [], deadline - time.monotonic())[0]:
                message = spare.message()
                if message.get('id') == spare.number:
                    return True
        return False

    def status(self):
        return self.src.spare.cmd('query-status')['status']


RESULTS = []


class GuardTest(unittest.TestCase):
    program = None
    version = ''

    @classmethod
    def setUpClass(cls):
        if not os.access(default_guard(), os.X_OK):
            raise unittest.SkipTest(f'{default_guard()} is not built')

    def move(self, **options):
        move = Move(self.program, **options)
        self.addCleanup(move.close)
        return move

    def restored(self, move):
        caps = {cap['capability']: cap['state'] for cap in move.src.spare.cmd('query-migrate-capabilities')}
        parameters = move.src.spare.cmd('query-migrate-parameters')
        self.assertFalse(any(caps[name] for name in CAPS))
        self.assertEqual((parameters['downtime-limit'], parameters['max-bandwidth']), (300, 128 << 20))
        with open(move.brake) as brake:
            self.assertEqual(brake.read(), '-1\n', 'the brake was not lifted')

    def killed_at(self, until, own, budget_s=0.3, **job):
        move = self.move(own=own, until=until, **job)
        self.assertEqual(move.board.u32(OWN), int(own))
        if until == 'continued':
            self.assertFalse(move.answers(0.1), 'the stream was not slow enough to hold the main loop')
        at = move.hit(signal.SIGKILL)
        stood = until != 'copying'
        resume = move.src.spare.wait_event('RESUME', 5 if stood else 0.05)
        code, words = move.guard_ended(10)
        self.assertEqual(code, 0, words)
        self.assertEqual(move.status(), 'running')
        if stood:
            self.assertIsNotNone(resume)
            took = stamp_s(resume) - at
            what = until + ('+dst stopped' if job else '')
            RESULTS.append((self.version, 'own' if own else 'queued', what, took))
            self.assertLess(took, budget_s)
        self.assertIn('the guest runs on the source', words)
        self.assertEqual(words.count('\n'), 1, words)
        self.assertEqual(move.board.u32(GUARD_STATE), ROLLED_BACK)
        self.assertEqual(move.board.u32(VERDICT), 2)
        move.dst.process.wait(5)
        self.restored(move)
        return move

    def test_killed_while_copying(self):
        for own in (True, False):
            with self.subTest(own=own):
                self.killed_at('copying', own)

    def test_killed_at_pre_switchover(self):
        for own in (True, False):
            with self.subTest(own=own):
                self.killed_at('held', own)

    def test_killed_while_the_last_is_written(self):
        for own in (True, False):
            with self.subTest(own=own):
                self.killed_at('continued', own)

    def test_killed_when_loaded(self):
        for own in (True, False):
            with self.subTest(own=own):
                self.killed_at('loaded', own)

    def test_killed_with_a_stopped_destination(self):
        self.killed_at('continued', True, stop_dst=True)

    def test_killed_at_any_moment(self):
        rounds = int(os.environ.get('SEGUE_GUARD_ROUNDS', 4))
        chance = random.Random(20261121)
        for number in range(rounds):
            own, delay = number % 2 == 0, chance.uniform(0, 0.2)
            with self.subTest(own=own, delay=delay):
                move = self.move(own=own, until='loaded', report_early=True)
                time.sleep(delay)
                move.hit(signal.SIGKILL)
                code, words = move.guard_ended(10)
                self.assertEqual(code, 0, words)
                self.assertEqual(move.status(), 'running', words)
                if move.board.u32(VERDICT) == 2:
                    move.dst.process.wait(5)
                    self.restored(move)
                move.close()

    def test_killed_before_the_start(self):
        move = self.move(own=False, until='idle')
        move.hit(signal.SIGKILL)
        code, words = move.guard_ended(5)
        self.assertEqual(code, 0, words)
        self.assertIn('never stopped', words)
        self.assertEqual(move.board.u32(VERDICT), 0)
        self.assertIsNone(move.dst.process.poll(), 'the destination was not ours to kill')
        caps = {cap['capability']: cap['state'] for cap in move.src.spare.cmd('query-migrate-capabilities')}
        self.assertFalse(any(caps[name] for name in CAPS))

    def test_deadline_with_segue_stalled(self):
        """Stopped for good: with a monitor of its own the guardian leaves it be, else it kills it."""
        for own, until in ((True, 'held'), (True, 'continued'), (False, 'held')):
            with self.subTest(own=own, until=until):
                move = self.move(own=own, until=until, budget_s=0.25)
                os.kill(move.segue.pid, signal.SIGSTOP)
                resume = move.src.spare.wait_event('RESUME', 5)
                self.assertIsNotNone(resume)
                stop = move.src.spare.wait_event('STOP', 0)
                stood = stamp_s(resume) - stamp_s(stop)
                what = f'{until}, deadline 250 ms: stood'
                RESULTS.append((self.version, 'own' if own else 'queued', what, stood))
                self.assertLess(stood, 0.35)
                self.assertGreater(stood, 0.2)
                if own:
                    self.assertEqual(self.settled(move), ROLLED_BACK)
                    self.assertIsNone(move.segue.poll())
                    self.assertFalse(select.select([move.guard_pidfd], [], [], 0.05)[0], 'it stays')
                    move.hit(signal.SIGKILL)
                code, words = move.guard_ended(10)
                self.assertEqual(code, 0, words)
                self.assertIn('(deadline)', words)
                self.restored(move)

    def test_source_gone_too(self):
        """Killing the QEMU that owns the guest is a guest crash: said so, and nothing is started."""
        move = self.move(own=True, until='held')
        move.src.process.kill()
        move.src.process.wait()
        move.hit(signal.SIGKILL)
        code, words = move.guard_ended(5)
        self.assertEqual(code, 1, words)
        self.assertIn('the source QEMU is gone', words)
        self.assertEqual(move.board.u32(GUARD_STATE), FAILED)

    def test_needs_help_and_gets_it(self):
        move = self.move(own=False, until='held', budget_s=0.25, helps=True)
        resume = move.src.spare.wait_event('RESUME', 5)
        self.assertIsNotNone(resume)
        RESULTS.append((self.version, 'queued', 'held, helped by Segue: stood',
                        stamp_s(resume) - stamp_s(move.src.spare.wait_event('STOP', 0))))
        self.assertEqual(self.settled(move), ROLLED_BACK)
        self.assertIsNone(move.segue.poll(), 'a Segue that helps is not killed')

    def test_leaves_after_the_word(self):
        move = self.move(own=True, until='loaded', budget_s=0.2)
        # Too late for the budget is no matter any more; the stand-in said nothing, so we do.
        if move.board.u32(VERDICT) != 0:
            self.skipTest('this machine is too slow to be in time')
        move.board.u32(VERDICT, 1)
        move.hit(signal.SIGKILL)
        code, words = move.guard_ended(5)
        self.assertEqual((code, words), (0, ''))
        # `completed` is told before the run state follows.
        end = time.monotonic() + 1
        while move.status() == 'finish-migrate' and time.monotonic() < end:
            time.sleep(0.001)
        self.assertEqual(move.status(), 'postmigrate')
        self.assertEqual(move.dst.spare.cmd('query-status')['status'], 'paused')

    def braked(self, **options):
        group = BrakedGroup()
        move = self.move(group=group, **options)
        self.assertFalse(group.is_free())
        time.sleep(0.1)
        self.assertLess(group.share(), 0.1, 'it was not held')
        return move, group

    def gone(self, group, members):
        """No group is left, and who was in it is where it was."""
        self.assertLess(group.seconds_until(lambda: not os.path.exists(group.path), 3), 3, 'the group is left')
        with open(os.path.join(group.ROOT, 'tasks')) as file:
            there = {int(line) for line in file}
        self.assertLessEqual(set(members), there)

    def test_killed_while_braked_to_a_twentieth(self):
        for until, own in (('idle', True), ('idle', False), ('copying', True), ('copying', False), ('held', True)):
            with self.subTest(until=until, own=own):
                move, group = self.braked(own=own, until=until)
                members = group.members()
                self.assertEqual(len(members), 2)
                move.hit(signal.SIGKILL)
                took = group.seconds_until(group.is_free, 1)
                RESULTS.append((self.version, 'own' if own else 'queued', f'{until}, braked to 5 %: free', took))
                self.assertLess(took, 0.03)
                self.assertGreater(group.share(), 0.15)
                code, words = move.guard_ended(10)
                self.assertEqual(code, 0, words)
                self.gone(group, members)
                self.assertEqual(move.status(), 'running')
                move.close()

    def test_stalled_while_braked(self):
        """A Segue that stands still keeps nobody at a twentieth; it may go on afterwards."""
        move, group = self.braked(own=True, until='copying', budget_s=0.3)
        os.kill(move.segue.pid, signal.SIGSTOP)
        took = group.seconds_until(group.is_free, 5)
        RESULTS.append((self.version, 'own', 'copying, stalled, braked to 5 %: free', took))
        self.assertLess(took, 2.2)
        self.assertTrue(os.path.exists(group.path), 'its groups are its own as long as it lives')
        os.kill(move.segue.pid, signal.SIGCONT)
        time.sleep(0.1)
        group.write('cpu.cfs_quota_us', 1000)
        time.sleep(0.2)
        self.assertFalse(group.is_free(), 'a Segue that gives signs of life may brake again')
        os.kill(move.segue.pid, signal.SIGSTOP)
        again = group.seconds_until(group.is_free, 5)
        RESULTS.append((self.version, 'own', 'copying, stalled once more: free', again))
        self.assertLess(again, 2.4)
        # Braked while it is believed to stand: nobody says so to the guardian.
        group.write('cpu.cfs_quota_us', 1000)
        self.assertLess(group.seconds_until(group.is_free, 1), 0.2)
        os.kill(move.segue.pid, signal.SIGCONT)
        time.sleep(0.3)
        group.write('cpu.cfs_quota_us', 1000)
        time.sleep(0.2)
        self.assertFalse(group.is_free())
        members = group.members()
        os.kill(move.segue.pid, signal.SIGKILL)
        self.assertLess(group.seconds_until(group.is_free, 1), 0.03)
        self.assertEqual(move.guard_ended(10)[0], 0)
        self.gone(group, members)

    def test_deadline_while_braked(self):
        move, group = self.braked(own=True, until='held', budget_s=1.5)
        self.assertLess(group.seconds_until(group.is_free, 5), 5)
        self.assertEqual(self.settled(move), ROLLED_BACK)
        self.assertEqual(move.status(), 'running')
        members = group.members()
        move.hit(signal.SIGKILL)
        self.assertEqual(move.guard_ended(10)[0], 0)
        self.gone(group, members)

    def test_small_and_apart(self):
        move = self.move(own=True, until='copying')
        pid = move.state['guard']
        with open(f'/proc/{pid}/status') as file:
            status = dict(line.split(':', 1) for line in file)
        resident = int(status['VmRSS'].split()[0])
        policy = os.sched_getscheduler(pid)
        print(f"\n  {self.version}: resident {resident} KiB, locked {status['VmLck'].strip()}, "
              f"policy {policy}, ready after {move.state['started_ms']:.0f} ms, "
              f"lateness {move.board.i64(LATENESS) / 1e6:.2f} ms, round trip {move.board.i64(ROUND_TRIP) / 1e6:.2f} ms")
        self.assertLess(resident, 1536)
        self.assertEqual(int(status['Threads']), 1)
        self.assertEqual(os.getsid(pid), pid)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            os.kill(pid, number)
        self.assertFalse(select.select([move.guard_pidfd], [], [], 0.05)[0])
        move.hit(signal.SIGKILL)
        self.assertEqual(move.guard_ended(10)[0], 0)

    def test_fault_points(self):
        beside = os.path.join(os.path.dirname(default_guard()), 'segue-guard-faults')
        faults = os.environ.get('SEGUE_GUARD_FAULTS', beside)
        if not os.access(faults, os.X_OK):
            self.skipTest('segue-guard-faults is not built')
        with open(default_guard(), 'rb') as shipped:
            self.assertNotIn(b'guard:held', shipped.read())
        move = self.move(own=True, until='held', guard=faults,
                         environment={'SEGUE_FAULT_POINT': 'guard:held'})
        time.sleep(0.05)
        with open(f"/proc/{move.state['guard']}/stat") as file:
            self.assertEqual(file.read().rsplit(')', 1)[1].split()[0], 'T')
        os.kill(move.state['guard'], signal.SIGCONT)
        move.hit(signal.SIGKILL)
        self.assertEqual(move.guard_ended(10)[0], 0)

    def settled(self, move):
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline and move.board.u32(GUARD_STATE) not in (ROLLED_BACK, FAILED):
            time.sleep(0.005)
        return move.board.u32(GUARD_STATE)


def load_tests(loader, _tests, _pattern):
    suite = unittest.TestSuite()
    for program in qemus():
        version = subprocess.run([program, '--version'], capture_output=True, text=True).stdout.split()[3]
        name = 'Qemu_' + version.split('(')[0].replace('.', '_')
        case = type(name, (GuardTest,), {'program': program, 'version': version})
        suite.addTests(loader.loadTestsFromTestCase(case))
    return suite


def main():
    # PR_SET_CHILD_SUBREAPER: the orphaned guardian is ours to wait for.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
    try:
        unittest.main(argv=[sys.argv[0], *sys.argv[1:]])
    finally:
        for version, mode, what, seconds in RESULTS:
            print(f'  {version:10} {mode:7} {what:40} {seconds * 1000:7.1f} ms')
    return 0


if __name__ == '__main__':
    sys.exit(main())
