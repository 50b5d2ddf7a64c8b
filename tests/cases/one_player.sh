#!/bin/bash
# One player alone: every step of a run, and the commands on it.
. "$(cd "$(dirname "$0")" && pwd)/common.sh"
bad=0
G="stag_hunt(height=3, width=3, hunters=1, stags=0, hares=2, max_steps=6)"
SMALL="--preset debug --train.opponent-updates 4 --train.updates 4 --evaluate.episodes 8 --evaluate.reference-layouts 2 --collect.episodes 32"
try() { "$@" >out 2>err; a=$?; echo "$2: exit $a, tracebacks $(grep -c Traceback err)"; [ $a = 0 ] || { bad=1; tail -n 3 err; }; }
try $BR run $SMALL --evaluate.methods agent random data_players --game "$G" --out r
for m in behaviour_cloning iql ppo; do
  try $BR run $SMALL --evaluate.methods agent --game "$G" --method $m --out "r-$m"
done
try $BR evaluate r --episodes 4
try $BR diagnose r
try $BR view r --episodes 1
try $BR report r
$PY - <<'PY' || bad=1
import sys, bestreply as br
table = br.Scores.load("r/scores.parquet").table
print(set(table["opponents"].to_pylist()))
sys.exit(set(table["opponents"].to_pylist()) != {"none"})
PY
exit $bad
