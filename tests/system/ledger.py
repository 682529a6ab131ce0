"""What the database guest writes (lab/netguest/ledger.hpp), told to whoever checks it; and, as a program, the client
that is told of each commit: `ledger.py HOST PORT FILE`, until its standard input ends.

It writes a line "mono_ns id chain" for each commit into FILE, says "ready" with the first and, in the end, one JSON
object: commits, the longest silence between two in ms, and what broke the connection or the order (or null)."""
import json
import select
import socket
import sqlite3
import struct
import sys
import time

ACCOUNTS, NOTES, FIRST_CHAIN, FIRST_BALANCE = 1000, 512, 0x5e60, 1_000_000
MASK = (1 << 64) - 1


def mix(x):
    x = (x + 0x9e3779b97f4a7c15) & MASK
    x = ((x ^ x >> 30) * 0xbf58476d1ce4e5b9) & MASK
    x = ((x ^ x >> 27) * 0x94d049bb133111eb) & MASK
    return x ^ x >> 31


def entries():
    """(id, source, target, amount, chain, seed, note) of every transaction, for ever."""
    chain, number = FIRST_CHAIN, 0
    while True:
        number += 1
        seed = mix((chain + number) & MASK)
        chain = mix(seed)
        yield number, seed % ACCOUNTS, (seed >> 16) % ACCOUNTS, (seed >> 32) % 1000, chain, seed, (seed >> 48) % NOTES


def body(seed):
    return struct.pack('<256Q', *(mix((seed + i) & MASK) for i in range(256)))


def fault_of(path, last_told):
    """(transactions in the database, what is wrong with it or None): every row of every table against what must be
    there, by a SQLite that is not the guest's."""
    db = sqlite3.connect(path)
    said = [row[0] for row in db.execute('PRAGMA integrity_check')]
    if said != ['ok']:
        return 0, f'integrity_check: {said[:3]}'
    rows = db.execute('SELECT id, source, target, amount, chain FROM ledger ORDER BY id').fetchall()
    if len(rows) < last_told:
        return len(rows), f'LOST COMMITS: {last_told} were told, {len(rows)} are there'
    balances, notes = dict.fromkeys(range(ACCOUNTS), FIRST_BALANCE), {slot: slot for slot in range(NOTES)}
    for row, (number, source, target, amount, chain, seed, note) in zip(rows, entries()):
        if row[:4] != (number, source, target, amount) or row[4] & MASK != chain:
            return len(rows), f'entry {number} is {row}'
        balances[source] -= amount
        balances[target] += amount
        notes[note] = seed
    if dict(db.execute('SELECT id, balance FROM account')) != balances:
        return len(rows), 'the balances are not those of the ledger'
    found = dict(db.execute('SELECT slot, body FROM note'))
    wrong = [slot for slot, seed in notes.items() if found.pop(slot, None) != body(seed)]
    if wrong or found:
        return len(rows), f'{len(wrong)} notes are not those of the ledger, {len(found)} too many'
    db.close()
    return len(rows), None


def listen(host, port, path):
    told, expected, longest, last_ns, broken = 0, entries(), 0, None, None
    rest = b''
    with socket.create_connection((host, port), 10) as s, open(path, 'w', buffering=1) as out:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        while not broken:
            ready = select.select([s, sys.stdin], [], [])[0]
            if sys.stdin in ready:
                break
            try:
                data = s.recv(65536)
            except OSError as error:
                broken = str(error)
                break
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
            if not data:
                broken = 'the guest closed the connection'
            if last_ns:
                longest = max(longest, now - last_ns)
            last_ns = now
            *lines, rest = (rest + data).split(b'\n')
            for line in lines:
                number, _, _, _, chain, _, _ = next(expected)
                if line.decode() != f'{number} {chain:016x}':
                    broken = f'{line} came where {number} {chain:016x} was due'
                    break
                told = number
                out.write(f'{now} {line.decode()}\n')
                if told == 1:
                    print('ready', flush=True)
    print(json.dumps({'commits': told, 'longest_silence_ms': longest / 1e6, 'broken': broken}))


if __name__ == '__main__':
    listen(sys.argv[1], int(sys.argv[2]), sys.argv[3])
