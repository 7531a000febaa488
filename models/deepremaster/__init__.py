"""DeepRemaster (Iizuka and Simo-Serra 2019): the networks that the paper on test-time tuning tunes."""
