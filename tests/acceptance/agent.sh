# A stand-in agent. It says in one line each when it starts, works and stops; short appends of
# several processes do not mix. What happens at its desk, the test decides by files in $DESK.
say() {
    read -r uptime _ </proc/uptime
    echo "$ORCH_REPO $ORCH_WORK_ITEM $ORCH_STAGE $ORCH_JOB $ORCH_ATTEMPT $$ $1 $uptime" >>"$DESK/trace"
}

say start
if [ -e "$DESK/poison-$ORCH_WORK_ITEM" ]; then
    read -r _ _ _ worker _ <"/proc/$PPID/stat" # this shell < supervisor < pool child
    kill -KILL "$worker"
    sleep 60 # until it is stopped for that
fi
say work
sleep 0.05 # long enough that another one beside it would show
while [ -e "$DESK/hold-$ORCH_WORK_ITEM" ]; do sleep 0.05; done
echo '{"verdict": "pass", "summary": "done"}' >"$ORCH_RESULT_FILE"
say stop
