# What the toy agents in shell share; sourced, not run.
# ../turns.log, beside the working folders of one repo, gets a line when a turn begins and when it
# ends, however it ends: it shows that no two turns of a repo ever overlap.

turn() {
    echo "$1 $ORCH_WORK_ITEM $ORCH_STAGE $ORCH_JOB" >> ../turns.log
}

verdict() {
    printf '{"verdict": "%s", "summary": "%s"}\n' "$1" "$2" > "$ORCH_RESULT_FILE"
}

trap 'turn stop' EXIT
trap 'exit 143' INT TERM
turn start
cat > prompt.txt # the prompt comes on standard input
folder="docs/work-items/$ORCH_WORK_ITEM"
mkdir -p "$folder"
