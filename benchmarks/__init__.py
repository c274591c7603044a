"""What dispatching costs: measured on the real system over real Kafka, and on a peer beside it."""
