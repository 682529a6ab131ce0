"""One guest to and fro between the two hosts: each destination is started by segue receive, each source is ended by
segue, and nothing of a move stays: no process, descriptor, file, socket, cgroup or memory."""
import contextlib
import glob
import json
import os
import shlex
import sqlite3
import subprocess
import time

from harness import program, require, require_safe
from remote_move import on_host, words_of
from segue_lab import ADDRESS, HOSTS, LabError, beats_of_two, wait_until

GUEST = 'hot=16 rate=50'
VERIFY_EVERY, SETTLED = 10, 4  # Every file that a host ever gets is there after two moves each way.
ROLLED_BACK_MAX = 5  # In a hundred; a busy machine may miss its forecast, and then the bound is kept.

figures = []


def cases(long_form):
    moves = 100 if long_form else 6
    yield f'{moves} moves in a row', lambda lab, n=moves: in_a_row(lab, n)


def in_a_row(lab, moves):
    guest = lab.start_vm('a', 'fro', guest=GUEST)
    seen, seconds, blackouts, rolled_back = [], [], [], 0
    try:
        while len(seen) < moves:
            here, there = HOSTS[len(seen) % 2], HOSTS[(len(seen) + 1) % 2]
            began = time.monotonic()
            status, result, words = one_move(lab, guest, here, there)
            if status == 3 and rolled_back < ROLLED_BACK_MAX:
                rolled_back += 1
                require(guest.qmp('query-status')['status'] == 'running', f'rolled back, and it does not run: {words}')
                require_only(lab, here, guest.pid)
                continue
            require(status == 0 and result['error'] is None, f'move {len(seen) + 1}: exit {status}: {words}')
            seconds.append(time.monotonic() - began)
            blackouts.append(result['downtime_seconds'] * 1e3)
            guest = arrived(lab, guest, there)
            last = len(seen) + 1 == moves
            pages = verify(guest, len(seen) + 1) if last or (len(seen) + 1) % VERIFY_EVERY == 0 else None
            seen.append(census(lab, guest))
        require_no_growth(lab, seen)
        require_closed(lab, moves + rolled_back)
    finally:
        guest.stop()
        for host in HOSTS:
            with contextlib.suppress(LabError):
                lab.vm(host, 'fro').stop()
    figures.append(f'{moves} moves, {rolled_back} rolled back within the bound; a move takes '
                   f'{sorted(seconds)[len(seconds) // 2]:.2f} s (median; {min(seconds):.2f} to {max(seconds):.2f}); '
                   f'standstill {sorted(blackouts)[len(blackouts) // 2]:.0f} ms, worst {max(blackouts):.0f} of 500; '
                   f'first settled and last census: {seen[min(SETTLED, moves) - 1]} | {seen[-1]}')
    return f'{moves} moves, {pages} pages, {rolled_back} rolled back; {sorted(seconds)[len(seconds) // 2]:.2f} s a move'


def one_move(lab, guest, here, there):
    """(exit status, result line, standard error) of one segue on host `here`."""
    receive = ['env', f'SEGUE_STATE={lab.state_dir(there)}', *lab.enter(there), program('segue'), 'receive', '--stdio']
    argv = [program('segue'), 'migrate', f'qmp:{guest.qmp_path}', '--src-guard-qmp', guest.guard_qmp_path, '--to',
            'cmd:' + shlex.join(receive), '--dst-command', json.dumps(lab.expect_vm(there, 'fro', guest=GUEST)),
            '--data-address', ADDRESS[there], '--max-downtime', '500ms', '--max-bandwidth', '100MiB/s', '--timeout',
            '30s', '--no-forecast', '--json']
    done = lab.run(here, argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60)
    results = [json.loads(line) for line in done.stdout.splitlines() if '"result"' in line]
    return done.returncode, results[-1] if results else {}, done.stderr.strip()[-400:]


def arrived(lab, old, there):
    """The guest where it is now; what the lab kept of the old QEMU is put away."""
    require(not old.running(), 'the source QEMU, whose copy is stale, is still there')
    new = lab.adopt_vm(there, 'fro')
    require(new.qmp('query-status')['status'] == 'running', f'it does not run on {there}')
    wait_until(lambda: len(new.beats()) > 2, 3, 'beats')
    two = beats_of_two(old.beats(), new.beats())
    require(two is None, f'TWO COPIES: {two}')
    old.stop()
    require_only(lab, there, new.pid)
    return new


def verify(guest, number):
    verdict = guest.verify()
    require_safe(verdict.ok, f'after move {number}: {verdict.line}')
    return int(verdict.fields['pages'])


def require_only(lab, host, pid):
    """One process on both hosts together: the QEMU that has the guest."""
    def others():
        return [p for h in HOSTS for p in on_host(lab, h) if (h, p) != (host, pid)]
    try:
        wait_until(lambda: not others(), 3, 'the end of the rest', interval=0.02)
    except LabError:
        left = [' '.join(words_of(p))[:120] for p in others()]
        require(False, f'left behind: {left}')


def lines_of(lab, host, *words):
    return len(lab.run(host, ['ss', '-H', *words], capture_output=True, text=True, check=True).stdout.splitlines())


def census(lab, guest):
    """What could leak, counted. Of QEMU: the descriptors and the memory of the one that has the guest."""
    with open(f'/proc/{guest.pid}/status') as f:
        resident = next(int(line.split()[1]) for line in f if line.startswith('VmRSS'))
    return {
        'descriptors': len(os.listdir(f'/proc/{guest.pid}/fd')),
        'resident_mib': resident // 1024,
        'threads': len(os.listdir(f'/proc/{guest.pid}/task')),
        'state_files': len(state_files(lab)),
        'run_files': sum(len(os.listdir(lab.host_dir(host))) for host in HOSTS),
        'unix_sockets': sum(lines_of(lab, host, '-xa') for host in HOSTS),
        'tcp_open': sum(lines_of(lab, host, '-tan', 'exclude', 'time-wait') for host in HOSTS),
        'cgroups': len(glob.glob('/sys/fs/cgroup/**/*segue*', recursive=True)),
        'shared_memory': len([name for name in os.listdir('/dev/shm') if 'segue' in name]),
    }


def state_files(lab):
    """But for the two that SQLite makes and removes as it likes, and the records of decisions, which segue itself keeps
    to so many (DecisionRecord::records_max)."""
    return sorted(os.path.relpath(os.path.join(folder, name), lab.dir) for host in HOSTS
                  for folder, _, names in os.walk(lab.state_dir(host)) for name in names
                  if 'journal.db-' not in name and os.path.basename(folder) != 'decisions')


def require_no_growth(lab, seen):
    """Against the census of the same host and the same phase, once every file of it is there."""
    for number, now in enumerate(seen[SETTLED:], SETTLED + 1):
        first = seen[SETTLED - 2 + (number - SETTLED) % 2]
        grown = {key: (first[key], now[key]) for key in now
                 if now[key] > first[key] + {'resident_mib': 16, 'threads': 2, 'descriptors': 1}.get(key, 0)}
        require(not grown, f'after {number} moves (first, now): {grown}; state: {state_files(lab)}')
        require(now['tcp_open'] == 0, f'{now["tcp_open"]} TCP sockets are left')


def require_closed(lab, moves):
    """Both journals know every move, and nothing of them is open."""
    for host in HOSTS:
        path = os.path.join(lab.state_dir(host), 'journal', 'journal.db')
        with contextlib.closing(sqlite3.connect(f'file:{path}?mode=ro', uri=True)) as db:
            known, still_open = db.execute('SELECT count(*), count(*) - count(ended_unix_ns) FROM moves').fetchone()
        require(still_open == 0, f'{still_open} moves are open in the journal of {host}')
        require(known >= moves, f'{known} moves in the journal of {host}')


def final(_):
    for text in figures:
        yield 'in all', None, text
