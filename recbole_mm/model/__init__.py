"""Models, under the folder names of RecBole."""
