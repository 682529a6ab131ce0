"""Plain QMP migrations, driven by the test itself: no page is lost, and the heartbeats tell the blackout."""
import contextlib
import os
import tempfile
import time
import unittest

from labtest import LabCase, report
from segue_lab import ADDRESS, calm_gap, longest_gap, merge_beats, now_ns, sequence_faults

PORT = 4444


def migrate(src, dst, downtime_limit_ms=300):
    """Moves a guest, continues it at the destination and returns query-migrate of the source."""
    with src.connect() as s, dst.connect() as d:
        for q in (s, d):
            q.cmd(
                'migrate-set-capabilities',
                capabilities=[{'capability': c, 'state': True} for c in ('events', 'return-path')],
            )
        s.cmd('migrate-set-parameters', downtime_limit=downtime_limit_ms, max_bandwidth=10**12)
        d.cmd('migrate-incoming', uri=f"tcp:{ADDRESS['b']}:{PORT}")
        s.cmd('migrate', uri=f"tcp:{ADDRESS['b']}:{PORT}")
        for q in (d, s):  # the destination is first; the source's figures are whole after its own event
            q.wait_event('MIGRATION', 30, lambda data: data['status'] in ('completed', 'failed'))
            if q is d:
                d.cmd('cont')
        return s.cmd('query-migrate')


class Migration(LabCase):
    def test_all_pages_arrive(self):
        for qemu, cpus in (('10', 1), ('10', 2), ('7.2', 1), ('7.2', 2)):
            with self.subTest(qemu=qemu, cpus=cpus), contextlib.ExitStack() as stack:
                src = self.start('a', 'moved', qemu=qemu, cpus=cpus, guest='hot=24 work=1000 rate=40')
                dst = self.start('b', 'moved', qemu=qemu, cpus=cpus, guest='hot=24 work=1000 rate=40', incoming=True)
                stack.callback(dst.stop)
                stack.callback(src.stop)
                src.wait_beats(120)
                started = now_ns()
                info = migrate(src, dst)
                ended = now_ns()
                self.assertEqual(info['status'], 'completed')
                dst.wait_beats(20)
                verdict = dst.verify()
                beats = merge_beats(src.beats(), dst.beats())
                gap, calm = longest_gap(beats, started, ended)[0] / 1e6, calm_gap(beats, started, 0.4) / 1e6
                report(
                    f"QEMU {qemu}, {cpus} vCPU: {(ended - started) / 1e9:.2f} s, setup {info['setup-time']} ms, "
                    f"downtime {info['downtime']} ms, heartbeat gap {gap:.0f} ms (calm {calm:.1f} ms); {verdict.line}"
                )
                self.assertTrue(verdict.ok, verdict.line)
                self.assertEqual(sequence_faults(beats), [])
                self.assertEqual(beats[-1].errors, 0)
                # The guest cannot have been silent for less than QEMU says that it stood still.
                self.assertGreater(gap, info['downtime'] - 20)
                self.assertLess(gap, 3000)

    def test_slow_flush_delays_the_stop(self):
        for qemu in ('10', '7.2'):
            with self.subTest(qemu=qemu), tempfile.TemporaryDirectory() as folder:
                disk, when = os.path.join(folder, 'disk'), os.path.join(folder, 'now')
                with open(disk, 'wb') as f:
                    f.truncate(1 << 20)
                slow = {'LD_PRELOAD': self.lab.tool('slowflush.so'), 'SLOWFLUSH_MS': '700', 'SLOWFLUSH_WHEN': when}
                vm = self.start('a', 'slow', qemu=qemu, disk=disk, env=slow, guest='rate=10')
                took = {}
                for state in ('fast', 'slow'):
                    if state == 'slow':
                        open(when, 'w').close()
                    vm.dirty_disk()
                    started = time.monotonic()
                    vm.qmp('stop')
                    took[state] = time.monotonic() - started
                    vm.qmp('cont')
                report(
                    f"QEMU {qemu}: stop takes {took['fast'] * 1e3:.0f} ms, "
                    f"with the slow flush {took['slow'] * 1e3:.0f} ms"
                )
                self.assertLess(took['fast'], 0.5)
                self.assertGreater(took['slow'], 0.7)
                vm.stop()


if __name__ == '__main__':
    unittest.main()
