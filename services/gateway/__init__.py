"""The front door: finds out what a person wants and lets the right service answer."""
