"""kill -9 of segue, and of the guardian, at every stage: with nobody's help the guest runs, whole, on the source."""
import contextlib
import os
import time

from harness import BEAT_MS, Failure, Move, program, require, require_safe
from segue_lab import LabError, calm_gap, longest_gap, now_ns, wait_until
from watching import state_of

BOUND_MS, GRACE_MS = 300, 100
CONVERGES = 'hot=48 rate=50'
NEVER = 'hot=80 rate=200'  # too much for the link: pass 3 comes before go
SEGUE = (('setup', NEVER), ('pass-1', NEVER), ('pass-3', NEVER), ('stopped', CONVERGES), ('held', CONVERGES),
         ('blackout', CONVERGES), ('loaded', CONVERGES))
GUARD = (('setup', NEVER), ('pass-1', NEVER), ('pass-3', NEVER), ('switching', CONVERGES), ('held', CONVERGES),
         ('continued', CONVERGES), ('loaded', CONVERGES))
FAULT_WORDS = (b'segue:setup', b'segue:pass-1', b'segue:blackout', b'SEGUE_FAULT_POINT', b'guard:held',
               b'guard:continued')
ATTEMPTS = 3

worst = {}  # (who, point) -> kill to RESUME in ms


def cases(long_form):
    yield 'shipped programs have no fault points', no_fault_points
    cells = [(who, point, guest, own) for who, points in (('segue', SEGUE), ('guard', GUARD))
             for point, guest in points for own in (True, False)]
    # Short: every point on 10, with its own monitor and queued in turn; test_matrix kills at them once more.
    in_turn = [cell for i, cell in enumerate(cells) if i % 4 in (0, 3)]
    for qemu, runs, step in (('10', 5 if long_form else 1, 1), ('7.2', 2 if long_form else 1, 1 if long_form else 3)):
        if not long_form:
            cells = in_turn
        for who, point, guest, own in cells[::step]:
            for run in range(1, runs + 1):
                name = f'{qemu} {who}:{point}, monitor {"of its own" if own else "queued"}'
                name += f' #{run}' if runs > 1 else ''
                yield name, lambda lab, a=(qemu, who, point, guest, own): one(lab, *a)


def no_fault_points(_):
    for name in ('segue', 'segue-guard'):
        with open(program(name), 'rb') as f:
            shipped = f.read()
        with open(program(name + '-faults'), 'rb') as f:
            made = f.read()
        found = [word for word in FAULT_WORDS if word in shipped]
        require(not found, f'{name} holds {found}')
        require(any(word in made for word in FAULT_WORDS), f'{name}-faults has no fault point: this proves nothing')
    return 'segue and segue-guard hold none of the names, the fault builds do'


def one(lab, qemu, who, point, guest, own):
    options = ['--max-downtime', f'{BOUND_MS}ms', '--max-bandwidth', '100MiB/s']
    void = []
    for _ in range(ATTEMPTS):
        with Move(lab, qemu, guest, options=options, own_monitor=own, fault_point=f'{who}:{point}') as move:
            move.start()
            if not kill_at_point(move, who):
                # Nothing to kill, try again: undone at its last check, as it may be on a busy machine; or, at `loaded`,
                # the word was out before the guardian had its turn.
                move.finish(20)
                if (move.exit, point) == (0, 'loaded'):
                    move.require_moved()
                    void.append('moved')
                    continue
                move.require_exit(3)
                move.require_source_runs()
                void.append(move.decisions()[-120:])
                continue
            move.finish(20)
            text = after_guard(move, point) if who == 'guard' else after_segue(move)
            return text + (f', {len(void)} run(s) repeated ({void[-1]})' if void else '')
    raise Failure(f'{who}:{point} was not reached in {ATTEMPTS} runs: {void}')


def kill_at_point(move, who):
    """Waits until the process has stopped itself, then kills it; False when the move was undone before. Notes when, on
    both clocks."""
    def stopped():
        if move.process.poll() is not None:
            return -1
        for pid in [move.process.pid] if who == 'segue' else move.guardians():
            if state_of(pid) == 'T':
                return pid
        return None
    try:
        victim = wait_until(stopped, 30, 'the fault point', interval=0.001)
    except LabError:
        raise Failure(f'the fault point was not reached in 30 s; {move.decisions()[-300:]}') from None
    if victim == -1:
        return False
    move.killed_ns, move.killed_stamp = now_ns(), time.time()
    os.kill(victim, 9)
    return True


def judge_run_again(move):
    """The guest's standstill after the kill, by QEMU's stamps and by heartbeats."""
    limit = BOUND_MS + GRACE_MS
    stop = move.at_src.find('STOP')
    resume = move.at_src.wait('RESUME', 3, since=stop.stamp) if stop else None
    require_safe(not stop or resume, f'the guest stopped and never ran again: {move.at_src.status()}')
    took = max(0.0, (resume.stamp - move.killed_stamp) * 1e3) if resume else 0.0
    require(took <= limit, f'{took:.1f} ms from the kill to RESUME, limit {limit}')
    with contextlib.suppress(LabError):
        wait_until(lambda: move.src.beats()[-1].mono_ns > move.killed_ns, 3, 'a beat')
    beats = move.beats()
    calm = calm_gap(beats, move.started_ns, move.calm) / 1e6
    after = [b.mono_ns for b in beats if b.mono_ns > move.killed_ns]
    require(after, 'no heartbeat after the kill')
    first = (after[0] - move.killed_ns) / 1e6
    require(first <= limit + BEAT_MS + calm,
            f'first heartbeat {first:.1f} ms after the kill, limit {limit} + {calm:.1f}')
    gap = longest_gap(beats, move.killed_ns)[0] / 1e6
    require(gap <= limit + BEAT_MS + calm, f'heartbeat gap {gap:.1f} ms after the kill, limit {limit} + {calm:.1f}')
    who = move.fault_point, 'own' if move.own_monitor else 'queued'
    worst[who] = max(worst.get(who, 0.0), took)
    how = f'RESUME {took:.1f} ms after the kill' if resume else 'the guest never stopped'
    return f'{how}, first beat after {first:.1f}, longest gap {gap:.1f} (calm {calm:.1f})'


def after_segue(move):
    text = judge_run_again(move)
    move.require_source_runs()
    require('runs on the source' in move.stderr, f'the guardian does not say where the guest runs: {move.stderr!r}')
    return f'{text}, {move.pages} pages'


def after_guard(move, point):
    """Segue goes on, sees that the guardian is gone, and undoes the move (or had finished it)."""
    if move.exit == 0:
        require(point == 'loaded', 'moved without its guardian')
        took = move.stop_to_resume_ms('dst')
        require(took <= BOUND_MS, f'STOP to RESUME {took:.1f} ms')
        move.require_moved()
        return f'moved, the word was out already; STOP to RESUME {took:.1f} ms'
    text = judge_run_again(move)
    move.require_exit(1)
    require(move.result['guest_on'] == 'source', f'the result says {move.result}')
    # Before the destination listened its QEMU is still good and is kept.
    kept = point == 'setup' and move.dst.running()
    move.require_source_runs(dst_gone=not kept)
    if kept:
        require(move.at_dst.status() == 'inmigrate', f'the destination is {move.at_dst.status()}')
        move.require_put_back('dst', move.at_dst)
    return f'{text}, {move.pages} pages'


def final(_):
    for point, own in sorted(worst):
        if worst[point, own]:
            yield f'{point} {own}', None, f'worst kill to RESUME {worst[point, own]:.1f} ms'
