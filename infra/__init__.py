"""Where it runs: the command line, local services and deployment."""
