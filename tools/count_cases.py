#!/usr/bin/python3
"""Counts the test cases of a ctest run. Usage: tools/count_cases.py BUILD_DIRECTORY

Reads BUILD/results/ctest.xml (ctest --output-junit) and, for entries that are GoogleTest programs,
BUILD/results/NAME.xml; of a unittest program the line "Ran N tests". Prints "PASSED FAILED SKIPPED", then
the names of what failed, one a line. No ctest.xml counts as one failure. What BUILD/results/ctest-again-N.xml
(ctest --rerun-failed) has replaces the entry of that name.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree


def gtest_cases(path, entry):
    """(passed, names that failed, skipped) of one GoogleTest report."""
    passed, failed, skipped = 0, [], 0
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{entry}: {case.get('classname')}.{case.get('name')}"
        if case.find("failure") is not None:
            failed.append(name)
        elif case.get("status") == "notrun" or case.get("result") == "skipped":
            skipped += 1
        else:
            passed += 1
    return passed, failed, skipped


def unittest_cases(output, entry):
    """The same of unittest's closing lines, or None when this is no unittest output."""
    ran = re.search(r"^Ran (\d+) tests? in ", output, re.MULTILINE)
    if not ran:
        return None
    failed = [f"{entry}: {name}" for name in
              re.findall(r"^(?:FAIL|ERROR): (\S+)", output, re.MULTILINE)]
    skipped = sum(int(n) for n in re.findall(r"^(?:OK|FAILED) \(.*?skipped=(\d+)", output, re.MULTILINE))
    return int(ran.group(1)) - len(failed) - skipped, failed, skipped


def count(build):
    results = pathlib.Path(build) / "results"
    if not (results / "ctest.xml").exists():
        return 0, ["ctest wrote no report"], 0
    passed, failed, skipped = 0, [], 0
    entries = {}
    for report in (results / "ctest.xml", *sorted(results.glob("ctest-again-*.xml"))):
        cases = xml.etree.ElementTree.parse(report).getroot().iter("testcase")
        entries.update({case.get("name"): case for case in cases})
    for entry, case in entries.items():
        status = case.get("status")
        report = results / f"{entry}.xml"
        cases = None
        if report.exists():
            try:
                cases = gtest_cases(report, entry)
            except xml.etree.ElementTree.ParseError:
                cases = None
        else:
            cases = unittest_cases(case.findtext("system-out") or "", entry)
        if cases is None:
            cases = (1, [], 0) if status == "run" else (0, [], 1) if status != "fail" else (0, [], 0)
        if status == "fail" and not cases[1]:
            cases = (cases[0], [entry], cases[2])
        passed, failed, skipped = passed + cases[0], failed + cases[1], skipped + cases[2]
    return passed, failed, skipped


def main(arguments):
    if len(arguments) != 1:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    passed, failed, skipped = count(arguments[0])
    print(passed, len(failed), skipped)
    for name in failed:
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
