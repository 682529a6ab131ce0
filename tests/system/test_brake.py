"""The controller and its brake on real QEMU: a guest that never converges is moved within all bounds, and a brake that
was set is let go of whoever dies.

The guest's dirtying costs CPU (`work`), so a brake slows it; unbraked it dirties several times what the link takes.
"""
import contextlib
import glob
import os
import time

from harness import Failure, Move, require
from segue_lab import now_ns, wait_until
from test_recover import require_recovered
from watching import state_of

BOUND_MS, STALL_MS, FLOOR = 300, 150, 0.10
BUSY = 'hot=64 work=4000'
STEERED = ('--min-cpu', f'{FLOOR * 100:.0f}%', '--max-stall', f'{STALL_MS}ms')
OPTIONS = ('--max-downtime', f'{BOUND_MS}ms', '--max-bandwidth', '60MiB/s')
LETS_GO_MS = 100


def cases(long_form):
    for qemu in ('10', '7.2') if long_form else ('10',):
        for aggression in (0, 0.5, 1) if long_form else (0.5,):
            yield (f'{qemu} moves a guest that never converges, aggression {aggression}',
                   lambda lab, q=qemu, a=aggression: moves(lab, q, a))
        yield f'{qemu} brakes by auto-converge where asked', lambda lab, q=qemu: auto_converges(lab, q)
    for who in ('segue', 'guard'):
        yield f'{who} killed while the guest is braked', lambda lab, w=who: killed(lab, w)
    yield 'both killed while the guest is braked: recover lets go', both_killed
    yield 'a floor that cannot be kept ends the move early', hopeless


def groups():
    """Brake groups on this machine, ours and nobody else's."""
    return sorted(glob.glob('/sys/fs/cgroup/cpu*/**/segue-*', recursive=True))


def require_no_groups(before):
    with contextlib.suppress(Exception):
        wait_until(lambda: set(groups()) <= set(before), 3, 'the groups gone')
    left = sorted(set(groups()) - set(before))
    require(not left, f'brake groups are left: {left}')


def quota_of(group):
    with contextlib.suppress(OSError):
        with open(os.path.join(group, 'cpu.cfs_quota_us'), encoding='ascii') as f:
            return int(f.read())
    return None


def work_rate(vm, from_ns, to_ns):
    """Pages written a second, by the guest's own counter."""
    beats = [b for b in vm.beats() if from_ns <= b.mono_ns <= to_ns]
    require(len(beats) > 10, 'too few heartbeats')
    return (beats[-1].work - beats[0].work) / ((beats[-1].mono_ns - beats[0].mono_ns) / 1e9)


def moves(lab, qemu, aggression):
    before = groups()
    options = [*OPTIONS, '--aggression', str(aggression)]
    with Move(lab, qemu, BUSY, options=options, steering=STEERED) as move:
        move.run(90)
        move.require_exit(0)
        took = move.stop_to_resume_ms('dst')
        require(took <= BOUND_MS, f'STOP to RESUME {took:.1f} of {BOUND_MS} ms')
        share = move.result['lowest_share_ratio']
        require(FLOOR <= share < 1, f'it was granted {share}, the floor is {FLOOR}')
        move.require_moved()
        require_no_groups(before)
        result = move.result
        return (f'STOP to RESUME {took:.1f} ms, least {share * 100:.0f} % of its CPU, {result["total_seconds"]:.1f} s, '
                f'{result["sent_bytes"] >> 20} MiB, {move.pages} pages')


def auto_converges(lab, qemu):
    with Move(lab, qemu, BUSY, options=[*OPTIONS], steering=('--auto-converge', '--min-cpu', '5%')) as move:
        move.run(120)
        move.require_exit(0)
        took = move.stop_to_resume_ms('dst')
        require(took <= BOUND_MS, f'STOP to RESUME {took:.1f} of {BOUND_MS} ms')
        move.require_moved()
        return f'STOP to RESUME {took:.1f} ms after {move.result["total_seconds"]:.1f} s'


def on_braked(move):
    """Until segue has stopped itself right after the brake was set."""
    move.start()
    def reached():
        if move.process.poll() is not None:
            return 'ended'
        return 'braked' if state_of(move.process.pid) == 'T' else None
    if wait_until(reached, 60, 'segue at segue:braked', interval=0.001) == 'ended':
        raise Failure(f'it ended with {move.exit} before it braked: {move.decisions()[-300:]}')
    move.killed_ns, move.killed_stamp = now_ns(), time.time()


def killed(lab, who):
    before = groups()
    with Move(lab, '10', BUSY, options=[*OPTIONS], steering=STEERED, fault_point='segue:braked') as move:
        on_braked(move)
        ours = sorted(set(groups()) - set(before))
        require(ours and all((quota_of(group) or -1) > 0 for group in ours if group.endswith('vcpu0')),
                f'nothing is braked: {[(group, quota_of(group)) for group in ours]}')
        victims = [move.process.pid] if who == 'segue' else move.guardians()
        for pid in victims:
            os.kill(pid, 9)
        at = time.monotonic()
        if who == 'guard':
            os.kill(move.process.pid, 18)  # SIGCONT: it goes on, and finds that its guardian is gone.
        wait_until(lambda: all(quota_of(group) in (None, -1) for group in ours), 3, 'the brake let go', interval=0.001)
        let_go_ms = (time.monotonic() - at) * 1e3
        require(let_go_ms <= LETS_GO_MS or who == 'guard', f'let go after {let_go_ms:.0f} ms')
        move.finish(20)
        move.require_source_runs()
        require_no_groups(before)
        free = work_rate(move.src, now_ns() - 600_000_000, now_ns())
        calm = work_rate(move.src, move.started_ns - 350_000_000, move.started_ns)
        require(free > calm * 0.5, f'the guest writes {free:.0f} pages a second now, {calm:.0f} before')
        return f'let go {let_go_ms:.1f} ms after the kill; {free:.0f} pages a second, {calm:.0f} before the move'


def both_killed(lab):
    before = groups()
    with Move(lab, '10', BUSY, options=[*OPTIONS], steering=STEERED, fault_point='segue:braked') as move:
        on_braked(move)
        for pid in [*move.guardians(), move.process.pid]:
            os.kill(pid, 9)
        move.finish(20)
        time.sleep(0.2)
        ours = sorted(set(groups()) - set(before))
        require(any((quota_of(group) or -1) > 0 for group in ours), 'the brake went without anybody')
        require_recovered(move, 1)
        require_no_groups(before)
        move.require_source_runs()
        return 'recover let go of the guest and removed the groups'


def hopeless(lab):
    """Too high a floor for this guest: it ends by itself, early, unbraked, and says what would have done."""
    before = groups()
    with Move(lab, '10', BUSY, options=[*OPTIONS, '--timeout', '60s'], steering=('--min-cpu', '90%')) as move:
        move.run(60)
        move.require_exit(3)
        move.require_source_runs()
        require_no_groups(before)
        error = move.result['error']
        require('stands in the way' in error and 'it needs ' in error, f'what would do is not named: {error}')
        seconds = move.result['total_seconds']
        require(seconds < 20, f'it took {seconds} s to see it')
        return f'given up after {seconds:.1f} s: {error[:160]}'
