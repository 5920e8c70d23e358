"""Everything that changes RecBole, and how it is put in its place."""
