"""Emotions and other labels of texts."""
