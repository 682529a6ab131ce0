"""The kill matrix through --to: every party and both links die at every moment of a move, on real QEMU.

A cell is VICTIM at MOMENT. Segue (or segue receive) stops itself at the moment, the blow falls, it goes on. Then the
guest runs, once, whole, within max downtime + 100 ms of the blow and with nobody's help; where the answer to the word
is lost, after `segue recover`. Killing the QEMU that owns the guest is a guest crash, and no stale copy is run."""
import collections
import contextlib
import os
import subprocess
import tempfile
import time

from harness import BEAT_MS, Failure, require
from remote_move import RemoteMove
from segue_lab import LabError, calm_gap, longest_gap, wait_until
from watching import Fault, state_of

BOUND_MS, GRACE_MS, ATTEMPTS = 500, 100, 4
CONVERGES, NEVER = 'hot=48 rate=50', 'hot=80 rate=200'
# name -> (fault point, guest)
MOMENTS = {
    'setup': ('segue:setup', NEVER), 'pass 1': ('segue:pass-1', NEVER), 'pass 3': ('segue:pass-3', NEVER),
    'stopped': ('segue:stopped', CONVERGES), 'blackout': ('segue:blackout', CONVERGES),
    'loaded': ('segue:loaded', CONVERGES),
    'word to accepted': ('receive:accepting', CONVERGES), 'accepted to running': ('receive:accepted', CONVERGES),
    'running': ('receive:running', CONVERGES)}
SAID = ('word to accepted', 'accepted to running', 'running')
VICTIMS = ('segue', 'receive', 'src guardian', 'dst guardian', 'src QEMU', 'dst QEMU', 'control cut', 'control hole',
           'data cut', 'data hole')
UNKNOWN, CRASHED, KILLED = 10, 9, -9
LEASE_S, KILLED_S = 2.0, 0.5


class Cell:
    """What may come of a blow: `outcomes` maps exit statuses to the side that then runs the guest (None: nowhere)."""

    def __init__(self, outcomes, stands=False):
        self.outcomes = outcomes
        self.stands = stands  # Where the answer to the word is lost: the guest stands until `segue recover`.


def expected(victim, moment):
    if moment not in SAID:
        return before_the_word(victim, moment)
    lost = Cell({UNKNOWN: 'dst'})  # It runs there, and nobody here knows.
    if victim == 'segue':
        return Cell({KILLED: 'dst'})
    if victim == 'receive':
        return {'word to accepted': Cell({UNKNOWN: 'src'}, stands=True),
                'accepted to running': Cell({UNKNOWN: 'dst'}, stands=True), 'running': lost}[moment]
    if victim == 'dst QEMU':
        # After the record the owner has died; before it, it did not run and will not. Both may be under way.
        return Cell({CRASHED: None, UNKNOWN: None, **({1: 'src'} if moment == 'word to accepted' else {})})
    return lost if victim in ('control cut', 'control hole') else Cell({0: 'dst'})


def before_the_word(victim, moment):
    switching = moment in ('told to stop', 'stopped', 'blackout', 'loaded')
    if victim == 'segue':
        return Cell({KILLED: 'src'})
    if moment == 'loaded':
        if victim in ('src QEMU', 'data cut', 'data hole'):
            return Cell({0: 'dst'})  # The destination holds a whole copy, and there is nothing left to send.
        if victim == 'src guardian':
            return Cell({0: 'dst', 1: 'src', 3: 'src'})  # The word may be claimed already.
        if victim in ('receive', 'control cut'):
            return Cell({UNKNOWN: 'src', 1: 'src'}, stands=True)  # It may be on its way into nothing.
    if victim == 'src QEMU':
        return Cell({CRASHED: None})
    if victim == 'control hole' and switching:
        # The word goes into the hole: nobody knows, and the lease ends what waits there.
        return Cell({UNKNOWN: 'src', 1: 'src', 3: 'src'}, stands=True)
    if victim == 'data hole' and not switching:
        return Cell({4: 'src'})
    # In the blackout the guardian's deadline may come first.
    return Cell({1: 'src', 3: 'src'} if switching else {1: 'src'})


# The short form: every victim and every moment, and the cells in which the most can go wrong.
SHORT = {
    'segue': ('pass 1', 'blackout', 'accepted to running', 'running'),
    'receive': ('setup', 'stopped', 'word to accepted', 'accepted to running', 'running'),
    'src guardian': ('pass 3', 'blackout', 'word to accepted'),
    'dst guardian': ('pass 1', 'blackout'),
    'src QEMU': ('pass 1', 'word to accepted', 'accepted to running'),
    'dst QEMU': ('pass 3', 'blackout', 'word to accepted', 'accepted to running'),
    'control cut': ('setup', 'blackout', 'word to accepted', 'running'),
    'control hole': ('pass 1', 'blackout', 'accepted to running'),
    'data cut': ('pass 1', 'blackout'),
    'data hole': ('blackout', 'running'),
}
LOCKING_OFF = ('blackout', 'word to accepted', 'accepted to running', 'running')

table = {}  # (victim, moment) -> [Figures]; None: it failed
Figures = collections.namedtuple('Figures', 'blow_to_resume stop_to_resume recover_to_resume', defaults=(None,) * 3)


def cases(long_form):
    yield 'two copies at once are seen', planted
    for victim in VICTIMS:
        for moment in MOMENTS:
            if not long_form and moment not in SHORT[victim]:
                continue
            # With locking=off nothing but Segue keeps the copies apart. The short form takes one of the two.
            disks = (False, True) if moment in LOCKING_OFF else (False,)
            for disk in disks if long_form else [moment == 'accepted to running']:
                name = f'{victim}, {moment}' + (', locking=off' if disk else '')
                yield name, lambda lab, v=victim, m=moment, d=disk: cell(lab, v, m, d)


def planted(lab):
    """A diskless pair, both continued by the test itself: the detector must say so, and must be quiet before."""
    with RemoteMove(lab, guest=CONVERGES, fault_point='receive:running') as move:
        move.start()
        require(move.wait_point(), f'it was undone: {move.stderr}')
        wait_until(lambda: len(move.dst.beats()) > 5, 3, 'beats of the destination')
        move.require_one_copy()
        move.at_src.cmd('cont')
        wait_until(lambda: move.at_src.status() == 'running', 3, 'the second copy')
        time.sleep(0.1)
        try:
            move.require_one_copy()
        except Failure as seen:
            require('TWO COPIES' in str(seen), f'seen by QEMU\'s events alone: {seen}')
            return f'planted, and seen: {seen}'
        raise Failure('two copies ran for 100 ms and nothing was seen')


def cell(lab, victim, moment, disk):
    runs = table.setdefault((victim, moment), [])
    runs.append(None)
    text, figures = one(lab, victim, moment, disk)
    runs[-1] = figures
    return text


def one(lab, victim, moment, disk):
    want = expected(victim, moment)
    point, guest = MOMENTS[moment]
    void = []
    for _ in range(ATTEMPTS):
        with shared_image(disk) as extra, contextlib.ExitStack() as stack:
            timeout = '5s' if victim == 'data hole' else '30s'
            move = stack.enter_context(RemoteMove(lab, '10', guest, BOUND_MS, timeout, point, src_extra=extra,
                                                  dst_extra=extra))
            blow = Blow(move, victim)
            stack.callback(blow.undo)
            move.start()
            at = move.wait_point()
            if at is None:
                # Undone at its last check, as it may be on a busy machine: there was nothing to strike.
                move.finish(20).require_exit(3)
                move.require_runs_on_src()
                void.append(move.decisions()[-120:])
                continue
            text = strike(move, blow, at, want)
            return text + (f', {len(void)} run(s) repeated' if void else ''), move.figures
    raise Failure(f'{point} was not reached in {ATTEMPTS} runs: {void}')


@contextlib.contextmanager
def shared_image(wanted):
    """The arguments of a disk that both sides open and that no lock protects."""
    if not wanted:
        yield ()
        return
    with tempfile.TemporaryDirectory(prefix='segue-matrix-') as folder:
        path = os.path.join(folder, 'disk')
        with open(path, 'wb') as f:
            f.truncate(1 << 20)
        drive = f'file={path},file.locking=off,format=raw,if=none,id=disk0'
        yield ('-drive', drive, '-device', 'ide-hd,drive=disk0')


class Blow:
    """What happens to the victim; made ready before, so that it falls at once."""

    def __init__(self, move, victim):
        self.move, self.victim, self.pidfd = move, victim, None
        self.fault = Fault(move.lab, 'black hole', move.dst.pid) if victim == 'data hole' else None
        self.missed = ''

    def fall(self):
        move, victim = self.move, self.victim
        move.mark()
        if victim in ('control cut', 'control hole'):
            move.relay({'control cut': 'cut', 'control hole': 'hold'}[victim])
        elif victim == 'data cut':
            subprocess.run(['ip', 'netns', 'exec', move.lab.netns('a'), 'ss', '-K', 'dst', '10.77.0.2'],
                           capture_output=True, check=True)
        elif self.fault:
            self.fault.fire()
        else:
            self.kill()

    def kill(self):
        move = self.move
        pid = {'segue': lambda: move.process.pid, 'receive': move.receive, 'src QEMU': lambda: move.src.pid,
               'dst QEMU': lambda: move.dst.pid, 'src guardian': lambda: move.guardian('src'),
               'dst guardian': lambda: move.guardian('dst')}[self.victim]()
        if pid is None:
            self.missed = 'it had left already'
            return
        os.kill(pid, 9)
        # The others shall meet it dead, not dying.
        with contextlib.suppress(LabError):
            wait_until(lambda: state_of(pid) in (None, 'Z'), 1, 'its end', interval=0.001)

    def undo(self):
        """Links heal; what is dead stays dead. Once."""
        if self.fault:
            self.fault.undo()
            self.fault = None
        if self.victim == 'control hole':
            with contextlib.suppress(OSError):  # The relay has left, as it should.
                self.move.relay('go')


def strike(move, blow, at, want):
    move.figures = Figures()
    blow.fall()
    if state_of(at) == 'T':
        os.kill(at, 18)  # SIGCONT
    move.finish(40)
    require(move.exit in want.outcomes,
            f'exit {move.exit} instead of {tuple(want.outcomes)}: {move.stderr.strip()[-500:]}')
    judge_words(move)
    side = want.outcomes[move.exit]
    text = f'exit {move.exit}' + (f' ({blow.missed})' if blow.missed else '')
    if side is None:
        return text + crashed(move)
    stands = want.stands and move.exit == UNKNOWN
    if not stands:
        text += ran_by_itself(move, side)
    if move.exit in (UNKNOWN, KILLED):
        text += recovered(move, side, stands)
    if side == 'src':
        # By its lease, not because the link heals. (segue receive itself waits 60 s for its peer to speak again.)
        with contextlib.suppress(LabError):
            wait_until(lambda: not move.dst.running(), LEASE_S + KILLED_S, 'the end of the destination')
        require(not move.dst.running(), 'the destination outlives its lease')
    blow.undo()
    move.require_closed()
    if side == 'src':
        move.require_runs_on_src()
    else:
        move.require_runs_on_dst()
    return f'{text}, {move.pages} pages'


def judge_words(move):
    """The sentence says where the guest is, and never anything else."""
    if move.exit == KILLED:
        return
    said = move.result
    error = said['error'] or ''
    if move.exit == 0:
        require(said['guest_on'] == 'destination' and said['outcome'] == 'moved', f'the result says {said}')
    elif move.exit == UNKNOWN:
        require(said['guest_on'] == 'unknown' and 'segue recover' in error, f'the result says {said}')
    elif move.exit == CRASHED:
        require(said['outcome'] == 'guest-crashed' and said['guest_on'] == 'nowhere' and 'nowhere' in error,
                f'the result says {said}')
    else:
        require(said['guest_on'] == 'source' and 'runs on the source' in error, f'the result says {said}')
        require('Next: ' in error, f'it says nothing of what to do next: {error}')


def ran_by_itself(move, side):
    """Within max downtime + 100 ms of the blow, by QEMU's stamps and by the heartbeats of both sides."""
    limit = BOUND_MS + GRACE_MS
    after_kill, stood = move.ran_again_ms(side)
    require(after_kill <= limit, f'{after_kill:.1f} ms from the blow to RESUME, limit {limit}')
    vm = move.src if side == 'src' else move.dst
    with contextlib.suppress(LabError):
        wait_until(lambda: vm.beats() and vm.beats()[-1].mono_ns > move.killed_ns, 3, 'a beat')
    beats = move.beats()
    calm = calm_gap(beats, move.started_ns, move.calm) / 1e6
    gap = longest_gap(beats, move.killed_ns, move.killed_ns + int(limit * 3e6))[0] / 1e6
    require(any(b.mono_ns > move.killed_ns for b in vm.beats()), 'no heartbeat after the blow')
    require(gap <= limit + BEAT_MS + calm, f'heartbeat gap {gap:.1f} ms, limit {limit} + {calm:.1f}')
    move.figures = Figures(after_kill, stood)
    if stood is None:
        return f', it never stopped, gap {gap:.1f} ms'
    return f', RESUME {after_kill:.1f} ms after the blow, {stood:.1f} after STOP, gap {gap:.1f}'


def recovered(move, side, stands):
    """Closes the record, ends the stale copy, and brings the guest up where it stands."""
    status = move.recover()
    # As the move itself would have ended.
    require(status == (0 if side == 'dst' else 1), f'recover ended with {status}: {move.recover_said}')
    if not stands:
        return f'; recover: {status}'
    stop = move.at_src.find('STOP')
    resume = (move.at_src if side == 'src' else move.at_dst).wait('RESUME', 3, since=stop.stamp)
    require(resume, f'recover did not bring it up on {side}: {move.recover_said}')
    took = (resume.stamp - move.recover_began) * 1e3
    move.figures = Figures(recover_to_resume=took)
    return f'; recover: {status}, RESUME {took:.0f} ms after its start'


def crashed(move):
    time.sleep(0.2)
    text = ''
    if move.exit == UNKNOWN:
        status = move.recover()
        require(status == CRASHED, f'recover ended with {status}: {move.recover_said}')
        text = '; recover: 9'
    move.require_closed()
    move.require_runs_nowhere()
    living = [vm.pid for vm in (move.src, move.dst) if vm.running()]
    require(move.src.pid in living or not living, 'the stale destination was left')
    move.require_nothing_left(*living)
    return text + ', it runs nowhere'


def final(_):
    """The table: runs, and the worst time from the blow to RESUME (r: from the start of `segue recover`)."""
    if not table:
        return
    print(''.join(f'{word:>20}' for word in ('', *MOMENTS)))
    for victim in VICTIMS:
        print(''.join(f'{word:>20}' for word in (victim, *(shown(table.get((victim, m), [])) for m in MOMENTS))))
    for victim in VICTIMS:
        runs = [run for (who, _), all_ in table.items() if who == victim for run in all_ if run]
        if runs:
            by_itself, stood, recover = (worst(runs, field) for field in Figures._fields)
            yield (victim, None, f'{len(runs)} runs, worst blow to RESUME {by_itself}, STOP to RESUME {stood}, '
                                 f'start of recover to RESUME {recover}')


def worst(runs, field):
    times = [getattr(run, field) for run in runs if getattr(run, field) is not None]
    return f'{max(times):.0f} ms (n {len(times)})' if times else '-'


def shown(runs):
    if not runs:
        return '-'
    if None in runs:
        return f'FAIL {runs.count(None)} of {len(runs)}'
    times = []
    for field, mark in (('blow_to_resume', ''), ('recover_to_resume', 'r')):
        found = [getattr(run, field) for run in runs if getattr(run, field) is not None]
        times += [f'{mark}{max(found):.0f}'] if found else []
    return f'{len(runs)} ok ' + '/'.join(times) + (' ms' if times else '')
