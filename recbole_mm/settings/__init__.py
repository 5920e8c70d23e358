"""What the user asks for: requests, declared parameters, valid names, checks."""
