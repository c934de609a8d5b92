#!/usr/bin/env bash
# Installs what the build needs, and nothing that is there already: Debian or Ubuntu packages, and a Python
# environment .venv with the pinned torch and plotly. `--tests` adds what the tests need.
# EVENKEEL_PYTHON=PATH takes a Python that has a torch (2.11 or later) instead of making .venv's.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(g++ cmake ninja-build ccache lld pkg-config python3 python3-venv libsentencepiece-dev libtomlplusplus-dev
  nlohmann-json3-dev libcli11-dev libssl-dev libgtest-dev libgmock-dev zlib1g-dev liblzma-dev libzstd-dev xz-utils)
with_tests=false
if [ "${1:-}" = --tests ]; then
  with_tests=true
  packages+=(chromium clang-format clang-tidy)
fi

say() { echo "setup: $*" >&2; }
die() { echo "setup: error: $*" >&2; exit 4; }

# Ubuntu has chromium only as a snap: there the browser test uses what EVENKEEL_CHROMIUM names.
if $with_tests && ! apt-cache policy chromium 2>/dev/null | grep -q 'Candidate: [0-9]'; then
  if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] && [ ! -e /var/lib/apt/lists/lock ]; then apt-get update -qq; fi
fi
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  say "installing ${missing[*]}"
  command -v apt-get >/dev/null || die "got no apt-get; need Debian 12 or Ubuntu 22.04/24.04, or these packages by hand: ${missing[*]}"
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || die "got no right to install packages; need: apt-get install ${missing[*]} (as root)"
    as_root=(sudo)
  fi
  "${as_root[@]}" apt-get update -qq || die "got a failure of 'apt-get update'; need a working package source"
  DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null \
    || die "got a failure of 'apt-get install ${missing[*]}'; need these packages"
fi

install_requirements() {  # install_requirements PYTHON FILE
  local stamp=".venv/.installed-$(basename "$2")"
  if [ ! -e "$stamp" ] || ! cmp -s "$2" "$stamp"; then
    say "installing $(grep -v '^ *$' "$2" | tr '\n' ' ')into .venv"
    "$1" -m pip install -q --disable-pip-version-check -r "$2" || die "got a failure of pip; need the packages of $2"
    cp "$2" "$stamp"
  fi
}

if [ ! -x .venv/bin/python ]; then
  say "making .venv"
  python3 -m venv ${EVENKEEL_PYTHON:+--system-site-packages} .venv || die "got a failure of 'python3 -m venv'; need python3-venv"
fi
if [ -n "${EVENKEEL_PYTHON:-}" ]; then
  "$EVENKEEL_PYTHON" -c 'import torch' 2>/dev/null || die "EVENKEEL_PYTHON: got '$EVENKEEL_PYTHON', which has no torch; need one that has"
  grep -v '^torch' scripts/requirements.txt > .venv/requirements-without-torch.txt
  install_requirements .venv/bin/python .venv/requirements-without-torch.txt
else
  install_requirements .venv/bin/python scripts/requirements.txt
fi
if $with_tests; then install_requirements .venv/bin/python scripts/requirements-test.txt; fi
