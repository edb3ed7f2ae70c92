#!/bin/sh
# Formats an empty disk for this cluster, then is the broker: what the vendor's image does.
set -eu
settings=/mnt/shared/config/server.properties
java() {
  # shellcheck disable=SC2086  # several options each
  "$@" /usr/bin/java ${KAFKA_HEAP_OPTS:--Xms256m -Xmx256m} ${KAFKA_JVM_PERFORMANCE_OPTS:-} \
    -Dlog4j.configuration=file:/opt/kafka/config/log4j.properties -cp '/opt/kafka/libs/*' $main
}
main="kafka.tools.StorageTool format --ignore-formatted --cluster-id $CLUSTER_ID --config $settings"
java env
main="kafka.Kafka $settings"
java exec
