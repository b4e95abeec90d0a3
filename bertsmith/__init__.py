"""bertsmith turns raw text into a BERT-family encoder."""
