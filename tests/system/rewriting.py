#!/usr/bin/python3
"""Stands between segue and segue receive and rewrites what the destination says: another host, an older segue.

    rewriting.py JSON COMMAND...    JSON: {"set": {"host_facts.boot": "x"}, "drop": ["disks"]}, within the facts of
                                    `prepared`, and {"features": [...]} of its `hello`"""
import json
import subprocess
import sys
import threading


def rewritten(line, change):
    message = json.loads(line)
    if message.get('type') == 'hello' and 'features' in change:
        message['features'] = change['features']
    if message.get('type') == 'prepared':
        for path, value in change.get('set', {}).items():
            place = message['facts']
            *folders, last = path.split('.')
            for name in folders:
                place = place[int(name)] if name.isdigit() else place[name]
            place[last] = value
        for name in change.get('drop', []):
            del message['facts'][name]
    return json.dumps(message).encode() + b'\n'


def main():
    change = json.loads(sys.argv[1])
    child = subprocess.Popen(sys.argv[2:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def forward():
        for line in sys.stdin.buffer:
            child.stdin.write(line)
            child.stdin.flush()
        child.stdin.close()

    threading.Thread(target=forward, daemon=True).start()
    for line in child.stdout:
        sys.stdout.buffer.write(rewritten(line, change))
        sys.stdout.buffer.flush()
    return child.wait()


if __name__ == '__main__':
    sys.exit(main())
