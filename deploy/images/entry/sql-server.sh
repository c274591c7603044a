#!/bin/bash
# One Spark that speaks HiveServer2's protocol (port 10000) and Spark Connect's (15002), with a Derby metastore.
#   SQL_SERVER_WAREHOUSE  where tables are kept (hdfs://hdfs-namenode:9000/warehouse)
#   SQL_SERVER_HEAP       the JVM's heap (1g)
#   SQL_SERVER_HTTP       not empty: HiveServer2's protocol over HTTP, as before a proxy that checks users
set -euo pipefail
state=/var/lib/kaon/state/spark warehouse=${SQL_SERVER_WAREHOUSE:-hdfs://hdfs-namenode:9000/warehouse} heap=${SQL_SERVER_HEAP:-1g}
SPARK_HOME=$(python -c "import importlib.util, os; print(os.path.dirname(importlib.util.find_spec('pyspark').origin))")
export SPARK_HOME
mkdir -p $state
cat > $state/log4j2.properties << END
rootLogger.level = warn
rootLogger.appenderRef.stdout.ref = stdout
appender.stdout.type = Console
appender.stdout.name = stdout
appender.stdout.layout.type = PatternLayout
appender.stdout.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
END
cat > $state/spark.conf << END
spark.plugins org.apache.spark.sql.connect.SparkConnectPlugin
spark.connect.grpc.binding.address 0.0.0.0
spark.connect.grpc.binding.port 15002
spark.driver.host 127.0.0.1
spark.driver.bindAddress 127.0.0.1
spark.ui.enabled false
spark.ui.showConsoleProgress false
spark.local.dir /tmp/spark
spark.sql.shuffle.partitions 4
spark.sql.warehouse.dir $warehouse
spark.hadoop.dfs.replication 1
spark.hadoop.dfs.blocksize ${HDFS_BLOCK_BYTES:-8388608}
# A DataNode may be on several networks, and is known to the NameNode by its address on one of them; its name counts on each.
spark.hadoop.dfs.client.use.datanode.hostname true
spark.hadoop.javax.jdo.option.ConnectionURL jdbc:derby:;databaseName=$state/metastore;create=true
# A status request waits this long for news; the default of 5 s would hold back a cancel on the same connection.
spark.hadoop.hive.server2.long.polling.timeout 250ms
END
case $warehouse in hdfs://*) echo "spark.hadoop.fs.defaultFS ${warehouse%/*}" >> $state/spark.conf ;; esac
hive=(--hiveconf hive.server2.thrift.port=10000 --hiveconf hive.server2.thrift.bind.host=0.0.0.0)
if [ -n "${SQL_SERVER_HTTP:-}" ]; then
    # Each request shows its user, and no other name counts. No connection ends with a client that is gone; one that waits asks twice a second.
    for setting in transport.mode=http thrift.http.port=10000 thrift.http.path=cliservice thrift.http.cookie.auth.enabled=false \
        allow.user.substitution=false idle.session.timeout=120000 session.check.interval=10000 idle.session.check.operation=false; do
        hive+=(--hiveconf "hive.server2.$setting")
    done
fi
cd $state
# Without a console of its own Derby writes where its home is. Spark's long lineages want deeper stacks with the first compiler only.
exec "$SPARK_HOME/bin/spark-submit" --master "local[${SQL_SERVER_CORES:-2}]" --properties-file $state/spark.conf --driver-memory "$heap" \
    --driver-java-options "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xss4m -Dderby.system.home=$state -Dlog4j2.configurationFile=file:$state/log4j2.properties" \
    --class org.apache.spark.sql.hive.thriftserver.HiveThriftServer2 spark-internal "${hive[@]}"
