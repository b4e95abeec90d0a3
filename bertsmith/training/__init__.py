"""The one loop that pretraining, distillation and fine-tuning share, with exact resume."""
