"""A supervised schedule of the same cost: what would the images that pretraining saw have bought?

Pretraining takes computation that a purely supervised model could have spent on training longer.
The cost here is the number of images that pass through the encoder in training, each view of an image
once, and not the time on a clock: so the schedule is the same on every machine, and every record can be
made again. A pass costs about the same in both kinds of training where both see images of one size, apart
from what a method adds (a momentum teacher, a decoder).
"""

from dataclasses import replace

from medssl.errors import UsageError
from medssl.training.pretrain import PretrainConfig
from medssl.training.transfer_config import TransferConfig

__all__ = ["images_seen", "matched_schedule"]


def images_seen(config: PretrainConfig, pool: int, views: int = 1) -> int:
    """Return how many images pass through the encoder in pretraining.

    Parameters
    ----------
    config : PretrainConfig
        An epoch drops its last, short batch.
    pool : int
        Number of unlabelled images.
    views : int
        Views of an image that a step passes through the encoder that is trained, by the method: 2 for
        SimCLR, 1 for a masked autoencoder. Passes through a momentum teacher have no backward pass and are
        left out.

    Raises
    ------
    UsageError
        Fewer than two images, or no view.

    Examples
    --------
    >>> images_seen(PretrainConfig(epochs=30, batch_size=256), 4708, views=2)  # 18 batches an epoch
    276480
    """
    if pool < 2 or views < 1:
        raise UsageError(f"pretraining needs at least 2 images and 1 view, got {pool} and {views}.")
    batch = min(config.batch_size, pool)
    return config.epochs * (pool // batch) * batch * views


def matched_schedule(config: TransferConfig, n: int, extra_images: int) -> TransferConfig:
    """Return the configuration that also spends the images of pretraining on supervised training.

    Parameters
    ----------
    config : TransferConfig
        The schedule that follows pretraining; the supervised arm's own.
    n : int
        Labelled images.
    extra_images : int
        Images that passed through the encoder in pretraining, see `images_seen`.

    Returns
    -------
    TransferConfig
        With `epochs` and `most_steps` raised so that `steps(n)` batches hold at least as many images as
        both phases together, and less than one batch more; all else stays. No extra images give `config`.

    Raises
    ------
    UsageError
        A number is out of bounds, or the adaptation passes no image through an encoder that it trains:
        a frozen encoder gains nothing from more passes.

    Examples
    --------
    >>> longer = matched_schedule(TransferConfig(batch_size=32), n=320, extra_images=3200)
    >>> TransferConfig(batch_size=32).steps(320), longer.steps(320), longer.epochs
    (100, 200, 20)
    """
    if config.adaptation not in ("fine_tune", "partial_fine_tune"):
        raise UsageError(
            f"{config.adaptation} trains no encoder, so it has no schedule of the same cost: use 'fine_tune'."
        )
    if n < 1 or extra_images < 0:
        raise UsageError(f"n must be at least 1 and extra_images at least 0, got {n} and {extra_images}.")
    if extra_images == 0:
        return config
    batch = min(config.batch_size, n)  # as in the loop: smaller sets use what there is
    steps = config.steps(n) + -(-extra_images // batch)
    epochs = -(-steps // -(-n // config.batch_size))
    return replace(config, epochs=max(config.epochs, epochs), most_steps=steps)
