"""Tokenizers: training one from counted words, loading a published one, turning sentences into ids."""
