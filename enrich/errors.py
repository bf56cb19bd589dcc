"""The errors this package raises on purpose. Each message says what is wrong, where, and what to do."""


class EnrichError(Exception):
    """Base of all deliberate errors; the command line prints the message and never a traceback."""


class TableError(EnrichError):
    """A mapping table is malformed or one of its embedded examples fails; names file, rule and example."""


class ConfigError(EnrichError):
    """A configuration file or option cannot be used; names the file and key."""


class SourceError(EnrichError):
    """An input cannot be read at all (absent, unreadable, not a log); names the path."""


class OutputError(EnrichError):
    """The output cannot be written (full disk, permissions); names the path."""
