#!/usr/bin/env bash
# Installs what the build needs, and nothing that is there already: Debian or Ubuntu packages, and a Python
# environment .venv with the pinned torch and plotly. `--tests` adds what the tests need. What is optional, pyarrow for
# Parquet, is installed where it can be had; where not, this says so and goes on.
# EVENKEEL_PYTHON=PATH takes the torch (2.11 or later) of that Python: .venv is made with it and installs none of its own.
# CHROMIUM=PATH names the browser of the tests, where there is no Debian package of it (Ubuntu has a snap alone).
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(g++ cmake ninja-build ccache pkg-config python3 python3-venv libsentencepiece-dev libtomlplusplus-dev
  nlohmann-json3-dev libcli11-dev libssl-dev libgtest-dev libgmock-dev libpcre2-dev libutf8proc-dev zlib1g-dev liblzma-dev libzstd-dev libxxhash-dev libtcmalloc-minimal4 xz-utils)
with_tests=false
if [ "${1:-}" = --tests ]; then
  with_tests=true
  packages+=(clang-format clang-tidy)
  [ -n "${CHROMIUM:-}" ] || packages+=(chromium)
fi

say() { echo "setup: $*" >&2; }
die() { echo "setup: error: $*" >&2; exit 4; }

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || status=""
  [[ $status == *"ok installed"* ]] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  command -v apt-get >/dev/null || die "got no apt-get; need Debian 12 or Ubuntu 22.04/24.04, or these packages by hand: ${missing[*]}"
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "got no right to install packages; need this, as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq \
    || die "got a failure of '${as_root[*]:+sudo }apt-get update'; need a working package source${as_root[*]:+, and the right to use sudo}"
  if [[ " ${missing[*]} " == *" chromium "* ]]; then
    # Only now, since apt-cache knows no candidates before the update. The output is taken whole: a pipe into
    # `grep -q` would end apt-cache by SIGPIPE, and under pipefail that is a failure.
    policy=$(LC_ALL=C apt-cache policy chromium) || policy=""
    [[ $policy == *"Candidate: "[0-9]* ]] \
      || die "got no package 'chromium' here (Ubuntu has it as a snap alone); need CHROMIUM=PATH, a Chromium or Chrome for the browser tests"
  fi
  # `env`, because sudo does not pass variables on.
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null \
    || die "got a failure of 'apt-get install ${missing[*]}'; need these packages"
fi

install_requirements() {  # install_requirements FILE: into .venv; 1 where pip fails
  local stamp=".venv/.installed-$(basename "$1")"
  if [ ! -e "$stamp" ] || ! cmp -s "$1" "$stamp"; then
    say "installing $(grep -v '^ *$' "$1" | tr '\n' ' ')into .venv"
    .venv/bin/python -m pip install -q --disable-pip-version-check -r "$1" || return 1
    cp "$1" "$stamp"
  fi
}
need_requirements() { install_requirements "$1" || die "got a failure of pip; need the packages of $1"; }

if [ -n "${EVENKEEL_PYTHON:-}" ]; then
  "$EVENKEEL_PYTHON" -c 'import importlib.util as u, sys; sys.exit(u.find_spec("torch") is None)' 2>/dev/null || die "EVENKEEL_PYTHON: got '$EVENKEEL_PYTHON', which has no torch; need one that has"
  [ "$(cat .venv/.made-with 2>/dev/null)" = "$EVENKEEL_PYTHON" ] || rm -rf .venv
fi
if [ ! -x .venv/bin/python ]; then
  say "making .venv"
  "${EVENKEEL_PYTHON:-python3}" -m venv .venv || die "got a failure of '${EVENKEEL_PYTHON:-python3} -m venv'; need python3-venv"
  if [ -n "${EVENKEEL_PYTHON:-}" ]; then  # its packages are seen after .venv's own, for whatever runs .venv's Python
    "$EVENKEEL_PYTHON" -c 'import sys; print("\n".join(path for path in sys.path if path.endswith("-packages")))' \
      >"$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/evenkeel-python.pth"
    printf '%s' "$EVENKEEL_PYTHON" >.venv/.made-with
  fi
fi
if [ -e .venv/.made-with ]; then
  grep -v '^torch' scripts/requirements.txt > .venv/requirements-without-torch.txt
  need_requirements .venv/requirements-without-torch.txt
else
  need_requirements scripts/requirements.txt
fi
if $with_tests; then need_requirements scripts/requirements-test.txt; fi
install_requirements scripts/requirements-optional.txt \
  || say "got a failure of pip, and goes on without Parquet files; they need the packages of scripts/requirements-optional.txt (the next call tries again)"
