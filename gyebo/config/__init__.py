"""What a run is made of: dataclasses, TOML, overrides, checks."""
