"""lab/relay: the link that the control connection is. `cat` answers what it hears."""
import os
import select
import socket
import subprocess
import tempfile
import time
import unittest

RELAY = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'relay')
WORD, PING = b'{"type":"word"}\n', b'{"type":"ping"}\n'


class RelayTest(unittest.TestCase):
    def start(self, *options):
        folder = tempfile.TemporaryDirectory(prefix='segue-relay-')
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, 'socket')
        self.process = subprocess.Popen([RELAY, *options, self.path, 'cat'], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, bufsize=0)
        self.addCleanup(self.end, self.process)
        deadline = time.monotonic() + 5
        while not os.path.exists(self.path) and time.monotonic() < deadline:
            time.sleep(0.01)

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()

    def tell(self, command):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(5)
            s.connect(self.path)
            s.sendall(command.encode() + b'\n')
            return s.recv(16)

    def heard(self, seconds=2.0):
        """One line, b'' at the end; None when nothing came."""
        if not select.select([self.process.stdout], [], [], seconds)[0]:
            return None
        return self.process.stdout.readline()

    def say(self, line):
        self.process.stdin.write(line)

    def test_lines_pass_late_by_the_delay_each_way(self):
        self.start('--delay', '60')
        for delay in (60, 0, 30):
            self.assertEqual(self.tell(f'delay {delay}'), b'ok\n')
            began = time.monotonic()
            self.say(PING)
            self.assertEqual(self.heard(), PING)
            took = (time.monotonic() - began) * 1e3
            self.assertGreaterEqual(took, 2 * delay)
            self.assertLess(took, 2 * delay + 60)

    def test_the_end_of_the_source_is_the_end_of_all(self):
        self.start()
        self.say(PING)
        self.process.stdin.close()
        self.assertEqual([self.heard(), self.heard()], [PING, b''])
        self.assertEqual(self.process.wait(2), 0)

    def test_a_cut_ends_both_ways_at_once(self):
        self.start()
        self.tell('cut')
        self.assertEqual(self.heard(), b'')
        self.assertEqual(self.process.wait(2), 255)

    def test_a_hole_hides_even_the_end_until_it_heals(self):
        self.start()
        self.tell('hold')
        self.say(PING)
        self.process.stdin.close()
        self.assertIsNone(self.heard(0.3))
        self.assertIsNone(self.process.poll())
        self.tell('go')
        self.assertEqual([self.heard(), self.heard()], [PING, b''])
        self.assertEqual(self.process.wait(2), 0)

    def test_a_line_can_be_the_last_to_pass_or_the_first_that_does_not(self):
        for when, seen in (('after', [PING, WORD]), ('before', [PING])):
            with self.subTest(when):
                self.start()
                self.assertEqual(self.tell(f'at < word {when} cut'), b'ok\n')
                self.say(PING + WORD + PING)
                heard = []
                while (line := self.heard()) not in (b'', None):
                    heard.append(line)
                self.assertEqual(heard, seen)
                self.assertEqual(self.process.wait(2), 255)

    def test_what_it_does_not_know_is_bad(self):
        self.start()
        for command in ('', 'break', 'delay soon', 'at > word', 'at > word now cut'):
            self.assertEqual(self.tell(command), b'bad\n', command)
        self.say(PING)
        self.assertEqual(self.heard(), PING)


if __name__ == '__main__':
    unittest.main()
