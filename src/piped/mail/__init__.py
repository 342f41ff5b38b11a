"""Mail: from an SMTP session to a baton, and from a pipeline to a mail that is delivered."""
