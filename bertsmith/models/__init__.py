"""Encoders, their heads, and Hugging Face model folders. Import the module you need; this file stays free of torch."""
