"""What a model is trained for. `table.OBJECTIVES` lists them; this file stays free of torch."""
