"""What people read: the report of a run, the card of a model, tables and drawn masks."""
