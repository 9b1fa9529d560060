"""The networks: tables of numbers and the builders that walk them. They know nothing of weight files."""
