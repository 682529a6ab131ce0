"""Wrong turns that need no guest: words, settings, descriptions. Each line of the table is one; it answers with exit
status 2 and one sentence that names what is wrong, and touches nothing: no state folder is made, no file is changed.

By itself: python3 tests/system/wrong_turns.py PROGRAM"""
import os
import re
import subprocess
import sys
import tempfile

VM = 'name = "web1"\ncommand = ["true"]\n'
MOVE = ['migrate', 'qmp:/run/a.qmp', '--dst-qmp', '/run/b.qmp', '--data-address', '10.77.0.2']
SSH = ['migrate', 'qmp:/run/a.qmp', '--dst-qmp', '/run/b.qmp', '--to', 'ssh://root@host2']
SITE, HOST, OTHER, WEB1 = 'site.toml', 'hosts/host1.toml', 'hosts/host2.toml', 'vms/web1.toml'
EXPLAIN = ['config', 'explain', 'web1']
CHECK = ['config', 'check']


def site(text):
    return {SITE: text}


# What stands in $SEGUE_CONFIG, the words, what the sentence must hold.
TURNS = [
    # commands
    ({}, [], ['no command is given', 'segue --help']),
    ({}, ['migrat', 'web1'], ['"migrat" is not a command', 'did you mean segue migrate']),
    ({}, ['web1'], ['"web1" is not a command', 'segue knows migrate']),
    ({}, ['--json', 'status'], ['--json stands before the command']),
    ({}, ['qmp:/run/a.qmp'], ['did you mean segue migrate qmp:/run/a.qmp']),
    ({}, ['start', 'web1'], ['"start" is not a command', 'did you mean segue vm start']),
    ({}, ['list'], ['did you mean segue vm list']),
    ({}, ['help', 'migrat'], ['"migrat" is not a command', 'did you mean segue migrate']),
    # where from and where to
    ({}, ['migrate'], ['no VM is given']),
    ({}, ['migrate', '/run/a.qmp'], ['is a path', 'did you mean qmp:/run/a.qmp']),
    ({}, ['migrate', 'libvirt:qemu:///system#web1'], ['libvirt', 'not supported']),
    ({}, ['migrate', 'web1'], ["web1 is a VM's name", '--to ssh://USER@HOST']),
    ({}, ['migrate', 'web1', '--to', 'host2'], ['--to "host2"', 'ssh://']),
    ({}, ['migrate', 'web1', 'ssh://root@host2'], ['one word too many', 'did you mean --to ssh://root@host2']),
    ({}, ['migrate', 'web1', '-to', 'ssh://root@host2'], ['-to is not an option', 'did you mean --to']),
    ({}, ['migrate', 'web1', '--to', 'ssh://'], ['has no valid host name', 'for example ssh://root@host2']),
    ({}, ['plan'], ['no VM is given']),
    ({}, ['plan', 'web1', '--to', 'ssh://root@host2', '--no-forecast'], ['leave --no-forecast out']),
    ({}, ['plan', 'web1', '--to', 'ssh://root@host2'], ['no VM "web1" is known on this host', 'segue vm list']),
    ({}, ['migrate', 'web1', '--to', 'ssh://root@host2'], ['no VM "web1" is known on this host']),
    ({}, ['migrate', 'web1', '--to', 'ssh://host2', '--dst-qmp', '/run/b'], ['leave --dst-qmp out']),
    ({}, ['migrate', 'qmp:/run/a.qmp'], ['--dst-qmp is missing']),
    ({}, ['migrate', 'qmp:/run/a.qmp', '--dst-qmp', '/run/b.qmp'], ['--data-address is missing']),
    ({}, MOVE[:-1] + ['10.77.0.2:99999'], ['--data-address', 'no valid port']),
    ({}, MOVE[:-1] + ['0.0.0.0'], ['--data-address', "destination's own address"]),
    ({}, MOVE[:-1] + ['10.77.0.2:5000-5010'], ['range of ports', 'needs --to']),
    ({}, MOVE + ['--unsafe=yes'], ['--unsafe takes no value']),
    # bounds
    ({}, MOVE + ['--max-downtime', '300'], ['--max-downtime', 'for example --max-downtime 300ms']),
    ({}, MOVE + ['--max-bandwidth', '100Mb/s'], ['--max-bandwidth', 'Mbit/s']),
    ({}, MOVE + ['--max-downtime=1s', '--max-suspend-time=1s'], ['are the same bound']),
    ({}, MOVE + ['--timeout', '0'], ['--timeout cannot be 0', 'leave it out']),
    ({}, MOVE + ['--timeout'], ['--timeout has no value']),
    ({}, MOVE + ['--dry-run=yes'], ['--dry-run takes no value']),
    # a site's settings, as a move reads them
    (site('max_downtime = 300\n'), MOVE, [r'site\.toml:1:16: max_downtime is a number', 'for example']),
    (site('max_downtimes = "1s"\n'), MOVE,
     [r'site\.toml:1:1: "max_downtimes" is not known', 'did you mean max_downtime']),
    (site('\nmin_cpu = "0.2"\n'), MOVE, [r'site\.toml:2:11: min_cpu', 'percent']),
    (site('max_stall = "1ms"\n'), MOVE, [r'site\.toml:1:13: max_stall 1 ms is out of range: give 20 ms to 10 s']),
    (site('aggression = 2\n'), MOVE, [r'site\.toml:1:14: aggression 2 is out of range']),
    (site('aggression = "high"\n'), MOVE, [r'site\.toml:1:14: aggression is a string']),
    (site('timeout "1h"\n'), MOVE, [r'site\.toml:1:\d+: it is no TOML']),
    (site('preset = "ganetti"\n'), MOVE, [r'site\.toml:1:10: preset', 'did you mean ganeti']),
    (site('migration_bandwidth = 32\n'), MOVE, ['belongs to preset = "ganeti"', 'max_bandwidth = "32 MiB/s"']),
    (site('preset = "ganeti"\nmigration_downtime = "30ms"\n'), MOVE, ['not a whole number, as Ganeti has it', 'of ms']),
    (site('preset = "ganeti"\nmigration_downtime = 30\nmax_downtime = "1s"\n'), MOVE, ['are the same limit']),
    (site('data_address = "10.0.0.1"\n'), MOVE, ['data_address belongs to hosts/NAME.toml']),
    (site('data_ports = "9-1"\n'), SSH, ['data_ports', 'FIRST-LAST']),
    (site('[limits]\nmax_downtime = "1s"\n'), MOVE, [r'\[limits\] belongs to a VM', 'without a table']),
    (site('timeout = "2s"\n'), MOVE + ['--max-downtime', '3s'], ['timeout 2 s', r'site\.toml:1', '--max-downtime']),
    # locks
    (site('max_bandwidth = "1GiB/s"\nlock = ["max_bandwidth"]\n'), MOVE + ['--max-bandwidth', '2GiB/s'],
     ['--max-bandwidth cannot be given', r'site\.toml:2 locks max_bandwidth', r'1 GiB/s there', 'leave it out']),
    (site('lock = ["max_downtime"]\n'), MOVE + ['--max-downtime', '1s'], ['--max-downtime cannot be given']),
    (site('lock = ["data_ports"]\n'), SSH + ['--data-address', '10.0.0.2:4444'],
     ['--data-address HOST:PORT cannot be']),
    (site('lock = ["bandwidth"]\n'), MOVE, [r'site\.toml:1:9: lock names "bandwidth"', 'max_bandwidth']),
    (site('lock = "timeout"\n'), MOVE, [r'lock is a string, not an array']),
    ({SITE: 'lock = ["timeout"]\n', HOST: 'timeout = "1h"\n'}, MOVE,
     [r'hosts/host1\.toml:1:1: timeout cannot be set here', r'site\.toml:1 locks it', 'take it away']),
    ({SITE: 'lock = ["timeout"]\n', WEB1: VM + '[limits]\ntimeout = "1h"\n'}, EXPLAIN,
     [r'web1\.toml:4:1: timeout cannot be set here', r'site\.toml:1']),
    ({SITE: 'lock = ["preset"]\n', HOST: 'preset = "maintenance"\n'}, MOVE, ['preset cannot be chosen here']),
    # a host's settings
    ({HOST: 'lock = ["timeout"]\n'}, MOVE, ['lock belongs to site.toml']),
    ({HOST: 'migration_bandwidth = 32\n'}, MOVE, ['migration_bandwidth belongs to site.toml']),
    ({OTHER: 'data_address = "10.0.0.2:4444"\n'}, SSH, [r'host2\.toml:1:16: data_address', 'data_ports']),
    ({OTHER: 'data_address = "10.0.0.300"\n'}, SSH, [r'host2\.toml:1:1: ', 'is no IPv4 address']),
    # questions
    ({}, ['config'], ['segue config needs a word: explain or check']),
    ({}, ['config', 'chek'], ['did you mean segue config check']),
    ({}, ['config', 'explain'], ['no VM is given']),
    ({}, EXPLAIN, ['no VM "web1" is known on this host: describe it in']),
    ({}, ['config', 'explain', 'we b'], ['"we b" is no VM']),
    ({}, EXPLAIN + ['--jsn'], ['did you mean --json']),
    ({WEB1: VM + '[limits]\nmin_cpu = 20\n'}, EXPLAIN, [r'web1\.toml:4: min_cpu is a number', '1% to 100%']),
    ({WEB1: VM + '[limits]\nmigration_downtime = 30\n'}, EXPLAIN, ['belongs to preset = "ganeti"']),
    ({WEB1: VM + '[limits]\nlock = []\n'}, EXPLAIN, [r'web1\.toml:4: "lock" is not known in \[limits\]']),
    ({'settings.toml': ''}, CHECK, [r'settings\.toml: nobody reads it', 'site.toml']),
    ({WEB1: VM.replace('web1', 'web2')}, CHECK, ['its name is "web2"', 'make them alike']),
    ({OTHER: 'timeot = "1h"\n'}, CHECK, [r'host2\.toml:1:1: "timeot" is not known: did you mean timeout']),
    ({}, CHECK + ['web1'], ['segue config check takes no word']),
    ({}, ['doctor', 'host2'], ['segue doctor takes no word', '--host ssh://USER@HOST']),
    ({}, ['doctor', '--host'], ['--host has no value']),
    ({}, ['doctor', '--host', 'host2'], ['"host2"', 'ssh://']),
    ({}, ['vm', 'sart', 'web1'], ['did you mean segue vm start']),
    ({}, ['vm', 'start', 'web1'], ['no VM "web1" is known on this host']),
    ({}, ['status', 'web1'], ['is no number of a move', 'segue history']),
    ({}, ['cancel'], ['no JOB is given']),
    ({}, ['recover', '--fenced', 'host2'], ['--confirm']),
    ({}, ['recover', '5'], ['there is no job 5']),
    ({}, ['vm', 'check', 'web1'], ['no VM "web1" is known', 'give the path of its file']),
    ({}, ['explain'], ['no job is given', 'segue history']),
    ({}, ['explain', 'web1'], ['is no job', 'segue explain 42']),
    ({}, ['explain', '2'], ['no record of decisions of job 2', "only the source's host", 'segue history']),
    ({}, ['replay', '2', '--policy', 'best'], ['give converge, patient or auto-converge']),
]


def tree(folder):
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            with open(path, encoding='utf-8') as f:
                found[path] = (os.stat(path).st_mtime_ns, f.read())
    return found


def take(program, turn):
    """What is not as it must be, or nothing."""
    files, words, says = turn
    with tempfile.TemporaryDirectory() as folder:
        config, state = os.path.join(folder, 'etc'), os.path.join(folder, 'state')
        os.mkdir(config)
        for name, text in files.items():
            path = os.path.join(config, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='utf-8') as f:
                f.write(text)
        before = tree(config)
        env = {'PATH': os.environ['PATH'], 'SEGUE_CONFIG': config, 'SEGUE_STATE': state, 'SEGUE_HOST': 'host1'}
        done = subprocess.run([program, *words], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=20)
        text = done.stderr  # Standard output may hold a result line of JSON.
        if done.returncode != 2:
            return f'{words}: exit {done.returncode} instead of 2: {text[-300:]}'
        if len(text.splitlines()) != 1 or not text.startswith('segue: '):
            return f'{words}: not one sentence of segue: {text}'
        missing = [pattern for pattern in says if not re.search(pattern, text)]
        if missing:
            return f'{words}: {missing} is not in: {text}'
        if os.path.exists(state) or tree(config) != before:
            return f'{words}: something was touched'
        return None


def take_all(program):
    """How many there are, and what is wrong with which."""
    return len(TURNS), [wrong for wrong in (take(program, turn) for turn in TURNS) if wrong]


if __name__ == '__main__':
    COUNT, WRONG = take_all(os.path.realpath(sys.argv[1]))
    print(*WRONG, f'{COUNT} wrong turns, {len(WRONG)} not answered as they must be', sep='\n')
    sys.exit(1 if WRONG else 0)
