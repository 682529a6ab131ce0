"""The commands: twice is as good as once, a failure leaves nothing, and down leaves nothing."""
import os
import subprocess
import time
import unittest

from labtest import LAB, own_id, report
import segue_lab


class Lifecycle(unittest.TestCase):
    def command(self, name, *arguments, expect=0):
        done = subprocess.run([os.path.join(LAB, name), *arguments], env=self.env, capture_output=True, text=True)
        self.assertEqual(done.returncode, expect, done.stderr)
        self.assertNotIn('Traceback', done.stderr)
        return done.stdout if expect == 0 else done.stderr

    def setUp(self):
        self.id = own_id('life')
        self.lab = segue_lab.Lab(self.id)
        self.env = dict(os.environ, SEGUE_LAB_ID=self.id, SEGUE_LAB=self.lab.root)
        self.addCleanup(self.lab.down)

    def traces(self):
        """What of this lab is on the machine: namespaces, files, processes that name it."""
        found = [n for n in os.listdir('/run/netns') if self.id in n] if os.path.isdir('/run/netns') else []
        found += [f for f in os.listdir(self.lab.root) if self.id in f]
        for pid in filter(str.isdigit, os.listdir('/proc')):
            try:
                with open(f'/proc/{pid}/cmdline', 'rb') as f:
                    if f'run-{self.id}/'.encode() in f.read():
                        found.append(f'process {pid}')
            except OSError:
                pass
        return found

    def test_commands_and_what_they_leave(self):
        self.command('down')  # nothing there: no error
        self.command('up')
        self.command('up', '--rate', '50MiB/s')
        self.assertEqual(self.lab.base_rate(), 50 << 20)
        self.command('vm', 'start', 'a', 'g', '--guest', 'hot=8')
        self.assertIn('runs already', self.command('vm', 'start', 'a', 'g', expect=1))
        self.assertIn('unknown parameter', self.command('vm', 'start', 'b', 'h', '--guest', 'x=1', expect=1))
        self.assertIn('QEMU ended at once', self.command('vm', 'start', 'b', 'h', '--extra=-bogus', expect=1))
        self.command('vm', 'start', 'b', 'g', '--incoming')
        self.assertEqual(
            [line.split()[0::4] for line in self.command('vm', 'list').splitlines()],
            [['a', 'running'], ['b', 'inmigrate']],
        )
        self.assertTrue(self.command('vm', 'verify', 'a', 'g').startswith('verify ok'))
        self.assertIn('does not answer', self.command('vm', 'verify', 'b', 'g', expect=1))
        state = self.command('in', 'b', 'sh', '-c', 'echo $SEGUE_STATE; ls -A /sys/fs/cgroup | head -1')
        self.assertEqual(state.splitlines()[0], self.lab.state_dir('b'))
        self.assertEqual(
            state.splitlines()[1:],
            subprocess.run(
                'ls -A /sys/fs/cgroup | head -1', shell=True, capture_output=True, text=True
            ).stdout.splitlines(),
        )
        for words in (['blackhole'], ['blackhole'], ['restore'], ['restore'], ['collapse'], ['restore']):
            self.command('link', *words)
        self.command('link', 'rate', 'fast', expect=2)
        self.command('vm', 'stop', 'a', 'g')
        self.assertIn('no guest', self.command('vm', 'stop', 'a', 'g', expect=1))
        # Something of a user's is left running on a host, and a QEMU was killed: down clears both.
        sleeper = self.lab.popen('a', ['sleep', '100'])
        self.addCleanup(sleeper.wait)
        self.assertNotEqual(self.traces(), [])
        self.command('down')
        self.assertEqual(self.traces(), [])
        self.assertIsNotNone(sleeper.wait(2))
        self.command('down')

    def test_recorder_outlives_no_qemu_and_keeps_all_beats(self):
        with self.lab:
            vm = self.lab.start_vm('a', 'killed', guest='hot=8 rate=50')
            vm.wait_beats(100)
            os.kill(vm.pid, 9)
            recorder = vm.record['recorder_pid'], vm.record['recorder_started']
            segue_lab.wait_until(lambda: segue_lab.start_time(recorder[0]) != recorder[1], 2, 'end of the recorder')
            beats = vm.beats()
            self.assertEqual([b.seq for b in beats], list(range(len(beats))))
            # The recorder ends with QEMU's descriptors, which go before its last thread.
            segue_lab.wait_until(lambda: not self.lab.vm('a', 'killed').running(), 2, 'end of QEMU')
            again = self.lab.start_vm('a', 'killed')  # in the place of the dead one
            self.assertTrue(again.verify().ok)
        self.assertEqual(self.traces(), [])

    def test_the_network_guest_is_reached_through_the_switch(self):
        self.assertIn('lab/up --bridge', self.failing_network_start())
        self.command('up', '--bridge')
        self.command('up', '--bridge')
        self.command('vm', 'start', 'a', 'n', '--network', '--guest', 'hot=8')
        self.command('vm', 'start', 'b', 'n', '--network', '--guest', 'hot=8', '--incoming')
        ask = (
            'import socket\n'
            f's = socket.create_connection(("{segue_lab.GUEST_ADDRESS}", {segue_lab.TCP_PORT}), 5)\n'
            's.sendall(b"Ehello")\n'
            'print(s.recv(100).decode())'
        )
        self.assertEqual(self.command('in', 's', '/usr/bin/python3', '-c', ask), 'hello\n')
        self.assertEqual(self.lab.bridge_port(), 'a')
        beats = self.lab.vm('a', 'n').wait_beats(100)
        self.assertEqual([b.seq for b in beats], list(range(len(beats))))
        self.assertEqual({b.errors for b in beats}, {0})
        self.command('down')
        self.assertEqual(self.traces(), [])

    def failing_network_start(self):
        self.command('up')
        said = self.command('vm', 'start', 'a', 'n', '--network', expect=1)
        self.command('down')
        return said

    def test_two_labs_side_by_side(self):
        other = segue_lab.Lab(own_id('other'))
        self.addCleanup(other.down)
        with self.lab, other:
            vms = [lab.start_vm('a', 'same', guest='pattern=idle') for lab in (self.lab, other)]
            self.assertTrue(all(vm.verify().ok for vm in vms))
            other.down()
            self.assertTrue(vms[0].verify().ok)

    def test_qemu_install_is_quick_the_second_time(self):
        for version in ('7.2', '10'):
            path = self.command('qemu', 'path', version).strip()
            started = time.monotonic()
            self.command('qemu', 'install', version)
            report(f'lab/qemu install {version}, again: {(time.monotonic() - started) * 1e3:.0f} ms')
            said = subprocess.run([path, '--version'], capture_output=True, text=True).stdout
            self.assertIn(f'version {version}.', said)
        self.command('qemu', 'install', '9', expect=1)

    def test_help(self):
        for name in ('up', 'down', 'in', 'link', 'vm', 'qemu', 'sshd', 'build', 'guest/build', 'netguest/build'):
            self.assertIn('usage: lab/', self.command(name, '--help'))


if __name__ == '__main__':
    unittest.main()
