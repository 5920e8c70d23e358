"""Models, under the folder names of RecBole."""

GENERAL = ("MHCR", "SEA", "VBPR", "LATTICE", "BM3", "FREEDOM", "MGCN")
MODELS = dict.fromkeys(GENERAL, "general_recommender") | {"CCL4Rec": "sequential_recommender"}  # name -> folder
