#!/usr/bin/env bash
# The programs of other people that the tests need, as Debian packages; the list is debian.txt beside this file.
#
#   debian.sh missing     print the lines of the list whose command is not here: PACKAGE MARKER[,MARKER]...
#   debian.sh install     install what is missing with apt-get, as root or through sudo
#
# Exit status: 0; 1 apt-get failed; 2 usage, or there is no apt-get.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

found() { # one of COMMAND|COMMAND|GLOB
  local candidate
  local -a candidates
  IFS='|' read -r -a candidates <<<"$1"
  for candidate in "${candidates[@]}"; do
    if command -v "$candidate" >/dev/null || compgen -G "$candidate" >/dev/null; then return 0; fi
  done
  return 1
}

missing() {
  local package command markers
  while read -r package command markers; do
    case $package in '' | '#'*) continue ;; esac
    found "$command" || echo "$package $markers"
  done <"$here/debian.txt"
}

case ${1:-} in
  missing) missing ;;
  install)
    mapfile -t packages < <(missing | cut -d ' ' -f 1)
    [ "${#packages[@]}" -gt 0 ] || exit 0
    command -v apt-get >/dev/null || { echo "debian.sh: no apt-get here; install by hand: ${packages[*]}" >&2; exit 2; }
    root=()
    [ "$(id -u)" = 0 ] || root=(sudo)
    echo "debian.sh: installing ${packages[*]}" >&2
    "${root[@]}" apt-get update -q
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${packages[@]}"
    ;;
  *) sed -n '2,/^set /{s/^# \{0,1\}//;/^set /d;p}' "${BASH_SOURCE[0]}" >&2; exit 2 ;;
esac
