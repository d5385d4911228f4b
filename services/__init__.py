"""The services: islands that talk through the bus alone."""
