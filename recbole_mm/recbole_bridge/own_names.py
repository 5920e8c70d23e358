"""The models of the pack, and the folders of RecBole's in which they are found."""

GENERAL = ("MHCR", "SEA", "VBPR", "LATTICE", "BM3", "FREEDOM", "MGCN", "XSimGCL", "MMHCL", "PGL", "LGMRec")
MODELS = dict.fromkeys(GENERAL, "general_recommender") | {"CCL4Rec": "sequential_recommender"}  # name -> folder
