"""From what the user asks for to RecBole's Config, with every name and value checked."""
