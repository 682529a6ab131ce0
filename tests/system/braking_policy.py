#!/usr/bin/python3
"""A policy that surely brakes: braking_policy.py SHARE GO. From its first view on every vCPU is held at SHARE; from the
dirty sync GO on the guest may stop (`never`: it may not)."""
import json
import sys

share, go = float(sys.argv[1]), sys.argv[2]
for line in sys.stdin:
    view = json.loads(line)
    passes = view['passes'][-1]['number'] if view['passes'] else 0
    allowed = [step['share_ratio'] for step in view['brake'] if step['share_ratio'] >= share]
    answer = {'segue_policy': 1, 'view': view['view'], 'action': 'carry-on', 'share_ratio': min(allowed, default=1.0),
              'because': f'pass {passes} under the brake'}
    if go != 'never' and passes >= int(go):
        answer['action'] = 'allow-switchover'
    print(json.dumps(answer), flush=True)
