"""The subcommands of `thimble`. Heavy imports wait until a command runs: --help must be quick."""
