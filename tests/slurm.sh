#!/bin/sh
# slurm.sh PROGRAM: `submit` before a real slurmctld and two slurmd that are started here, in a scratch folder and without any
# privilege beyond the user's own: an array, a task that fails, a requeue, a preemption, a time limit, a node that dies. Each
# ends in the table of a plain run, byte for byte. Prints what Slurm recorded of every job; the last line counts like run.sh.
set -u
[ $# = 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
program=$(realpath "$1")
base=$(mktemp -d "${TMPDIR:-/tmp}/patchgauge-slurm-XXXXXX") || exit 4
passed=0 failed=0 daemons=''
host=$(uname -n) port=$((20000 + $$ % 20000))
export SLURM_CONF="$base/slurm.conf" TMPDIR="$base/tmp"
unset PATCHGAUGE_DATA SLURM_JOB_ID SLURM_ARRAY_TASK_ID

pids_of() { # text: our own processes that hold it in their command line; it holds the name of the scratch folder
    for entry in /proc/[0-9]*; do
        { tr '\0' ' ' <"$entry/cmdline"; } 2>/dev/null | grep -qF -- "$1" && [ "${entry#/proc/}" != $$ ] && echo "${entry#/proc/}"
    done
}

stop() {
    scancel --quiet --state=RUNNING,PENDING --user="$(id -un)" 2>/dev/null
    sleep 1
    # shellcheck disable=SC2086 # a list
    [ -z "$daemons" ] || kill $daemons 2>/dev/null
    wait
    for pid in $(pids_of "$base/"); do kill -9 "$pid" 2>/dev/null; done
    [ "$failed" = 0 ] || tail -n 40 "$base"/log/slurm*.txt
    rm -rf "$base"
}
trap 'stop; exit 1' INT TERM
trap stop EXIT

check() { # name, command...: one line for each
    name=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok      slurm: $name"
    else
        failed=$((failed + 1))
        echo "FAILED  slurm: $name: $*"
    fi
}

configure() {
    mkdir -p "$base/tmp" "$base/log" "$base/state" || exit 4
    cat >"$SLURM_CONF" <<END
ClusterName=patchgauge
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc=$base/log/jobs.txt
StateSaveLocation=$base/state
SlurmdSpoolDir=$base/spool.%n
SlurmctldPidFile=$base/slurmctld.pid
SlurmdPidFile=$base/slurmd.%n.pid
SlurmctldLogFile=$base/log/slurmctld.txt
SlurmdLogFile=$base/log/slurmd.%n.txt
SchedulerType=sched/builtin
SchedulerParameters=sched_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=20
SlurmdTimeout=10
ReturnToService=2
SlurmdParameters=config_overrides
NodeName=n[1-2] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 2))] CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=first Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=2
END
    : >"$base/log/jobs.txt"
}

start_node() {
    mkdir -p "$base/spool.$1"
    slurmd -D -N "$1" -f "$SLURM_CONF" >"$base/log/out.$1" 2>&1 &
    daemons="$daemons $!"
    eval "node_$1=$!"
}

await() { # seconds, command...: until it succeeds
    left=$(($1 * 2))
    shift
    until "$@" >/dev/null 2>&1; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || return 1
        sleep 0.5
    done
}

nodes_are_idle() { [ "$(sinfo -h -N -p all -o %t | grep -c idle)" = 2 ]; }
submitted() { sed -n 's/^job \([0-9]*\): .*/\1/p' "$work/out.txt" | sed -n "$1p"; }
recorded() { grep -a "^JobId=$1 " "$base/log/jobs.txt" | grep -qa "$2"; }
in_file() { grep -qaF -- "$1" "$2"; }

# A folder and a matrix of 240 images in 30 tasks; images take that many microseconds.
enter() { # name, microseconds
    work="$base/work '$1' \"q\" %j \$(touch owned)"
    mkdir "$work" && cd "$work" || exit 4
    cat >m.toml <<END
name = "parts"
[fixed]
dataset = "synthetic:test"
weights = "null"
images = "0:240"
batch = 8
null.sleep_us = $2
[axes]
defense = ["mean", "ds", "median", "robust-masking"]
patch = [2, 5]
"robust-masking.threshold" = [0, 0.2]
END
}
submit() { "$program" --db main.db submit m.toml --task-images 8 "$@" >out.txt && cat out.txt; }
merged() { recorded "$(submitted 2)" "JobState=$1"; }
same_table() {
    sed 's/^null.sleep_us.*//' m.toml >quick.toml
    "$program" --quiet --db plain.db run quick.toml --task-images 8 &&
        "$program" --db plain.db table quick.toml -f csv >plain.csv && "$program" --db main.db table m.toml -f csv >main.csv &&
        [ "$(wc -l <plain.csv)" -gt 20 ] && cmp plain.csv main.csv && "$program" --quiet --db main.db db check >/dev/null
}
tasks_at_start() { sed -n 's/^parts: 10 cells, \([0-9]*\) of .*/\1/p' "$1" | tail -n 1; }

# ---- an array on two nodes, and what was asked of the controller

an_array() {
    enter array 10000
    sdiag --reset >/dev/null
    submit --tasks 4
    check "an array ends and is merged" await 120 merged COMPLETED
    sdiag >calls.txt
    check "both nodes ran tasks" test "$(grep -ao 'NodeList=n[12]' "$base/log/jobs.txt" | sort -u | wc -l)" = 2
    check "table of an array" same_table
    check "the controller was asked for two jobs" grep -q 'REQUEST_SUBMIT_BATCH_JOB .*count:2 ' calls.txt
    # beside what its nodes tell it, and these statistics
    check "and for nothing else" test -z "$(sed -n '/by message type/,/by user/s/^[ \t]*\([A-Z_]*\) .*count:.*/\1/p' calls.txt |
        grep -vE '^(REQUEST_SUBMIT_BATCH_JOB|REQUEST_STATS_INFO|MESSAGE_[A-Z_]*|REQUEST_COMPLETE_[A-Z_]*|REQUEST_STEP_COMPLETE)$')"
    grep -E '^[[:space:]]*(REQUEST|MESSAGE)_.*count:' calls.txt | sed -E 's/^[[:space:]]*/        /; s/ave_time.*//' | sort -u
    check "nothing is left on the nodes" test -z "$(ls "$TMPDIR")"
    check "names of folders are only names" test ! -e owned -a ! -e parts.slurm/owned
}

# ---- a task that fails

a_failure() {
    enter failure 0
    submit --tasks 4 -S null.fail_image=20
    check "a failed task fails the merge" await 120 merged FAILED
    check "its reason is in the database" sh -c "'$program' --db main.db plan m.toml --explain | grep -q 'told to fail at image 20'"
    submit --tasks 4
    check "submitting again takes up that task alone" grep -q ': 1 task, in ' out.txt
    check "and it is merged" await 120 merged COMPLETED
    check "table after a failure" same_table
}

# ---- a task that is requeued while it runs

a_requeue() {
    enter requeue 150000
    submit --tasks 2 --save-every 1
    check "a task is on its way" await 120 sh -c "'$program' --db parts.slurm/shard-1.db ls | grep -qE 'partial'"
    scontrol requeue "$(submitted 1)_1"
    check "the requeued task goes on and is merged" await 300 merged COMPLETED
    check "with what it had" test "$(tasks_at_start parts.slurm/log-1.txt)" -gt 0
    check "the controller requeued it" grep -qa "JobState=PENDING .*ArrayJobId=$(submitted 1) ArrayTaskId=1 " "$base/log/jobs.txt"
    check "table after a requeue" same_table
}

# ---- a task that makes room for another job; its last copy is the one it makes then

on_its_way() { # in the database on the node of the task
    for pid in $(pids_of "$work/parts.slurm/matrix.toml"); do
        db=$(tr '\0' '\n' <"/proc/$pid/cmdline" | grep '/shard\.db$' | head -n 1)
        [ -n "$db" ] && "$program" --db "$db" plan m.toml | grep -q ' [1-9][0-9]* partial' && return 0
    done
    return 1
}

a_preemption() {
    enter preemption 100000
    submit --tasks 1 --sbatch-arg=--nodelist=n1
    check "a task is on its way" await 120 on_its_way
    sbatch --parsable --partition=first --nodelist=n1 --exclusive --output=/dev/null --wrap='sleep 2' >/dev/null
    check "the preempted task goes on and is merged" await 300 merged COMPLETED
    check "with what it had" test "$(tasks_at_start parts.slurm/log-0.txt)" -gt 0
    check "table after a preemption" same_table
}

# ---- a task that comes to its time limit, several times over

a_limit() { # first: submit; then: look
    if [ "$1" = submit ]; then
        enter limit 300000
        submit --tasks 1 --sbatch-arg=--time=1 --sbatch-arg=--signal=B:USR1@30 --sbatch-arg=--nodelist=n2
        limit=$work
        return
    fi
    work=$limit
    cd "$work" || exit 4
    check "a task at its time limit is merged in the end" await 400 merged COMPLETED
    check "it drained" in_file "interrupted: " parts.slurm/log-0.txt
    check "and went on with what it had" test "$(tasks_at_start parts.slurm/log-0.txt)" -gt 0
    check "no limit was overrun" test -z "$(grep -a JobState=TIMEOUT "$base/log/jobs.txt")"
    check "table after time limits" same_table
}

# ---- a node that dies with all that runs on it

a_dead_node() {
    enter death 150000
    submit --tasks 2 --save-every 1 --sbatch-arg=--nodelist=n1
    check "a task runs on the node" await 120 sh -c "'$program' --db parts.slurm/shard-0.db ls | grep -qE 'partial'"
    scripts=$(pids_of "$base/spool.n1/") steps=''
    for pid in $scripts; do steps="$steps $(sed -n 's/^PPid:[^0-9]*//p' "/proc/$pid/status" 2>/dev/null)"; done
    for pid in $(pids_of "$base/tmp/patchgauge-"); do
        { tr '\0' '\n' <"/proc/$pid/environ"; } 2>/dev/null | grep -qx SLURMD_NODENAME=n1 && scripts="$scripts $pid"
    done
    # shellcheck disable=SC2086 # lists; what would tell of the deaths dies first
    kill -9 "$node_n1" $steps $scripts 2>/dev/null
    check "the controller gives it up" await 120 sh -c "sinfo -h -N -n n1 -o %t | grep -q down"
    start_node n1
    check "its tasks go on and are merged" await 300 merged COMPLETED
    check "with their last copies" test "$(tasks_at_start parts.slurm/log-0.txt)" -gt 0
    check "table after the death of a node" same_table
}

configure
slurmctld -D -f "$SLURM_CONF" >"$base/log/out.ctl" 2>&1 &
daemons=$!
await 30 sinfo || { cat "$base/log/out.ctl"; exit 1; }
start_node n1
start_node n2
check "two nodes are there" await 60 nodes_are_idle
[ "$failed" = 0 ] || exit 1
an_array
a_failure
a_limit submit
a_requeue
a_preemption
a_dead_node
a_limit look
echo "jobs, as slurmctld recorded them:"
sed -E 's/ UserId.* Name=/ Name=/; s/ Partition.* StartTime=/ StartTime=/; s/ (NodeCnt|ReservationName).* ExitCode=/ ExitCode=/' \
    "$base/log/jobs.txt" | grep -a '^JobId' || true
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" = 0 ]
