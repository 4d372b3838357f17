"""Read a run's topics without any of the project's code, and do its sums again.

Needs fastavro, kafka-python and the committed .avsc files alone:
    python independent_check.py BOOTSTRAP AVSC_FOLDER ACCOUNT_ID INITIAL_CASH [PREFIX]
Prints one JSON line: records by topic and type, and cash, positions and final equity from fills and bars.
"""

import io
import json
import sys
from collections import Counter
from pathlib import Path

import fastavro
from fastavro.schema import fingerprint, parse_schema, to_parsing_canonical_form
from kafka import KafkaConsumer, TopicPartition

TOPICS = ("ticks", "bars", "signals", "targets", "risk", "orders", "fills", "commands", "steps", "results")


def load_schemas(folder):
    """Return writer schemas by the 8 bytes that stand before each value (Avro single-object encoding)."""
    schemas = {}
    for path in Path(folder).glob("*.avsc"):
        schema = json.loads(path.read_text())
        name = bytes.fromhex(fingerprint(to_parsing_canonical_form(schema), "CRC-64-AVRO"))
        schemas[name] = (schema["name"], parse_schema(schema, named_schemas={}))
    return schemas


def read(bootstrap, topic, schemas):
    """Yield (type, record) of every committed record of a topic."""
    consumer = KafkaConsumer(
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        enable_auto_commit=False,
        request_timeout_ms=30_000,
    )
    places = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
    ends = consumer.end_offsets(places)
    consumer.assign(places)
    consumer.seek_to_beginning(*places)
    while any(consumer.position(place) < ends[place] for place in places):
        for records in consumer.poll(timeout_ms=1000).values():
            for record in records:
                marker, name, body = record.value[:2], record.value[2:10], record.value[10:]
                assert marker == b"\xc3\x01", f"{topic}: no single-object encoding"
                kind, schema = schemas[name]
                yield kind, fastavro.schemaless_reader(io.BytesIO(body), schema)
    consumer.close()


def account(fills, bars, account_id, cash):
    """Return cash, positions and equity of an account from its fills and the last close of each instrument."""
    positions, marks = Counter(), {}
    for fill in fills:
        if fill["account_id"] == account_id:
            sign = 1 if fill["side"] == "BUY" else -1
            cash -= sign * fill["quantity"] * fill["price"] * fill["multiplier"] + fill["commission"]
            positions[fill["instrument_id"]] += sign * fill["quantity"]
    for bar in sorted(bars, key=lambda bar: bar["ts_event"]):
        marks[bar["instrument_id"]] = bar["close"]
    held = {name: quantity for name, quantity in sorted(positions.items()) if quantity}
    return cash, held, cash + sum(quantity * marks[name] for name, quantity in held.items())


def main(bootstrap, folder, account_id, initial_cash, prefix=""):
    schemas, counts, found = load_schemas(folder), {}, {}
    for topic in TOPICS:
        found[topic] = list(read(bootstrap, prefix + topic, schemas))
        counts[topic] = dict(Counter(kind for kind, _ in found[topic]))
    fills = [record for kind, record in found["fills"] if kind == "OrderFilled"]
    bars = [record for kind, record in found["bars"] if kind == "Bar"]
    ticks = sum(len(record["price"]) for kind, record in found["ticks"] if kind == "TickBlock")
    cash, positions, equity = account(fills, bars, account_id, float(initial_cash))
    result = {"counts": counts, "ticks": ticks, "cash": cash, "positions": positions, "final_equity": equity}
    print(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
