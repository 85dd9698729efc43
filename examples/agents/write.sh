#!/bin/sh
# A toy agent for every stage that delivers a document: it thinks for a moment, then writes it.
# "toy: ask" in the task's description makes the analyst ask instead.
set -eu
. "$(dirname "$0")/turn.sh"

echo "reading the task, attempt $ORCH_ATTEMPT"
sleep 0.4
if [ "$ORCH_STAGE" = analysis ] && grep -q 'toy: ask' prompt.txt; then
    verdict needs_input "Which of the two formats is meant?"
    exit 0
fi
{
    echo "# $1 of $ORCH_WORK_ITEM"
    echo
    sed -n '/^<<<$/,/^>>>$/p' prompt.txt
} > "$folder/$1"
echo "wrote $folder/$1"
verdict pass "wrote $1"
