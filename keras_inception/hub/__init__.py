"""All about weights but the networks: our file format, the manifest of public weights, verified downloads."""
