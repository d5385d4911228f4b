"""The local runtime: agents as processes of this machine, each ended whole."""
