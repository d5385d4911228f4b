"""A reader of the `.git` that an agent worked with: hostile data, read without following anything and without git.

An agent owns its `.git` and may put anything there: links to `/etc`, a `gitdir:` file, alternates that name somebody
else's repository, devices, files without an end, references in circles, deltas that unpack to terabytes. So nothing
here runs git or reads a setting. Files are opened relative to the descriptor of the worktree, never through a link, and
every read has a bound. What cannot be read becomes a `Finding` with a name; it never stops the service.

    opening     descriptors of directories, bounded reads
    refs        HEAD, loose and packed references, reflogs, linked worktrees
    index       what is staged: formats 2 to 4, split and sparse, with their flags
    objects     loose objects and packs, their deltas included
    quarantine  copies of the objects that are wanted, checked before the platform's store takes them
    repository  all of it together, as the rest of the service uses it
"""
