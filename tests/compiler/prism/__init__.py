"""The language: what programs mean, how they fail, what is said about them."""
