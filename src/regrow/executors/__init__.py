"""Where the bodies of calls run."""
