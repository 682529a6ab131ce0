"""The hard bound through `segue receive` with the control link 50 ms late each way, and a destination that refuses."""
import contextlib
import fcntl
import os
import struct
import tempfile

import test_bounds
from harness import Failure, require
from remote_move import RemoteMove
from watching import Fault

LATE_MS, ATTEMPTS = 50, 4
F_OFD_SETLK = 37
# What QEMU's file driver looks at before it writes: a reader of this byte shares the image with no writer.
NO_OTHER_WRITER = 201

worst = {}  # (bound, what) -> (runs, STOP to RESUME, gap or hand-over)


def cases(long_form):
    runs = 10 if long_form else 1
    kinds = Fault.FAULTS if long_form else ('collapse', 'destination stopped')
    for bound in (300, 500):
        for kind in kinds:
            for words, delay in test_bounds.MOMENTS if long_form else test_bounds.MOMENTS[1:]:
                for run in range(1, runs + 1):
                    name = f'{bound} ms, {kind} {words}' + (f' #{run}' if runs > 1 else '')
                    yield name, lambda lab, b=bound, k=kind, d=delay: faulty(lab, b, k, d)
        for run in range(1, runs + 1):
            yield f'{bound} ms, moves' + (f' #{run}' if runs > 1 else ''), lambda lab, b=bound: moves(lab, b)
    for late in (0, LATE_MS):
        for run in range(1, runs + 1):
            name = f'500 ms, cont is refused, {late} ms late' + (f' #{run}' if runs > 1 else '')
            yield name, lambda lab, ms=late: refused(lab, ms)


def remember(bound, what, took, other):
    runs, most, most_other = worst.get((bound, what), (0, 0.0, 0.0))
    worst[bound, what] = (runs + 1, max(most, took), max(most_other, other))


def faulty(lab, bound_ms, kind, delay):
    void = []
    for _ in range(ATTEMPTS):
        with RemoteMove(lab, '10', test_bounds.GUEST, bound_ms, delay_ms=LATE_MS) as move:
            fault = Fault(lab, kind, move.dst.pid)
            try:
                move.on_held(fault.fire, delay)
                move.run()
                why = test_bounds.nothing_shown(move, bound_ms)
                if why:
                    void.append(why)
                    continue
                text = test_bounds.judge(move, fault, bound_ms, void)
                remember(bound_ms, kind, move.stop_to_resume_ms(), move.blackout_gap_ms()[0])
                move.require_one_copy()
                return text
            finally:
                fault.undo()
    raise Failure(f'the fault never bit in {ATTEMPTS} runs: {void}')


def moves(lab, bound_ms):
    void = []
    for _ in range(ATTEMPTS):
        with RemoteMove(lab, '10', test_bounds.GUEST, bound_ms, delay_ms=LATE_MS) as move:
            move.run()
            took = move.stop_to_resume_ms('dst' if move.exit == 0 else 'src')
            require(took is None or took <= bound_ms, f'STOP to RESUME {took} ms of {bound_ms}')
            if move.exit == 3:  # The link was slower than it had been; within the bound all the same.
                void.append(move.decisions()[-160:])
                continue
            move.require_exit(0)
            move.require_runs_on_dst()
            handover = move.result['downtime_parts']['handover'] * 1e3
            require(handover >= 2 * LATE_MS, f'hand-over {handover:.1f} ms: the link was not late, this shows nothing')
            remember(bound_ms, 'moved', took, handover)
            repeated = f', {len(void)} run(s) rolled back within the bound ({void[-1]})' if void else ''
            return f'STOP to RESUME {took:.1f} ms, hand-over {handover:.1f} ms, {move.pages} pages{repeated}'
    raise Failure(f'never moved in {ATTEMPTS} runs: {void}')


@contextlib.contextmanager
def images():
    """One for each side, so that the destination's can be locked alone; its path and the arguments of both QEMUs."""
    with tempfile.TemporaryDirectory(prefix='segue-refused-') as folder:
        paths = [os.path.join(folder, name) for name in ('src', 'dst')]
        for path in paths:
            with open(path, 'wb') as f:
                f.truncate(1 << 20)
        yield paths[1], [('-drive', f'file={path},file.locking=on,format=raw,if=none,id=disk0', '-device',
                          'ide-hd,drive=disk0') for path in paths]


def refused(lab, late_ms):
    """A third process holds the destination's image: QEMU cannot take it over and refuses `cont`."""
    void = []
    for _ in range(ATTEMPTS):
        with images() as (image, (src, dst)), open(image, 'rb') as third, RemoteMove(
                lab, '10', test_bounds.GUEST, 500, delay_ms=late_ms, src_extra=src, dst_extra=dst,
                options=('--storage-is-shared',)) as move:
            # Nothing at that path shows any more what its QEMU has open: not known, and the operator says that it is.
            os.rename(image, image + '.open')
            with open(image, 'wb') as f:
                f.truncate(1 << 20)
            fcntl.fcntl(third, F_OFD_SETLK, struct.pack('hhqqi4x', fcntl.F_RDLCK, os.SEEK_SET, NO_OTHER_WRITER, 1, 0))
            move.run()
            took = move.stop_to_resume_ms()
            require(took is not None and took <= 500, f'STOP to RESUME {took} ms of 500')
            if move.exit == 3:
                void.append(move.decisions()[-160:])
                continue
            move.require_exit(1)
            error = move.result['error']
            require('lock' in error or 'refused' in error, f'it does not say why: {error}')
            require('runs on the source' in error and 'Next: ' in error, error)
            move.require_runs_on_src()
            remember(500, f'refused, {late_ms} ms late', took, move.result['rollback_seconds'] * 1e3)
            return f'STOP to RESUME {took:.1f} ms, rollback {move.result["rollback_seconds"] * 1e3:.1f}; {error}'
    raise Failure(f'never came to the word in {ATTEMPTS} runs: {void}')


def final(_):
    for (bound, what), (runs, took, other) in sorted(worst.items()):
        second = 'hand-over' if what == 'moved' else 'rollback' if 'refused' in what else 'gap'
        text = f'{runs} runs, worst STOP to RESUME {took:.1f} ms, worst {second} {other:.1f} ms'
        yield f'{bound} ms, {what}', None, text
