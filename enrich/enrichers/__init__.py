"""The built-in enrichers, one module each. An enricher does no I/O and never imports another."""
