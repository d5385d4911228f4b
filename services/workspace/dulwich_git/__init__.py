"""Git without a git program: what an execution's repository needs, done in this process with dulwich."""
