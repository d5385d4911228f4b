"""What the reports of test runners count. The outputs are those of real runs, shortened."""

# ruff: noqa: E501 -- the lines of reports are as long as they are

from __future__ import annotations

import time

import pytest

from services.runtime_local.reports import ReportReader, Tally, read_report


def counts(output: str) -> tuple[int, int, int, int] | None:
    """Passed, failed, skipped and filtered tests of an output."""
    reader = ReportReader()
    for line in output.split("\n"):
        reader.line(line)
    report = read_report(reader)
    if report is None:
        return None
    tally = report.tally
    return tally.passed, tally.failed, tally.skipped, tally.filtered


PROVE_NOTHING = {
    "pytest, none": "no tests ran in 0.01s",
    "pytest, none, framed": "============================ no tests ran in 0.71s =============================",
    "pytest, skipped": "s                                                       [100%]\n1 skipped in 1.36s",
    "pytest, skipped, framed": "===================== 4 skipped in 0.1s =====================",
    "pytest, deselected": "4 deselected in 1.69s",
    "pytest, listed": "test_a.py::test_a\n\n4 tests collected in 1.13s",
    "pytest, listed, framed": "================ 4/6 tests collected (2 deselected) in 1.28s ================",
    "pytest, none listed": "no tests collected (4 deselected) in 2.07s",
    "pytest, expected to fail": "2 xfailed in 0.04s",
    "pytest, warnings": "1 warning in 0.00s",
    "pytest, silent": "ss                                                      [100%]",
    "pytest, zero": "0 passed in 0.01s",
    "unittest, none": "\n----------------------------------\nRan 0 tests in 0.000s\n\nOK",
    "unittest, none, 3.12": "Ran 0 tests in 0.000s\n\nNO TESTS RAN",
    "unittest, skipped": "ss\nRan 2 tests in 0.001s\n\nOK (skipped=2)",
    "unittest, class skipped": "Ran 0 tests in 0.000s\n\nOK (skipped=1)",
    "unittest, no verdict": "Ran 3 tests in 0.001s",
    "jest, none": "No tests found, exiting with code 0",
    "jest, zero": "Test Suites: 0 total\nTests:       0 total\nSnapshots:   0 total",
    "jest, skipped": "Test Suites: 1 skipped, 0 of 1 total\nTests:       1 skipped, 1 total",
    "jest, todo": "Tests:       2 todo, 2 total",
    "jest, json": '{"numFailedTestSuites":0,"numFailedTests":0,"numPassedTests":0,"numTodoTests":0,"numTotalTests":0}',
    "vitest, none": "No test files found, exiting with code 0",
    "vitest, skipped": " Test Files  1 skipped (1)\n      Tests  4 skipped (4)\n   Start at  13:38:23",
    "vitest, no tests": " Test Files  no tests\n      Tests  no tests",
    "mocha, none": "\n\n  0 passing (10ms)\n",
    "mocha, pending": "  0 passing (2ms)\n  1 pending\n",
    "node, skipped": "ok 1 - b # SKIP\n1..1\n# tests 1\n# suites 0\n# pass 0\n# fail 0\n# cancelled 0\n# skipped 1\n# todo 0",
    "node, spec, none": "ℹ tests 0\nℹ suites 0\nℹ pass 0\nℹ fail 0\nℹ cancelled 0\nℹ skipped 0\nℹ todo 0",
    "tape, none": "TAP version 13\n\n1..0\n# tests 0\n# pass  0\n\n# ok",
    "bun, filtered": " 0 pass\n 3 filtered out\n 0 fail\nRan 0 tests across 1 file. [5.00ms]",
    "bun, none": "bun test v1.4.5\nThe following filters did not match any test files:\n nothing",
    "bun, skipped": " 0 pass\n 2 skip\n 0 fail\nRan 2 tests across 1 file.",
    "deno, filtered": "ok | 0 passed | 0 failed | 3 filtered out (19ms)",
    "deno, ignored": "ok | 0 passed | 0 failed | 3 ignored (1ms)",
    "deno, none": "error: No test modules found",
    "go, no files": "?   \tm/b\t[no test files]",
    "go, none match": "ok  \tm/a\t0.003s [no tests to run]",
    "go, verbose, none": "testing: warning: no tests to run\nPASS\nok  \tm/a\t0.004s [no tests to run]",
    "go, verbose, skipped": "=== RUN   TestS\n--- SKIP: TestS (0.00s)\nPASS\nok  \tm/a\t0.002s",
    "go, coverage": "\tm/b\t\tcoverage: 0.0% of statements",
    "go, no packages": 'go: warning: "./..." matched no packages\nno packages to test',
    "go, json, none": '{"Time":"2026-12-01T13:41:39Z","Action":"skip","Package":"m/b","Elapsed":0}',
    "go, json, skipped": '{"Action":"skip","Package":"m/a","Test":"TestS","Elapsed":0}\n{"Action":"pass","Package":"m/a"}',
    "gotestsum": "∅  m/b\n\nDONE 0 tests in 0.100s",
    "gotestsum, skipped": "DONE 2 tests, 2 skipped in 0.100s",
    "cargo, filtered": "running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out",
    "cargo, short": "test result: ok. 0 passed; 0 failed; 9 filtered out",
    "cargo, ignored": "test result: ok. 0 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s",
    "cargo, three binaries": "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out\n" * 3,
    "cargo, built only": "    Finished `test` profile in 0.03s\n  Executable unittests src/lib.rs (target/debug/deps/x-b8)",
    "nextest": "    Starting 0 tests across 0 binaries\n     Summary [   0.000s] 0 tests run: 0 passed, 3 skipped",
    "nextest, none": "error: no tests to run",
    "maven, none": "[INFO] No tests to run.",
    "maven, skipped by option": "[INFO] Tests are skipped.",
    "maven, skipped": "[WARNING] Tests run: 3, Failures: 0, Errors: 0, Skipped: 3",
    "maven, zero": "Tests run: 0, Failures: 0, Errors: 0, Skipped: 0",
    "gradle, no source": "> Task :compileTestJava NO-SOURCE\n> Task :test NO-SOURCE\n\nBUILD SUCCESSFUL in 1s",
    "gradle, excluded": "> Task :app:test SKIPPED\n\nBUILD SUCCESSFUL in 1s",
    "gradle, events": "AppTest > works SKIPPED\n\nBUILD SUCCESSFUL in 1s",
    "junit console": "[         0 tests successful      ]\n[         0 tests failed          ]",
    "junit 4": "OK (0 tests)",
    "junit xml": '<?xml version="1.0"?><testsuites name="x" tests="0" failures="0"/>',
    "junit xml, skipped": '<testsuite tests="1" skipped="1"><testcase name="b"><skipped/></testcase></testsuite>',
    "tap, skipped": "TAP version 14\n1..0 # SKIP no server",
    "tap, each skipped": "1..2\nok 1 # skip a\nok 2 - b # SKIP c",
    "tap, todo": "1..1\nnot ok 1 # TODO later",
    "tap, not whole": "1..3\nok 1\nok 2",
    "prove": "t/b.t .. skipped: none\nFiles=1, Tests=0,  0 wallclock secs\nResult: NOTESTS",
    "ctest": "Test project /tmp/b\nNo tests were found!!!",
    "ctest, skipped": (
        "1/1 Test #2: s ................................***Skipped   0.00 sec\n\n"
        "100% tests passed, 0 tests failed out of 1\n\nThe following tests did not run:\n\t  2 - s (Skipped)"
    ),
    "ctest, listed": "  Test #1: a\n\nTotal Tests: 3",
    "gtest, none": (
        "[==========] Running 0 tests from 0 test suites.\n"
        "[==========] 0 tests from 0 test suites ran. (0 ms total)\n[  PASSED  ] 0 tests."
    ),
    "gtest, skipped": (
        "[==========] Running 1 test from 1 test suite.\n[  SKIPPED ] A.b (0 ms)\n"
        "[==========] 1 test from 1 test suite ran. (0 ms total)\n[  PASSED  ] 0 tests.\n"
        "[  SKIPPED ] 1 test, listed below:\n[  SKIPPED ] A.b"
    ),
    "gtest, disabled": "[  PASSED  ] 0 tests.\n\n  YOU HAVE 2 DISABLED TESTS\n",
    "catch2": "No tests ran",
    "dotnet, none": "No test is available in /x/bin/x.dll. Make sure that test discoverer & executors are registered",
    "dotnet, filter": "No test matches the given testcase filter `zzz` in /x/bin/x.dll",
    "dotnet, skipped": "Skipped! - Failed:     0, Passed:     0, Skipped:     3, Total:     3, Duration: 5 ms - x.dll",
    "dotnet, summary": "Test summary: total: 0, failed: 0, succeeded: 0, skipped: 0, duration: 1.0s",
    "vstest": "Total tests: 2\n    Skipped: 2\n Total time: 0.5 Seconds",
    "testing platform": "Test run summary: Zero tests ran - /x/x.dll\n  total: 0\n  failed: 0\n  succeeded: 0\n  skipped: 0",
    "rspec, none": "No examples found.\n\n\nFinished in 0.0004 seconds\n0 examples, 0 failures",
    "rspec, pending": "3 examples, 0 failures, 3 pending",
    "rspec, filtered": "All examples were filtered out\n\n0 examples, 0 failures",
    "minitest, none": "0 runs, 0 assertions, 0 failures, 0 errors, 0 skips",
    "minitest, skipped": "2 runs, 0 assertions, 0 failures, 0 errors, 2 skips",
    "test-unit": "0 tests, 0 assertions, 0 failures, 0 errors, 0 pendings, 0 omissions, 0 notifications",
    "phpunit, none": "No tests executed!",
    "phpunit, skipped": "OK, but some tests were skipped!\nTests: 3, Assertions: 0, Skipped: 3.",
    "phpunit, risky": "OK, but there were issues!\nTests: 2, Assertions: 0, Risky: 2.",
    "pest": "  Tests:    2 skipped (0 assertions)\n  Duration: 0.05s",
    "xctest, none": (
        "Test Suite 'All tests' passed at 2026-01-01 10:00:00.000\n"
        "\t Executed 0 tests, with 0 failures (0 unexpected) in 0.000 (0.000) seconds"
    ),
    "xctest, skipped": (
        "Test Suite 'Selected tests' passed at 2026-01-01 10:00:00.000\n"
        "\t Executed 2 tests, with 2 tests skipped and 0 failures (0 unexpected) in 0.000 (0.000) seconds"
    ),
    "swift testing": "􁁛 Test run with 0 tests passed after 0.001 seconds.",
    "swift testing, skipped": "➜ Test b() skipped.\n✔ Test run with 1 test passed after 0.001 seconds.",
    "swift, none": "error: no tests found; create a target in the 'Tests' directory",
}


@pytest.mark.parametrize("output", PROVE_NOTHING.values(), ids=PROVE_NOTHING.keys())
def test_a_report_of_nothing_passes_nothing(output: str) -> None:
    """It is recognised, so that exit code 0 is not taken for a pass, and it counts neither a pass nor a failure."""
    found = counts(output)
    assert found is not None
    assert found[:2] == (0, 0) or _is_not_whole(output)


def _is_not_whole(output: str) -> bool:
    reader = ReportReader()
    for line in output.split("\n"):
        reader.line(line)
    report = read_report(reader)
    return report is not None and report.tally.broken != "" and report.tally.failed == 0


COUNTED: dict[str, tuple[str, tuple[int, int, int, int]]] = {
    "pytest": ("====== 1 failed, 1 passed, 1 skipped, 1 xfailed in 2.27s ======", (1, 1, 1, 0)),
    "pytest -q": ("1 failed, 3 passed, 2 deselected, 1 warning in 0.12s", (3, 1, 0, 2)),
    "pytest, long": ("=== 812 passed, 3 skipped, 1 rerun in 75.31s (0:01:15) ===", (812, 0, 3, 0)),
    "pytest, colours taken out": ("1 failed, 1 passed in 0.03s", (1, 1, 0, 0)),
    "pytest, xdist": (
        "bringing up nodes...\n.F                              [100%]\n1 failed, 1 passed in 9.33s",
        (1, 1, 0, 0),
    ),
    "pytest, collection": ("!!! Interrupted: 1 error during collection !!!\n1 error in 1.92s", (0, 1, 0, 0)),
    "pytest, listed with errors": ("no tests collected, 1 error in 2.26s", (0, 1, 0, 0)),
    "pytest, subtests": ("2 failed, 2 subtests passed in 1.09s", (0, 2, 0, 0)),
    "pytest, subtests failed": ("1 passed, 2 subtests failed in 0.1s", (1, 2, 0, 0)),
    "pytest -qq": (".Fs.          [100%]\nFAILED test_a.py::test_b - assert 0", (2, 1, 1, 0)),
    "pytest, sugar": ("Results (0.05s):\n       3 passed\n       1 failed\n         - t.py:1 test_b", (3, 1, 0, 0)),
    "pytest twice": ("3 passed in 0.1s\n2 passed, 1 failed in 0.1s", (5, 1, 0, 0)),
    "unittest": ("Ran 4 tests in 0.001s\n\nFAILED (failures=1, skipped=1, expected failures=1)", (1, 1, 1, 0)),
    "unittest, unexpected": ("Ran 1 test in 0.001s\n\nFAILED (unexpected successes=1)", (0, 1, 0, 0)),
    "unittest, text between": ("Ran 2 tests in 0.001s\nsome log\n\nOK", (2, 0, 0, 0)),
    "jest": (
        "Test Suites: 1 failed, 1 total\nTests:       1 failed, 1 skipped, 1 todo, 1 passed, 4 total",
        (1, 1, 2, 0),
    ),
    "jest, broken suite": ("Test Suites: 1 failed, 1 passed, 2 total\nTests:       3 passed, 3 total", (3, 1, 0, 0)),
    "jest in a monorepo": (
        "@x/a:test: Tests:       3 passed, 3 total\n@x/b:test: Tests:       2 passed, 2 total",
        (5, 0, 0, 0),
    ),
    "jest --json": (
        '{"numFailedTestSuites":1,"numFailedTests":1,"numPassedTests":2,"numPendingTests":1,"numTodoTests":1,'
        '"numTotalTests":5}',
        (2, 1, 2, 0),
    ),
    "vitest": (" Test Files  1 failed (1)\n      Tests  1 failed | 1 passed | 1 skipped | 1 todo (4)", (1, 1, 2, 0)),
    "vitest, broken file": (" Test Files  1 failed (1)\n      Tests  no tests", (0, 1, 0, 0)),
    "vitest, errors": (" Test Files  1 passed (1)\n      Tests  3 passed (3)\n     Errors  1 error", (3, 1, 0, 0)),
    "vitest, tap": (
        "TAP version 13\n1..1\nnot ok 1 - a {\n    1..3\n    ok 1 - a\n    not ok 2 - c\n    ok 3 # SKIP\n}",
        (1, 1, 1, 0),
    ),
    "mocha": ("  1 passing (5ms)\n  2 pending\n  1 failing\n\n  1) x", (1, 1, 2, 0)),
    "mocha, tap": ("ok 1 x a\nok 2 x b # SKIP -\nnot ok 3 x c\n# tests 2\n# pass 1\n# fail 1\n1..4", (1, 1, 0, 0)),
    "node": ("1..4\n# tests 5\n# suites 1\n# pass 2\n# fail 1\n# cancelled 1\n# skipped 1\n# todo 1", (2, 2, 2, 0)),
    "node, spec": ("ℹ tests 3\nℹ suites 0\nℹ pass 3\nℹ fail 0\nℹ cancelled 0\nℹ skipped 0\nℹ todo 0", (3, 0, 0, 0)),
    "bun": (
        " 1 pass\n 1 skip\n 1 todo\n 1 fail\n 1 expect() calls\nRan 4 tests across 1 file. [77.00ms]",
        (1, 1, 2, 0),
    ),
    "deno": ("FAILED | 1 passed (2 steps) | 1 failed | 1 ignored (71ms)", (1, 1, 1, 0)),
    "go": (
        "ok  \tm/a\t0.003s\n?   \tm/b\t[no test files]\n--- FAIL: TestC (0.00s)\n    c_test.go:3: x\nFAIL\n"
        "FAIL\tm/c\t0.012s\nFAIL\tm/d [build failed]\nFAIL",
        (1, 2, 0, 0),
    ),
    "go -v": (
        "--- PASS: TestA (0.00s)\n    --- PASS: TestA/s (0.00s)\n--- SKIP: TestS (0.00s)\nPASS\nok  \tm/a\t0.1s",
        (1, 0, 1, 0),
    ),
    "go, cached": ("ok  \tm/a\t(cached)", (1, 0, 0, 0)),
    "go -json": (
        '{"Action":"pass","Package":"m/a","Test":"TestA/s"}\n{"Action":"pass","Package":"m/a","Test":"TestA"}\n'
        '{"Action":"fail","Package":"m/a","Test":"TestB"}\n{"Action":"fail","Package":"m/a"}',
        (1, 1, 0, 0),
    ),
    "go -json, not built": ('{"ImportPath":"m/d","Action":"build-fail"}', (0, 1, 0, 0)),
    "gotestsum": (
        "--- FAIL: TestC (0.00s)\nFAIL\tm/c\t0.1s\nDONE 5 tests, 1 skipped, 2 failures in 0.1s",
        (2, 2, 1, 0),
    ),
    "cargo": (
        "test result: ok. 1 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\n"
        "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.26s",
        (2, 2, 1, 0),
    ),
    "nextest": ("     Summary [   0.012s] 4 tests run: 2 passed (1 slow), 2 failed, 1 skipped", (2, 2, 1, 0)),
    "maven": (
        "[INFO] Tests run: 3, Failures: 0, Errors: 0, Skipped: 1, Time elapsed: 0.05 s -- in x.FooTest\n"
        "[INFO] Results:\n[INFO] \n[WARNING] Tests run: 3, Failures: 0, Errors: 0, Skipped: 1\n[INFO] No tests to run.",
        (2, 0, 1, 0),
    ),
    "maven, tail": (
        "[ERROR] Tests run: 3, Failures: 1, Errors: 1, Skipped: 0, Time elapsed: 0.05 s <<< FAILURE!",
        (1, 2, 0, 0),
    ),
    "gradle": ("> Task :test FAILED\n\n7 tests completed, 2 failed, 1 skipped", (4, 2, 1, 0)),
    "gradle, events": ("AppTest > a() PASSED\n\nAppTest > b() FAILED\n\n2 tests completed, 1 failed", (1, 1, 0, 0)),
    "junit console": (
        "[         2 tests successful      ]\n[         1 tests failed          ]\n[         1 tests skipped         ]",
        (2, 1, 1, 0),
    ),
    "junit 4": ("Tests run: 3,  Failures: 1", (2, 1, 0, 0)),
    "junit xml": (
        '<testsuites tests="4"><testsuite tests="4">\n<testcase name="a"\n time="0"/>\n<testcase name="c">'
        '<failure message="a > b">x</failure></testcase><testcase name="b"><skipped/></testcase>'
        '</testsuite><testsuite><testcase name="d"></testcase></testsuite></testsuites>',
        (2, 1, 1, 0),
    ),
    "junit xml, numbers only": (
        '<testsuite name="x" tests="5" failures="1" errors="1" skipped="1"></testsuite>',
        (2, 2, 1, 0),
    ),
    "junit xml beside pytest": (
        ".F  [100%]<testsuites><testsuite><testcase/><testcase><failure/></testcase></testsuite></testsuites>\n"
        "1 failed, 1 passed in 0.1s",
        (1, 1, 0, 0),
    ),
    "tap": ("TAP version 13\n1..3\nok 1 - a\nnot ok 2 - b\nok 3 - c # SKIP no", (1, 1, 1, 0)),
    "tap, nested": (
        "# Subtest: s\n    ok 1 - i\n    not ok 2 - f\n    1..2\nnot ok 1 - s\nok 2 - t\n1..2",
        (2, 1, 0, 0),
    ),
    "tap, bailed out": ("1..3\nok 1\nBail out! no disk", (1, 1, 0, 0)),
    "bats": ("1..2\nok 1 adds\nok 2 divides in 10ms", (2, 0, 0, 0)),
    "prove": ("Failed 1/2 subtests \nFiles=3, Tests=4,  0 wallclock secs\nResult: FAIL", (3, 1, 0, 0)),
    "ctest": (
        "1/3 Test #1: a ....   Passed    0.00 sec\n2/3 Test #2: s ....***Skipped   0.11 sec\n"
        "3/3 Test #3: d ....***Not Run (Disabled)   0.00 sec\n\n100% tests passed, 0 tests failed out of 2\n\n"
        "The following tests did not run:\n\t  2 - s (Skipped)\n\t  3 - d (Disabled)",
        (1, 0, 2, 0),
    ),
    "ctest, failed": ("67% tests passed, 1 tests failed out of 3", (2, 1, 0, 0)),
    "gtest": (
        "[==========] Running 3 tests from 1 test suite.\n[==========] 3 tests from 1 test suite ran. (0 ms total)\n"
        "[  PASSED  ] 1 test.\n[  SKIPPED ] 1 test, listed below:\n[  SKIPPED ] A.c\n[  FAILED  ] 1 test, listed below:",
        (1, 1, 1, 0),
    ),
    "gtest, died": ("[==========] Running 3 tests from 1 test suite.\n[ RUN      ] A.b", (0, 1, 0, 0)),
    "catch2": ("All tests passed (5 assertions in 3 test cases)", (3, 0, 0, 0)),
    "doctest": ("[doctest] test cases: 3 | 2 passed | 1 failed | 1 skipped", (2, 1, 1, 0)),
    "dotnet": (
        "Failed!  - Failed:     1, Passed:     2, Skipped:     1, Total:     4, Duration: 5 ms - x.dll",
        (2, 1, 1, 0),
    ),
    "dotnet, terminal": ("Test summary: total: 4, failed: 1, succeeded: 2, skipped: 1, duration: 1.0s", (2, 1, 1, 0)),
    "vstest": ("Total tests: 4\n     Passed: 2\n     Failed: 1\n    Skipped: 1", (2, 1, 1, 0)),
    "testing platform": (
        "Test run summary: Failed!\n  total: 3\n  failed: 1\n  succeeded: 2\n  skipped: 0",
        (2, 1, 0, 0),
    ),
    "rspec": ("5 examples, 1 failure, 1 pending", (3, 1, 1, 0)),
    "rspec, outside": ("0 examples, 0 failures, 1 error occurred outside of examples", (0, 1, 0, 0)),
    "minitest": ("5 runs, 8 assertions, 1 failures, 1 errors, 1 skips", (2, 2, 1, 0)),
    "phpunit": ("OK (3 tests, 5 assertions)", (3, 0, 0, 0)),
    "phpunit, failed": ("FAILURES!\nTests: 5, Assertions: 4, Errors: 1, Failures: 1, Skipped: 1.", (2, 2, 1, 0)),
    "pest": ("  Tests:    1 failed, 1 skipped, 2 passed (3 assertions)", (2, 1, 1, 0)),
    "xctest": (
        "Test Suite 'ATests' passed at 2026-01-01\n\t Executed 2 tests, with 0 failures (0 unexpected) in 0.0 (0.0) seconds\n"
        "Test Suite 'x.xctest' failed at 2026-01-01\n\t Executed 3 tests, with 1 failure (0 unexpected) in 0.0 (0.0) seconds\n"
        "Test Suite 'All tests' failed at 2026-01-01\n\t Executed 3 tests, with 1 failure (0 unexpected) in 0.0 (0.0) seconds",
        (2, 1, 0, 0),
    ),
    "swift testing": (
        "✘ Test b() failed after 0.001 seconds with 1 issue.\n➜ Test c() skipped.\n"
        "✘ Test run with 4 tests in 1 suite failed after 0.002 seconds with 1 issue.",
        (2, 1, 1, 0),
    ),
    "two languages": ("3 passed in 0.1s\nTests:       0 total", (3, 0, 0, 0)),
    "over a carriage return": ("running\r1 failed, 2 passed in 0.03s", (2, 1, 0, 0)),
}


@pytest.mark.parametrize(("output", "expected"), COUNTED.values(), ids=COUNTED.keys())
def test_a_report_is_counted(output: str, expected: tuple[int, int, int, int]) -> None:
    """Passed, failed, skipped and filtered tests, over all reports of the output."""
    assert counts(output) == expected


@pytest.mark.parametrize(
    "output",
    [
        "",
        "fine",
        "I said 5 skipped lines",
        "All checks passed!",
        "the 3 passed ones\nok",
        "BUILD SUCCESSFUL in 1s",
        "> Task :test\n\nBUILD SUCCESSFUL in 1s",
        "> Task :a:test NO-SOURCE\n> Task :b:test\n\nBUILD SUCCESSFUL in 1s",
        "> Task :test UP-TO-DATE",
        "ok, that is it",
        "FAILED to open x",
        "<p>tests</p>",
        "not ok, I think",
        "Success: no issues found in 3 source files",
        "0 errors, 0 warnings",
    ],
)
def test_what_no_runner_writes_is_no_report(output: str) -> None:
    """Then the exit code decides."""
    assert counts(output) is None


def test_the_report_is_found_however_much_is_written_after_it() -> None:
    """The whole output is read, a hundred thousand lines of it in a few seconds."""
    reader, began = ReportReader(), time.process_time()
    reader.line("1 failed, 2 passed in 0.1s")
    for number in range(100_000):
        reader.line(f"a line of a log that says test {number} failed to matter, ok - 3 passed on")
    report = read_report(reader)
    assert report is not None
    assert report.tally == Tally(passed=2, failed=1)
    assert time.process_time() - began < 20


def test_the_two_streams_of_a_program_are_read_apart() -> None:
    """What stands between two lines of a report on the other stream does not hide it."""
    out, err = ReportReader(), ReportReader()
    err.line("Ran 2 tests in 0.001s")
    out.line("FAILED to please")
    err.line("OK")
    report = read_report(out, err)
    assert report is not None
    assert (report.runners, report.tally) == (["unittest"], Tally(passed=2))
