"""Pictures from words, painted by workers behind a durable queue."""
