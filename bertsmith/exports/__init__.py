"""Trained models in the forms that other tools read, each read back and compared before it is called done."""
