"""The page a person opens first: a client of the gateway's public API."""
