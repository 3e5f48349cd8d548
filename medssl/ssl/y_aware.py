"""y-aware contrast: images attract each other the more, the closer their metadata, such as age.

Dufumier et al. (2021), "Contrastive learning with continuous proxy meta-data for 3D MRI classification":
InfoNCE in which every image is a positive with a weight from a Gaussian kernel on a covariate.

This is the loss alone, for a loop of one's own: the pretraining loop hands images to a method and no
covariates, so that there is no method of this name.
"""

import torch
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._precision import single_precision

__all__ = ["y_aware_cross_entropy"]


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
