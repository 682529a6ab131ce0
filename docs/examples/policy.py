#!/usr/bin/python3
"""A policy for `segue migrate --policy exec:docs/examples/policy.py`: docs/policy-protocol.md has every field.

Lets the guest run until its backlog falls no more, then brakes it once, just so far that it comes below the budget.
"""
import json
import sys


def work_for(curve, dirtied):
    """Seconds of guest work that dirty so many bytes; the curve is straight between its points."""
    x0 = y0 = 0
    for x, y in curve:
        if y > dirtied:
            return x0 + (x - x0) * (dirtied - y0) / (y - y0)
        x0, y0 = x, y
    return x0


for line in sys.stdin:
    view = json.loads(line)
    backlogs = [p['backlog_bytes'] for p in view['passes']]
    budget, rate = view['budget_bytes'], view['bandwidth_bytes_per_second']
    answer = {'segue_policy': 1, 'view': view['view'], 'action': 'carry-on',
              'because': f'{backlogs[-1]} bytes left, budget {budget}'}
    if rate and not view['switchover_allowed'] and backlogs[-1] < 2 * budget:
        answer['action'] = 'allow-switchover'
    elif rate and budget > 0 and len(backlogs) > 2 and backlogs[-1] > 0.8 * backlogs[-2]:
        enough = work_for(view['outlook']['curve'], budget) / (budget / rate)
        shares = [step['share_ratio'] for step in view['brake']]
        answer['share_ratio'] = max([s for s in shares if s <= enough], default=shares[0])
    print(json.dumps(answer), flush=True)
