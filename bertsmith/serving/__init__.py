"""Answers from a trained model, without HTTP."""
