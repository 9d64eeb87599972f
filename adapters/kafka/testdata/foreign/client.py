"""A Kafka client that shares no code with ours, for TestApache.

    client.py consume BROKER TOPIC...   every record as a line of JSON
    client.py produce BROKER TOPIC      the records on stdin, in the same form;
                                        answers where each was put
"""
import json
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.partitioner.default import murmur2


def consume(broker, topics):
    consumer = KafkaConsumer(bootstrap_servers=broker, enable_auto_commit=False)
    partitions = [TopicPartition(t, p) for t in topics for p in sorted(consumer.partitions_for_topic(t))]
    starts, ends = consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)
    consumer.assign(partitions)
    for p in partitions:
        consumer.seek(p, starts[p])
    left = sum(ends[p] - starts[p] for p in partitions)
    while left > 0:
        for partition, records in consumer.poll(timeout_ms=1000).items():
            count = len(consumer.partitions_for_topic(partition.topic))
            left -= len(records)
            for r in records:
                print(json.dumps({
                    "topic": r.topic,
                    "partition": r.partition,
                    "offset": r.offset,
                    "key": r.key.decode(),
                    "key_partition": (murmur2(r.key) & 0x7FFFFFFF) % count,
                    "headers": [[name, value.decode()] for name, value in r.headers],
                    "value": r.value.decode(),
                }))


def produce(broker, topic):
    producer = KafkaProducer(bootstrap_servers=broker, acks="all")
    for line in sys.stdin:
        r = json.loads(line)
        sent = producer.send(
            topic,
            key=r["key"].encode(),
            value=r["value"].encode(),
            headers=[(name, value.encode()) for name, value in r["headers"]],
        ).get(30)
        print(json.dumps({"topic": sent.topic, "partition": sent.partition, "offset": sent.offset}))
    producer.close()


if sys.argv[1] == "consume":
    consume(sys.argv[2], sys.argv[3:])
else:
    produce(sys.argv[2], sys.argv[3])
