"""The page's parts, one flow each."""
