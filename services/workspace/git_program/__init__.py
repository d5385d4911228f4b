"""Git by the git program: what an execution's repository needs, done by git itself under a configuration of ours."""
