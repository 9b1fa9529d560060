"""A model and its published folder: written so that it loads back the same, and loaded without running anything."""
