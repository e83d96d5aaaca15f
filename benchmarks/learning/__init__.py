"""What networks learn, how soon, and where the time of a fit goes; see README.md."""
