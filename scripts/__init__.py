"""What is run from a checkout: the demo, the tests, and the generator of documents."""
