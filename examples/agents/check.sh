#!/bin/sh
# A toy agent for the stages that check or deploy: it looks at what was written and reports.
set -eu
. "$(dirname "$0")/turn.sh"

sleep 0.4
found=$(find . -type f | wc -l | tr -d ' ')
echo "$ORCH_STAGE: $found files looked at" | tee "$folder/$1"
verdict pass "$found files are in order"
