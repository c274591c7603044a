#!/bin/bash
# hdfs-node namenode | datanode | healthy
#   HDFS_NAMENODE  the NameNode's host name (hdfs-namenode)
#   HDFS_HOST      the name by which others reach this DataNode (its host name)
#   HDFS_HEAP      the JVM's heap (192m)
set -euo pipefail
namenode=${HDFS_NAMENODE:-hdfs-namenode} host=${HDFS_HOST:-$(hostname)}
state=/var/lib/kaon/state conf=/tmp/hdfs-conf

if [ "$1" = healthy ]; then
    # A DataNode counts when the NameNode has heard of it.
    exec 3<> "/dev/tcp/$namenode/9870"
    printf 'GET /jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState HTTP/1.0\r\nHost: localhost\r\n\r\n' >&3
    state=$(cat <&3)
    grep -Eq '"NumLiveDataNodes" : [1-9]' <<< "$state" && grep -Eq '"FSState" : "Operational"' <<< "$state"
    exit
fi

# The jars hold no web pages; their servers want the folders nonetheless.
mkdir -p $conf/webapps/hdfs $conf/webapps/datanode $conf/webapps/static $state/hdfs
cat > $conf/log4j.properties << END
log4j.rootLogger=WARN,console
log4j.appender.console=org.apache.log4j.ConsoleAppender
log4j.appender.console.layout=org.apache.log4j.PatternLayout
log4j.appender.console.layout.ConversionPattern=%d{ISO8601} %-5p %c{1}: %m%n
END
property() { echo "<property><name>$1</name><value>$2</value></property>"; }
{
    echo "<configuration>"
    property fs.defaultFS "hdfs://$namenode:9000"
    property hadoop.tmp.dir $state/hdfs/tmp
    echo "</configuration>"
} > $conf/core-site.xml
{
    echo "<configuration>"
    property dfs.replication "${HDFS_REPLICATION:-1}"
    # HDFS writes nothing where a whole block has no room: the usual 128 MiB would refuse small files on a disk with gigabytes.
    property dfs.blocksize "${HDFS_BLOCK_BYTES:-8388608}"
    property dfs.safemode.extension 0
    # Whoever reaches it may use it: it stands on a network of its own.
    property dfs.permissions.enabled false
    property dfs.namenode.rpc-bind-host 0.0.0.0
    property dfs.namenode.http-address 0.0.0.0:9870
    property dfs.namenode.name.dir file://$state/hdfs/name
    property dfs.namenode.datanode.registration.ip-hostname-check false
    property dfs.datanode.hostname "$host"
    property dfs.datanode.data.dir file://$state/hdfs/data
    property dfs.heartbeat.interval 1
    property ipc.client.connect.retry.interval 100
    property dfs.namenode.heartbeat.recheck-interval 2000
    echo "</configuration>"
} > $conf/hdfs-site.xml

heap=${HDFS_HEAP:-192m}
java="java -Xmx$heap -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp $conf:/opt/hadoop/libs/*"
case $1 in
    namenode)
        class=org.apache.hadoop.hdfs.server.namenode.NameNode
        if [ ! -f $state/hdfs/name/current/VERSION ]; then $java $class -format -nonInteractive; fi
        exec $java $class ;;
    datanode) exec $java org.apache.hadoop.hdfs.server.datanode.DataNode ;;
    *) echo "hdfs-node: namenode, datanode or healthy, not $1" >&2; exit 2 ;;
esac
