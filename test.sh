#!/usr/bin/env bash
# Sets up, builds and runs every test: the unit and contract tests, the checks of the tree,
# golden files, the unit tests of what reads files once more under sanitizers, parity with other libraries, the program end to end, and the report in a browser.
# Its last line is "N passed, N failed"; the exit code is 1 when any failed.
set -uo pipefail
cd "$(dirname "$0")"
scripts/build.sh --tests || { echo "test: error: got a failed build; need a build" >&2; echo "0 passed, 1 failed"; exit 1; }

python=.venv/bin/python
logs=build/test-logs
mkdir -p "$logs"
passed=0 failed=0
failures=()

run() {  # run NAME COMMAND...: one line, the log kept, shown when it failed
  local name=$1 begin=$SECONDS
  shift
  if "$@" >"$logs/$name.log" 2>&1; then
    passed=$((passed + 1))
    printf 'ok      %-28s %4ss  %s\n' "$name" $((SECONDS - begin)) "$(grep -v '^ *$' "$logs/$name.log" | tail -n 1 | cut -c1-100)"
  else
    failed=$((failed + 1))
    failures+=("$name")
    printf 'FAILED  %-28s %4ss\n' "$name" $((SECONDS - begin))
    tail -n 40 "$logs/$name.log" | sed 's/^/    /'
  fi
}

for binary in build/test_*; do
  [ -x "$binary" ] && [ -f "$binary" ] && run "unit-${binary#build/test_}" "$binary" --gtest_brief=1
done
run tree scripts/check_tree.sh
run golden scripts/golden/run.sh --check
run sanitizers scripts/sanitize.sh
for script in tests/e2e/*_test.py; do run "e2e-$(basename "$script" _test.py)" "$python" "$script"; done
for script in tests/parity/*_parity.py; do run "parity-$(basename "$script" _parity.py)" "$python" "$script"; done
for script in tests/browser/*_test.py; do run "browser-$(basename "$script" _test.py)" "$python" "$script"; done

# Real corpora and tokenizers, where they lie beside the checkout.
if [ -d ../shared/data ]; then
  for script in tests/shared/*_test.py; do [ -e "$script" ] && run "shared-$(basename "$script" _test.py)" "$python" "$script" ../shared/data; done
fi

[ ${#failures[@]} -eq 0 ] || echo "failed: ${failures[*]} (logs in $logs)"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
