"""Files of many kinds as texts; whatever parses foreign formats does so in a process of its own."""
