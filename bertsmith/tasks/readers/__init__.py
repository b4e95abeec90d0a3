"""Published files of the tasks, read to examples: one file here for each group of formats."""
