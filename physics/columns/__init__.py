"""Column physics: one process per file; every module here is found by the registry."""
