"""The Kafka adapter: the only package that names a Kafka client."""
