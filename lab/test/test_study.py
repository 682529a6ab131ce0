"""lab/study: what it runs and in which order, how it counts, and how it judges."""
import contextlib
import io
import os
import sys
import tempfile
import unittest
import unittest.mock

from labtest import LAB, LabCase, report

sys.path.insert(0, os.path.join(os.path.dirname(LAB), 'tests', 'system'))
import study_forecast  # noqa: E402
import study_loop  # noqa: E402
import study_rows  # noqa: E402
import study_run  # noqa: E402
import study_table  # noqa: E402
from segue_lab import LabError  # noqa: E402
from study_cells import CELLS, PEERS, Cell, Results, parse_cells, plan, segue_contender  # noqa: E402

OURS = segue_contender(0.5)
GOOD = {'type': 'run', 'pair': 1, 'finished': True, 'error': '', 'whole': True, 'disturbed': False, 'total_s': 10.0,
        'wire_bytes': 10 << 20, 'lost_s': 1.0, 'stop_to_resume_ms': 250.0, 'gap_ms': 260.0, 'calm_ms': 8.0,
        'lowest_share': 0.06, 'stall_ms': 120.0, 'wire_worst_ratio': 1.0}


def run(cell, contender, **figures):
    return {**GOOD, 'hot': cell.hot, 'ratio': cell.ratio, 'contender': contender, **figures}


def peers_of(cells, **figures):
    return [run(cell, peer, **{'total_s': 25.0, 'wire_bytes': 25 << 20, 'lost_s': 5.0, **figures})
            for cell in cells for peer in PEERS]


class Plan(unittest.TestCase):
    def test_contenders_take_turns_and_who_is_first_changes(self):
        cells = parse_cells('100x2,300x10')
        order = list(plan(cells, [*PEERS, OURS], 3))
        self.assertEqual(len(order), len(set(order)))
        self.assertEqual(len(order), 2 * 3 * 3)
        self.assertEqual([r[2] for r in order if r[1] == cells[0]][::3], ['auto-converge', 'auto-converge 95', OURS])

    def test_a_cell_that_is_none_is_named(self):
        with self.assertRaisesRegex(ValueError, "no cell '100x3'"):
            parse_cells('100x2,100x3')

    def test_a_run_that_is_there_is_not_repeated_and_half_a_line_is_no_run(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, 'r.jsonl')
            results = Results(path)
            results.add(run(CELLS[0], OURS))
            results.add({'type': 'calibration', 'hot': 100, 'ratio': 2, 'work': 9})
            with open(path, 'a') as f:
                f.write('{"type": "run", "pa')
            again = Results(path)
            self.assertTrue(again.has(1, CELLS[0], OURS))
            self.assertFalse(again.has(2, CELLS[0], OURS))
            self.assertEqual(again.calibration(CELLS[0])['work'], 9)
            self.assertIsNone(again.calibration(CELLS[1]))
            again.add(run(CELLS[1], OURS))
            self.assertEqual(len(Results(path).runs()), 2)

    def test_a_disturbed_run_can_be_repeated_and_the_newer_one_counts(self):
        with tempfile.TemporaryDirectory() as folder:
            results = Results(os.path.join(folder, 'r.jsonl'))
            results.add(run(CELLS[0], OURS, disturbed=True, lost_s=9.0))
            self.assertTrue(results.has(1, CELLS[0], OURS))
            self.assertFalse(results.has(1, CELLS[0], OURS, undisturbed=True))
            results.add(run(CELLS[0], OURS))
            self.assertEqual([r['lost_s'] for r in results.runs()], [1.0])


class Loop(unittest.TestCase):
    """A run is (name, seed); the lab breaks as often as `trouble` says by name."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path, self.trouble, self.made, self.stolen = os.path.join(folder.name, 'r.jsonl'), {}, [], []

    def one(self, lab, name, seed):
        self.assertEqual(lab, 'the lab')
        self.made.append((name, seed))
        if self.trouble.get(name, 0) > 0:
            self.trouble[name] -= 1
            raise LabError('no QEMU')
        return {'type': 'x', 'name': name, 'seed': seed}

    def run_all(self, wanted):
        results = Results(self.path)
        done = {(line['name'], line['seed']) for line in results.lines}
        theft = unittest.mock.Mock(**{'return_value': unittest.mock.Mock()})
        type(theft.return_value).share = unittest.mock.PropertyMock(
            side_effect=lambda: self.stolen.pop(0) if self.stolen else 0.0)
        with contextlib.redirect_stdout(io.StringIO()) as said, unittest.mock.patch('time.sleep'), \
                unittest.mock.patch('study_loop.wait_for_calm'), unittest.mock.patch('study_loop.Theft', theft):
            broken = study_loop.run_all(results, wanted, done.__contains__, contextlib.nullcontext('the lab'),
                                        self.one, lambda line: f"told {line['name']}",
                                        lambda name, seed: f'{name} #{seed}')
        return broken, said.getvalue()

    def test_it_goes_on_where_it_was(self):
        self.assertEqual(self.run_all([('a', 1), ('b', 1)])[0], 0)
        self.made.clear()
        broken, said = self.run_all([('a', 1), ('b', 1), ('a', 2)])
        self.assertEqual((broken, self.made), (0, [('a', 2)]))
        self.assertIn('1 of 3 runs to do', said)
        self.assertIn('told a', said)
        self.assertEqual([(line['name'], line['seed']) for line in Results(self.path).lines],
                         [('a', 1), ('b', 1), ('a', 2)])

    def test_a_run_that_the_lab_breaks_is_tried_again_and_counted_when_it_never_comes(self):
        self.trouble = {'a': 1, 'b': study_loop.TRIES}
        broken, said = self.run_all([('a', 1), ('b', 1), ('c', 1)])
        self.assertEqual(broken, 1)
        self.assertEqual(self.made, [('a', 1), ('a', 1), ('b', 1), ('b', 1), ('c', 1)])
        self.assertEqual([line['name'] for line in Results(self.path).lines], ['a', 'c'])
        self.assertIn('b #1: the lab broke, try 2: no QEMU', said)

    def test_a_run_that_the_machine_below_disturbed_is_made_again_and_the_newest_counts(self):
        self.stolen = [0.2, 0.01, 0.1, 0.1, 0.1, 0.0]
        broken, said = self.run_all([('a', 1), ('b', 1), ('c', 1)])
        self.assertEqual(broken, 0)
        self.assertEqual(self.made, [('a', 1)] * 2 + [('b', 1)] * 3 + [('c', 1)])
        self.assertIn('told a; DISTURBED: the machine below took 20% of the CPUs', said)
        lines = Results(self.path).lines
        self.assertEqual([line['disturbed'] for line in lines], [True, False, True, True, True, False])
        newest = study_loop.newest(lines, lambda line: line['name'])
        self.assertEqual([(line['name'], line['disturbed']) for line in newest],
                         [('a', False), ('b', True), ('c', False)])
        self.assertEqual(study_loop.done(lines[:3], lambda line: line['name']), {'a'})
        self.assertEqual(study_loop.done(lines, lambda line: line['name']), {'a', 'b', 'c'})


class Counting(unittest.TestCase):
    def test_the_lowest_share_is_that_of_the_worst_second(self):
        samples, ran = [], 0
        for i in range(300):  # 3 s in steps of 10 ms; braked to a tenth from 1 to 2.2 s.
            samples.append(study_run.Sample(i * 10_000_000, ran, 0.0))
            ran += 1_000_000 if 100 <= i < 220 else 10_000_000
        self.assertAlmostEqual(study_run.lowest_share(samples, 0, 3e9), 0.1, places=2)
        self.assertAlmostEqual(study_run.lowest_share(samples, 0, 1.5e9), 0.55, places=1)
        self.assertIsNone(study_run.lowest_share(samples, 0, 0.9e9))

    def test_what_others_use_of_the_core_is_what_the_vcpu_does_not(self):
        samples = [study_run.Sample(int(i * 1e9), int(i * 0.7e9), i * 0.9) for i in range(5)]
        self.assertAlmostEqual(study_run.used_by_others(samples, 0, 5e9), 0.2)

    def test_every_bound_can_be_broken(self):
        self.assertEqual(study_run.bounds_broken(GOOD), [])
        for figures, words in (({'stop_to_resume_ms': 300.5}, 'downtime'), ({'gap_ms': 314.0}, 'heartbeat gap'),
                               ({'lowest_share': 0.049}, 'CPU'), ({'stall_ms': 164.0}, 'stall'),
                               ({'wire_worst_ratio': 1.03}, 'bandwidth')):
            broken = study_run.bounds_broken({**GOOD, **figures})
            self.assertEqual(len(broken), 1, figures)
            self.assertIn(words, broken[0])


class Judging(unittest.TestCase):
    def judged(self, runs):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            reached = study_table.report(runs, [*PEERS, OURS])
        return reached, out.getvalue()

    def test_goals_are_reached_at_their_edge_and_missed_beyond(self):
        ours = [run(cell, OURS) for cell in CELLS]
        reached, text = self.judged(ours + peers_of(CELLS))
        self.assertTrue(reached, text)
        for figure in ('total_s', 'wire_bytes', 'lost_s'):
            slower = [run(cell, OURS, **{figure: GOOD[figure] * 1.05}) for cell in CELLS]
            self.assertFalse(self.judged(slower + peers_of(CELLS))[0], figure)

    def test_one_bad_cell_is_enough(self):
        ours = [run(cell, OURS, lost_s=1.7 if cell == Cell(300, 10) else 0.5) for cell in CELLS]
        reached, text = self.judged(ours + peers_of(CELLS))
        self.assertFalse(reached)
        self.assertIn('median cell 0.10 (at most 0.20), worst 0.34 (at most 0.33)', text)

    def test_at_ratio_two_it_may_not_be_worse(self):
        cell = Cell(200, 2)
        self.assertTrue(self.judged([run(cell, OURS, lost_s=5.0)] + peers_of([cell]))[0])
        self.assertFalse(self.judged([run(cell, OURS, lost_s=5.1)] + peers_of([cell]))[0])

    def test_a_move_that_fails_breaks_a_bound_or_loses_a_page_is_counted(self):
        for figures in ({'finished': False, 'error': 'no'}, {'stop_to_resume_ms': 301.0}, {'whole': False}):
            ours = [run(cell, OURS, **(figures if cell == CELLS[-1] else {})) for cell in CELLS]
            reached, text = self.judged(ours + peers_of(CELLS))
            self.assertFalse(reached)
            self.assertIn('8 of 9 moves succeeded', text)

    def test_peers_alone_are_shown_and_nothing_is_judged(self):
        self.assertIn('no goal can be judged', self.judged(peers_of(CELLS))[1])


class Move(LabCase):
    def test_auto_converge_moves_a_guest_and_every_figure_is_there(self):
        cores = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, cores)
        study_run.stay_on_other_core()
        with study_run.AutoConverge(self.lab, 'hot=8 work=4000', memory_mib=64) as move:
            figures = move.run(after_s=1.0)
        self.assertTrue(figures['finished'] and figures['whole'], figures)
        self.assertGreater(figures['total_s'], 64 / 105)
        self.assertGreaterEqual(figures['wire_bytes'], 64 << 20)
        self.assertGreater(figures['baseline_mib_s'], 1)
        self.assertGreater(figures['gap_ms'], 0)
        self.assertLess(abs(figures['stop_to_resume_ms'] - figures['gap_ms']), 50)
        self.assertLess(figures['lost_s'], figures['total_s'] + 1)
        report(f"64 MiB: {figures['total_s']:.2f} s, lost {figures['lost_s']:.2f} s, STOP to RESUME "
               f"{figures['stop_to_resume_ms']:.0f} ms, heartbeat gap {figures['gap_ms']:.0f} ms")


class Forecast(unittest.TestCase):
    @staticmethod
    def moves(off):
        said = {'total': {'p10': 9.0, 'p50': 10.0 * (1 + off), 'p90': 11.0},
                'downtime': {'p10': 0.09, 'p50': 0.1 * (1 + off), 'p90': 0.11}}
        # Two of ten fall out of their bands, which reach 28 % further than what is said.
        return [{'guest': 'idle', 'seed': i, 'memory_mib': 512, 'outcome': 'moved', 'feasible': True,
                 'total': 10.0 if i % 5 else 12.0, 'downtime': 0.1 if i % 5 else 0.12, 'before': said,
                 'after pass 1': said} for i in range(1, 11)]

    def test_an_error_is_measured_by_what_was_and_a_band_by_what_it_holds(self):
        found = list(study_forecast.pairs(self.moves(0.02), 'before', 'total'))
        self.assertEqual([inside for _, inside in found].count(True), 8)
        self.assertAlmostEqual(found[0][0], 0.02)
        self.assertAlmostEqual(list(study_forecast.pairs(self.moves(0.15), 'before', 'downtime'))[0][0], 1.0)

    def test_a_move_given_up_is_no_error_and_nothing_to_compare_is_no_success(self):
        given_up = [{**line, 'outcome': 'downtime-exceeded'} for line in self.moves(0)]
        self.assertEqual(list(study_forecast.pairs(given_up, 'before', 'total')), [])
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertFalse(study_forecast.report(given_up, 512))
        self.assertIn('nothing to compare', said.getvalue())

    def test_every_goal_that_is_missed_is_named(self):
        with contextlib.redirect_stdout(io.StringIO()) as said:
            self.assertFalse(study_forecast.report(self.moves(0.3), 512))
        self.assertIn('MISSED', said.getvalue())

    def test_guests_of_another_size_are_another_study(self):
        small = [{**line, 'memory_mib': 128} for line in self.moves(0.3)]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            study_forecast.report([*self.moves(0), *small], 512)
        self.assertIn('10 moves of 1 guests of 512 MiB', said.getvalue())


class Rows(unittest.TestCase):
    @staticmethod
    def line(**what):
        band = {'p10': 0.9, 'p50': 1.0, 'p90': 1.1}
        return {'guest': 'uniform', 'level': 0.5, 'outcome': 'moved', 'broken': [], 'whole': True,
                'row': dict.fromkeys(study_rows.FIGURES, band), 'was': dict.fromkeys(study_rows.FIGURES, 1.0), **what}

    def judged(self, lines):
        different = [{**line, 'level': i} for i, line in enumerate(lines)]
        with contextlib.redirect_stdout(io.StringIO()) as said:
            return study_rows.report(different), said.getvalue()

    def test_seven_of_ten_within_their_rows_are_enough_and_six_are_not(self):
        off = self.line(was=dict.fromkeys(study_rows.FIGURES, 1.2))
        self.assertTrue(self.judged([self.line()] * 7 + [off] * 3)[0])
        self.assertFalse(self.judged([self.line()] * 6 + [off] * 4)[0])

    def test_what_cannot_be_compared_is_outside_of_its_row(self):
        self.assertFalse(self.judged([self.line(was={})] * 3)[0])
        self.assertFalse(self.judged([])[0])

    def test_a_move_that_fails_breaks_a_bound_or_loses_a_page_misses_the_goal(self):
        for what in ({'outcome': 'timeout'}, {'broken': ['stall 200 ms']}, {'whole': False}):
            reached, text = self.judged([self.line()] * 9 + [self.line(**what)])
            self.assertFalse(reached)
            self.assertIn('10 rows carried out, 1 not moved', text)

    def test_lost_work_is_what_its_core_idled_beside_what_it_idled_before_and_the_standstill(self):
        # Half of the core for 3 s, then a tenth for 2 s, then a standstill of 0.2 s.
        samples = [study_run.Sample(int(t * 1e8), 0, (min(t, 30) * 0.5 + max(t - 30, 0) * 0.1) / 10)
                   for t in range(51)]
        self.assertAlmostEqual(study_rows.lost_work(samples, 3e9, 5e9, 0.2), 0.8 + 0.1, places=6)


if __name__ == '__main__':
    unittest.main()
