"""The bandwidth that Segue works with, at every dirty sync after pass 1, against what the shaped link really carries.

The link counts whole frames, so the truth for a payload is 1448/1514 of its rate. Nothing is paced: the shaper alone
limits. What Segue believed is read from the record of its decisions, as its policy was shown it. A machine whose CPUs
are busy elsewhere keeps the shaper itself from carrying its rate: a dirty sync before which the frames on the wire,
counted apart from Segue, fell short of it is left out, and held against what those frames were instead. Where most are,
only that roughness can be judged, and is.
"""
import json
import os
import statistics
import subprocess

from harness import Move, require
from segue_lab import ADDRESS
from watching import mono_ns_of

PAYLOAD = 1448 / 1514
MEDIAN_MAX, P95_MAX = 0.02, 0.05
WINDOW_MS = 450  # The nine windows of 50 ms that the estimate looks back to.
CARRIED_LEAST, SYNCS_LEAST = 0.99, 8
ROUGH_MEDIAN_MAX = 0.1  # Of what the frames were, where they stalled.
RATES = (25, 50, 100, 200)  # MiB/s
# Idle: one pass and no more. Half-zero: pass 1 ends with a phase in which only zero pages are told of; then passes
# without end, since it dirties as fast as the link carries.
GUESTS = {'idle': 'pattern=idle', 'half-zero': 'fill=50 hot=48 rate={rate}'}

errors, inside = {}, []  # (guest, rate) -> relative errors of the middle; whether the truth lies in the band
left_out = []  # Relative errors against the frames.


def cases(long_form):
    for rate in RATES if long_form else (50, 200):
        for guest in GUESTS:
            for run in range(3 if long_form else 1):
                yield (f'{guest} at {rate} MiB/s' + (f' #{run + 1}' if long_form else ''),
                       lambda lab, g=guest, r=rate, s=run: one(lab, g, r, s))


    yield 'a host whose TCP is BBR', bbr_host


def bbr_host(lab):
    """A capped stream gets CUBIC there, for pass 1 to fill its cap (docs/adr/0011); one without a cap keeps BBR."""
    with open('/proc/sys/net/ipv4/tcp_available_congestion_control') as f:
        known = f.read().split()
    if 'bbr' not in known or 'cubic' not in known:
        return f'this kernel has only {known}'
    route(lab, 'congctl', 'bbr')
    lab.link_rate('110MiB/s')
    try:
        require(control(lab, known)[0] == 'bbr', 'a stream without a cap does not have what the route asks for')
        name, rate = control(lab, known, '--max-bandwidth', '100MiB/s')
        require(name == 'cubic', f'the capped stream of a host with BBR is controlled by {name}')
        return f'{rate:.1f} MiB/s of frames in pass 1, capped at 100'
    finally:
        lab.link_rate('100MiB/s')
        route(lab)


def control(lab, known, *cap):
    """What controls the stream of a move, and the frames of pass 1 in MiB/s."""
    names = []

    def look():
        seen = lab.run('a', ['ss', '-tinH', 'state', 'established', 'dst', ADDRESS['b']], capture_output=True,
                       text=True)
        names.extend(word for word in seen.stdout.split() if word in known)

    with Move(lab, '10', 'pattern=idle', options=['--max-downtime', '300ms', '--timeout', '10s', *cap],
              meter=True) as move:
        move.on_status('active', look, 0.3)
        move.run(40)
        move.require_moved()
        require(len(set(names)) == 1, f'its stream was not seen, or as several: {names}')
        began = ms_of(move.at_src.find('MIGRATION', status='active'))
        return names[0], sum_of(move.meter.bins(), began + 200, began + 1000) / 0.8 / 2**20


def route(lab, *options):
    """To the other host, as the lab has it, but for these options."""
    network = ADDRESS['b'].rsplit('.', 1)[0] + '.0/24'
    done = subprocess.run(['ip', '-n', lab.netns('a'), 'route', 'replace', network, 'dev', 'eth0', 'proto', 'kernel',
                           'scope', 'link', 'src', ADDRESS['a'], *options], capture_output=True, text=True)
    require(done.returncode == 0, f'ip route: {done.stderr.strip()}')


def one(lab, guest, rate, seed):
    lab.link_rate(f'{rate}MiB/s')
    try:
        words = GUESTS[guest].format(rate=rate) + f' seed={seed + 1}'
        options = ['--max-downtime', '300ms', '--timeout', '10s']
        with Move(lab, '10', words, options=options, meter=True) as move:
            move.run(40)
            move.require_exit(0, 3, 4)
            views = [view for view in views_of(lab) if len(view['passes']) > 1]
            bands = [(band_of(view), sync_ms(move, view)) for view in views]
            if not bands:  # An idle guest may be gone at the second sync: then what the switchover was decided by.
                end = move.result['bandwidth_bytes_per_second']
                require(end, f'nothing is known of the link: {move.decisions()[-300:]}')
                bands = [({'p10': end, 'p50': end, 'p90': end}, ms_of(move.at_src.find('STOP')))]
            return judge(guest, rate, bands, move.meter.bins())
    finally:
        lab.link_rate('100MiB/s')


def views_of(lab):
    folder = os.path.join(lab.state_dir('a'), 'decisions')
    with open(os.path.join(folder, max(os.listdir(folder)))) as f:
        lines = [json.loads(line) for line in f]
    return [line for line in lines if line['type'] == 'view']


def band_of(view):
    return {name: float(value) for name, value in view['outlook']['bandwidth_bytes_per_second'].items()}


def ms_of(event):
    return mono_ns_of(event.stamp) // 1_000_000


def sync_ms(move, view):
    number = view['passes'][-1]['number']
    return ms_of(next(seen for seen in move.at_src.events
                      if seen.name == 'MIGRATION_PASS' and seen.data['pass'] == number))


def carried(bins, until, rate):
    """The part of its rate that the link carried when it was last in use before `until`; zero pages are no use.
    None: it never was."""
    used = [ms for ms, count in bins if ms <= until and count]
    steps = range(until, max(used[0], until - 3000) if used else until, -50)
    end = next((at for at in steps if sum_of(bins, at - 50, at) > 0.9 * rate * 0.05), None)
    return None if end is None else sum_of(bins, end - WINDOW_MS, end) / (rate * WINDOW_MS / 1e3)


def sum_of(bins, from_ms, to_ms):
    return sum(count for ms, count in bins if from_ms < ms <= to_ms)


def judge(guest, rate, bands, bins):
    frames = rate * 2**20
    truth = frames * PAYLOAD
    off = []
    for band, at in bands:
        part = carried(bins, at, frames)
        if part is None:
            continue
        if part < CARRIED_LEAST:
            left_out.append(band['p50'] / truth / part - 1)
            continue
        off.append(band['p50'] / truth - 1)
        inside.append(band['p10'] <= truth <= band['p90'])
    errors.setdefault((guest, rate), []).extend(off)
    if not off:
        return f'{len(bands)} syncs, and the machine kept the link from its rate at each'
    return f'{off[0]:+.2%} first, of {len(off)} syncs {figures(off)}; {len(bands) - len(off)} left out'


def figures(off):
    sizes = sorted(map(abs, off))
    return f'median {statistics.median(sizes):.2%}, P95 {p95(sizes):.2%}, worst {sizes[-1]:.2%}'


def p95(sizes):
    return sorted(sizes)[min(len(sizes) - 1, int(0.95 * len(sizes)))]


def final(_):
    sizes = [abs(e) for off in errors.values() for e in off]
    if not errors:
        return
    for (guest, rate), off in sorted(errors.items()):
        yield f'{guest} at {rate} MiB/s', None, f'{len(off)} syncs' + (f', {figures(off)}' if off else '')
    if len(sizes) < SYNCS_LEAST:
        rough = [abs(e) for e in left_out] + sizes
        yield ('error of the bandwidth', len(rough) >= SYNCS_LEAST and statistics.median(rough) <= ROUGH_MEDIAN_MAX,
               f'only {len(sizes)} syncs with the link full, {len(left_out)} without: this machine is too busy, run it '
               f'alone. Against the frames: median {statistics.median(rough):.2%}, goal {ROUGH_MEDIAN_MAX:.0%}')
        return
    good = statistics.median(sizes) <= MEDIAN_MAX and p95(sizes) <= P95_MAX
    yield ('error of the bandwidth', good,
           f'{len(sizes)} syncs, {figures(sizes)}; goal {MEDIAN_MAX:.0%} and {P95_MAX:.0%}; the truth lies in the band '
           f'{statistics.mean(inside):.0%} of the time; {len(left_out)} left out')
