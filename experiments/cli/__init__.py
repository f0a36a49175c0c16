"""The `qbmvae` command: one file a family of subcommands; heavy libraries load inside the commands."""
