"""The plumbing of every room above: subjects, the bus, the stores, settings, logging, and the life of a service."""
