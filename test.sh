#!/usr/bin/env bash
# Sets up, builds and runs every test: the unit and contract tests, the checks of the tree,
# golden files, the unit tests of what reads files once more under sanitizers, parity with other libraries, the program end to end, and the report in a browser.
# As many at a time as there are cores (TEST_JOBS=N: so many), the long ones first; a line for each as it ends.
# Its last line is "N passed, N failed"; the exit code is 1 when any failed.
set -uo pipefail
cd "$(dirname "$0")"
scripts/build.sh --tests || { echo "test: error: got a failed build; need a build" >&2; echo "0 passed, 1 failed"; exit 1; }

python=.venv/bin/python
logs=build/test-logs
mkdir -p "$logs"
passed=0 failed=0
failures=()

names=()
declare -A commands=() begins=() name_of=()  # of a name: its command, quoted, and when it began; of a process: its name

add() {  # add NAME COMMAND...
  names+=("$1")
  commands[$1]=$(printf '%q ' "${@:2}")
}

finish() {  # finish PROCESS EXIT_CODE: one line, the log kept, shown when it failed
  local name=${name_of[$1]}
  unset "name_of[$1]"
  local seconds=$((SECONDS - begins[$name]))
  if [ "$2" -eq 0 ]; then
    passed=$((passed + 1))
    printf 'ok      %-28s %4ss  %s\n' "$name" "$seconds" "$(grep -v '^ *$' "$logs/$name.log" | tail -n 1 | cut -c1-100)"
  else
    failed=$((failed + 1))
    failures+=("$name")
    printf 'FAILED  %-28s %4ss  exit code %s\n' "$name" "$seconds" "$2"
    tail -n 40 "$logs/$name.log" | sed 's/^/    /'
  fi
}

run_all() {  # run_all JOBS NAME...: so many at a time
  local n_jobs=$1 name process code
  shift
  while [ $# -gt 0 ] || [ ${#name_of[@]} -gt 0 ]; do
    while [ $# -gt 0 ] && [ ${#name_of[@]} -lt "$n_jobs" ]; do
      name=$1
      shift
      begins[$name]=$SECONDS
      eval "exec ${commands[$name]}" >"$logs/$name.log" 2>&1 </dev/null &
      name_of[$!]=$name
    done
    code=0
    wait -n -p process "${!name_of[@]}" 2>/dev/null || code=$?  # the shell's own words on a crash are in the code
    finish "$process" "$code"
  done
}
# Each test is a process group of its own, which ends with this script.
set -m
trap 'trap - INT TERM; for process in "${!name_of[@]}"; do kill -- "-$process"; done; exit 130' INT TERM

# Unit tests work on small tensors, and several run at a time: one thread each. What must not depend on the number of threads sets it.
for binary in build/test_*; do
  [ -x "$binary" ] && [ -f "$binary" ] && add "unit-${binary#build/test_}" env OMP_NUM_THREADS=1 "$binary" --gtest_brief=1
done
add tree scripts/check_tree.sh
add golden scripts/golden/run.sh --check
add sanitizers scripts/sanitize.sh
for script in tests/e2e/*_test.py; do add "e2e-$(basename "$script" _test.py)" "$python" "$script"; done
for script in tests/parity/*_parity.py; do add "parity-$(basename "$script" _parity.py)" "$python" "$script"; done
for script in tests/browser/*_test.py; do add "browser-$(basename "$script" _test.py)" "$python" "$script"; done

# Real corpora and tokenizers, where they lie beside the checkout.
if [ -d ../shared/data ]; then
  for script in tests/shared/*_test.py; do [ -e "$script" ] && add "shared-$(basename "$script" _test.py)" "$python" "$script" ../shared/data; done
fi

# The longest first, so that no long one is left for the end; by themselves those that hold times against a bound.
long=(sanitizers e2e-resume e2e-contract e2e-bad_input e2e-router_zoo e2e-router_state e2e-hostile_files e2e-hostile_folders e2e-family_analysis parity-tokenizer_json parity-families parity-export parity-counts unit-train unit-moe browser-report browser-analysis browser-export e2e-published_signs e2e-openmoe_study e2e-conversations e2e-convert parity-sentencepiece)
alone=(e2e-signal)
is_in() { [[ " ${*:2} " == *" $1 "* ]]; }
first=() others=() last=()
for name in "${long[@]}"; do if is_in "$name" "${names[@]}"; then first+=("$name"); fi; done
for name in "${names[@]}"; do
  if is_in "$name" "${alone[@]}"; then last+=("$name"); elif ! is_in "$name" "${first[@]}"; then others+=("$name"); fi
done
run_all "${TEST_JOBS:-$(nproc)}" "${first[@]}" "${others[@]}"
run_all 1 "${last[@]}"

[ ${#failures[@]} -eq 0 ] || echo "failed: ${failures[*]} (logs in $logs)"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
