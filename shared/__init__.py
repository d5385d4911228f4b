"""The plumbing that every room above uses: subjects, the bus, the stores, settings, logging, and the life of a service."""
