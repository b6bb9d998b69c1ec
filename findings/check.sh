#!/usr/bin/env bash
# Runs every finding. A line each; exit status 1 if a behaviour has changed.
set -u
cd "$(dirname "$0")"
changed=0
for script in *.sh; do
  [ "$script" = check.sh ] && continue
  said=$(bash "$script" 2>&1)
  case $? in
    0) echo "as described  ${script%.sh}" ;;
    2) echo "not tried     ${script%.sh}: $(tail -n 1 <<<"$said")" ;;
    *) echo "CHANGED       ${script%.sh}"; sed 's/^/    /' <<<"$said"; changed=1 ;;
  esac
done
exit $changed
