"""What each measured figure says, in a line for a reader."""

from __future__ import annotations

# A metric without a row here is shown under its own name.
METRIC_NAMES = {
    "accuracy": "Accuracy on held-out images (higher is better)",
    "anomaly_auc": "Area under the ROC curve of telling the anomalies named below by reconstruction error (1 is best)",
    "bernoulli_elbo": "Lower bound of the log-likelihood, pixels as probabilities, nats per image (higher is better)",
    "cas_both": "Accuracy on held-out images of a small classifier trained on samples and real images together",
    "cas_generated": "Accuracy on held-out images of a small classifier trained on samples (higher is better)",
    "cas_real": "Accuracy on held-out images of a small classifier trained on as many real images",
    "class_accuracy": "Share of samples that the judge assigns to the class asked for (higher is better)",
    "class_diversity": "Variance of the features within a class over that of real images (1 is as varied)",
    "class_entropy": "Entropy of the classes that the judge sees, in bits (as many as equal shares have is best)",
    "classifier_score": "Inception-style score with the judge in Inception's place (higher is better)",
    "coverage": "Share of held-out images with a sample among their neighbours (higher is better)",
    "density": "How crowded with held-out images the places are where samples lie (about 1 for real images)",
    "elbo": "Lower bound of the log-likelihood, Gaussian pixels in [0, 1], nats per image (higher is better)",
    "fid": "FID to held-out images (lower is better)",
    "frechet_distance": "Fréchet distance to held-out images in the features named below (lower is better)",
    "high_frequency_ratio": "Share of high spatial frequencies over that of held-out images (1 is as sharp)",
    "inception_score": "Inception score (higher is better)",
    "kernel_distance": "Kernel distance to held-out images in the features named below (lower is better)",
    "kid": "KID to held-out images (lower is better)",
    "kl": "Divergence of the posterior from the prior, nats per image",
    "laplacian_ratio": "Variance of the Laplacian over that of held-out images (1 is as sharp)",
    "largest_class_share": "Share of samples in the class that the judge sees most (an even share is best)",
    "memorization_ratio": "Distance to the nearest training image over that of held-out images (far below 1: copies)",
    "memorized_share": "Share of samples nearer to a training image than 99 % of held-out images (0.01 is expected)",
    "precision": "Share of samples that lie among held-out images (higher is better)",
    "recall": "Share of held-out images that lie among samples (higher is better)",
    "reconstruction_mse": "Mean squared error of rebuilt held-out images, pixels in [0, 1] (lower is better)",
}
COST_NAMES = {
    "compression_ratio": "Numbers in an image over numbers in its latent",
    "latent_size": "Numbers in a latent",
    "seconds_per_image": "Seconds per image, in a batch of 16, on the hardware named below",
}


def meaning(key: str) -> str:
    """What a metric says, such as ``class_accuracy`` or ``class_accuracy on MNIST``."""
    name, on, dataset = key.partition(" on ")
    return f"{METRIC_NAMES[name]}{on}{dataset}" if name in METRIC_NAMES else key
