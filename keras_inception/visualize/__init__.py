"""Pictures of what is in a network."""
