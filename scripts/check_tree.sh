#!/usr/bin/env bash
# The rules of the tree that a compiler does not check, one line for each finding; exit 1 when there is one.
#   layers      a folder includes only what stands to its left (docs/architecture.md)
#   includes    no umbrella headers of LibTorch; CLI11 and nlohmann-json in one or two files
#   devices     above src/ops no code names a device
#   tests       foo_test.cpp beside every foo.cpp; src/cli's commands and main are tested by tests/e2e
#   size        at most 500 lines a file, 4 MB a page in docs
#   citation    CITATION.cff has the version of CMakeLists.txt
#   leftovers   TODO only with an issue's number; no #if 0
#   format      .clang-format, unless --no-format is given
set -uo pipefail
cd "$(dirname "$0")/.."
max_lines=500
findings=$(mktemp)
trap 'rm -f "$findings"' EXIT
mapfile -t sources < <(git ls-files -co --exclude-standard 'src/*.cpp' 'src/*.h' | while read -r file; do [ -e "$file" ] && echo "$file"; done)
mapfile -t all < <(git ls-files -co --exclude-standard src tests scripts bench cmake | grep -E '\.(cpp|h|py|sh|js|css|cmake)$' | while read -r file; do [ -e "$file" ] && echo "$file"; done)

find_in() {  # message, extended regex, files...: each line that matches, comments left out
  local message=$1 pattern=$2
  shift 2
  grep -nE "$pattern" "$@" /dev/null | grep -vE '^[^:]+:[0-9]+: *//' | sed -E "s|^([^:]+:[0-9]+):.*|\1: $message|" >>"$findings"
}

# 1. Layers: the folders each may include. A test may use what its folder may, and tests/support, which is above all.
declare -A below=(
  [core]="core"
  [record]="core record"
  [ops]="core ops"
  [data]="core ops data"
  [optim]="core ops optim"
  [moe]="core ops moe"
  [model]="core ops data optim moe model"
  [checkpoint]="core ops data optim moe model checkpoint"
  [analysis]="core record ops data optim moe model checkpoint analysis"
  [train]="core record ops data optim moe model checkpoint analysis train"
  [study]="core record ops data optim moe model checkpoint analysis train study"
  [report]="core record report"
  [cli]="core record ops data optim moe model checkpoint analysis train study report cli"
)
for file in "${sources[@]}"; do
  folder=${file#src/}
  [ "$folder" = "${folder#*/}" ] && continue  # src/pch.h
  folder=${folder%%/*}
  if [ -z "${below[$folder]:-}" ]; then
    echo "$file: got the folder src/$folder; need one of the layers of scripts/check_tree.sh" >>"$findings"
    continue
  fi
  allowed=" ${below[$folder]} "
  case $file in *_test.cpp | */test_support.h | */test_folder.h) allowed+="support golden " ;; esac
  while IFS=: read -r line included; do
    case $allowed in
      *" $included "*) ;;
      *) echo "$file:$line: got an include of $included/; need what stands below $folder:$allowed" >>"$findings" ;;
    esac
  done < <(sed -nE '/^ *# *include "[a-z_]+\//{=;s|^ *# *include "([a-z_]+)/.*|\1|p}' "$file" | paste -d: - -)
done

# 2. Banned includes.
find_in 'got an umbrella header of LibTorch; need ATen/ops/NAME.h' \
  '# *include *<(torch/(torch|all|extension|nn|optim|types|serialize|data)\.h|torch/(nn|optim|data|serialize)/.*|ATen/(ATen|Functions|NativeFunctions)\.h|torch/csrc/api/.*)>' "${sources[@]}"
find_in 'got torch::nn or torch::optim; need functions on tensors' 'torch::(nn|optim)::' "${sources[@]}"
for file in "${sources[@]}"; do
  case $file in src/cli/options.cpp) ;; *) echo "$file" ;; esac
done | xargs grep -nE '# *include *<CLI/' /dev/null | sed -E 's|^([^:]+:[0-9]+):.*|\1: got CLI11; need cli/options.h|' >>"$findings"
for file in "${sources[@]}"; do
  case $file in src/core/json.cpp | src/checkpoint/safetensors_header.cpp) ;; *) echo "$file" ;; esac
done | xargs grep -nE '# *include *<nlohmann/' /dev/null | sed -E 's|^([^:]+:[0-9]+):.*|\1: got nlohmann-json; need core/json.h|' >>"$findings"

# 3. No device named above src/ops.
mapfile -t above < <(printf '%s\n' "${sources[@]}" | grep -E '^src/(moe|model|optim|checkpoint|analysis|train|study|data|report)/' | grep -v '_test\.cpp$')
find_in 'got the name of a device; need the one that is passed along (ops/device.h)' 'kCUDA|[^a-z]cuda|CUDA|is_cuda\(' "${above[@]}"

# 4. A test beside every source.
for file in "${sources[@]}"; do
  case $file in
    *_test.cpp | *.h | src/cli/cmd_*.cpp | src/cli/main.cpp) continue ;;
  esac
  [ -e "${file%.cpp}_test.cpp" ] || echo "$file: got no test beside it; need ${file%.cpp}_test.cpp" >>"$findings"
done

# The scripts of the page share one scope: a second declaration of a name would silently replace the first.
cat src/report/assets/*.js | grep -oE '^(async )?(function|const|let|class) [A-Za-z]+' | sort | uniq -d \
  | sed 's|^|src/report/assets: got a second declaration of: |' >>"$findings"

# 5. Size.
find docs -name '*.html' -size +4000k -printf '%p: got a page of %k KB; need at most 4,000\n' >>"$findings"
wc -l "${all[@]}" | awk -v max=$max_lines '$2 != "total" && $1 > max { print $2 ": got " $1 " lines; need at most " max }' >>"$findings"

# 6. Leftovers.
mapfile -t checked < <(printf '%s\n' "${all[@]}" | grep -v '^scripts/check_tree.sh$')
grep -nE '\b(TODO|FIXME|XXX)\b' "${checked[@]}" | grep -vE 'TODO\(#[0-9]+\)|XXXXXX' | sed -E 's|^([^:]+:[0-9]+):.*|\1: got a TODO without an issue; need TODO(#NUMBER)|' >>"$findings"
grep -nE '^ *# *if 0\b' "${sources[@]}" | sed -E 's|^([^:]+:[0-9]+):.*|\1: got #if 0; need it gone|' >>"$findings"

# The citation names the version that CMake builds.
version=$(sed -nE 's/^project\(evenkeel VERSION ([0-9.]+).*/\1/p' CMakeLists.txt)
grep -q "^version: \"$version\"$" CITATION.cff || echo "CITATION.cff: got another version; need version: \"$version\", as in CMakeLists.txt" >>"$findings"

# 7. Format.
if [ "${1:-}" != --no-format ]; then
  if command -v clang-format >/dev/null; then
    mapfile -t formatted < <(printf '%s\n' "${all[@]}" | grep -E '\.(cpp|h)$')
    clang-format --dry-run "${formatted[@]}" 2>&1 | sed -nE 's|^([^:]+):[0-9]+:[0-9]+: .*clang-format-violations.*|\1|p' | sort | uniq -c \
      | awk '{ print $2 ": got " $1 " places that clang-format would change; need clang-format -i " $2 }' >>"$findings"
  else
    echo "check_tree: clang-format is not here; the format is not checked" >&2
  fi
fi

cat "$findings"
[ ! -s "$findings" ]
