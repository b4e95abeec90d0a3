"""What a trained model is measured on."""
