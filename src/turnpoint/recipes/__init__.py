"""Annotated YAML per job, and the data of the demo, shipped in the wheel with licences and sources."""
