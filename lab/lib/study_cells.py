"""What lab/study runs: cells, contenders, the file of results, and which runs are still to be done."""
import collections
import json
import os

MEMORY_MIB, LINK_MIB_S = 512, 100
MAX_DOWNTIME_MS, MIN_CPU, MAX_STALL_MS = 300, 0.05, 150
AFTER_S = 10.0  # The guest's work is counted so long beyond the move.
HOT_MIB, RATIOS = (100, 200, 300), (2, 5, 10)

Cell = collections.namedtuple('Cell', 'hot ratio')  # MiB; dirty rate over link rate
CELLS = tuple(Cell(hot, ratio) for ratio in RATIOS for hot in HOT_MIB)
PEERS = ('auto-converge', 'auto-converge 95')


def cell_name(cell):
    return f'{cell.hot}x{cell.ratio}'


def parse_cells(text):
    """'100x2,300x10' -> cells; ValueError names what is wrong."""
    known = {cell_name(cell): cell for cell in CELLS}
    cells = []
    for word in text.split(','):
        if word not in known:
            raise ValueError(f"no cell '{word}': they are " + ', '.join(known))
        cells.append(known[word])
    return cells


def segue_contender(aggression):
    return f'segue {aggression:g}'


def plan(cells, contenders, pairs):
    """Every run as (pair, cell, contender), interleaved: who comes first changes from pair to pair."""
    for pair in range(1, pairs + 1):
        for cell in cells:
            first = (pair - 1) % len(contenders)
            for contender in contenders[first:] + contenders[:first]:
                yield pair, cell, contender


class Results:
    """A file of JSON lines, one per run and per calibration; a run that is there is not repeated."""

    def __init__(self, path):
        self.path, self.lines = path, []
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        if os.path.exists(path):
            with open(path) as f:
                text = f.read()
            # What was being written when somebody stopped the study has no newline, and is no result.
            whole = text[: text.rfind('\n') + 1]
            self.lines = [json.loads(line) for line in whole.splitlines()]
            if whole != text:
                with open(path, 'w') as f:
                    f.write(whole)

    def add(self, line):
        with open(self.path, 'a') as f:
            f.write(json.dumps(line) + '\n')
            f.flush()
            os.fsync(f.fileno())
        self.lines.append(line)

    def has(self, pair, cell, contender, undisturbed=False):
        return any((r['pair'], Cell(r['hot'], r['ratio']), r['contender']) == (pair, cell, contender)
                   and not (undisturbed and r['disturbed']) for r in self.runs())

    def runs(self):
        """The newest of each pair, cell and contender."""
        newest = {(r['pair'], r['hot'], r['ratio'], r['contender']): r for r in self.lines if r['type'] == 'run'}
        return list(newest.values())

    def calibration(self, cell):
        """The newest for this cell, or None."""
        found = [line for line in self.lines if line['type'] == 'calibration'
                 and Cell(line['hot'], line['ratio']) == cell]
        return found[-1] if found else None
