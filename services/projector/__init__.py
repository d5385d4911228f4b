"""The projector: the log folded into the tables of Postgres."""
