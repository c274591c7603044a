#!/bin/bash
# Writes the broker's settings from the environment, formats an empty disk, and becomes the broker.
#   KAFKA_NODE_ID      this node's number (1)
#   KAFKA_HOST         the name by which others reach it (kafka)
#   KAFKA_VOTERS       all nodes: 1@kafka:9093,2@kafka-2:9093,... (this one alone)
#   KAFKA_CLUSTER_ID   22 characters, the same for all nodes
#   KAFKA_REPLICATION  copies of the broker's own topics (1)
#   KAFKA_MIN_ISR      copies that must have a record before it is acknowledged (1)
#   KAFKA_HEAP         the JVM's heap (256m)
#   KAFKA_SETTINGS     a file with settings that count instead of those made here: a closed broker's
#   KAFKA_FORMAT       a file with arguments for formatting an empty disk, one in a line: the accounts of a closed broker
#   KAFKA_FREE_MB      free space that it waits for before it starts (64)
set -euo pipefail
node=${KAFKA_NODE_ID:-1} host=${KAFKA_HOST:-kafka} copies=${KAFKA_REPLICATION:-1} heap=${KAFKA_HEAP:-256m}
voters=${KAFKA_VOTERS:-$node@$host:9093}
conf=/var/lib/kafka/conf data=/var/lib/kafka/data

cat > $conf/log4j2.properties << END
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
END
cat > $conf/server.properties << END
process.roles=broker,controller
node.id=$node
controller.quorum.voters=$voters
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
advertised.listeners=PLAINTEXT://$host:9092
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$data/log
auto.create.topics.enable=false
min.insync.replicas=${KAFKA_MIN_ISR:-1}
default.replication.factor=$copies
offsets.topic.replication.factor=$copies
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=$copies
transaction.state.log.num.partitions=4
transaction.state.log.min.isr=${KAFKA_MIN_ISR:-1}
share.coordinator.state.topic.replication.factor=$copies
share.coordinator.state.topic.num.partitions=4
share.coordinator.state.topic.min.isr=${KAFKA_MIN_ISR:-1}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# A killed broker stays shut until its old session has run out: with the default of 9 s, for 13 s.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
END
# Of settings that are there twice the later one counts.
if [ -n "${KAFKA_SETTINGS:-}" ]; then cat "$KAFKA_SETTINGS" >> $conf/server.properties; fi

# A broker ends when its disk is full, and cannot start on a full one: it would die of writing to mapped files, again and again and at
# ever longer intervals. So it is said here, and there is a start as soon as there is space.
need=$((${KAFKA_FREE_MB:-64} * 1024))
free_kb() { df -Pk $data | { read -r _; read -r _ _ _ free _; echo "$free"; }; }
trap 'exit 143' TERM INT
if [ "$(free_kb)" -lt $need ]; then
    echo "the disk is full: $(($(free_kb) / 1024)) MB are free in $data, the broker waits for space until ${KAFKA_FREE_MB:-64} MB are"
    until [ "$(free_kb)" -ge $need ]; do sleep 1; done
    echo "there is space again: the broker starts"
fi

java="java -Xms$heap -Xmx$heap -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dlog4j2.configurationFile=file:$conf/log4j2.properties"
if [ ! -f $data/log/meta.properties ]; then
    mkdir -p $data/log
    more=()
    if [ -n "${KAFKA_FORMAT:-}" ]; then mapfile -t more < "$KAFKA_FORMAT"; fi
    # It prints the accounts' hashed passwords, which are for no log.
    $java -cp "/opt/kafka/libs/*" kafka.tools.StorageTool format -t "${KAFKA_CLUSTER_ID:?}" -c $conf/server.properties "${more[@]}" \
        > /dev/null
fi
exec $java -cp "/opt/kafka/libs/*" kafka.Kafka $conf/server.properties
