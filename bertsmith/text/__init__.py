"""Text as it comes: files and documents, cleaning, sentences, word boundaries."""
