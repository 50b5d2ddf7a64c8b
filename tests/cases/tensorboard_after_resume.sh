#!/bin/bash
# Killed between two checkpoints, resumed: TensorBoard's curves are those of the Parquet file, no point is there twice.
. "$(cd "$(dirname "$0")" && pwd)/common.sh"
base; cp -r datasets/a d
cat > t.py <<'PY'
import dataclasses, os, sys
import bestreply as br
from bestreply.config import preset
from bestreply.pipeline import config_for_data
from bestreply.training.metrics_log import MetricsLog
d = br.open_store("d")
c = preset("debug")
c = dataclasses.replace(c, train=dataclasses.replace(c.train, opponent_updates=20, updates=20, log_every=2, checkpoint_every=10))
c = config_for_data(c, d)
write = MetricsLog.write
def stopping(self, phase, update, values, env_steps=None):
    write(self, phase, update, values, env_steps)
    if len(sys.argv) > 1 and phase == "world" and update == 18:  # beyond the checkpoint
        os._exit(1)
MetricsLog.write = stopping
br.train(d, c, path="r", resume=os.path.exists("r"))
PY
$PY t.py stop 2>/dev/null && exit 6; $PY t.py 2>err || { tail -n 3 err; exit 7; }
$PY - <<'PY'
import collections, pathlib, struct, sys
import pyarrow.parquet as pq
from tensorboardX.proto.event_pb2 import Event
seen = collections.Counter()
for f in sorted(pathlib.Path("r/tensorboard").glob("events*")):
    data, at = f.read_bytes(), 0
    while at < len(data):
        (n,) = struct.unpack_from("<Q", data, at)
        e = Event.FromString(data[at + 12 : at + 12 + n])
        at += 12 + n + 4
        for v in e.summary.value:
            seen[v.tag, e.step, struct.pack("<f", v.simple_value)] += 1
rows = pq.read_table("r/metrics.parquet").to_pylist()
kept = collections.Counter((r["name"], r["env_steps"], struct.pack("<f", r["value"])) for r in rows)
print(len(rows), "rows;", sum(seen.values()), "points; only in one of them:", list(((seen - kept) + (kept - seen)))[:3])
sys.exit(seen != kept)
PY
