"""After training: lists for users, vectors to export, and a service on them."""
