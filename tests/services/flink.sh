#!/usr/bin/env bash
# A Flink session cluster on this machine, and Beam's job server in front of it.
#
#   tests/services/flink.sh start    installs it into .tools/flink if need be, and returns when it takes jobs
#   tests/services/flink.sh stop
#   tests/services/flink.sh runner   prints the parameter `runner` that sends ingest there
#
# Everything listens on 127.0.0.1. FLINK_PORT (8081) is the page of the cluster, BEAM_PORT (8099) takes jobs.
# FLINK_HOME holds logs and process numbers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

readonly tools="$PWD/.tools/flink"
readonly home="${FLINK_HOME:-$tools/run}"
readonly port="${FLINK_PORT:-8081}"
readonly beam_port="${BEAM_PORT:-8099}"
readonly rpc_port="${FLINK_RPC_PORT:-6123}"
readonly slots="${FLINK_SLOTS:-2}"

# Flink on Java 17 looks into these; bin/flink-daemon.sh says so by config, which needs more of a distribution.
opens=()
for package in lang net io nio lang.reflect text time util util.concurrent util.concurrent.atomic \
  util.concurrent.locks; do
  opens+=("--add-opens=java.base/java.$package=ALL-UNNAMED")
done
opens+=(--add-opens=java.base/sun.nio.ch=ALL-UNNAMED --add-exports=java.base/sun.net.util=ALL-UNNAMED)

configure() {
  mkdir -p "$home/conf" "$home/tmp"
  # Memory by hand: what bin/taskmanager.sh would work out from the size of the process.
  cat >"$home/conf/config.yaml" <<YAML
jobmanager.rpc.address: 127.0.0.1
jobmanager.rpc.port: $rpc_port
jobmanager.bind-host: 127.0.0.1
rest.address: 127.0.0.1
rest.bind-address: 127.0.0.1
rest.port: $port
taskmanager.host: 127.0.0.1
taskmanager.bind-host: 127.0.0.1
taskmanager.numberOfTaskSlots: $slots
taskmanager.cpu.cores: $slots
taskmanager.memory.task.heap.size: 768m
taskmanager.memory.task.off-heap.size: 64m
taskmanager.memory.managed.size: 256m
taskmanager.memory.network.min: 64m
taskmanager.memory.network.max: 64m
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
io.tmp.dirs: $home/tmp
YAML
  cat >"$home/conf/log4j.properties" <<'LOG'
rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.name = out
appender.out.type = CONSOLE
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{HH:mm:ss} %-5p %c{1} %m%n
LOG
}

# In the background, with a file of its output and its process number.
launch() {
  local name=$1
  shift
  java "${opens[@]}" "-Dlog4j.configurationFile=$home/conf/log4j.properties" "$@" \
    >"$home/$name.log" 2>&1 </dev/null &
  echo $! >"$home/$name.pid"
}

fail() {
  echo "flink: $1 (logs: $home)" >&2
  stop
  exit 1
}

# Asks again until the cluster answers so; a process that has ended never will.
until_ready() {
  local what=$1
  shift
  for _ in $(seq 240); do
    if "$@"; then
      return 0
    fi
    local ended
    if ended=$(first_ended); then
      tail -n 5 "$home/$ended.log" >&2
      fail "$what has no process '$ended' any more"
    fi
    sleep 0.25
  done
  fail "$what does not answer"
}

# Prints the name of a process that has ended; fails when all go on.
first_ended() {
  local file
  for file in "$home"/*.pid; do
    kill -0 "$(<"$file")" 2>/dev/null || {
      basename "$file" .pid
      return 0
    }
  done
  return 1
}

has_slots() {
  curl --silent --noproxy '*' "http://127.0.0.1:$port/overview" | grep -q "\"slots-total\":$slots"
}

takes_jobs() {
  (: <"/dev/tcp/127.0.0.1/$beam_port") 2>/dev/null
}

start() {
  tests/services/install/flink.sh
  if compgen -G "$home/*.pid" >/dev/null && ! first_ended >/dev/null; then
    return 0
  fi
  configure
  local flink beam
  flink=$(printf '%s:' "$tools"/lib/*.jar)
  beam=$(printf '%s:' "$tools"/beam/*.jar)
  launch manager -Xmx512m -cp "$flink" \
    org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint --configDir "$home/conf"
  launch worker -Xmx1g -cp "$flink" \
    org.apache.flink.runtime.taskexecutor.TaskManagerRunner --configDir "$home/conf"
  # Port 0 is any free one. A number next to that of jobs is not: connections that were made from it
  # hold it for a minute after their end.
  launch jobs -Xmx512m -cp "$flink$beam" org.apache.beam.runners.flink.FlinkJobServerDriver \
    "--flink-master=127.0.0.1:$port" --job-host=127.0.0.1 "--job-port=$beam_port" \
    --artifact-port=0 --expansion-port=-1 "--artifacts-dir=$home/artifacts"
  until_ready 'the cluster' has_slots
  until_ready 'the job server' takes_jobs
}

stop() {
  local file
  for file in "$home"/*.pid; do
    [[ -e $file ]] || continue
    kill "$(<"$file")" 2>/dev/null || true
    rm "$file"
  done
}

case "${1-}" in
  start) start ;;
  stop) stop ;;
  runner)
    echo "PortableRunner --job_endpoint=127.0.0.1:$beam_port --environment_type=LOOPBACK --parallelism=$slots"
    ;;
  *)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
    ;;
esac
