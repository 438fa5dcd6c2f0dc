#!/usr/bin/env bash
# Apache Kafka without Docker: fetches the jars through Maven, formats the storage, runs 1 or 3 nodes in KRaft mode.
#
#   kafka.sh start [--nodes 1|3] [--dir DIR] [--port P] [--proxied Q] [--set KEY=VALUE]... [--while PID] [--foreground]
#   kafka.sh stop  [--dir DIR] [--now]    --now: kill, for data that nobody needs
#   kafka.sh libs                     only fetch the jars into libs/ (again when pom.xml changed)
#   kafka.sh tool CLASS [ARG]...      run one of Kafka's own tools, e.g. org.apache.kafka.tools.TopicCommand
#
# `start` waits until every node takes requests and prints the bootstrap servers, alone, on standard output. Data stays in DIR
# (default: var/kafka in the repository) and is used again by the next start. With N nodes the ports P .. P+N-1 are for clients
# (default P: 9092), P+N .. P+2N-1 for the controllers.
#   --proxied Q     one more listener a node, on P+2N+i, that tells clients to come back through 127.0.0.1:Q+i
#   --while PID     stop by itself when that process has ended, however it ended
#   --foreground    stay until Ctrl-C, then stop
#   --set K=V       one more line of server.properties, for every node
# Exit status: 0; 1 the nodes did not start (nothing is left running, the reason is printed); 2 usage, or Java or Maven is missing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
libs="$here/libs"
dir="$here/../../var/kafka"
nodes=1 port=9092 proxied="" watched="" foreground="" extra=""
start_s=60 stop_s=30

usage() { sed -n '2,/^set /{s/^# \{0,1\}//;/^set /d;p}' "${BASH_SOURCE[0]}" >&2; exit 2; }
fail() { echo "kafka.sh: $1" >&2; exit "${2:-1}"; }

java_command() {
  local java="${JAVA_HOME:+$JAVA_HOME/bin/}java" version
  command -v "$java" >/dev/null || fail "java not found; install it with: apt-get install openjdk-17-jre-headless (or set JAVA_HOME)" 2
  version=$("$java" -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
  [ "${version:-0}" -ge 17 ] || fail "Kafka 4 needs Java 17 or later, $java is ${version:-unknown}; set JAVA_HOME to a newer one" 2
  echo "$java"
}

fetch_libs() { # once for each pom.xml, also when several processes ask at the same time
  local stamp
  stamp=$(sha256sum "$here/pom.xml" | cut -d ' ' -f 1)
  [ "$(cat "$libs/.stamp" 2>/dev/null)" = "$stamp" ] && return
  command -v mvn >/dev/null || fail "mvn not found; install it with: apt-get install maven" 2
  mkdir -p "$libs"
  (
    flock 9
    [ "$(cat "$libs/.stamp" 2>/dev/null)" = "$stamp" ] && exit
    echo "kafka.sh: fetching the broker's jars into $libs" >&2
    rm -f "$libs"/*.jar
    mvn -q -B -Dstyle.color=never -f "$here/pom.xml" dependency:copy-dependencies -DoutputDirectory="$libs" >&2
    echo "$stamp" >"$libs/.stamp"
  ) 9>"$libs/.lock" || fail "Maven could not fetch the jars of $here/pom.xml" 2
}

run_java() { # OPTIONS CLASS ARG...; the heap is small, the tests run beside it
  "$java" -Dlog4j2.configurationFile="$here/log4j2.properties" -Dlog4j2.disable.jmx=true -cp "$libs/*" "$@"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

running() { [ -s "$1/pid" ] && kill -0 "$(cat "$1/pid")" 2>/dev/null; }

configure() { # one node's server.properties
  local node=$1 home="$dir/node-$1" client control voters="" listeners advertised i
  client=$((port + node - 1)) control=$((port + nodes + node - 1))
  for ((i = 1; i <= nodes; i++)); do voters+="${voters:+,}$i@127.0.0.1:$((port + nodes + i - 1))"; done
  listeners="CLIENT://127.0.0.1:$client,CONTROLLER://127.0.0.1:$control"
  advertised="CLIENT://127.0.0.1:$client"
  if [ -n "$proxied" ]; then
    listeners+=",PROXIED://127.0.0.1:$((port + 2 * nodes + node - 1))"
    advertised+=",PROXIED://127.0.0.1:$((proxied + node - 1))"
  fi
  mkdir -p "$home"
  sed -e "s|@NODE@|$node|; s|@VOTERS@|$voters|; s|@LISTENERS@|$listeners|; s|@ADVERTISED@|$advertised|; s|@DATA@|$home/data|" \
    "$here/server-$nodes.properties" >"$home/server.properties"
  printf '%s' "$extra" >>"$home/server.properties"
}

stop_nodes() {
  local home pid waited
  for home in "$dir"/node-*; do
    if running "$home"; then kill -CONT "$(cat "$home/pid")" && kill "$(cat "$home/pid")"; fi
  done
  for home in "$dir"/node-*; do
    [ -s "$home/pid" ] || continue
    pid=$(cat "$home/pid") waited=0
    while kill -0 "$pid" 2>/dev/null; do
      [ "$waited" -lt $((stop_s * 10)) ] || kill -KILL "$pid" 2>/dev/null || break
      sleep 0.1
      waited=$((waited + 1))
    done
    rm -f "$home/pid"
  done
}

start_failed() {
  local home
  for home in "$dir"/node-*; do echo "--- last lines of $home/server.log" >&2 && tail -n 20 "$home/server.log" >&2; done
  stop_s=2 && stop_nodes
  fail "$1"
}

start_nodes() {
  local node home cluster waited=0 i
  for ((node = 1; node <= nodes; node++)); do
    running "$dir/node-$node" && fail "node $node already runs in $dir; stop it with: $0 stop --dir $dir"
  done
  for ((i = 0; i < nodes * (${#proxied} ? 3 : 2); i++)); do
    if answers $((port + i)); then fail "port $((port + i)) is taken; choose another with --port"; fi
  done
  mkdir -p "$dir"
  [ -s "$dir/cluster-id" ] || head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22 >"$dir/cluster-id"
  cluster=$(cat "$dir/cluster-id")
  for ((node = 1; node <= nodes; node++)); do
    home="$dir/node-$node"
    configure "$node"
    [ -s "$home/data/meta.properties" ] || run_java -Xmx128m kafka.tools.StorageTool format --cluster-id="$cluster" \
      --config "$home/server.properties" >"$home/format.log" 2>&1 || { cat "$home/format.log" >&2; fail "could not format $home/data"; }
  done
  for ((node = 1; node <= nodes; node++)); do
    home="$dir/node-$node"
    # A session of its own: a Ctrl-C in the terminal must reach the clients first, not the broker.
    setsid "$java" -Xms256m -Xmx"${KAFKA_HEAP:-640m}" -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true \
      -Dlog4j2.configurationFile="$here/log4j2.properties" -Dlog4j2.disable.jmx=true -cp "$libs/*" \
      kafka.Kafka "$home/server.properties" >"$home/server.log" 2>&1 </dev/null &
    echo $! >"$home/pid"
    bootstrap+="${bootstrap:+,}127.0.0.1:$((port + node - 1))"
  done
  for ((node = 1; node <= nodes; node++)); do
    home="$dir/node-$node"
    until grep -q "Kafka Server started" "$home/server.log" && answers $((port + node - 1)); do
      running "$home" || start_failed "node $node ended while starting"
      [ "$waited" -lt $((start_s * 10)) ] || start_failed "node $node did not start within $start_s s"
      sleep 0.1
      waited=$((waited + 1))
    done
  done
}

watch() { # says that it is there, for whoever waits to send a signal
  echo watching
  exec >/dev/null
  while kill -0 "$watched" 2>/dev/null; do sleep 1; done
  stop_nodes
}

command=${1:-} && shift || usage
if [ "$command" = tool ]; then
  [ $# -gt 0 ] || usage
  java=$(java_command)
  fetch_libs
  run_java -Xmx256m "$@"
  exit
fi
while [ $# -gt 0 ]; do
  case $1 in
    --foreground) foreground=yes && shift && continue ;;
    --now) stop_s=0 && shift && continue ;;
    --nodes | --dir | --port | --proxied | --set | --while) [ $# -ge 2 ] || fail "$1 needs a value" 2 ;;
    *) fail "unknown option $1; see the head of $0" 2 ;;
  esac
  case $1 in
    --nodes) nodes=$2 ;;
    --dir) dir=$2 ;;
    --port) port=$2 ;;
    --proxied) proxied=$2 ;;
    --set) extra+="$2"$'\n' ;;
    --while) watched=$2 ;;
  esac
  shift 2
done
[ "$nodes" = 1 ] || [ "$nodes" = 3 ] || fail "--nodes is $nodes; 1 or 3 are possible" 2
[[ $port =~ ^[0-9]+$ && $proxied =~ ^[0-9]*$ && $watched =~ ^[0-9]*$ ]] || fail "--port, --proxied and --while need a number" 2

case $command in
  libs) java=$(java_command) && fetch_libs ;;
  stop) stop_nodes ;;
  watch) [ -n "$watched" ] || usage && watch ;;
  start)
    java=$(java_command)
    fetch_libs
    mkdir -p "$dir" && dir=$(cd "$dir" && pwd)
    bootstrap=""
    trap 'stop_nodes; exit 1' INT TERM
    start_nodes
    if [ -n "$watched" ]; then
      # A session of its own, and only then on: a signal to the caller's whole group must not end the one who is to notice it.
      read -r _ < <(setsid "$here/kafka.sh" watch --dir "$dir" --while "$watched" </dev/null 2>/dev/null)
    fi
    [ -z "$foreground" ] || trap 'stop_nodes; exit 0' INT TERM
    echo "$bootstrap"
    if [ -n "$foreground" ]; then
      echo "Ctrl-C ends it; logs are in $dir/node-*/server.log" >&2
      while running "$dir/node-1"; do sleep 1; done
      fail "node 1 ended by itself; see $dir/node-1/server.log"
    fi
    ;;
  *) usage ;;
esac
