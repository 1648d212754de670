"""Extractive question answering: the words of a text that answer a question."""
