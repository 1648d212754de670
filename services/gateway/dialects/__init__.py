"""What clients of other systems say, answered in their words."""
