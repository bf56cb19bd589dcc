"""Where enriched records go."""
