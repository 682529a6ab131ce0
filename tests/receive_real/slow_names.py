"""Cases of test_receive.py: what happens while `segue receive` looks a name up and nobody answers."""
import os
import socket
import time

from source import in_netns


class SlowNames:
    """Part of ReceiveTest: with its lab, figures, peers and destinations."""

    SLOW = {'host': 'slow.example', 'port': 0, 'port_first': 0, 'port_last': 0}

    def peer_with_silent_names(self):
        """Host a takes the questions of host b's resolver, and answers none."""
        def bind():
            taker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            taker.bind(('10.77.0.1', 53))
            return taker
        taker = in_netns(self.lab, 'a', bind)
        self.stack.callback(taker.close)
        resolver = os.path.join(self.lab.host_dir('b'), 'resolv.conf')
        with open(resolver, 'w', encoding='ascii') as f:
            f.write('nameserver 10.77.0.1\noptions timeout:30 attempts:1\n')
        peer = self.peer(through=['unshare', '-m', 'sh', '-c',
                                  'mount --bind "$0" /etc/resolv.conf && exec "$@"', resolver])
        peer.greet()
        return peer, taker

    def asks_in_vain(self):
        """A prepare for which the name is being looked up now: the peer, the command and where its monitor would be."""
        peer, taker = self.peer_with_silent_names()
        command, base = self.command()
        peer.say('prepare', request=77, monitor='', command=command, data=self.SLOW,
                 expected={'uuid': '', 'machine_type': '', 'vcpus': 0, 'memory_bytes': 0})
        taker.settimeout(5)
        self.assertIn(b'slow', taker.recv(512))
        return peer, command, f'{base}.qmp'

    def require_no_qemu(self, path):
        with socket.socket(socket.AF_UNIX) as monitor, self.assertRaises(OSError):
            monitor.connect(path)

    def test_an_abort_does_not_wait_for_a_name_service_that_hangs(self):
        peer, command, monitor = self.asks_in_vain()
        second = peer.prepare(command=command, answers=('error',), seconds=2)
        self.assertEqual(second['kind'], 'conflict')
        asked = time.monotonic()
        peer.ask('abort', 'aborted', reason='test', seconds=2)
        self.figures.append(f'abort while a name is looked up: {(time.monotonic() - asked) * 1e3:.0f} ms')
        given_up, = [m for m in peer.seen if m.get('request') == 77]
        self.assertEqual((given_up['type'], given_up['kind']), ('error', 'conflict'))
        # No QEMU, and none when the look would have ended.
        time.sleep(max(asked + 6 - time.monotonic(), 0))
        reply = peer.status()
        self.assertEqual((reply['stage'], reply['qemu_alive']), ('aborted', False))
        self.require_no_qemu(monitor)
        self.assertEqual(self.guardians(), [])
        peer.say('bye')
        self.assertEqual(peer.wait_end(), 1)
        self.assertEqual(len([m for m in peer.seen if m.get('request') == 77]), 1)

    def test_a_source_that_leaves_does_not_wait_for_a_name_service_that_hangs(self):
        peer, _, monitor = self.asks_in_vain()
        peer.process.stdin.close()
        self.assertEqual(peer.wait_end(2), 0)
        self.require_no_qemu(monitor)

    def test_a_name_service_that_hangs_is_told(self):
        dst, (peer, _) = self.destination(), self.peer_with_silent_names()
        began = time.monotonic()
        found, = peer.prepare(dst.qmp_path, data=self.SLOW, seconds=8)['facts']['host_facts']['obstacles']
        self.figures.append(f'a name service that hangs: told after {time.monotonic() - began:.2f} s')
        self.assertEqual(found['code'], 'data-address')
        self.assertIn('does not answer', found['what'])
        self.assertTrue(dst.running())
        began = time.monotonic()
        peer.say('bye')
        self.assertEqual(peer.wait_end(), 0)
        self.assertLess(time.monotonic() - began, 2)
