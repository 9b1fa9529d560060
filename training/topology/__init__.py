"""Section 3 of the paper on CIFAR-10: what a trained network's correlations say, and a network grown from them."""
