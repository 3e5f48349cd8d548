"""y-aware contrast: images attract each other the more, the closer their metadata, such as age.

Dufumier et al. (2021), "Contrastive learning with continuous proxy meta-data for 3D MRI classification":
InfoNCE in which every image is a positive with a weight from a Gaussian kernel on a covariate.

The method needs a number for each image beside the image; `needs` says so to the pretraining loop.
The bandwidth is in the units of that number, and no value suits all of them: the default of 5 is what the
authors' code has for age in years.
Both views are of one image, because the number of another one, such as a partner, would be unknown.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._heads import mlp
from medssl.ssl._precision import single_precision
from medssl.ssl._views import two_views

__all__ = ["YAware", "y_aware_cross_entropy"]


def y_aware_cross_entropy(
    first: torch.Tensor,
    second: torch.Tensor,
    covariate: torch.Tensor,
    bandwidth: float,
    temperature: float,
) -> torch.Tensor:
    """y-aware InfoNCE of two sets of projections (Dufumier et al. 2021).

    For each anchor i the loss is minus the sum over k of w_ik log p_ik, where p_ik is the softmax of
    cosine / temperature over all projections but i, and w_ik is proportional to
    exp(-(y_i - y_k)^2 / (2 bandwidth^2)) and sums to 1 over the same.

    Parameters
    ----------
    first, second : Tensor
        Projections of the two views, shape [batch, dimensions]; row i of each is the same image.
    covariate : Tensor
        The metadata y, shape [batch].
    bandwidth : float
        Standard deviation of the kernel, in units of the covariate.
    temperature : float
        Divides the cosine similarities.

    Returns
    -------
    Tensor
        Mean over the 2 x batch anchors; log(2 x batch - 1) when all projections are equal.
        For distinct covariates and a bandwidth near 0 it is NT-Xent, the loss of SimCLR.

    Raises
    ------
    UsageError
        The covariate has another shape, or bandwidth or temperature is not above 0.

    Examples
    --------
    >>> ages = torch.tensor([30.0, 40.0, 41.0, 70.0])
    >>> round(y_aware_cross_entropy(torch.ones(4, 3), torch.ones(4, 3), ages, 5.0, 0.1).item(), 4)
    1.9459
    """
    if covariate.shape != first.shape[:1]:
        raise UsageError(f"covariate must have shape [{len(first)}], got {list(covariate.shape)}.")
    if not min(bandwidth, temperature) > 0:
        raise UsageError("bandwidth and temperature must be above 0.")
    with single_precision(torch.cat([first, second]), covariate.repeat(2)) as (z, y):
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        z = functional.normalize(z)  # [2 batch, dimensions]
        similarity = (z @ z.T / temperature).masked_fill(itself, -torch.inf)
        closeness = -((y[:, None] - y) ** 2) / (2 * bandwidth**2)
        weights = closeness.masked_fill(itself, -torch.inf).softmax(1)  # [2 batch, 2 batch]
        logarithm = similarity.log_softmax(1).masked_fill(itself, 0)
        return -(weights * logarithm).sum(1).mean()


@dataclass(frozen=True)
class YAwareConfig:
    """Options of y-aware contrast; `bandwidth` is the kernel's deviation in units of the covariate."""

    bandwidth: float = 5.0
    temperature: float = 0.1
    projection: int = 128

    def __post_init__(self):
        if not min(self.bandwidth, self.temperature) > 0 or self.projection < 1:
            raise UsageError("bandwidth and temperature must be above 0 and projection at least 1.")


class YAware(nn.Module):
    """Encoder and a two-layer projection head, as in SimCLR, for images with a covariate each.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images, ages = torch.rand(8, 1, 28, 28), torch.arange(30.0, 70.0, 5.0)
    >>> YAware(SmallCNN()).loss(images, lambda x: x, torch.Generator(), covariate=ages).ndim
    0
    """

    Config = YAwareConfig
    needs = ("covariate",)

    def __init__(self, encoder: nn.Module, config: YAwareConfig | None = None):
        super().__init__()
        self.config = config or YAwareConfig()
        self.encoder = encoder
        self.projector = mlp(encoder.width, encoder.width, self.config.projection)

    def loss(
        self, images: torch.Tensor, view, generator: torch.Generator, covariate: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss of a batch [batch, 1, height, width] with covariates [batch]."""
        if covariate is None:
            raise UsageError("y_aware needs a number for each image, such as age: pass covariate.")
        views = torch.cat(two_views(images, view, None))  # [2 batch, 1, height, width]
        first, second = self.projector(self.encoder(views)).chunk(2)
        scales = (self.config.bandwidth, self.config.temperature)
        return y_aware_cross_entropy(first, second, covariate, *scales)
