"""Parts that several models share: losses, contrasts, cold items, views."""
