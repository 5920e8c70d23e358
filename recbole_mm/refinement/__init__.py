"""Vision transformers trained on the images of items: a masked autoencoder, and MIM-Refiner after it."""
