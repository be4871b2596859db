"""Real data: fetching files, reading them with checks, initial states and boundary fields."""
