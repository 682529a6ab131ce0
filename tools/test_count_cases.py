#!/usr/bin/python3
"""The counting that ./test's last line relies on."""

import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import count_cases  # noqa: E402

CTEST = '<testsuite>{}</testsuite>'
CASE = '<testcase name="{}" status="{}"><system-out>{}</system-out></testcase>'


class CountCases(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.build = pathlib.Path(directory.name)
        (self.build / "results").mkdir()

    def write(self, name, text):
        (self.build / "results" / name).write_text(text)

    def test_no_report_is_a_failure(self):
        self.assertEqual(count_cases.count(self.build), (0, ["ctest wrote no report"], 0))

    def test_plain_entries_count_one_each(self):
        both = CASE.format("lint", "run", "") + CASE.format("layers", "fail", "")
        self.write("ctest.xml", CTEST.format(both))
        self.assertEqual(count_cases.count(self.build), (1, ["layers"], 0))

    def test_googletest_cases_count_one_by_one(self):
        self.write("ctest.xml", CTEST.format(CASE.format("io_test", "fail", "")))
        self.write("io_test.xml", '<testsuites><testsuite>'
                   '<testcase classname="A" name="b" status="run" result="completed"/>'
                   '<testcase classname="A" name="c" status="run" result="completed"><failure/></testcase>'
                   '<testcase classname="A" name="d" status="run" result="skipped"/>'
                   '</testsuite></testsuites>')
        self.assertEqual(count_cases.count(self.build), (1, ["io_test: A.c"], 1))

    def test_a_program_that_crashed_is_a_failure(self):
        self.write("ctest.xml", CTEST.format(CASE.format("io_test", "fail", "Segmentation fault")))
        self.assertEqual(count_cases.count(self.build), (0, ["io_test"], 0))
        self.write("io_test.xml", '<testsuites><testsuite><testcase classname="A" name="b" status="run"/>'
                   '</testsuite></testsuites>')
        self.assertEqual(count_cases.count(self.build), (1, ["io_test"], 0))

    def test_unittest_cases_count_one_by_one(self):
        output = "FAIL: test_x (__main__.T)\n----\nRan 5 tests in 0.1s\n\nFAILED (failures=1, skipped=1)\n"
        self.write("ctest.xml", CTEST.format(CASE.format("tools", "fail", output)))
        self.assertEqual(count_cases.count(self.build), (3, ["tools: test_x"], 1))

    def test_what_was_run_again_counts_as_it_ended_then(self):
        both = CASE.format("lint", "run", "") + CASE.format("layers", "fail", "")
        self.write("ctest.xml", CTEST.format(both))
        self.write("ctest-again-1.xml", CTEST.format(CASE.format("layers", "fail", "")))
        self.assertEqual(count_cases.count(self.build), (1, ["layers"], 0))
        self.write("ctest-again-2.xml", CTEST.format(CASE.format("layers", "run", "")))
        self.assertEqual(count_cases.count(self.build), (2, [], 0))


if __name__ == "__main__":
    unittest.main()
