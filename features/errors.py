"""What a user can put right. The message says what came, what is allowed and what to do."""


class InputError(Exception):
    """Bad input: one clear message, no traceback, exit code 2."""


class ConfigError(InputError):
    """The YAML is wrong. The message begins with file and path: ``churn.yaml: outcome.horizon_dayz: …``."""


class DataError(InputError):
    """A table is wrong. The message begins with the table and the column."""
