"""The vocabulary of Parallax: frozen structs for everything that is written to the bus, the log or an HTTP body.

The room knows msgspec and nothing else, so that every other room, and a program of somebody else's, can read it
without a server, a clock or a setting.
"""
