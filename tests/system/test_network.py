"""A guest with a network card behind switches that learn: what a client of its sees of a move, and of a rollback.

The bound: the client hears nothing for at most as long as the guest stood, and 100 ms. Two clients: one to which the
guest talks every 2 ms, and one that asks every 10 ms, where the switch must have been told where the guest is. What
the second asks while the guest stands is lost with the source's QEMU when the guest moves, and its own TCP asks again
when that TCP's timer says so, 0.2, 0.6, 1.4 s after the last answer: there the bound holds for UDP, and TCP must go on
with the next such attempt.

Under emulation a guest that has moved is translated anew, its network's code too: tens of ms and more on a busy
machine. What is between is seen at the switch: what the client asks reaches the guest's host, what the guest says
reaches the client, both at once. A run in which they do and only the guest itself is late is repeated.
"""
import contextlib
import json
import os
import shlex
import signal
import statistics
import subprocess
import time

from harness import Failure, Move, program, require, require_safe
from segue_lab import sequence_faults, wait_until
from watching import HERE, Fault, mono_ns_of, state_of

GUEST = 'hot=24 rate=60'
BEYOND_STOP_MS = 100
BOUND_MS = 500
AFTER_S = 1.5  # QEMU announces for 1.1 s; what a switch got wrong shows by then.
ATTEMPTS = 4
RETRANSMISSIONS_MS = (200, 600, 1400, 3000)  # Linux: 200 ms, then doubled.
REACHED_MS = 50  # After RESUME: what is asked every 10 ms reaches the guest's host.
PASSED_ON_MS = 20  # What the guest says reaches the client.
LATEST_GUEST_MS = 300
late_starts_count = {'apart': False}
gaps = {}  # What happened -> [(stop to resume, TCP gap beyond it, UDP gap beyond it)]


class Void(Exception):
    """A run that shows nothing; the text says why."""


class Client:
    """tests/system/net_client.py on the switch, from `with` to end()."""

    def __init__(self, lab, mode):
        argv = [*lab.enter('s'), '/usr/bin/python3', os.path.join(HERE, 'net_client.py'), mode]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                         text=True)
        line = self._process.stdout.readline()
        if line != 'ready\n':
            raise Failure(f'the client does not get through to the guest: {self._process.stderr.read()[-300:]}')

    def end(self):
        out, errors = self._process.communicate('', 20)
        require(self._process.returncode == 0, f'the client: {errors[-300:]}')
        return json.loads(out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            with contextlib.suppress(OSError):
                stream.close()


def cases(long_form):
    runs = 10 if long_form else 1
    for mode in ('talk', 'echo'):
        for name, function in (('moved', moved), ('rolled back in the blackout', rolled_back),
                               ('rolled back when loaded', rolled_back_at_loaded)):
            if not long_form and (mode, function) in (('echo', rolled_back), ('talk', rolled_back_at_loaded)):
                continue
            for run in range(1, runs + 1):
                yield (f'{name}, client of kind {mode}' + (f' #{run}' if runs > 1 else ''),
                       lambda lab, f=function, m=mode: repeated(lab, f, m))


def repeated(lab, function, mode):
    """An emulator that comes late is given another chance; in the last one its lateness is counted apart."""
    void = []
    for attempt in range(1, ATTEMPTS + 1):
        late_starts_count['apart'] = attempt == ATTEMPTS
        try:
            return function(lab, mode) + (f'; {len(void)} run(s) repeated: {void}' if void else '')
        except Void as why:
            void.append(str(why))
    raise Failure(f'{ATTEMPTS} runs showed nothing: {void}')


def remote(lab, **more):
    lab.bridge_up()
    words = ['env', f'SEGUE_STATE={lab.state_dir("b")}', *lab.enter('b'), program('segue'), 'receive', '--stdio']
    options = ['--to', 'cmd:' + shlex.join(words), '--max-downtime', f'{BOUND_MS}ms', '--max-bandwidth', '100MiB/s']
    move = Move(lab, '10', GUEST, options=options + ['--timeout', '30s'], network=True, **more)
    for vm in (move.src, move.dst):  # What is measured is not how busy the machine is.
        for thread in os.listdir(f'/proc/{vm.pid}/task'):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(1))
    return move


def longest(arrivals, from_ns, to_ns):
    """Longest silence in ms that ends after from_ns."""
    stamps = [at for at, _ in arrivals] + [to_ns]
    return max((two - one) / 1e6 for one, two in zip(stamps, stamps[1:]) if two > from_ns)


def tcp_allowed(what, stood):
    """ms. After a move a client that asks waits for its own next retransmission, of those that come after RESUME."""
    if what != 'moved, echo':
        return stood + BEYOND_STOP_MS
    return next(attempt for attempt in RETRANSMISSIONS_MS if attempt > stood) + BEYOND_STOP_MS


def guest_alone(seen, stood, resume, host):
    """({kind: ms that are the guest's own, 0 where anything between it and the client was late}, what was seen)"""
    alone, told = {}, []
    for kind in ('tcp', 'udp'):
        says, heard, gets = ([(at - resume) / 1e6 for at in stamps if at > resume] for stamps in (
            [at for at, where, way, what in seen['passed'] if (where, way, what) == (host, 'from', kind)],
            [at for at, _ in seen[kind]],
            [at for at, where, way, what in seen['passed'] if (where, way, what) == (host, 'to', kind)]))
        if not says or not heard or seen['asked'] and not gets:
            alone[kind] = 0.0
            told.append(f'{kind}: nothing passed')
            continue
        reached = gets[0] if seen['asked'] else 0.0
        waits = next(attempt for attempt in RETRANSMISSIONS_MS if attempt > stood) - stood if kind == 'tcp' else 0.0
        in_time = heard[0] - says[0] <= PASSED_ON_MS and reached <= waits + REACHED_MS
        alone[kind] = min(says[0] - reached, LATEST_GUEST_MS) if in_time else 0.0
        told.append(f'{kind}: the guest was reached {reached:.1f} ms after RESUME, spoke at {says[0]:.1f}, '
                    f'was heard at {heard[0]:.1f}')
    return alone, '; '.join(told)


def judge(move, seen, what, side):
    """The client's gaps against QEMU's own STOP and RESUME."""
    stood = move.stop_to_resume_ms(side)
    stop = mono_ns_of(move.at_src.find('STOP').stamp)
    resume = stop + int(stood * 1e6)
    require(seen['broken'] is None, f'the connection broke: {seen["broken"]}')
    for kind in ('tcp', 'udp'):
        after = sum(1 for at, _ in seen[kind] if at > resume)
        require(after >= 50, f'{kind}: only {after} records after the guest ran again')
    tcp, udp = (longest(seen[kind], stop, seen['until']) for kind in ('tcp', 'udp'))
    told = [f'{(at - resume) / 1e6:+.0f} {host} {kind}' for at, host, kind in seen['moved'] if at > stop]
    host = 'a' if side == 'src' else 'b'
    vm = move.src if side == 'src' else move.dst
    beat = next((b.mono_ns - resume) / 1e6 for b in vm.beats() if b.mono_ns > resume)
    text = (f'stood {stood:.1f} ms, gap TCP {tcp:.1f}, UDP {udp:.1f}; first heartbeat {beat:.1f} ms after RESUME; '
            f'announced {", ".join(told) or "by nobody"}')
    alone, between = guest_alone(seen, stood, resume, host)
    text += f'; {between}'
    allowed = {'tcp': tcp_allowed(what, stood), 'udp': stood + BEYOND_STOP_MS}
    late = {kind: gap - allowed[kind] for kind, gap in (('tcp', tcp), ('udp', udp)) if gap > allowed[kind]}
    if late and all(alone[kind] > 0 for kind in late):
        if not late_starts_count['apart']:
            raise Void(text)
        text += f'; {max(alone[kind] for kind in late):.1f} ms of it are the guest alone'
    gaps.setdefault(what, []).append((stood, tcp - stood, udp - stood))
    for kind, over in late.items():
        require(over <= alone[kind], text)
    require(any(kind == 'rarp' and where == host and 0 < (at - resume) / 1e6 + 1 <= BEYOND_STOP_MS
                for at, where, kind in seen['moved']), f'the switch was not told; {text}')
    others = [where for at, where, _ in seen['moved'] if at > stop and where != host]
    require(not others, f'the side that does not have the guest announced it; {text}')
    beats = move.beats()
    require_safe(not sequence_faults(beats), f'heartbeats out of order: {sequence_faults(beats)[:3]}')
    errors = max(b.errors for b in beats)
    require(errors == 0, f'the guest found {errors} wrong pages; {text}')
    return text


def watched(move, mode, act):
    with Client(move.lab, mode) as client:
        act()
        time.sleep(AFTER_S)
        return client.end()


def gone(vm, seconds=3.0):
    with contextlib.suppress(Exception):
        wait_until(lambda: not vm.running(), seconds, 'end')
    return not vm.running()


def moved(lab, mode):
    with remote(lab) as move:
        seen = watched(move, mode, move.run)
        move.require_exit(0)
        text = judge(move, seen, f'moved, {mode}', 'dst')
        require(move.at_dst.status() == 'running', f'the destination is {move.at_dst.status()}')
        require(gone(move.src), "the source's QEMU is still there")
        move.require_no_guardian()
        require(lab.bridge_port() == 'b', f'the switch sends to {lab.bridge_port()}')
        return text


def require_back(lab, move):
    wait_until(lambda: move.at_src.status() == 'running', 3, 'the source running')
    require(gone(move.dst), "the destination's QEMU is still there")
    move.require_no_guardian()
    require(lab.bridge_port() == 'a', f'the switch sends to {lab.bridge_port()}')


def rolled_back(lab, mode):
    """The link dies in the blackout."""
    with remote(lab) as move:
        fault = Fault(lab, 'black hole', move.dst.pid)
        try:
            move.on_held(fault.fire, 0.02)
            seen = watched(move, mode, move.run)
            if move.exit == 0:
                raise Void('it was through before the link died')
            move.require_exit(3)
            text = judge(move, seen, f'rolled back, {mode}', 'src')
            require_back(lab, move)
            return text
        finally:
            fault.undo()


def rolled_back_at_loaded(lab, mode):
    """Segue hangs when the destination has the whole guest: nobody but the guardian brings it back and tells so."""
    with remote(lab, fault_point='segue:loaded') as move:
        def act():
            move.start()
            wait_until(lambda: state_of(move.process.pid) in ('T', 'Z'), 20, 'segue at loaded', interval=0.001)
            if state_of(move.process.pid) == 'Z':
                raise Void(f'undone before it was loaded: {move.finish().decisions()[-160:]}')
            require(move.at_src.wait('RESUME', 3) is not None, 'the guardian did not bring the guest back')
            time.sleep(1)  # Segue hangs on: only the guardian is there to tell the switch.
            port.append(lab.bridge_port())
            os.kill(move.process.pid, signal.SIGCONT)
            move.finish()

        port = []
        seen = watched(move, mode, act)
        move.require_exit(3)
        text = judge(move, seen, f'rolled back at loaded, {mode}', 'src')
        require(port == ['a'], f'a second after the rollback the switch sent to {port}')
        require_back(lab, move)
        return text


def final(_):
    for what, runs in sorted(gaps.items()):
        for kind, column in (('TCP', 1), ('UDP', 2)):
            beyond = [run[column] for run in runs]
            yield what, None, (f'{len(runs)} runs, {kind} gap beyond the stop: median {statistics.median(beyond):.1f}, '
                               f'worst {max(beyond):.1f} of {BEYOND_STOP_MS} ms')
