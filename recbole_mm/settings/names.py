"""Names that stand in for what the user does not name; light, as help texts show them."""

DEFAULT_MODEL, DEFAULT_DATASET = "MHCR", "ml-100k"
DATA_PATH = "dataset/"  # where datasets are looked for
