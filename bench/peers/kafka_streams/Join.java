// The small join on Kafka Streams, exactly_once_v2: java Join BOOTSTRAP EVENTS APP THREADS. Prints `rate`, events a second.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public class Join {
  static final int REPORTED = 1, MEASURED = 2, SIGNED = 4, BILLED = 8;
  static final String COMMIT_MS = "100";
  static final AtomicLong count = new AtomicLong();
  static volatile long began = 0;

  static class Folding implements Processor<String, byte[], String, byte[]> {
    final ObjectMapper json = new ObjectMapper();
    KeyValueStore<String, byte[]> store;
    ProcessorContext<String, byte[]> context;

    @Override
    public void init(ProcessorContext<String, byte[]> context) {
      this.context = context;
      store = context.getStateStore("state");
    }

    @Override
    public void process(Record<String, byte[]> record) {
      if (began == 0) began = System.nanoTime();
      try {
        fold(record);
      } catch (IOException e) {
        throw new UncheckedIOException(e);
      }
      count.incrementAndGet();
    }

    void fold(Record<String, byte[]> record) throws IOException {
      JsonNode event = json.readTree(record.value());
      byte[] known = store.get(record.key());
      ObjectNode state = known == null ? json.createObjectNode() : (ObjectNode) json.readTree(known);
      String name = event.get("milestone_id").asText();
      ObjectNode milestone = state.withObject("/" + name);
      int bits = milestone.path("bits").asInt(0);
      if (event.has("fee_minor")) {
        bits |= REPORTED;
        milestone.set("fee", event.get("fee_minor"));
        milestone.set("currency", event.get("currency"));
      } else if (event.has("kpi")) {
        if (event.get("value").asDouble() >= 99.9) bits |= MEASURED;
      } else if (event.get("decision").asText().equals("approved")) {
        bits |= SIGNED;
      }
      if (bits == (REPORTED | MEASURED | SIGNED)) {
        bits |= BILLED;
        long fee = milestone.get("fee").asLong(), held = fee / 10;
        forward(record, event, milestone, "lines", "inv", fee - held);
        forward(record, event, milestone, "retention", "ret", held);
      }
      milestone.put("bits", bits);
      store.put(record.key(), json.writeValueAsBytes(state));
    }

    void forward(Record<String, byte[]> record, JsonNode event, JsonNode milestone, String sink, String kind, long amount)
        throws IOException {
      ObjectNode line = json.createObjectNode();
      line.put("id", event.get("id").asText() + "/" + kind);
      line.put("engagement_id", record.key());
      line.set("milestone_id", event.get("milestone_id"));
      line.put("amount_minor", amount);
      line.set("currency", milestone.get("currency"));
      context.forward(record.withValue(json.writeValueAsBytes(line)), sink);
    }
  }

  public static void main(String[] args) throws Exception {
    long total = Long.parseLong(args[1]);
    Properties settings = new Properties();
    settings.put("bootstrap.servers", args[0]);
    settings.put("application.id", args[2]);
    settings.put("num.stream.threads", args[3]);
    settings.put("processing.guarantee", "exactly_once_v2");
    settings.put("commit.interval.ms", COMMIT_MS);
    settings.put("auto.offset.reset", "earliest");
    settings.put("replication.factor", 1);
    settings.put("state.dir", System.getProperty("java.io.tmpdir") + "/" + args[2]);
    Topology topology = new Topology();
    topology.addSource(
        "events", new StringDeserializer(), new ByteArrayDeserializer(), "milestone-events", "kpi-events", "approvals");
    topology.addProcessor("fold", Folding::new, "events");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore("state"), Serdes.String(), Serdes.ByteArray())
            .withCachingEnabled(),
        "fold");
    topology.addSink("lines", "ks-invoice-lines", new StringSerializer(), new ByteArraySerializer(), "fold");
    topology.addSink("retention", "ks-retention-events", new StringSerializer(), new ByteArraySerializer(), "fold");
    KafkaStreams streams = new KafkaStreams(topology, settings);
    streams.cleanUp();
    streams.start();
    while (count.get() < total) Thread.sleep(20);
    double seconds = (System.nanoTime() - began) / 1e9;
    System.out.printf("events %d sec %.2f rate %.0f%n", count.get(), seconds, count.get() / seconds);
    streams.close(Duration.ofSeconds(10));
    System.exit(0);
  }
}
