"""bertsmith turns raw text into a BERT-family encoder."""

__version__ = "0.1.0"
