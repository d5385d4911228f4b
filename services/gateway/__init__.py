"""The gateway: Parallax over HTTP."""
