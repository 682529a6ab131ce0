"""A guest with a written disk and a flush of 2 s: refused or given up before the stop, or the overrun is called one.
Where the bound has room for it, the guest is not braked for what its disk takes."""
import contextlib
import os
import tempfile

from harness import Move, require

FLUSH_MS, BOUND_MS = 2000, 500
GUEST = 'hot=32 rate=150'  # never converges so far that QEMU stops it by itself
OPTIONS = ['--max-bandwidth', '100MiB/s', '--timeout', '60s', '--verbose']


def cases(long_form):
    for qemu in ('10', '7.2') if long_form else ('10',):
        yield f'{qemu} slow from the start', lambda lab, q=qemu: refused(lab, q)
        yield f'{qemu} slow before go', lambda lab, q=qemu: given_up(lab, q)
        yield f'{qemu} slow before go, with room for it', lambda lab, q=qemu: waited_for(lab, q)
    for qemu in ('10', '7.2'):
        yield f'{qemu} slow at the stop alone', lambda lab, q=qemu: overrun(lab, q)


@contextlib.contextmanager
def slow_move(lab, qemu, segue_too, bound_ms=BOUND_MS, **more):
    """A move whose disk flushes slowly once `when` exists, for QEMU and, on wish, for Segue's own fsync."""
    with tempfile.TemporaryDirectory(prefix='segue-flush-') as folder:
        disk, when = os.path.join(folder, 'disk'), os.path.join(folder, 'now')
        with open(disk, 'wb') as f:
            f.truncate(1 << 20)
        slow = {'LD_PRELOAD': lab.tool('slowflush.so'), 'SLOWFLUSH_MS': str(FLUSH_MS), 'SLOWFLUSH_WHEN': when}
        with Move(lab, qemu, GUEST, options=[*OPTIONS, '--max-downtime', f'{bound_ms}ms'], disk=disk,
                  qemu_env=slow, segue_env=slow if segue_too else {}, **more) as move:
            try:
                yield move, lambda: open(when, 'w').close()
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(when)


def write_disk(move):
    move.at_src.cmd('human-monitor-command', command_line='qemu-io disk0 "write -P 90 0 4k"')


def refused(lab, qemu):
    with slow_move(lab, qemu, segue_too=True) as (move, slow):
        write_disk(move)
        slow()
        move.run().require_exit(2)
        require('--max-downtime' in move.result['error'], move.result['error'])
        require(move.at_src.find('STOP') is None, 'the guest was stopped')
        require(move.at_dst.status() == 'inmigrate', 'the destination was touched')
        move.require_put_back('dst', move.at_dst)
        move.require_source_runs(dst_gone=False)
        return move.result['error']


def given_up(lab, qemu):
    with slow_move(lab, qemu, segue_too=True) as (move, slow):
        def in_first_pass(seen):
            if seen.name == 'MIGRATION_PASS':
                slow()
        move.at_src.hook(in_first_pass)
        move.run().require_exit(3)
        require(move.at_src.find('STOP') is None, 'the guest was stopped: ' + move.decisions())
        require(move.result['downtime_seconds'] is None, f"it says {move.result['downtime_seconds']} s")
        require('runs on the source' in move.result['error'], move.result['error'])
        move.require_source_runs()
        return move.result['error']


def waited_for(lab, qemu):
    """Twice 2 s until go counts: nobody decides anything meanwhile."""
    with slow_move(lab, qemu, segue_too=True, bound_ms=6000, steering=()) as (move, slow):
        def in_first_pass(seen):
            if seen.name == 'MIGRATION_PASS':
                slow()
        move.at_src.hook(in_first_pass)
        move.run().require_exit(0)
        said = [line['what'] for line in move.lines if line['type'] == 'decision']
        require('go' in said and 'brake' not in said, f'decided: {said}')
        require(move.result['downtime_seconds'] < 6, f"stood {move.result['downtime_seconds']} s")
        return f"stood {move.result['downtime_seconds']:.2f} s, {move.result['total_seconds']:.1f} s in all"


def overrun(lab, qemu):
    """QEMU's own flush is slow, ours is not: nothing can know, nothing can interrupt it; it must be said."""
    with slow_move(lab, qemu, segue_too=False) as (move, slow):
        move.start()
        require(move.at_src.wait('MIGRATION_PASS', 20), 'the copying did not begin')
        write_disk(move)
        slow()
        move.finish().require_exit(3)
        took, said = move.stop_to_resume_ms(), move.result
        require(took >= FLUSH_MS, f'STOP to RESUME {took:.1f} ms: the flush was not slow, this run shows nothing')
        require(took <= FLUSH_MS + 200, f'STOP to RESUME {took:.1f} ms with a flush of {FLUSH_MS}')
        require(said['max_downtime_kept'] is False and said['downtime_seconds'] * 1e3 >= took - 1,
                f"it says {said['downtime_seconds']} s, kept {said['max_downtime_kept']}; it was {took:.1f} ms")
        words = said['error'] + move.stderr
        require('over the limit' in words and 'within the bound' not in words, words)
        require('runs on the source' in said['error'], said['error'])
        move.require_source_runs()
        return f"STOP to RESUME {took:.0f} ms, said {said['downtime_seconds']:.3f} s, kept false; {move.pages} pages"
